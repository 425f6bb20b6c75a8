/* The transforms, included once per instruction set by winograd*.c, which define WINOGRAD_TABLE, LANES (the floats of a register)
 * and MADD(a, b, c) = a*b + c rounded once; a fixed order of operations, so that every instruction set gives the same bits.
 *   F(2)  input   B^T d: d0-d2, d1+d2, d2-d1, d1-d3            output  A^T m: m0+m1+m2, m1-m2-m3
 *   F(4)  the same for the points 0, +-P, +-Q and infinity, see turn_input_4 and turn_output_4
 * along each axis. Whatever takes `edge` is inlined with a constant. */
#include "winograd_isa.h"

#include <string.h>

#define INLINE static inline __attribute__((always_inline))
#define EDGE_MOST 6

/* A vector of the compiler's own. */
typedef float channels __attribute__((vector_size(4 * LANES)));
typedef int32_t mask __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t halves __attribute__((vector_size(2 * LANES))); /* bfloat16 */
typedef double doubles __attribute__((vector_size(8 * LANES)));

INLINE channels all(float value)
{
	return value - (channels){0};
}

/* P and Q, and what the transforms need of them: all exact in float32. */
#define P OQ_WINOGRAD_P
#define Q OQ_WINOGRAD_Q

INLINE void turn_input_2(channels *d)
{
	channels d0 = d[0], d1 = d[1], d2 = d[2], d3 = d[3];
	d[0] = d0 - d2;
	d[1] = d1 + d2;
	d[2] = d2 - d1;
	d[3] = d1 - d3;
}

/* Row i are the coefficients of x(x^2-P^2)(x^2-Q^2) without the factor of point i. */
INLINE void turn_input_4(channels *d)
{
	const channels sum = all(-(P * P + Q * Q)), product = all(P * P * Q * Q);
	channels ends[2] = {MADD(product, d[0], MADD(sum, d[2], d[4])), MADD(product, d[1], MADD(sum, d[3], d[5]))};
	channels even_p = MADD(all(-Q * Q), d[2], d[4]), odd_p = MADD(all(-Q * Q), d[1], d[3]);
	channels even_q = MADD(all(-P * P), d[2], d[4]), odd_q = MADD(all(-P * P), d[1], d[3]);
	d[0] = ends[0];
	d[1] = MADD(all(P), odd_p, even_p);
	d[2] = MADD(all(-P), odd_p, even_p);
	d[3] = MADD(all(Q), odd_q, even_q);
	d[4] = MADD(all(-Q), odd_q, even_q);
	d[5] = ends[1];
}

INLINE void turn_input(const int edge, channels *d)
{
	if (edge == 4)
		turn_input_2(d);
	else
		turn_input_4(d);
}

INLINE void turn_output_2(const channels *m, channels *y)
{
	y[0] = m[0] + m[1] + m[2];
	y[1] = m[1] - m[2] - m[3];
}

/* Output k is the sum of point^k times its product; the last one has that of infinity. */
INLINE void turn_output_4(const channels *m, channels *y)
{
	channels even_p = m[1] + m[2], odd_p = m[1] - m[2], even_q = m[3] + m[4], odd_q = m[3] - m[4];
	y[0] = m[0] + even_p + even_q;
	y[1] = MADD(all(P), odd_p, odd_q * Q);
	y[2] = MADD(all(P * P), even_p, even_q * (Q * Q));
	y[3] = MADD(all(P * P * P), odd_p, MADD(all(Q * Q * Q), odd_q, m[5]));
}

INLINE void turn_output(const int edge, const channels *m, channels *y)
{
	if (edge == 4)
		turn_output_2(m, y);
	else
		turn_output_4(m, y);
}

/* A register of channels from element `at` on, the last ones perhaps not there; `narrow`: of bfloat16. */
INLINE channels load_some(const bool narrow, const void *x, int64_t at, int64_t count)
{
	channels v = {0};
	halves half = {0};
	if (!narrow)
		memcpy(&v, (const float *)x + at, count == LANES ? sizeof v : (size_t)count * sizeof(float));
	else
		memcpy(&half, (const uint16_t *)x + at, count == LANES ? sizeof half : (size_t)count * sizeof(uint16_t));
	return narrow ? (channels)(__builtin_convertvector(half, words) << 16) : v;
}

