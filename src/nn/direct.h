/* Direct convolution by oneDNN, channels-last: float32, bfloat16, or 8-bit codes (u8 times s8). The primitive, its packed weights,
 * and what a session binds to it. */
#ifndef OQ_NN_DIRECT_H
#define OQ_NN_DIRECT_H

#include "weights.h"

typedef struct oq_direct oq_direct;

/* One convolution with everything folded in:
 *   y = lrelu(sum(x*w) + bias + residual), x and y in the types of their values, sums in float32 or, of codes, in int32. */
typedef struct oq_direct_desc {
	const char *where; /* for messages */
	int64_t in[4], out[4]; /* C,D,H,W */
	const oq_attributes *attributes;
	oq_dtype compute;         /* OQ_F32, OQ_BF16, OQ_I8 */
	const oq_value *src, *dst, *residual; /* types and scales; residual may be NULL */
	float slope;              /* 1 = no activation */
	bool gelu;                /* instead of lrelu */
	const oq_weights *weights; /* codes exactly when compute is OQ_I8 */
} oq_direct_desc;

oq_status oq_direct_create(const oq_planner *planner, const oq_direct_desc *desc, oq_direct **out, oq_error *err);
/* The same convolution of other extents, without padding, by the same implementation with the same packed weights, which stay `like`'s; refused
 * (OQ_E_UNSUPPORTED) where oneDNN would take another. */
oq_status oq_direct_create_like(const oq_direct *like, const int64_t in[OQ_SPATIAL], const int64_t out[OQ_SPATIAL], oq_direct **direct, oq_error *err);
/* A stream of its engine, to be destroyed by the caller. */
oq_status oq_direct_stream(const oq_direct *direct, struct dnnl_stream **out, oq_error *err);
/* As it was created, but for the weights. */
const oq_direct_desc *oq_direct_described(const oq_direct *direct);
void oq_direct_free(oq_direct *direct);
size_t oq_direct_scratch_bytes(const oq_direct *direct);
size_t oq_direct_weight_bytes(const oq_direct *direct);
const char *oq_direct_implementation(const oq_direct *direct);

/* Handles bound to one session's memory. */
typedef struct oq_direct_bound oq_direct_bound;
oq_status oq_direct_bind(const oq_direct *direct, void *src, void *dst, void *residual, void *scratch, oq_direct_bound **out, oq_error *err);
void oq_direct_unbind(oq_direct_bound *bound);
oq_status oq_direct_run(const oq_direct *direct, const oq_direct_bound *bound, struct dnnl_stream *stream, const char *where, oq_error *err);

#endif
