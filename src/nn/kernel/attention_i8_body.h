/* The passes of the attention in bytes as plain loops that a compiler turns into vectors: the including source is compiled for one instruction
 * set, defines TABLE and brings the softmax, whose two passes compilers leave in pieces, as SOFTMAX. */
#include "attention_i8_isa.h"

#define NR 32        /* columns of a panel */
#define LEAST 1e-30f /* 127 over it is a number */

/* The bits of |x|: as numbers they are in its order. */
static inline uint32_t size_of(float x)
{
	uint32_t bits;
	memcpy(&bits, &x, sizeof bits);
	return bits & 0x7fffffffu;
}

static inline uint32_t code_of(float x, float inverse)
{
	float near = x * inverse + OQ_TO_INTEGER;
	uint32_t bits;
	memcpy(&bits, &near, sizeof bits);
	return bits & 0xffu;
}

static float code_row(int64_t count, const float *x, int8_t *codes)
{
	uint32_t most = 0;
	for (int64_t c = 0; c < count; c++) {
		const uint32_t bits = size_of(x[c]);
		most = bits > most ? bits : most;
	}
	float size;
	memcpy(&size, &most, sizeof size);
	if (!(size >= LEAST) || size - size != 0) {
		for (int64_t c = 0; c < count; c++)
			codes[c] = 0;
		return size < LEAST ? 0.0f : size;
	}
	const float inverse = 127.0f / size;
	for (int64_t c = 0; c < count; c++)
		codes[c] = (int8_t)code_of(x[c], inverse);
	return size / 127.0f;
}

static void add_most(int64_t count, const float *x, uint32_t *most)
{
	for (int64_t c = 0; c < count; c++) {
		const uint32_t bits = size_of(x[c]);
		most[c] = bits > most[c] ? bits : most[c];
	}
}

static void code_four(const float *const x[4], const float *inverse, int8_t *packed)
{
	const float *a = x[0], *b = x[1], *c = x[2], *d = x[3];
	uint32_t four[NR];
	for (int i = 0; i < NR; i++)
		four[i] = code_of(a[i], inverse[i]) | code_of(b[i], inverse[i]) << 8 | code_of(c[i], inverse[i]) << 16 | code_of(d[i], inverse[i]) << 24;
	memcpy(packed, four, sizeof four);
}

static void code_two(const float *const x[2], const float *inverse, int8_t *packed)
{
	const float *a = x[0], *b = x[1];
	uint16_t two[NR];
	for (int i = 0; i < NR; i++)
		two[i] = (uint16_t)(code_of(a[i], inverse[i]) | code_of(b[i], inverse[i]) << 8);
	memcpy(packed, two, sizeof two);
}

static void scale_out(int64_t count, const int32_t *sums, const float *scale, float factor, float *y)
{
	for (int64_t c = 0; c < count; c++)
		y[c] = (float)sums[c] * factor * scale[c];
}

const oq_attention_i8_kernels TABLE = {.code_row = code_row, .add_most = add_most, .code_four = code_four, .code_two = code_two,
	.softmax = SOFTMAX, .scale_out = scale_out};
