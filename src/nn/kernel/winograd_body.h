/* The transforms, included once per instruction set by winograd*.c, which define WINOGRAD_TABLE and LANES,
 * the floats of a register; only additions in a fixed order, so that every instruction set gives the same bits.
 *   input   B^T d: d0-d2, d1+d2, d2-d1, d1-d3 along each axis
 *   output  A^T m: m0+m1+m2, m1-m2-m3 along each axis */
#include "winograd_isa.h"

#include <string.h>

#define EDGE 4 /* voxels of an input tile along an axis */

/* A vector of the compiler's own. */
typedef float channels __attribute__((vector_size(4 * LANES)));

/* Four values `step` apart. */
static inline void turn_input(channels *d, int step)
{
	channels d0 = d[0], d1 = d[step], d2 = d[2 * step], d3 = d[3 * step];
	d[0] = d0 - d2;
	d[step] = d1 + d2;
	d[2 * step] = d2 - d1;
	d[3 * step] = d1 - d3;
}

static inline void apply_prologue(const oq_conv_prologue *p, int64_t first, int64_t count, float *v)
{
	for (int64_t c = 0; c < count; c++) {
		float t = p->scale ? v[c] * p->scale[first + c] + p->shift[first + c] : v[c];
		v[c] = t > 0 ? t : t * p->slope;
	}
}

static inline void load_tile(const oq_winograd_input *t, int64_t first, int64_t count, channels *d)
{
	for (int z = 0; z < EDGE; z++)
		for (int h = 0; h < EDGE; h++)
			for (int w = 0; w < EDGE; w++, d++) {
				int64_t a = t->at[0] + z, b = t->at[1] + h, c = t->at[2] + w;
				bool inside = a >= 0 && a < t->size[0] && b >= 0 && b < t->size[1] && c >= 0 && c < t->size[2];
				const float *x = t->x + ((a * t->size[1] + b) * t->size[2] + c) * t->channels + first;
				*d = (channels){0};
				if (inside && count == LANES)
					memcpy(d, x, sizeof *d);
				else if (inside)
					memcpy(d, x, (size_t)count * sizeof *x);
				if (inside && t->prologue)
					apply_prologue(t->prologue, first, count, (float *)d);
			}
}

static void transform_input(const oq_winograd_input *t)
{
	for (int64_t first = 0; first < t->channels; first += LANES) {
		channels d[OQ_WINOGRAD_POSITIONS];
		int64_t count = t->channels - first < LANES ? t->channels - first : LANES;
		load_tile(t, first, count, d);
		for (int line = 0; line < 16; line++)
			turn_input(d + EDGE * line, 1);
		for (int plane = 0; plane < 4; plane++)
			for (int w = 0; w < EDGE; w++)
				turn_input(d + 16 * plane + w, EDGE);
		for (int line = 0; line < 16; line++)
			turn_input(d + line, 16);
		for (int p = 0; p < OQ_WINOGRAD_POSITIONS; p++)
			memcpy(t->out + p * t->stride + first, &d[p], count == LANES ? sizeof *d : (size_t)count * sizeof *t->out);
	}
}

/* Four values `step` apart become two, at 0 and `to`. */
static inline void turn_output(const channels *m, int step, channels *y, int to)
{
	channels m0 = m[0], m1 = m[step], m2 = m[2 * step], m3 = m[3 * step];
	y[0] = m0 + m1 + m2;
	y[to] = m1 - m2 - m3;
}

typedef int32_t mask __attribute__((vector_size(4 * LANES)));

/* A register of channels, the last ones perhaps not there. */
static inline channels load_some(const float *x, int64_t count)
{
	channels v = {0};
	memcpy(&v, x, count == LANES ? sizeof v : (size_t)count * sizeof *x);
	return v;
}

/* Bias, residual, activation: relu keeps NaN and makes everything else that is not positive 0. */
static inline void finish_voxel(const oq_winograd_output *t, int64_t voxel, int64_t first, int64_t count, channels sum)
{
	float *y = t->y + voxel * t->channels + first, slope = t->epilogue->slope;
	if (t->epilogue->bias)
		sum += load_some(t->epilogue->bias + first, count);
	if (t->residual)
		sum += load_some(t->residual + voxel * t->channels + first, count);
	if (slope == 0.0f) {
		mask keep = ~(sum <= 0.0f);
		sum = (channels)((mask)sum & keep);
	} else if (slope != 1.0f) {
		mask positive = sum > 0.0f;
		sum = (channels)(((mask)sum & positive) | ((mask)(sum * slope) & ~positive));
	}
	memcpy(y, &sum, count == LANES ? sizeof sum : (size_t)count * sizeof *y);
}

static void transform_output(const oq_winograd_output *t)
{
	for (int64_t half = 0; half < t->count; half += LANES) {
		channels m[OQ_WINOGRAD_POSITIONS], a[32], b[16], y[8];
		int64_t count = t->count - half < LANES ? t->count - half : LANES;
		for (int p = 0; p < OQ_WINOGRAD_POSITIONS; p++)
			memcpy(&m[p], t->products + p * t->stride + half, sizeof *m);
		for (int line = 0; line < 16; line++)
			turn_output(m + 4 * line, 1, a + 2 * line, 1);
		for (int plane = 0; plane < 4; plane++)
			for (int w = 0; w < 2; w++)
				turn_output(a + 8 * plane + w, 2, b + 4 * plane + w, 2);
		for (int line = 0; line < 4; line++)
			turn_output(b + line, 4, y + line, 4);
		for (int v = 0; v < 8; v++) {
			int64_t z = t->at[0] + (v >> 2), h = t->at[1] + (v >> 1 & 1), w = t->at[2] + (v & 1);
			if (z < t->size[0] && h < t->size[1] && w < t->size[2])
				finish_voxel(t, (z * t->size[1] + h) * t->size[2] + w, t->first + half, count, y[v]);
		}
	}
}

const oq_winograd_kernels WINOGRAD_TABLE = {.input = transform_input, .output = transform_output};
