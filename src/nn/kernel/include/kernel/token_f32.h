/* Float32 kernels on tokens (rows of channels): layer norm, GELU, softmax rows. One body compiled per instruction set;
 * sums run in sixteen fixed lanes and no product is contracted, so every instruction set gives the same bits. */
#ifndef OQ_NN_KERNEL_TOKEN_F32_H
#define OQ_NN_KERNEL_TOKEN_F32_H

#include "core/cpu.h"
#include "kernel/convert.h"

#include <stdint.h>

#define OQ_FINISH_COLUMNS 128 /* at most, of a block of sums */

/* A block of sums of a linear layer, and what becomes of it, in this order: a value each, the shortcut, then one of gating, GELU and leaky relu, and the
 * conversion to the type of the result. */
typedef struct oq_finish {
	int64_t rows, count, stride;     /* `count` columns; rows of sums lie `stride` apart */
	const void *sums, *gates;        /* gates: NULL, or the sums that the values are gated by */
	const float *scale, *bias, *gate_scale, *gate_bias; /* [count]: sums are int32, value = sum*scale + bias; scale NULL: sums are values */
	const float *residual;           /* [rows][width], or NULL */
	int64_t width;                   /* of rows of the result and the shortcut */
	bool gelu;
	float slope;                     /* 1: none */
	const oq_typed *y;
	size_t element;                  /* of y, where the block begins */
} oq_finish;

typedef struct oq_token_kernels {
	/* y[r][c] = (x[r][c]-mean_r)/sqrt(var_r+eps)*weight[c]+bias[c]; biased variance; weight and bias may be NULL (1 and 0).
	 * x and y may be the same. */
	void (*layer_norm)(int64_t rows, int64_t channels, const float *x, const float *weight, const float *bias, float eps, float *y);
	/* y = x*0.5*(1+erf(x/sqrt(2))), absolute error below 1e-7*max(1,|x|); in place allowed. */
	void (*gelu)(int64_t count, const float *x, float *y);
	/* row[j] = exp(row[j]*scale + bias[j] + mask[j] - max), bias and mask may be NULL; returns the sum of the row. */
	float (*softmax_row)(int64_t count, float *row, float scale, const float *bias, const float *mask);
	/* y[c] = x[c]/max(|x|,1e-12)*scale[c], |x| the L2 norm of the row; scale may be NULL (1). */
	void (*unit_row)(int64_t channels, const float *x, const float *scale, float *y);
	/* y[c] = bias[c] + sum_t rows[t][c]*weights[t][c] (t ascending) + residual[c]; bias and residual may be NULL. */
	void (*weighted_sum)(int64_t channels, int64_t taps, const float *const *rows, const float *const *weights, const float *bias,
		const float *residual, float *y);
	/* y[c] = sums[c]*scale[c]; returns the largest, minus infinity for none. */
	float (*scale_sums)(int64_t count, const int32_t *sums, const float *scale, float *y);
	/* y = value * gelu(gate); y may be either. */
	void (*geglu)(int64_t count, const float *value, const float *gate, float *y);
	/* y[c] = sums[c]*scale[c] + bias[c] [+ residual[c]], every operation rounded; residual may be NULL or y. */
	void (*scale_codes)(int64_t count, const int32_t *sums, const float *scale, const float *bias, const float *residual, float *y);
	/* Every step rounded as by scale_codes, add, geglu, gelu and oq_typed_write. */
	void (*finish)(const oq_finish *finish);
	/* y = x / by */
	void (*divide)(int64_t count, const float *x, float by, float *y);
	/* y = a + b; y may be either. */
	void (*add)(int64_t count, const float *a, const float *b, float *y);
} oq_token_kernels;

const oq_token_kernels *oq_token_kernels_for(oq_isa isa);

#endif
