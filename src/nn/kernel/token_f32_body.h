/* The body of the token kernels, included once per instruction set by token_f32*.c, which define TOKEN_TABLE. */
#include "convert_loops.h"
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

/* The largest of the lanes, pairwise: one after the other they would wait for each other. */
static inline float lanes_most(const float lane[LANES])
{
	float half[LANES];
	memcpy(half, lane, sizeof half);
	for (int width = LANES / 2; width > 0; width /= 2)
		for (int l = 0; l < width; l++)
			half[l] = half[l + width] > half[l] ? half[l + width] : half[l];
	return half[0];
}

/* Sixteen floats anywhere in memory, in one register or in several; operations element by element. */
typedef float sixteen __attribute__((vector_size(LANES * sizeof(float)), aligned(4), may_alias));
#define AT(p) (*(const sixteen *)(p))

typedef int32_t sixteen_bits __attribute__((vector_size(LANES * sizeof(int32_t))));

/* Of one value at least. */
static float row_max(int64_t n, const float *x)
{
	sixteen most;
	float lane[LANES];
	int64_t i = 0;
	for (int l = 0; l < LANES; l++)
		lane[l] = x[0];
	memcpy(&most, lane, sizeof most);
	for (; i + LANES <= n; i += LANES) {
		const sixteen value = AT(x + i);
		const sixteen_bits larger = value > most;
		most = (sixteen)((larger & (sixteen_bits)value) | (~larger & (sixteen_bits)most));
	}
	memcpy(lane, &most, sizeof lane);
	for (int l = 0; i < n; i++, l++)
		lane[l] = x[i] > lane[l] ? x[i] : lane[l];
	return lanes_most(lane);
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
	float n = fmaf(x, 1.44269504f, OQ_TO_INTEGER);
	n -= OQ_TO_INTEGER;
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

/* GELU(x) = max(x,0) - u/2 * erfc(u/sqrt2), u = |x| up to 5.75, beyond which the last term is below 3e-8; erfc(u/sqrt2) = 2^(u*g(u)), g a polynomial
 * whose error is weighted by what it does to the result (own fit, 5e-9), the fraction's power of two a polynomial with the 1/2 in it (own fit, 9e-8
 * relative), scaled by the exponent bits: one exponential, no cancellation on either side of zero. NaN stays NaN through u. */
static inline float gelu_one(float x)
{
	float u = x < 0 ? -x : x;
	u = u > 5.75f ? 5.75f : u;
	float g = -2.3457294e-06f;
	g = fmaf(g, u, 3.34336873e-05f);
	g = fmaf(g, u, -0.000157407878f);
	g = fmaf(g, u, -0.00020816359f);
	g = fmaf(g, u, 0.00715959165f);
	g = fmaf(g, u, -0.0525658131f);
	g = fmaf(g, u, -0.459183753f);
	g = fmaf(g, u, -1.15110826f);
	const float exponent = g * u, shifted = exponent + OQ_TO_INTEGER, f = exponent - (shifted - OQ_TO_INTEGER);
	float p = 0.000663236366f;
	p = fmaf(p, f, 0.0048357565f);
	p = fmaf(p, f, 0.0277536679f);
	p = fmaf(p, f, 0.120111212f);
	p = fmaf(p, f, 0.346573502f);
	p = fmaf(p, f, 0.5f);
	uint32_t integer, bits;
	memcpy(&integer, &shifted, sizeof integer);
	memcpy(&bits, &p, sizeof bits);
	bits += integer << 23;
	memcpy(&p, &bits, sizeof p);
	return (x > 0 ? x : 0.0f) - u * p;
}

static void gelu(int64_t count, const float *x, float *y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = gelu_one(x[i]);
}

static float softmax_row(int64_t count, float *row, float scale, const float *bias, const float *mask)
{
	if (bias && mask)
		for (int64_t j = 0; j < count; j++)
			row[j] = row[j] * scale + bias[j] + mask[j];
	else if (bias)
		for (int64_t j = 0; j < count; j++)
			row[j] = row[j] * scale + bias[j];
	else if (mask)
		for (int64_t j = 0; j < count; j++)
			row[j] = row[j] * scale + mask[j];
	else
		for (int64_t j = 0; j < count; j++)
			row[j] *= scale;
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

#define INLINE static inline __attribute__((always_inline))

/* Sums as values, in place or in `out`. */
INLINE const float *finish_values(int64_t count, const float *sums, const float *scale, const float *bias, const float *residual, float *out)
{
	if (scale)
		scale_codes(count, (const int32_t *)(const void *)sums, scale, bias, residual, out);
	else if (residual)
		add(count, sums, residual, out);
	else
		return sums;
	return out;
}

INLINE void finish_row(const oq_finish *f, int64_t count, int64_t r)
{
	const size_t at = f->element + (size_t)(r * f->width);
	float values[OQ_FINISH_COLUMNS], gates[OQ_FINISH_COLUMNS], *to = f->y->dtype == OQ_F32 ? (float *)f->y->data + at : values;
	const float *x = finish_values(count, (const float *)f->sums + r * f->stride, f->scale, f->bias, f->residual ? f->residual + r * f->width : NULL, to);
	if (f->gates)
		geglu(count, x, finish_values(count, (const float *)f->gates + r * f->stride, f->gate_scale, f->gate_bias, NULL, gates), to);
	else if (f->gelu)
		gelu(count, x, to);
	else if (f->slope != 1.0f)
		for (int64_t c = 0; c < count; c++)
			to[c] = x[c] > 0 ? x[c] : x[c] * f->slope;
	if (f->gates || f->gelu || f->slope != 1.0f)
		x = to;
	if (f->y->dtype == OQ_BF16)
		f32_to_bf16(count, x, (uint16_t *)f->y->data + at);
	else if (f->y->dtype == OQ_U8)
		f32_to_u8(count, x, 1.0f / f->y->scale, f->y->zero, (uint8_t *)f->y->data + at);
	else if (x != to)
		memcpy(to, x, (size_t)count * sizeof *to);
}

static void finish(const oq_finish *f)
{
	for (int64_t r = 0; r < f->rows; r++)
		if (f->count == OQ_FINISH_COLUMNS) /* whole blocks: loops of a constant length */
			finish_row(f, OQ_FINISH_COLUMNS, r);
		else
			finish_row(f, f->count, r);
}

const oq_token_kernels TOKEN_TABLE = {.layer_norm = layer_norm, .gelu = gelu, .softmax_row = softmax_row, .unit_row = unit_row,
	.weighted_sum = weighted_sum, .scale_sums = scale_sums, .geglu = geglu, .scale_codes = scale_codes, .finish = finish, .divide = divide, .add = add};
