/* What conv.c and the methods behind it agree on: one oq_conv, one row of functions per method.
 * Refuses nothing itself: oq_conv_create has checked `shape` (oq_conv_shape_valid) before a method sees it. */
#ifndef OQ_NN_KERNEL_CONV_IMPL_H
#define OQ_NN_KERNEL_CONV_IMPL_H

#include "kernel/conv_f32.h"
#include "kernel/gemm_f32.h"

typedef struct oq_conv_ops {
	bool (*supports)(const oq_conv_shape *shape);
	/* Packs weights [out][in][kd][kh][kw] into conv->state; on failure the caller calls `free`. */
	oq_status (*create)(oq_conv *conv, const float *weights, oq_error *err);
	void (*free)(oq_conv *conv); /* conv->state may be NULL or half built */
	size_t (*weight_bytes)(const oq_conv *conv);
	size_t (*scratch_bytes)(const oq_conv *conv, int64_t batch, int threads);
	void (*run)(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
		void *scratch, int threads);
} oq_conv_ops;

struct oq_conv {
	oq_conv_method method;
	oq_conv_shape shape;
	oq_isa isa;
	oq_gemm_f32_fn *gemm; /* the micro-kernel of `isa` */
	const oq_conv_ops *ops;
	void *state;          /* the method's own */
};

/* One row per oq_conv_method. */
extern const oq_conv_ops oq_conv_tap_ops;    /* conv_tap.c */
extern const oq_conv_ops oq_winograd_f2_ops, oq_winograd_f4_ops, oq_winograd_f2_bf16_ops; /* winograd.c */

static inline int64_t oq_conv_dilation(const oq_conv_shape *shape, int axis)
{
	return shape->dilation[axis] > 1 ? shape->dilation[axis] : 1;
}

/* Extents at least 1, padding below the (dilated) kernel, sizes that do not overflow. */
bool oq_conv_shape_valid(const oq_conv_shape *shape);

#endif
