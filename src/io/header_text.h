/* Text headers (MetaImage, NRRD): lines, numbers that no locale changes, and the name of a detached file. */
#ifndef OQ_IO_HEADER_TEXT_H
#define OQ_IO_HEADER_TEXT_H

#include "stream.h"

/* The head of a file as text; lines are cut out of it one by one. A zeroed one is valid and empty. */
typedef struct oq_header_text {
	char *text; /* NUL-terminated after `bytes` */
	size_t bytes, at;
	bool whole; /* the text is the whole file */
} oq_header_text;

/* Refuses gzip around the header (E_MAGIC). */
oq_status oq_header_text_read(oq_stream *stream, const char *path, oq_header_text *out, oq_error *err);
void oq_header_text_free(oq_header_text *text);
/* The next line without its end, or NULL after the last; text->at is then the first byte behind it. A line that is cut by the
 * limit on headers, or that holds a NUL, is E_FIELD. */
oq_status oq_header_text_line(oq_header_text *text, const char *path, char **line, oq_error *err);

/* Cuts blanks off both ends, in place. */
char *oq_text_trim(char *text);
/* Exactly `count` numbers with blanks between them. */
bool oq_text_numbers(const char *text, int count, double *out);
bool oq_text_integers(const char *text, int count, int64_t *out);
/* The file that a header names: beside or below the header. Refuses absolute names and "..": a scan may not point at other files. */
oq_status oq_text_data_path(const char *header_path, const char *name, char **out, oq_error *err);

#endif
