/* Deflate data piece by piece by ISA-L, where the build found it; zlib's codes and cursors, so that one loop serves both. */
#ifndef OQ_IO_INFLATE_H
#define OQ_IO_INFLATE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <zlib.h>

typedef struct oq_inflater oq_inflater;

/* What may be given back at the end of a member: as many bytes must lie before z->next_in, the last of the pieces before. */
#define OQ_INFLATE_BACK 8

/* NULL: this build has none, or there is no memory for it. */
oq_inflater *oq_inflater_make(void);
void oq_inflater_free(oq_inflater *inflater);
/* The header of a gzip member, or of a zlib stream, was read: its data and trailer follow. */
void oq_inflater_begin(oq_inflater *inflater, bool gzip);
/* From z->next_in to z->next_out, as zlib's inflate does; only these, and what is left of them, are used of *z. Z_OK; Z_STREAM_END behind a trailer that
 * agrees with the data; Z_DATA_ERROR, which says nothing about why: zlib is to be asked, and its answer is the one that users see. */
int oq_inflater_run(oq_inflater *inflater, z_stream *z);

#define OQ_WINDOW ((size_t)32 << 10) /* how far back deflate data refers */

/* A part of a deflate stream, from the begin of a block on. */
typedef struct oq_part {
	const unsigned char *in; /* of its first byte the upper `bits` count when that is not 0 */
	size_t in_bytes;         /* up to the part's end or beyond it */
	int bits;                /* 0 to 7 */
	const unsigned char *window; /* [OQ_WINDOW] that lie before the part; NULL at the begin of a member */
	unsigned char *out;      /* [out_bytes], all of which the part has */
	size_t out_bytes;
} oq_part;
/* False when it holds anything else, or there is no memory. `hurry`: by what is faster than zlib (false when there is nothing). */
bool oq_part_inflate(const oq_part *part, bool hurry);
/* CRC-32 as gzip has it, of bytes that follow those of `crc` (first: 0). */
uint32_t oq_bytes_crc(uint32_t crc, const unsigned char *bytes, size_t count);

#endif
