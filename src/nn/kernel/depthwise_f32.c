#include "kernel/depthwise_f32.h"
#include "kernel/token_f32.h"

#include <string.h>

/* The taps of one output voxel that lie inside the input: rows of x and of the weights. */
static int64_t real_taps(const oq_depthwise *conv, const int64_t at[3], const float *x, const float **rows, const float **weights)
{
	int64_t taps = 0, low[3], high[3];
	for (int axis = 0; axis < 3; axis++) {
		int64_t first = at[axis] * conv->stride[axis] - conv->pad_low[axis];
		low[axis] = first < 0 ? -first : 0;
		high[axis] = conv->in[axis] - first < conv->kernel[axis] ? conv->in[axis] - first : conv->kernel[axis];
	}
	for (int64_t d = low[0]; d < high[0]; d++)
		for (int64_t h = low[1]; h < high[1]; h++)
			for (int64_t w = low[2]; w < high[2]; w++, taps++) {
				int64_t z = at[0] * conv->stride[0] - conv->pad_low[0] + d, r = at[1] * conv->stride[1] - conv->pad_low[1] + h;
				int64_t c = at[2] * conv->stride[2] - conv->pad_low[2] + w;
				rows[taps] = x + ((z * conv->in[1] + r) * conv->in[2] + c) * conv->channels;
				weights[taps] = conv->weights + ((d * conv->kernel[1] + h) * conv->kernel[2] + w) * conv->channels;
			}
	return taps;
}

void oq_depthwise_run(const oq_depthwise *conv, oq_isa isa, const float *x, const float *residual, float *y, int threads)
{
	const oq_token_kernels *kernels = oq_token_kernels_for(isa);
	int64_t lines = conv->out[0] * conv->out[1];
#pragma omp parallel for num_threads(threads) if (threads > 1)
	for (int64_t line = 0; line < lines; line++) {
		const float *rows[OQ_DEPTHWISE_MAX_TAPS], *weights[OQ_DEPTHWISE_MAX_TAPS];
		for (int64_t w = 0; w < conv->out[2]; w++) {
			const int64_t at[3] = {line / conv->out[1], line % conv->out[1], w};
			int64_t voxel = line * conv->out[2] + w;
			int64_t taps = real_taps(conv, at, x, rows, weights);
			kernels->weighted_sum(conv->channels, taps, rows, weights, conv->bias, residual ? residual + voxel * conv->channels : NULL,
				y + voxel * conv->channels);
		}
	}
}
