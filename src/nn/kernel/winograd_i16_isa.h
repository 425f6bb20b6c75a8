/* The transforms of Winograd F(3x3x3, 3x3x3) in integers, one table per instruction set. Points 0, 1, -1, 2 and infinity along each axis:
 *   B^T   2 -1 -2  1  0      G   3  0  0     A^T   1  3  1  1  0      A^T[(G g) * (B^T d)] = 6 conv
 *         0 -2 -1  1  0         -1 -1 -1           0  3 -1  2  0
 *         0  2 -3  1  0         -1  1 -1           0  3  1  4  3
 *         0 -1  0  1  0          1  2  4
 *         0  2 -1 -2  1          0  0  2
 * In three dimensions the result is 216 conv modulo 2^32. An inverse of 27 exists there and makes it 8 conv, which is shifted back. The
 * coefficients of B^T whose signs agree add up to at most 3, and to 108 over three axes: 255 * 108 fits 16 bits. */
#ifndef OQ_NN_KERNEL_WINOGRAD_I16_ISA_H
#define OQ_NN_KERNEL_WINOGRAD_I16_ISA_H

#include "kernel/conv_i8.h"

#define OQ_W16_EDGE 5
#define OQ_W16_OUTS 3
#define OQ_W16_POSITIONS 125
#define OQ_W16_COLUMNS 32 /* output channels of a panel */

/* One tile: 5x5x5 voxels whose first one lies at `at` (may be outside: zero there). */
typedef struct oq_w16_input {
	const uint8_t *x;            /* [D][H][W][channels] */
	int64_t size[3], at[3], channels;
	int32_t zero;
	int16_t *out;                /* position p of this tile at out + p*stride; an odd number of channels gets one more */
	int64_t stride;
} oq_w16_input;

/* One tile of one panel of 32 output channels. */
typedef struct oq_w16_output {
	const int32_t *products;     /* position p at products + p*stride, 32 channels each */
	int64_t stride, size[3], at[3], channels, first, count; /* channels [first, first+count) of the output */
	const oq_conv_i8_epilogue *epilogue;
} oq_w16_output;

/* Rows of final sums of a panel, 32 apart, as the output's rows from `row` on. */
typedef struct oq_w16_rows {
	const int32_t *sums;
	int64_t row, rows, channels, first, count; /* channels [first, first+count) of the output */
	const oq_conv_i8_epilogue *epilogue;
} oq_w16_rows;

typedef struct oq_w16_kernels {
	void (*input)(const oq_w16_input *tile);
	void (*output)(const oq_w16_output *tile);
	/* For products over taps: bytes less their zero point as 16 bits; sums as values of the output. */
	void (*widen)(int64_t count, const uint8_t *x, int32_t zero, int16_t *y);
	void (*finish)(const oq_w16_rows *rows);
} oq_w16_kernels;

extern const oq_w16_kernels oq_w16_plain;
#ifdef OQ_KERNEL_X86
extern const oq_w16_kernels oq_w16_avx2, oq_w16_avx512;
#endif
const oq_w16_kernels *oq_w16_kernels_for(oq_isa isa);

#endif