/* Rounds as convert_body.h does. */
INLINE void store_some(const bool narrow, channels v, int64_t count, void *y, int64_t at)
{
	if (!narrow) {
		memcpy((float *)y + at, &v, count == LANES ? sizeof v : (size_t)count * sizeof(float));
		return;
	}
	words bits = (words)v, nan = (words)(v != v), rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
	halves half = __builtin_convertvector((rounded & ~nan) | ((bits >> 16 | 0x40u) & nan), halves);
	memcpy((uint16_t *)y + at, &half, count == LANES ? sizeof half : (size_t)count * sizeof(uint16_t));
}

/* As oq_act: relu keeps NaN and makes everything else that is not positive 0. */
INLINE channels activate(channels v, float slope)
{
	mask low = v <= 0.0f, keep = all(slope) != 0.0f;
	return (channels)(((mask)v & ~low) | ((mask)(v * slope) & keep & low));
}

/* What is done to a register of channels as it is read. */
typedef struct entry {
	bool scaled;
	channels scale, shift;
	float slope;
} entry;

INLINE entry make_entry(const bool prologue, const oq_winograd_input *t, int64_t first, int64_t count)
{
	entry e = {.slope = 1.0f};
	if (prologue) {
		e.slope = t->prologue->slope;
		e.scaled = t->prologue->scale != NULL;
	}
	if (e.scaled) {
		e.scale = load_some(false, t->prologue->scale, first, count);
		e.shift = load_some(false, t->prologue->shift, first, count);
	}
	return e;
}

/* Which form of a transform is compiled: constants wherever it is inlined. */
typedef struct input_form {
	int edge;
	bool narrow, prologue, narrow_out;
} input_form;

/* One line of a tile along W, transformed. */
INLINE void load_line(const input_form f, const oq_winograd_input *t, int64_t z, int64_t h, int64_t first, int64_t count, const entry *e, channels *d)
{
	const int64_t *size = t->size;
	channels v[EDGE_MOST] = {0};
	if (z >= 0 && z < size[0] && h >= 0 && h < size[1]) {
#pragma GCC unroll 6
		for (int w = 0; w < f.edge; w++) {
			if (t->at[2] + w < 0 || t->at[2] + w >= size[2])
				continue;
			v[w] = load_some(f.narrow, t->x, ((z * size[1] + h) * size[2] + t->at[2] + w) * t->channels + first, count);
			if (f.prologue && e->scaled)
				v[w] = v[w] * e->scale + e->shift;
			if (f.prologue)
				v[w] = activate(v[w], e->slope);
		}
	}
	turn_input(f.edge, v);
#pragma GCC unroll 6
	for (int w = 0; w < f.edge; w++)
		d[w] = v[w];
}

/* Values `step` apart, in place. */
INLINE void turn_column(const int edge, channels *d, int step)
{
	channels v[EDGE_MOST];
#pragma GCC unroll 6
	for (int i = 0; i < edge; i++)
		v[i] = d[i * step];
	turn_input(edge, v);
#pragma GCC unroll 6
	for (int i = 0; i < edge; i++)
		d[i * step] = v[i];
}

/* A register's worth of channels, or fewer. */
INLINE void input_channels(const input_form f, const oq_winograd_input *t, int64_t first, int64_t count)
{
	const int edge = f.edge, plane = edge * edge;
	const entry e = make_entry(f.prologue, t, first, count);
	channels d[EDGE_MOST * EDGE_MOST * EDGE_MOST];
	for (int z = 0; z < edge; z++) {
		for (int h = 0; h < edge; h++)
			load_line(f, t, t->at[0] + z, t->at[1] + h, first, count, &e, d + z * plane + h * edge);
		for (int w = 0; w < edge; w++)
			turn_column(edge, d + z * plane + w, edge);
	}
	for (int at = 0; at < plane; at++) {
		channels v[EDGE_MOST];
#pragma GCC unroll 6
		for (int z = 0; z < edge; z++)
			v[z] = d[z * plane + at];
		turn_input(edge, v);
#pragma GCC unroll 6
		for (int z = 0; z < edge; z++)
			store_some(f.narrow_out, v[z], count, t->out, (z * plane + at) * t->stride + first);
	}
}

