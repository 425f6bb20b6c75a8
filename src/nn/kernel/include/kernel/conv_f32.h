/* Own float32 convolutions, channels-last, one patch or a fixed small batch: what oneDNN does not offer or does slowly.
 *   tap GEMM    any kernel, stride and padding, computing real taps only (padding is never multiplied); best for 1x1x1 and small maps
 *   Winograd    3x3x3, stride 1, padding 1: F(2x2x2) and F(4x4x4); F(2x2x2) also with transformed inputs and weights rounded once to
 *               bfloat16, products summed in float32 (gemm_dot.h), for an even number of channels
 * All: output = act(conv(x) + bias [+ residual]). Weights are given as [out][in][kd][kh][kw] and packed once.
 * Bits do not depend on batch, threads or ISA (AVX2, AVX-512 and the plain twin agree; see gemm_f32.h). */
#ifndef OQ_NN_KERNEL_CONV_F32_H
#define OQ_NN_KERNEL_CONV_F32_H

#include "core/cpu.h"
#include "core/dtype.h"
#include "core/error.h"
#include "kernel/box.h"

typedef enum oq_conv_method { OQ_CONV_TAP_GEMM = 0, OQ_CONV_WINOGRAD_F2, OQ_CONV_WINOGRAD_F4, OQ_CONV_WINOGRAD_F2_BF16 } oq_conv_method;

typedef struct oq_conv_shape {
	int64_t in_channels, out_channels;
	int64_t in[3], out[3];        /* D,H,W */
	int64_t kernel[3], stride[3];
	int64_t pad_low[3];           /* zeros before; after follows from `out` */
	int64_t dilation[3];          /* 0 and 1: none; more: products over taps only */
	oq_dtype in_type, out_type;   /* of x and y in memory: OQ_F32, or, Winograd only, OQ_BF16 (rounded to nearest even) */
	bool moments;                 /* the epilogue asks for them: Winograd only */
} oq_conv_shape;

/* What is applied to the input as it is read: y = lrelu(x*scale[c] + shift[c]); padding stays zero after it.
 * NULL scale = none. slope 1 = no activation, 0 = relu. */
typedef struct oq_conv_prologue {
	const float *scale, *shift; /* [in_channels], may be computed per run (instance norm) */
	float slope;
} oq_conv_prologue;

typedef struct oq_conv_epilogue {
	const float *bias;     /* [out_channels] or NULL */
	const float *residual; /* same layout as the output, or NULL; may alias the output */
	float slope;           /* after bias and residual: 1 = none, 0 = relu, else leaky */
	double *moments;       /* [batch][2][out_channels]: mean and biased variance of the output (before it is rounded to its type) over all
	                        * voxels of a patch; set when the shape says so, else NULL. Sums of 16 voxels around the tile's first one in
	                        * float32, tiles in double, mean before squares */
	const oq_box *box;     /* Winograd without moments: the outputs that are wanted, others stay or get their values as well; NULL: all */
} oq_conv_epilogue;

typedef struct oq_conv oq_conv; /* packed weights + blocking; immutable */

/* False when `method` cannot do `shape` at all. */
bool oq_conv_supports(oq_conv_method method, const oq_conv_shape *shape);
/* The rule of the planner, by shape alone, so that a plan is the same on every processor; docs/performance.md has the measurements behind it
 * and bench/winograd.sh --layers makes them: Winograd where its fewer multiplications outweigh the transforms and its larger weights, F(4) from
 * 12^3 up; products over real taps where the map is small or the stride leaves oneDNN with gathers; false: oneDNN's direct convolution. `most`:
 * OQ_CONV_TAP_GEMM (no Winograd), OQ_CONV_WINOGRAD_F2 or OQ_CONV_WINOGRAD_F4. */
bool oq_conv_choose(const oq_conv_shape *shape, oq_conv_method most, oq_conv_method *method);
oq_status oq_conv_create(oq_conv_method method, const oq_conv_shape *shape, const float *weights, oq_isa isa, oq_conv **out, oq_error *err);
void oq_conv_free(oq_conv *conv);
size_t oq_conv_weight_bytes(const oq_conv *conv);
/* Scratch for `threads` threads sharing one call with `batch` patches. */
size_t oq_conv_scratch_bytes(const oq_conv *conv, int64_t batch, int threads);
/* x [batch][D][H][W][in_channels], y [batch][D][H][W][out_channels], of the types of the shape; prologue and epilogue may be NULL; scratch 64-byte aligned.
 * Runs its own OpenMP region of `threads` when threads > 1. */
void oq_conv_run(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
	void *scratch, int threads);

#endif
