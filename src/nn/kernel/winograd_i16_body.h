/* The integer transforms, included once per instruction set by winograd_i16*.c, which define TABLE and BYTES, those of a register, and may define
 * NARROW. Unsigned vectors: what wraps in between is meant to. winograd_i16_isa.h has the matrices. */
#include "to_integer.h"
#include "winograd_i16_isa.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define EDGE OQ_W16_EDGE
#define PLANE (EDGE * EDGE)
#define OUTS OQ_W16_OUTS
#define CODES (BYTES / 2) /* 16-bit lanes */
#define SUMS (BYTES / 4)  /* 32-bit lanes */
#define INVERSE_27 1749801491u /* modulo 2^32 */
#define SHIFT 3                /* 216 = 27 * 2^3 */

/* Vectors of the compiler's own. */
typedef uint8_t bytes __attribute__((vector_size(CODES)));
typedef uint16_t codes __attribute__((vector_size(BYTES)));
typedef uint32_t sums __attribute__((vector_size(BYTES)));
typedef int32_t integers __attribute__((vector_size(BYTES)));
typedef float floats __attribute__((vector_size(BYTES)));
typedef uint16_t halves __attribute__((vector_size(BYTES / 2)));
typedef uint8_t quarters __attribute__((vector_size(BYTES / 4)));

/* Numbers below 256 as bytes. */
#ifndef NARROW
#define NARROW(v) __builtin_convertvector(v, quarters)
#endif

INLINE void turn_input(codes *d)
{
	codes a = d[3] - d[1], b = d[0] - d[2], c = d[1] - d[2], sum = d[1] + d[2], end = d[4] - d[2];
	d[0] = a + b + b;
	d[1] = a - sum;
	d[2] = a + c + c + c;
	d[3] = a;
	d[4] = end - a - a;
}

INLINE void turn_output(const sums *m, sums *y)
{
	sums three = m[1] + m[1] + m[1], even = three + m[2], odd = three - m[2];
	y[0] = even + m[0] + m[3];
	y[1] = odd + (m[3] << 1);
	y[2] = even + (m[3] << 2) + m[4] + m[4] + m[4];
}

/* One line of a tile along W, transformed. */
INLINE void load_line(const oq_w16_input *t, int64_t z, int64_t h, int64_t first, int64_t count, codes *v)
{
	const int64_t *size = t->size;
	const codes zero = (codes){0} + (uint16_t)t->zero;
	bool inside = z >= 0 && z < size[0] && h >= 0 && h < size[1];
#pragma GCC unroll 5
	for (int w = 0; w < EDGE; w++) {
		v[w] = (codes){0};
		if (!inside || t->at[2] + w < 0 || t->at[2] + w >= size[2])
			continue;
		bytes x = {0};
		const uint8_t *from = t->x + ((z * size[1] + h) * size[2] + t->at[2] + w) * t->channels + first;
		memcpy(&x, from, count == CODES ? sizeof x : (size_t)count);
		if (w >= EDGE - OUTS)
			__builtin_prefetch(from + OUTS * t->channels); /* the next tile begins where this one's outputs end */
		v[w] = __builtin_convertvector(x, codes) - zero;
	}
	turn_input(v);
}

/* Values `step` apart, in place. */
INLINE void turn_column(codes *d, int step)
{
	codes v[EDGE];
#pragma GCC unroll 5
	for (int i = 0; i < EDGE; i++)
		v[i] = d[i * step];
	turn_input(v);
#pragma GCC unroll 5
	for (int i = 0; i < EDGE; i++)
		d[i * step] = v[i];
}

/* A register's worth of channels, or fewer. */
INLINE void input_channels(const oq_w16_input *t, int64_t first, int64_t count)
{
	codes d[EDGE * PLANE];
	size_t room = count == CODES ? sizeof *d : (size_t)((count + 1) / 2 * 2) * sizeof(int16_t);
	for (int z = 0; z < EDGE; z++) {
		codes plane[PLANE];
#pragma GCC unroll 5
		for (int h = 0; h < EDGE; h++)
			load_line(t, t->at[0] + z, t->at[1] + h, first, count, plane + h * EDGE);
#pragma GCC unroll 5
		for (int w = 0; w < EDGE; w++)
			turn_column(plane + w, EDGE);
		memcpy(d + z * PLANE, plane, sizeof plane);
	}
	for (int at = 0; at < PLANE; at++) {
		codes v[EDGE];
#pragma GCC unroll 5
		for (int z = 0; z < EDGE; z++)
			v[z] = d[z * PLANE + at];
		turn_input(v);
#pragma GCC unroll 5
		for (int z = 0; z < EDGE; z++)
			memcpy(t->out + (z * PLANE + at) * t->stride + first, &v[z], room);
	}
}

