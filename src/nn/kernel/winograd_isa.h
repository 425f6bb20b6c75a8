/* The transforms of Winograd F(2x2x2, 3x3x3) and F(4x4x4, 3x3x3), one table per instruction set. */
#ifndef OQ_NN_KERNEL_WINOGRAD_ISA_H
#define OQ_NN_KERNEL_WINOGRAD_ISA_H

#include "kernel/conv_f32.h"

/* F(4) interpolates at 0, +-P, +-Q and infinity. The usual 1 and 2 err four times as much; of all pairs these are within 3 % of the best, and
 * every constant made of them is exact in float32. */
#define OQ_WINOGRAD_P 0.625f
#define OQ_WINOGRAD_Q 1.5f

/* One tile: edge^3 voxels (edge 4 or 6) whose first one lies at `at` (may be outside: zero there, also after the prologue). */
typedef struct oq_winograd_input {
	const void *x;               /* [D][H][W][channels] of one patch */
	int64_t size[3], at[3], channels;
	const oq_conv_prologue *prologue;
	void *out;                   /* [position][...], float32 or bfloat16: position p of this tile p*stride elements behind */
	int64_t stride;
} oq_winograd_input;

/* One tile of one panel of 32 output channels: (edge-2)^3 outputs of edge^3 products. */
typedef struct oq_winograd_output {
	const float *products;       /* position p at products + p*stride, 32 channels each */
	int64_t stride, size[3], at[3], channels, first, count; /* channels [first, first+count) of the output */
	int64_t outs;                /* edge - 2 */
	const oq_conv_epilogue *epilogue;
	const float *residual;       /* of this patch, or NULL */
	void *y;                     /* of this patch */
	float *moments;              /* NULL, or [2][channels] of this tile: mean of its outputs, sum of squares around it */
	float voxels;                /* of the tile that lie inside */
} oq_winograd_output;

/* Of channels [first, last) of one patch, from those of its tiles. */
typedef struct oq_winograd_moments {
	const float *of_tiles;       /* [tile][2][channels] */
	const double *voxels;        /* of each tile, `total` in all */
	double total;
	int64_t tiles, channels, first, last;
	double *mean, *variance;     /* [channels] */
} oq_winograd_moments;

/* Last index: values in memory are float32, bfloat16; first one of input: so is what is transformed (bfloat16 for F(2) only). */
typedef struct oq_winograd_kernels {
	void (*input[2][2])(const oq_winograd_input *tile);
	void (*output[2])(const oq_winograd_output *tile);
	void (*combine)(const oq_winograd_moments *moments);
} oq_winograd_kernels;

/* F(2), F(4) */
extern const oq_winograd_kernels oq_winograd_plain[2];
#ifdef OQ_KERNEL_X86
extern const oq_winograd_kernels oq_winograd_avx2[2], oq_winograd_avx512[2];
#endif

#endif
