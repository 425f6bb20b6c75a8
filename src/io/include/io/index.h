/* Indexes of packed scans, by which a patch is read without decoding what lies before its slices. */
#ifndef OQ_IO_INDEX_FILE_H
#define OQ_IO_INDEX_FILE_H

#include "io/volume.h"

#define OQ_INDEX_SPAN ((uint64_t)2 << 20) /* of decoded bytes, about, between two points: 2 % of the size of a CT, and 1 MB more than is needed at either end */

typedef enum oq_index_made {
	OQ_INDEX_WRITTEN = 0,
	OQ_INDEX_FRESH,    /* a good one is there already */
	OQ_INDEX_RAW,      /* the scan is not packed and needs none */
	OQ_INDEX_SMALL     /* nor does one that is decoded in a moment */
} oq_index_made;

/* Decodes all of a volume that was opened, checks it as any reading does, and writes its index into `folder`, or beside it (NULL). `span` is OQ_INDEX_SPAN
 * outside of tests; scans of up to two are small. *bytes is its size. */
oq_status oq_index_make(const oq_volume *volume, const char *folder, uint64_t span, oq_index_made *made, uint64_t *bytes, oq_error *err);

#endif
