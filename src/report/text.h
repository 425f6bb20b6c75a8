/* A text that grows. Out of memory is remembered and told once, at the end. */
#ifndef OQ_REPORT_TEXT_H
#define OQ_REPORT_TEXT_H

#include "core/error.h"

typedef struct oq_text {
	char *bytes;
	size_t length, room;
	bool failed;
} oq_text;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
void oq_text_add(oq_text *text, const char *format, ...);
/* With &, <, > and quotes as entities. */
void oq_text_escape(oq_text *text, const char *value);
/* As a CSV field: quoted where it has to be, and where a spreadsheet would run it. */
void oq_text_field(oq_text *text, const char *value);
void oq_text_base64(oq_text *text, const unsigned char *bytes, size_t count);
/* The text, to be freed with oq_free; or OQ_E_RESOURCE. */
oq_status oq_text_finish(oq_text *text, char **out, oq_error *err);

#endif
