/* The body of the token kernels, included once per instruction set by token_f32*.c, which define TOKEN_TABLE. */
#include "kernel/token_f32.h"

#include <math.h>
#include <string.h>

#define LANES 16

/* Always in the same order: lane l takes elements l, l+16, ...; lanes are added pairwise. */
static inline float lanes_total(const float lane[LANES])
{
	float half[LANES];
	memcpy(half, lane, sizeof half);
	for (int width = LANES / 2; width > 0; width /= 2)
		for (int l = 0; l < width; l++)
			half[l] += half[l + width];
	return half[0];
}

static float row_sum(int64_t n, const float *x)
{
	float lane[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += x[i + l];
	for (int l = 0; i < n; i++, l++)
		lane[l] += x[i];
	return lanes_total(lane);
}

static float row_squares(int64_t n, const float *x, float mean)
{
	float lane[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += (x[i + l] - mean) * (x[i + l] - mean);
	for (int l = 0; i < n; i++, l++)
		lane[l] += (x[i] - mean) * (x[i] - mean);
	return lanes_total(lane);
}

static float row_dot(int64_t n, const float *a, const float *b)
{
	float lane[LANES] = {0};
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] += a[i + l] * b[i + l];
	for (int l = 0; i < n; i++, l++)
		lane[l] += a[i] * b[i];
	return lanes_total(lane);
}

static float row_max(int64_t n, const float *x)
{
	float lane[LANES];
	for (int l = 0; l < LANES; l++)
		lane[l] = x[l < n ? l : 0];
	int64_t i = 0;
	for (; i + LANES <= n; i += LANES)
		for (int l = 0; l < LANES; l++)
			lane[l] = x[i + l] > lane[l] ? x[i + l] : lane[l];
	float most = lane[0];
	for (int l = 1; l < LANES; l++)
		most = lane[l] > most ? lane[l] : most;
	for (; i < n; i++)
		most = x[i] > most ? x[i] : most;
	return most;
}

static void layer_norm(int64_t rows, int64_t channels, const float *x, const float *weight, const float *bias, float eps, float *y)
{
	for (int64_t r = 0; r < rows; r++, x += channels, y += channels) {
		float mean = row_sum(channels, x) / (float)channels;
		float scale = 1.0f / sqrtf(row_squares(channels, x, mean) / (float)channels + eps);
		for (int64_t c = 0; c < channels; c++)
			y[c] = (x[c] - mean) * scale;
		for (int64_t c = 0; weight && c < channels; c++)
			y[c] *= weight[c];
		for (int64_t c = 0; bias && c < channels; c++)
			y[c] += bias[c];
	}
}

/* exp(x) for x <= 0 to 2 units in the last place: x = n*ln2 + r, exp(r) by a minimax polynomial (own fit, 3e-9 relative on
 * |r| <= ln2/2), scaled by the exponent bits. Below -87 the result is exp(-87), some 1e-38: nothing beside a 1 in a sum. */
static inline float exp_nonpositive(float x)
{
	x = x < -87.0f ? -87.0f : x;
	float n = fmaf(x, 1.44269504f, 12582912.0f); /* 1.5*2^23 rounds to an integer */
	n -= 12582912.0f;
	float r = fmaf(n, -0.693359375f, x); /* ln2 in two parts, the first exact in few bits */
	r = fmaf(n, 2.12194440e-4f, r);
	float p = 0.0013814539415761828f;
	p = fmaf(p, r, 0.00836874544620514f);
	p = fmaf(p, r, 0.04166838899254799f);
	p = fmaf(p, r, 0.1666652113199234f);
	p = fmaf(p, r, 0.4999999403953552f);
	p = fmaf(p, r * r, r) + 1.0f;
	uint32_t bits = (uint32_t)((int32_t)n + 127) << 23;
	float power;
	memcpy(&power, &bits, sizeof power);
	return p * power;
}

/* GELU(x) = max(x,0) - |x|/2 * erfc(|x|/sqrt2), with erfc(z) = exp(-z*g(z)) and g a polynomial (own fit of
 * -ln(erfc(z))/z on [0,6], 4e-8): one exponential, no cancellation on either side of zero. */
static inline float gelu_one(float x)
{
	float size = x < 0 ? -x : x;
	float z = size * 0.70710678f;
	z = z > 6.0f ? 6.0f : z;
	float g = -4.684939658439191e-10f;
	g = fmaf(g, z, 2.0796461441818792e-08f);
	g = fmaf(g, z, -4.1695457753121445e-07f);
	g = fmaf(g, z, 4.987957709090551e-06f);
	g = fmaf(g, z, -3.953106715925969e-05f);
	g = fmaf(g, z, 0.00021651401766575873f);
	g = fmaf(g, z, -0.0008131935610435903f);
	g = fmaf(g, z, 0.0018428867915645242f);
	g = fmaf(g, z, -0.00022677511151414365f);
	g = fmaf(g, z, -0.01917853392660618f);
	g = fmaf(g, z, 0.102809377014637f);
	g = fmaf(g, z, 0.6366102695465088f);
	g = fmaf(g, z, 1.1283798217773438f);
	float tail = 0.5f * size * exp_nonpositive(-(z * g));
	return x < 0 ? -tail : x - tail;
}

static void gelu(int64_t count, const float *x, float *y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = gelu_one(x[i]);
}

static float softmax_row(int64_t count, float *row, float scale, const float *bias, const float *mask)
{
	for (int64_t j = 0; j < count; j++)
		row[j] *= scale;
	for (int64_t j = 0; bias && j < count; j++)
		row[j] += bias[j];
	for (int64_t j = 0; mask && j < count; j++)
		row[j] += mask[j];
	float most = row_max(count, row);
	for (int64_t j = 0; j < count; j++)
		row[j] = exp_nonpositive(row[j] - most);
	return row_sum(count, row);
}

static void unit_row(int64_t channels, const float *x, const float *scale, float *y)
{
	float norm = sqrtf(row_dot(channels, x, x));
	norm = norm > 1e-12f ? norm : 1e-12f;
	for (int64_t c = 0; c < channels; c++)
		y[c] = x[c] / norm;
	for (int64_t c = 0; scale && c < channels; c++)
		y[c] *= scale[c];
}

#define SUM_BLOCK 64 /* channels whose sums stay in registers */

/* Sixteen floats anywhere in memory, in one register or in several; operations element by element. */
typedef float sixteen __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
#define AT(p) (*(const sixteen *)(p))

static inline void sum_block(int64_t taps, const float *const *rows, const float *const *weights, int64_t at, const float *bias, const float *residual,
	float *y)
{
	const sixteen zero = {0};
	sixteen a = zero, b = zero, c = zero, d = zero, *out = (sixteen *)(void *)y;
	if (bias)
		a = AT(bias), b = AT(bias + 16), c = AT(bias + 32), d = AT(bias + 48);
	for (int64_t t = 0; t < taps; t++) {
		const float *x = rows[t] + at, *w = weights[t] + at;
		a += AT(x) * AT(w);
		b += AT(x + 16) * AT(w + 16);
		c += AT(x + 32) * AT(w + 32);
		d += AT(x + 48) * AT(w + 48);
	}
	if (residual)
		a += AT(residual), b += AT(residual + 16), c += AT(residual + 32), d += AT(residual + 48);
	out[0] = a, out[1] = b, out[2] = c, out[3] = d;
}

static void weighted_sum(int64_t channels, int64_t taps, const float *const *rows, const float *const *weights, const float *bias,
	const float *residual, float *y)
{
	int64_t at = 0;
	for (; at + SUM_BLOCK <= channels; at += SUM_BLOCK)
		sum_block(taps, rows, weights, at, bias ? bias + at : NULL, residual ? residual + at : NULL, y + at);
	for (; at < channels; at++) {
		float sum = bias ? bias[at] : 0.0f;
		for (int64_t t = 0; t < taps; t++)
			sum += rows[t][at] * weights[t][at];
		y[at] = residual ? sum + residual[at] : sum;
	}
}

static float scale_sums(int64_t count, const int32_t *sums, const float *scale, float *y)
{
	for (int64_t c = 0; c < count; c++)
		y[c] = (float)sums[c] * scale[c];
	return count > 0 ? row_max(count, y) : -INFINITY;
}

static void geglu(int64_t count, const float *value, const float *gate, float *y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = gelu_one(gate[i]) * value[i];
}

static void scale_codes(int64_t count, const int32_t *sums, const float *scale, const float *bias, const float *residual, float *y)
{
	if (residual)
		for (int64_t c = 0; c < count; c++)
			y[c] = (float)sums[c] * scale[c] + bias[c] + residual[c];
	else
		for (int64_t c = 0; c < count; c++)
			y[c] = (float)sums[c] * scale[c] + bias[c];
}

static void divide(int64_t count, const float *x, float by, float *y)
{
	for (int64_t c = 0; c < count; c++)
		y[c] = x[c] / by;
}

static void add(int64_t count, const float *a, const float *b, float *y)
{
	for (int64_t c = 0; c < count; c++)
		y[c] = a[c] + b[c];
}

const oq_token_kernels TOKEN_TABLE = {.layer_norm = layer_norm, .gelu = gelu, .softmax_row = softmax_row, .unit_row = unit_row,
	.weighted_sum = weighted_sum, .scale_sums = scale_sums, .geglu = geglu, .scale_codes = scale_codes, .divide = divide, .add = add};
