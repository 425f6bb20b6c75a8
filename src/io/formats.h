/* What a format's header says about the voxels, so that one piece of code checks sizes and reads for all formats. */
#ifndef OQ_IO_FORMATS_H
#define OQ_IO_FORMATS_H

#include "io/volume.h"
#include "stream.h"

typedef enum oq_coding {
	OQ_CODING_SNIFF = 0, /* plain or gzip by content; offset counts decoded bytes */
	OQ_CODING_RAW,
	OQ_CODING_DEFLATE    /* gzip or zlib from `offset` on */
} oq_coding;

typedef struct oq_voxel_place {
	char *path;      /* of a detached file, owned; NULL = the header's own */
	oq_coding coding;
	uint64_t offset; /* in the file */
	uint64_t skip;   /* decoded bytes before the first voxel */
	bool at_end;     /* the voxels are the last bytes of the file (raw only) */
	bool swapped;    /* the file's byte order is not ours */
	size_t bytes;    /* of all voxels, from dims and type, not yet compared with the file */
	uint64_t behind; /* bytes of further volumes behind them, which must be there, too */
} oq_voxel_place;

/* A reader of headers: dims, dtype, scaling and geometry into `volume`, the rest into `place`. The stream stands at its start. */
typedef oq_status oq_header_reader(oq_stream *stream, const char *path, const oq_volume_options *options, oq_volume *volume,
	oq_voxel_place *place, oq_error *err);
oq_header_reader oq_nifti_read_header, oq_metaimage_read_header, oq_nrrd_read_header;

#define OQ_SNIFF_BYTES 348 /* the shortest header that must be told apart by its bytes */

/* The reader for a file that begins so; the name decides only where the bytes are silent. */
oq_header_reader *oq_format_of(const unsigned char *bytes, size_t count, const char *path);
/* What else people put under such a name, as "; it is ..."; "" when it is none of these. */
const char *oq_format_hint(const unsigned char *bytes, size_t count);

/* Shared checks of the text formats. */
oq_status oq_dims_check(const char *path, const char *field, int count, const int64_t *dims, oq_volume *volume, oq_error *err);
bool oq_name_ends(const char *name, const char *end);
bool oq_machine_is_big_endian(void);

#endif
