/* The plain twins of the memory-bound kernels: what the others must equal bit for bit. */
#include "act.h"
#include "simple_isa.h"

static void center_sums(int64_t voxels, int64_t channels, int64_t stride, const float *x, const float *center, double *sum, double *square)
{
	for (int64_t first = 0; first < voxels; first += OQ_FEW_VOXELS)
		for (int64_t c = 0; c < channels; c++) {
			float s = 0, q = 0;
			for (int64_t v = first; v < voxels && v < first + OQ_FEW_VOXELS; v++) {
				float d = x[v * stride + c] - center[c];
				s += d;
				q += d * d;
			}
			sum[c] += (double)s;
			square[c] += (double)q;
		}
}

static void scale_shift_act(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y)
{
	for (int64_t v = 0; v < voxels; v++)
		for (int64_t c = 0; c < channels; c++)
			y[v * channels + c] = oq_act(x[v * channels + c] * scale[c] + shift[c], slope);
}

static void act(int64_t count, const float *x, float slope, float *y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = oq_act(x[i], slope);
}

static void add_act(int64_t count, const float *a, const float *b, float slope, float *y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = oq_act(a[i] + b[i], slope);
}

static void max_run(int64_t voxels, int64_t channels, int64_t stride, const float *x, float *y)
{
	for (int64_t v = 0; v < voxels; v++)
		for (int64_t c = 0; c < channels; c++) {
			float value = x[v * stride + c];
			y[c] = value > y[c] || value != value ? value : y[c];
		}
}

static void sum_run(int64_t voxels, int64_t channels, int64_t stride, const float *x, double *sums)
{
	for (int64_t v = 0; v < voxels; v++)
		for (int64_t c = 0; c < channels; c++)
			sums[c] += (double)x[v * stride + c];
}

static void finish(int64_t rows, int64_t cols, const float *sum, const oq_finish *to)
{
	for (int64_t r = 0; r < rows; r++)
		for (int64_t j = 0; j < cols; j++) {
			float v = sum[r * 32 + j] + to->bias[j];
			if (to->residual)
				v += to->residual[r * to->stride + j];
			to->y[r * to->stride + j] = oq_act(v, to->slope);
		}
}

const oq_simple_kernels oq_simple_plain = {center_sums, scale_shift_act, act, add_act, max_run, sum_run, finish};
