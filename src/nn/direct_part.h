/* Part of a direct convolution's output, for runs that reuse the rest: the voxels that it sees are copied out, computed with a primitive of fixed
 * extents and the whole one's packed weights, and copied back. */
#ifndef OQ_NN_DIRECT_PART_H
#define OQ_NN_DIRECT_PART_H

#include "direct.h"

typedef struct oq_direct_part oq_direct_part; /* immutable */

/* For boxes of up to `extent` voxels. *out stays NULL, and that is no error, where oneDNN computes so few voxels by other means, or with other
 * bits than within the whole, which is tried on made-up values: an order of summation shows in any of them. */
oq_status oq_direct_part_create(const oq_direct *whole, const int64_t extent[OQ_SPATIAL], oq_direct_part **out, oq_error *err);
void oq_direct_part_free(oq_direct_part *part);
size_t oq_direct_part_scratch_bytes(const oq_direct_part *part);
bool oq_direct_part_fits(const oq_direct_part *part, const oq_box *box);
/* Voxels that a run computes, whatever the box. */
int64_t oq_direct_part_voxels(const oq_direct_part *part);

/* Handles bound to a session's scratch. */
oq_status oq_direct_part_bind(const oq_direct_part *part, void *scratch, oq_direct_bound **out, oq_error *err);

/* Memory of the whole convolution's values, and scratch. */
typedef struct oq_direct_values {
	const void *src, *residual; /* residual may be NULL */
	void *dst, *scratch;
} oq_direct_values;
/* The box, which fits, and perhaps voxels around it. */
oq_status oq_direct_part_run(const oq_direct_part *part, const oq_direct_bound *bound, const oq_direct_values *values, const oq_box *box,
	struct dnnl_stream *stream, oq_error *err);

#endif
