/* Pooling, channels-last. Work is cut by output line or by channels, so no sum is ever split between threads. */
#include "kernel/simple.h"

#include "convert_isa.h"
#include "simple_isa.h"

#include <math.h>
#include <string.h>

#define TILE 128 /* channels whose sums in double stay in L1 */

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

/* The real voxels of a window: [low,high) per axis; empty when the window lies in padding. */
typedef struct window {
	int64_t low[3], high[3];
} window;

static window window_at(const oq_pool_shape *s, const int64_t out[3])
{
	window w;
	for (int i = 0; i < 3; i++) {
		int64_t start = out[i] * s->stride[i] - s->pad_low[i];
		w.low[i] = start > 0 ? start : 0;
		w.high[i] = at_most(start + s->kernel[i], s->in[i]);
	}
	return w;
}

static void max_window(const oq_simple_kernels *kernels, const oq_pool_shape *s, const window *w, const float *x, float *y)
{
	for (int64_t c = 0; c < s->channels; c++)
		y[c] = -INFINITY;
	for (int64_t d = w->low[0]; d < w->high[0]; d++)
		for (int64_t h = w->low[1]; h < w->high[1]; h++)
			kernels->max_run(w->high[2] - w->low[2], s->channels, s->channels, x + ((d * s->in[1] + h) * s->in[2] + w->low[2]) * s->channels, y);
}

static void avg_window(const oq_simple_kernels *kernels, const oq_pool_shape *s, const window *w, const float *x, float *y)
{
	int64_t real = 1;
	for (int i = 0; i < 3; i++)
		real *= w->high[i] > w->low[i] ? w->high[i] - w->low[i] : 0;
	for (int64_t c = 0; c < s->channels; c += TILE) {
		int64_t count = at_most(TILE, s->channels - c);
		double sums[TILE] = {0};
		for (int64_t d = w->low[0]; d < w->high[0]; d++)
			for (int64_t h = w->low[1]; h < w->high[1]; h++)
				kernels->sum_run(w->high[2] - w->low[2], count, s->channels, x + ((d * s->in[1] + h) * s->in[2] + w->low[2]) * s->channels + c, sums);
		for (int64_t i = 0; i < count; i++)
			y[c + i] = real ? (float)(sums[i] / (double)real) : 0.0f;
	}
}

typedef void window_fn(const oq_simple_kernels *kernels, const oq_pool_shape *s, const window *w, const float *x, float *y);

static void pool(const oq_pool_shape *s, window_fn *reduce, const float *x, float *y, int threads)
{
	const oq_simple_kernels *kernels = oq_simple_best();
	int64_t lines = s->out[0] * s->out[1];
#pragma omp parallel for num_threads(threads) if (threads > 1 && lines > 1) schedule(static)
	for (int64_t line = 0; line < lines; line++)
		for (int64_t v = 0; v < s->out[2]; v++) {
			const int64_t out[3] = {line / s->out[1], line % s->out[1], v};
			window w = window_at(s, out);
			reduce(kernels, s, &w, x, y + (line * s->out[2] + v) * s->channels);
		}
}

void oq_max_pool(const oq_pool_shape *shape, const float *x, float *y, int threads)
{
	pool(shape, max_window, x, y, threads);
}

void oq_max_pool_u8(const oq_pool_shape *s, const uint8_t *x, uint8_t *y, int threads)
{
	const oq_convert_kernels *kernels = oq_convert_best();
	int64_t lines = s->out[0] * s->out[1];
#pragma omp parallel for num_threads(threads) if (threads > 1 && lines > 1) schedule(static)
	for (int64_t line = 0; line < lines; line++)
		for (int64_t v = 0; v < s->out[2]; v++) {
			const int64_t out[3] = {line / s->out[1], line % s->out[1], v};
			uint8_t *to = y + (line * s->out[2] + v) * s->channels;
			window w = window_at(s, out);
			memset(to, 0, (size_t)s->channels);
			for (int64_t d = w.low[0]; d < w.high[0]; d++)
				for (int64_t h = w.low[1]; h < w.high[1]; h++)
					for (int64_t i = w.low[2]; i < w.high[2]; i++)
						kernels->max_u8(s->channels, x + ((d * s->in[1] + h) * s->in[2] + i) * s->channels, to);
		}
}

void oq_avg_pool(const oq_pool_shape *shape, const float *x, float *y, int threads)
{
	pool(shape, avg_window, x, y, threads);
}

void oq_global_avg_pool(int64_t voxels, int64_t channels, const float *x, float *y, int threads)
{
	const oq_simple_kernels *kernels = oq_simple_best();
	int64_t tiles = (channels + TILE - 1) / TILE;
#pragma omp parallel for num_threads(threads) if (threads > 1 && tiles > 1) schedule(static)
	for (int64_t t = 0; t < tiles; t++) {
		int64_t c = t * TILE, count = at_most(TILE, channels - c);
		double sums[TILE] = {0};
		kernels->sum_run(voxels, count, channels, x + c, sums);
		for (int64_t i = 0; i < count; i++)
			y[c + i] = (float)(sums[i] / (double)voxels);
	}
}