/* The count is constant but for the last channels, where they are no half of a register: copies of a width known only then are slow. */
static void transform_input(const oq_w16_input *t)
{
	int64_t first = 0;
	for (; first + CODES <= t->channels; first += CODES)
		input_channels(t, first, CODES);
	if (t->channels - first == CODES / 2)
		input_channels(t, first, CODES / 2);
	else if (first < t->channels)
		input_channels(t, first, t->channels - first);
}

/* relu makes everything that is not positive 0. */
INLINE floats activate(floats v, float slope)
{
	integers positive = v > 0.0f;
	if (slope == 1.0f)
		return v;
	return slope == 0.0f ? (floats)((integers)v & positive) : (floats)(((integers)v & positive) | ((integers)(v * slope) & ~positive));
}

INLINE floats load_some(const float *x, int64_t count)
{
	floats v = {0};
	memcpy(&v, x, count == SUMS ? sizeof v : (size_t)count * sizeof *x);
	return v;
}

INLINE void store_bf16(floats v, int64_t count, uint16_t *y)
{
	sums bits = (sums)v, rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16; /* sums of codes make no NaN */
	halves to = __builtin_convertvector(rounded, halves);
	memcpy(y, &to, count == SUMS ? sizeof to : (size_t)count * sizeof *y);
}

/* As convert_body.h: with the zero point, clamped, then rounded to the nearest, ties to even. */
INLINE void store_bytes(floats v, int64_t count, const oq_typed *to, int64_t at)
{
	const floats none = {0}, most = none + 255.0f;
	v = v * (1.0f / to->scale) + (float)to->zero;
	integers above = v > none, below;
	v = (floats)((integers)v & above);
	below = v < most;
	v = (floats)(((integers)v & below) | ((integers)most & ~below)) + OQ_TO_INTEGER;
	quarters y = NARROW((sums)v & 0xffu);
	memcpy((uint8_t *)to->data + at, &y, count == SUMS ? sizeof y : (size_t)count);
}

/* `count` channels of one voxel from element `at` of the output on. */
INLINE void finish_voxel(const oq_conv_i8_epilogue *e, int64_t at, int64_t count, integers exact, floats scale, floats bias)
{
	floats v = __builtin_convertvector(exact, floats) * scale + bias;
	if (e->residual)
		v += load_some(e->residual + at, count);
	v = activate(v, e->slope);
	if (e->y.dtype == OQ_U8)
		store_bytes(v, count, &e->y, at);
	else if (e->y.dtype == OQ_BF16)
		store_bf16(v, count, (uint16_t *)e->y.data + at);
	else
		memcpy((float *)e->y.data + at, &v, count == SUMS ? sizeof v : (size_t)count * sizeof(float));
}

/* Values `step` apart become OUTS values `to` apart. */
INLINE void shrink_column(const sums *m, int step, sums *y, int to)
{
	sums in[EDGE], out[OUTS];
#pragma GCC unroll 5
	for (int i = 0; i < EDGE; i++)
		in[i] = m[i * step];
	turn_output(in, out);
#pragma GCC unroll 3
	for (int i = 0; i < OUTS; i++)
		y[i * to] = out[i];
}

/* Along D, straight from the products. */
INLINE void shrink_depth(const oq_w16_output *t, int64_t part, sums *y)
{
	for (int at = 0; at < PLANE; at++) {
		sums in[EDGE], out[OUTS];
#pragma GCC unroll 5
		for (int z = 0; z < EDGE; z++)
			memcpy(&in[z], t->products + (z * PLANE + at) * t->stride + part, sizeof *in);
		turn_output(in, out);
#pragma GCC unroll 3
		for (int z = 0; z < OUTS; z++)
			y[z * PLANE + at] = out[z];
	}
}

