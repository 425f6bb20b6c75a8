/* Direct convolution by oneDNN, channels-last float32: the primitive, its packed weights, and what a session binds to it. */
#ifndef OQ_NN_DIRECT_H
#define OQ_NN_DIRECT_H

#include "op.h"

typedef struct oq_direct oq_direct;

/* One convolution with everything folded in. `weights` is [out][in/groups][kd][kh][kw], `bias` [out] or NULL. */
typedef struct oq_direct_desc {
	const char *where; /* for messages */
	int64_t in[4], out[4]; /* C,D,H,W */
	const oq_attributes *attributes;
	bool residual;     /* a binary addition of a tensor shaped like the output */
	float slope;       /* 1 = no activation */
	const float *weights, *bias;
} oq_direct_desc;

oq_status oq_direct_create(const oq_planner *planner, const oq_direct_desc *desc, oq_direct **out, oq_error *err);
void oq_direct_free(oq_direct *direct);
size_t oq_direct_scratch_bytes(const oq_direct *direct);
size_t oq_direct_weight_bytes(const oq_direct *direct);
const char *oq_direct_implementation(const oq_direct *direct);

/* Handles bound to one session's memory. */
typedef struct oq_direct_bound oq_direct_bound;
oq_status oq_direct_bind(const oq_direct *direct, float *src, float *dst, float *residual, void *scratch, oq_direct_bound **out, oq_error *err);
void oq_direct_unbind(oq_direct_bound *bound);
oq_status oq_direct_run(const oq_direct *direct, const oq_direct_bound *bound, struct dnnl_stream *stream, const char *where, oq_error *err);

#endif
