/* The memory-bound kernels for one instruction set: the including source defines LANES (floats per register), TABLE (the name
 * of its row) and is compiled with that set's options. The loops are those of the plain twins, arranged so that the compiler's
 * vectors are full: each element sees the same operations in the same order. */
#include "act.h"
#include "simple_isa.h"

#include <string.h>

#define HALF (LANES / 2)
typedef float halves __attribute__((vector_size(HALF * 4)));
typedef double doubles __attribute__((vector_size(HALF * 8)));

static inline doubles load_doubles(const float *x)
{
	halves v;
	memcpy(&v, x, sizeof v);
	return __builtin_convertvector(v, doubles);
}

/* LANES channels at a time, their four sums in registers. */
static void center_sums_lanes(int64_t voxels, int64_t stride, const float *x, const float *center, double *sum, double *square)
{
	doubles s0, s1, q0, q1, c0 = load_doubles(center), c1 = load_doubles(center + HALF);
	memcpy(&s0, sum, sizeof s0);
	memcpy(&s1, sum + HALF, sizeof s1);
	memcpy(&q0, square, sizeof q0);
	memcpy(&q1, square + HALF, sizeof q1);
	for (int64_t v = 0; v < voxels; v++) {
		doubles d0 = load_doubles(x + v * stride) - c0, d1 = load_doubles(x + v * stride + HALF) - c1;
		s0 += d0;
		s1 += d1;
		q0 += d0 * d0;
		q1 += d1 * d1;
	}
	memcpy(sum, &s0, sizeof s0);
	memcpy(sum + HALF, &s1, sizeof s1);
	memcpy(square, &q0, sizeof q0);
	memcpy(square + HALF, &q1, sizeof q1);
}

static void center_sums(int64_t voxels, int64_t channels, int64_t stride, const float *x, const float *center, double *sum, double *square)
{
	int64_t c = 0;
	for (; c + LANES <= channels; c += LANES)
		center_sums_lanes(voxels, stride, x + c, center + c, sum + c, square + c);
	for (; c < channels; c++)
		for (int64_t v = 0; v < voxels; v++) {
			double d = (double)x[v * stride + c] - (double)center[c];
			sum[c] += d;
			square[c] += d * d;
		}
}

static void scale_shift_voxels(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y)
{
	for (int64_t v = 0; v < voxels; v++) {
#pragma omp simd
		for (int64_t c = 0; c < channels; c++)
			y[v * channels + c] = oq_act(x[v * channels + c] * scale[c] + shift[c], slope);
	}
}

#define PATTERN 128 /* floats */

static void scale_shift_act(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y)
{
	int64_t together = PATTERN / channels; /* voxels that are treated as one with repeated scales, where channels are few */
	if (together > 1 && channels % LANES) {
		float scales[PATTERN], shifts[PATTERN];
		for (int64_t i = 0; i < together * channels; i++) {
			scales[i] = scale[i % channels];
			shifts[i] = shift[i % channels];
		}
		int64_t groups = voxels / together, done = groups * together;
		scale_shift_voxels(groups, together * channels, x, scales, shifts, slope, y);
		x += done * channels;
		y += done * channels;
		voxels -= done;
	}
	scale_shift_voxels(voxels, channels, x, scale, shift, slope, y);
}

static void act(int64_t count, const float *x, float slope, float *y)
{
#pragma omp simd
	for (int64_t i = 0; i < count; i++)
		y[i] = oq_act(x[i], slope);
}

static void add_act(int64_t count, const float *a, const float *b, float slope, float *y)
{
#pragma omp simd
	for (int64_t i = 0; i < count; i++)
		y[i] = oq_act(a[i] + b[i], slope);
}

static void max_into(int64_t count, const float *x, float *y)
{
#pragma omp simd
	for (int64_t i = 0; i < count; i++)
		y[i] = (x[i] > y[i]) | (x[i] != x[i]) ? x[i] : y[i];
}

static void sum_into(int64_t count, const float *x, double *sums)
{
#pragma omp simd
	for (int64_t i = 0; i < count; i++)
		sums[i] += (double)x[i];
}

static inline __attribute__((always_inline)) void finish_row(int64_t cols, const float *sum, const float *bias, const float *residual, float slope, float *y)
{
	if (residual) {
#pragma omp simd
		for (int64_t j = 0; j < cols; j++)
			y[j] = oq_act(sum[j] + bias[j] + residual[j], slope);
	} else {
#pragma omp simd
		for (int64_t j = 0; j < cols; j++)
			y[j] = oq_act(sum[j] + bias[j], slope);
	}
}

static void finish(int64_t rows, int64_t cols, const float *sum, const float *bias, const float *residual, float slope, float *y, int64_t stride)
{
	for (int64_t r = 0; r < rows; r++)
		if (cols == 32) /* a constant: no remainder loops in the common case */
			finish_row(32, sum + r * 32, bias, residual ? residual + r * stride : NULL, slope, y + r * stride);
		else
			finish_row(cols, sum + r * 32, bias, residual ? residual + r * stride : NULL, slope, y + r * stride);
}

const oq_simple_kernels TABLE = {center_sums, scale_shift_act, act, add_act, max_into, sum_into, finish};
