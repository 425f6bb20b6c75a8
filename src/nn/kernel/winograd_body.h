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

/* A register of channels, the last ones perhaps not there. */
INLINE channels load_some(const float *x, int64_t count)
{
	channels v = {0};
	memcpy(&v, x, count == LANES ? sizeof v : (size_t)count * sizeof *x);
	return v;
}

INLINE void store_some(channels v, int64_t count, float *y)
{
	memcpy(y, &v, count == LANES ? sizeof v : (size_t)count * sizeof *y);
}

/* relu keeps NaN and makes everything else that is not positive 0. */
INLINE channels activate(channels v, float slope)
{
	if (slope == 0.0f)
		return (channels)((mask)v & ~(v <= 0.0f));
	mask positive = v > 0.0f;
	return slope == 1.0f ? v : (channels)(((mask)v & positive) | ((mask)(v * slope) & ~positive));
}

/* `count` channels of a voxel, from `first` on, after the prologue. */
INLINE channels load_voxel(const oq_winograd_input *t, int64_t voxel, int64_t first, int64_t count)
{
	channels v = load_some(t->x + voxel * t->channels + first, count);
	const oq_conv_prologue *p = t->prologue;
	if (p && p->scale)
		v = v * load_some(p->scale + first, count) + load_some(p->shift + first, count);
	return p ? activate(v, p->slope) : v;
}

/* One line of a tile along W, transformed. */
INLINE void load_line(const int edge, const oq_winograd_input *t, int64_t z, int64_t h, int64_t first, int64_t count, channels *d)
{
	const int64_t *size = t->size;
	channels v[EDGE_MOST] = {0};
	if (z >= 0 && z < size[0] && h >= 0 && h < size[1]) {
#pragma GCC unroll 6
		for (int w = 0; w < edge; w++)
			if (t->at[2] + w >= 0 && t->at[2] + w < size[2])
				v[w] = load_voxel(t, (z * size[1] + h) * size[2] + t->at[2] + w, first, count);
	}
	turn_input(edge, v);
#pragma GCC unroll 6
	for (int w = 0; w < edge; w++)
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
INLINE void input_channels(const int edge, const oq_winograd_input *t, int64_t first, int64_t count)
{
	const int plane = edge * edge;
	channels d[EDGE_MOST * EDGE_MOST * EDGE_MOST];
	for (int z = 0; z < edge; z++) {
		for (int h = 0; h < edge; h++)
			load_line(edge, t, t->at[0] + z, t->at[1] + h, first, count, d + z * plane + h * edge);
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
			store_some(v[z], count, t->out + (z * plane + at) * t->stride + first);
	}
}

/* The count is constant but for the last channels: stores of a width known only then would stall the loads behind them. */
INLINE void transform_input(const int edge, const oq_winograd_input *t)
{
	int64_t first = 0;
	for (; first + LANES <= t->channels; first += LANES)
		input_channels(edge, t, first, LANES);
	if (first < t->channels)
		input_channels(edge, t, first, t->channels - first);
}

INLINE void finish_voxel(const oq_winograd_output *t, int64_t voxel, int64_t first, int64_t count, channels sum)
{
	if (t->epilogue->bias)
		sum += load_some(t->epilogue->bias + first, count);
	if (t->residual)
		sum += load_some(t->residual + voxel * t->channels + first, count);
	store_some(activate(sum, t->epilogue->slope), count, t->y + voxel * t->channels + first);
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

/* Channels [part, part + count) of the panel. */
INLINE void output_channels(const int edge, const oq_winograd_output *t, int64_t part, int64_t count)
{
	const int outs = edge - 2, plane = edge * edge;
	channels a[(EDGE_MOST - 2) * EDGE_MOST * EDGE_MOST], b[(EDGE_MOST - 2) * EDGE_MOST], y[EDGE_MOST - 2];
	for (int at = 0; at < plane; at++)
		shrink_products(edge, t->products + at * t->stride + part, t->stride, a + at);
	for (int64_t z = 0; z < outs && t->at[0] + z < t->size[0]; z++) {
		for (int w = 0; w < edge; w++)
			shrink_column(edge, a + z * plane + w, edge, b + w, edge);
		for (int64_t h = 0; h < outs && t->at[1] + h < t->size[1]; h++) {
			int64_t voxel = ((t->at[0] + z) * t->size[1] + t->at[1] + h) * t->size[2] + t->at[2];
			shrink_column(edge, b + h * edge, 1, y, 1);
			for (int64_t w = 0; w < outs && t->at[2] + w < t->size[2]; w++)
				finish_voxel(t, voxel + w, t->first + part, count, y[w]);
		}
	}
}

INLINE void transform_output(const int edge, const oq_winograd_output *t)
{
	int64_t part = 0;
	for (; part + LANES <= t->count; part += LANES)
		output_channels(edge, t, part, LANES);
	if (part < t->count)
		output_channels(edge, t, part, t->count - part);
}

static void input_f2(const oq_winograd_input *tile)
{
	transform_input(4, tile);
}

static void output_f2(const oq_winograd_output *tile)
{
	transform_output(4, tile);
}

static void input_f4(const oq_winograd_input *tile)
{
	transform_input(6, tile);
}

static void output_f4(const oq_winograd_output *tile)
{
	transform_output(6, tile);
}

const oq_winograd_kernels WINOGRAD_TABLE[2] = {{.input = input_f2, .output = output_f2}, {.input = input_f4, .output = output_f4}};