/* Channels [part, part + count) of the panel. */
INLINE void output_channels(const oq_w16_output *t, int64_t part, int64_t count)
{
	sums a[OUTS * PLANE], b[OUTS * EDGE], y[OUTS];
	const int64_t first = t->first + part, *size = t->size;
	floats scale = load_some(t->epilogue->scale + first, count), bias = {0};
	if (t->epilogue->bias)
		bias = load_some(t->epilogue->bias + first, count);
	const int64_t element = t->epilogue->y.dtype == OQ_F32 ? 4 : t->epilogue->y.dtype == OQ_BF16 ? 2 : 1;
	shrink_depth(t, part, a);
	for (int64_t z = 0; z < OUTS && t->at[0] + z < size[0]; z++) {
#pragma GCC unroll 5
		for (int w = 0; w < EDGE; w++)
			shrink_column(a + z * PLANE + w, EDGE, b + w, EDGE);
		for (int64_t h = 0; h < OUTS && t->at[1] + h < size[1]; h++) {
			int64_t voxel = ((t->at[0] + z) * size[1] + t->at[1] + h) * size[2] + t->at[2];
			shrink_column(b + h * EDGE, 1, y, 1);
			for (int64_t w = 0; w < OUTS && t->at[2] + w < size[2]; w++) {
				/* The next tile's output: a store that waits for memory holds up those behind it. A prefetch never faults. */
				__builtin_prefetch((const char *)t->epilogue->y.data + ((voxel + w + OUTS) * t->channels + first) * element, 1);
				integers exact = (integers)(y[w] * INVERSE_27) >> SHIFT;
				finish_voxel(t->epilogue, (voxel + w) * t->channels + first, count, exact, scale, bias);
			}
		}
	}
}

static void transform_output(const oq_w16_output *t)
{
	int64_t part = 0;
	for (; part + SUMS <= t->count; part += SUMS)
		output_channels(t, part, SUMS);
	if (part < t->count)
		output_channels(t, part, t->count - part);
}

static void widen(int64_t count, const uint8_t *restrict x, int32_t zero, int16_t *restrict y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = (int16_t)(x[i] - zero);
}

/* Channels [part, part + count) of all rows. Of the epilogue a copy: what the caller's is, no store can change, and the loop is made once for
 * each type and activation. */
INLINE void finish_part(const oq_w16_rows *r, int64_t part, int64_t count)
{
	const oq_conv_i8_epilogue e = *r->epilogue;
	const int64_t first = r->first + part, rows = r->rows, channels = r->channels;
	const int32_t *from = r->sums + part;
	const floats scale = load_some(e.scale + first, count), bias = e.bias ? load_some(e.bias + first, count) : (floats){0};
	int64_t at = r->row * channels + first;
	for (int64_t i = 0; i < rows; i++, at += channels, from += OQ_W16_COLUMNS) {
		integers exact;
		memcpy(&exact, from, sizeof exact);
		finish_voxel(&e, at, count, exact, scale, bias);
	}
}

#define PARTS (OQ_W16_COLUMNS / SUMS)

/* All columns, row by row: rows that lie a multiple of 4 KiB apart would drive each other out of L1 between one part and the next. */
INLINE void finish_whole(const oq_w16_rows *r)
{
	const oq_conv_i8_epilogue e = *r->epilogue;
	const int64_t rows = r->rows, channels = r->channels;
	const int32_t *from = r->sums;
	floats scale[PARTS], bias[PARTS] = {{0}};
#pragma GCC unroll 8
	for (int p = 0; p < PARTS; p++) {
		scale[p] = load_some(e.scale + r->first + p * SUMS, SUMS);
		if (e.bias)
			bias[p] = load_some(e.bias + r->first + p * SUMS, SUMS);
	}
	int64_t at = r->row * channels + r->first;
	for (int64_t i = 0; i < rows; i++, at += channels, from += OQ_W16_COLUMNS)
#pragma GCC unroll 8
		for (int p = 0; p < PARTS; p++) {
			integers exact;
			memcpy(&exact, from + p * SUMS, sizeof exact);
			finish_voxel(&e, at + p * SUMS, SUMS, exact, scale[p], bias[p]);
		}
}

static void finish_sums(const oq_w16_rows *r)
{
	int64_t part = 0;
	if (r->count == OQ_W16_COLUMNS) {
		finish_whole(r);
		return;
	}
	for (; part + SUMS <= r->count; part += SUMS)
		finish_part(r, part, SUMS);
	if (part < r->count)
		finish_part(r, part, r->count - part);
}

const oq_w16_kernels TABLE = {.input = transform_input, .output = transform_output, .widen = widen, .finish = finish_sums};