/* The count is constant but for the last channels: stores of a width known only then would stall the loads behind them. */
INLINE void transform_input(const input_form f, const oq_winograd_input *t)
{
	int64_t first = 0;
	for (; first + LANES <= t->channels; first += LANES)
		input_channels(f, t, first, LANES);
	if (first < t->channels)
		input_channels(f, t, first, t->channels - first);
}

/* The result, which is stored as well. */
INLINE channels finish_voxel(const bool narrow, const oq_winograd_output *t, int64_t voxel, int64_t first, int64_t count, channels sum)
{
	if (t->epilogue->bias)
		sum += load_some(false, t->epilogue->bias, first, count);
	if (t->residual)
		sum += load_some(false, t->residual, voxel * t->channels + first, count);
	sum = activate(sum, t->epilogue->slope);
	store_some(narrow, sum, count, t->y, voxel * t->channels + first);
	return sum;
}

/* Values `step` apart become edge-2 values `to` apart. */
INLINE void shrink_column(const int edge, const channels *m, int step, channels *y, int to)
{
	channels in[EDGE_MOST], out[EDGE_MOST - 2];
#pragma GCC unroll 6
	for (int i = 0; i < edge; i++)
		in[i] = m[i * step];
	turn_output(edge, in, out);
#pragma GCC unroll 4
	for (int i = 0; i < edge - 2; i++)
		y[i * to] = out[i];
}

/* The products of one line of positions along D, shrunk. */
INLINE void shrink_products(const int edge, const float *products, int64_t stride, channels *y)
{
	const int plane = edge * edge;
	channels in[EDGE_MOST], out[EDGE_MOST - 2];
#pragma GCC unroll 6
	for (int z = 0; z < edge; z++)
		memcpy(&in[z], products + z * plane * stride, sizeof *in);
	turn_output(edge, in, out);
#pragma GCC unroll 4
	for (int z = 0; z < edge - 2; z++)
		y[z * plane] = out[z];
}

/* Of a tile's results, around the first of them: a large mean costs no digits. */
typedef struct moments {
	channels center, sum, square;
} moments;

INLINE void store_moments(const oq_winograd_output *t, int64_t first, int64_t count, moments m)
{
	channels offset = m.sum * (1.0f / t->voxels);
	store_some(false, m.center + offset, count, t->moments, first);
	store_some(false, m.square - m.sum * offset, count, t->moments, t->channels + first);
}

typedef struct output_form {
	int edge;
	bool narrow, moments;
} output_form;

/* One line of results along W; `m` sums them up. */
INLINE void output_line(const output_form f, const oq_winograd_output *t, int64_t z, int64_t h, int64_t part, int64_t count, const channels *b, moments *m)
{
	channels y[EDGE_MOST - 2];
	int64_t voxel = ((t->at[0] + z) * t->size[1] + t->at[1] + h) * t->size[2] + t->at[2];
	shrink_column(f.edge, b, 1, y, 1);
	for (int64_t w = 0; w < t->outs && t->at[2] + w < t->size[2]; w++) {
		channels v = finish_voxel(f.narrow, t, voxel + w, t->first + part, count, y[w]);
		if (!f.moments)
			continue;
		m->center = z + h + w == 0 ? v : m->center;
		v -= m->center;
		m->sum += v;
		m->square = MADD(v, v, m->square);
	}
}

