/* The index of a deflate stream: places from which it can be decoded without what lies before, and a checksum of what follows each. Decoded parts of the
 * scan, thus patient data. docs/formats.md has the file's layout. */
#ifndef OQ_IO_INDEX_H
#define OQ_IO_INDEX_H

#include "inflate.h"
#include "io/index.h"
#include "stream.h"

#define OQ_INDEX_PART ((uint64_t)64 << 20) /* most bytes of a part, packed or not: a stream of larger blocks has no index */
#define OQ_INDEX_POINTS ((uint64_t)1 << 20)
#define OQ_INDEX_WINDOW 40000              /* most bytes of a packed window */

/* A part of the stream begins here and ends at the next point. */
typedef struct oq_index_point {
	uint64_t in, out;      /* byte of the scan's file, of the decoded stream */
	uint64_t window_at;    /* byte of the index; the window is packed by zlib */
	uint32_t window_bytes; /* 0: the begin of a member */
	uint32_t crc;          /* CRC-32 of the part, decoded */
	int bits;              /* 0 to 7, of the byte before `in`, that belong to the part */
} oq_index_point;

typedef struct oq_index {
	char *path, binding[65]; /* binding: SHA-256 over where the stream is, how large its file is, and its first and last bytes */
	uint64_t size;           /* of the scan's file */
	int fd;
	uint64_t bytes;          /* of the index */
	bool garbage;            /* bytes of no member follow the stream */
	uint64_t count;
	oq_index_point *points;  /* [count + 1]; the last is the end of the stream */
} oq_index;

/* Where the index of the stream that begins at `offset` belongs, in `folder` or beside it (NULL), and what it must be bound to: `out` is closed by
 * the caller, also after a failure. */
oq_status oq_index_of(const oq_stream *stream, uint64_t offset, const char *folder, oq_index *out, oq_error *err);
/* Reads and checks all but the windows. E_INDEX: it is damaged, or another stream's. */
oq_status oq_index_read(oq_index *index, oq_error *err);
/* The window in front of point `which`, which has one. */
oq_status oq_index_window(const oq_index *index, uint64_t which, unsigned char window[OQ_WINDOW], oq_error *err);
oq_status oq_index_write(oq_index *index, const unsigned char *const *windows, oq_error *err);
void oq_index_close(oq_index *index);

#endif