/* Channels [part, part + count) of the panel. */
INLINE void output_channels(const output_form f, const oq_winograd_output *t, int64_t part, int64_t count)
{
	const int edge = f.edge, outs = edge - 2, plane = edge * edge;
	channels a[(EDGE_MOST - 2) * EDGE_MOST * EDGE_MOST], b[(EDGE_MOST - 2) * EDGE_MOST];
	moments tile = {{0}, {0}, {0}};
	for (int at = 0; at < plane; at++)
		shrink_products(edge, t->products + at * t->stride + part, t->stride, a + at);
	for (int64_t z = 0; z < outs && t->at[0] + z < t->size[0]; z++) {
		moments slice = {tile.center, {0}, {0}};
		for (int w = 0; w < edge; w++)
			shrink_column(edge, a + z * plane + w, edge, b + w, edge);
		for (int64_t h = 0; h < outs && t->at[1] + h < t->size[1]; h++)
			output_line(f, t, z, h, part, count, b + h * edge, &slice);
		tile = (moments){slice.center, tile.sum + slice.sum, tile.square + slice.square};
	}
	if (f.moments)
		store_moments(t, t->first + part, count, tile);
}

INLINE void transform_output(const output_form f, const oq_winograd_output *t)
{
	int64_t part = 0;
	for (; part + LANES <= t->count; part += LANES)
		output_channels(f, t, part, LANES);
	if (part < t->count)
		output_channels(f, t, part, t->count - part);
}

/* The mean of all tiles first, then their squares around it, in double and in the order of the tiles. */
INLINE void combine_channels(const oq_winograd_moments *m, int64_t first, int64_t count)
{
	const int64_t stride = 2 * m->channels;
	const double inverse = 1.0 / m->total;
	doubles mean = {0}, square = {0};
	for (int64_t t = 0; t < m->tiles; t++)
		mean += __builtin_convertvector(load_some(false, m->of_tiles, t * stride + first, count), doubles) * m->voxels[t];
	mean *= inverse;
	for (int64_t t = 0; t < m->tiles; t++) {
		doubles off = __builtin_convertvector(load_some(false, m->of_tiles, t * stride + first, count), doubles) - mean;
		square += __builtin_convertvector(load_some(false, m->of_tiles, t * stride + m->channels + first, count), doubles);
		square += off * off * m->voxels[t];
	}
	square *= inverse;
	memcpy(m->mean + first, &mean, (size_t)count * sizeof(double));
	memcpy(m->variance + first, &square, (size_t)count * sizeof(double));
}

static void combine(const oq_winograd_moments *m)
{
	int64_t first = m->first;
	for (; first + LANES <= m->last; first += LANES)
		combine_channels(m, first, LANES);
	if (first < m->last)
		combine_channels(m, first, m->last - first);
}

#define INPUT(EDGE, TO, NARROW)                                                              \
	static void input_##EDGE##_##TO##_##NARROW(const oq_winograd_input *tile)                \
	{                                                                                        \
		if (tile->prologue)                                                                  \
			transform_input((input_form){EDGE, NARROW, true, TO}, tile);                     \
		else                                                                                 \
			transform_input((input_form){EDGE, NARROW, false, TO}, tile);                    \
	}
#define OUTPUT(EDGE, NARROW)                                                                 \
	static void output_##EDGE##_##NARROW(const oq_winograd_output *tile)                     \
	{                                                                                        \
		if (tile->moments)                                                                   \
			transform_output((output_form){EDGE, NARROW, true}, tile);                       \
		else                                                                                 \
			transform_output((output_form){EDGE, NARROW, false}, tile);                      \
	}
INPUT(4, 0, 0) INPUT(4, 0, 1) INPUT(4, 1, 0) INPUT(4, 1, 1) INPUT(6, 0, 0) INPUT(6, 0, 1) OUTPUT(4, 0) OUTPUT(4, 1) OUTPUT(6, 0) OUTPUT(6, 1)

const oq_winograd_kernels WINOGRAD_TABLE[2] = {
	{.input = {{input_4_0_0, input_4_0_1}, {input_4_1_0, input_4_1_1}}, .output = {output_4_0, output_4_1}, .combine = combine},
	{.input = {{input_6_0_0, input_6_0_1}}, .output = {output_6_0, output_6_1}, .combine = combine}};
