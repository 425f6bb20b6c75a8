/* Own convolutions: checks the shape, finds the method's row of functions and hands over. Refuses shapes whose extents are
 * not positive or whose sizes overflow, and methods that cannot do a shape. */
#include "conv_impl.h"

#include "core/mem.h"
#include "simple_isa.h"

#include <string.h>

#define EXTENT_LIMIT ((int64_t)1 << 24) /* channels and axes: far beyond any network, and products of two fit easily */

static const oq_conv_ops *const methods[] = {
	[OQ_CONV_TAP_GEMM] = &oq_conv_tap_ops,
	[OQ_CONV_WINOGRAD_F2] = &oq_winograd_f2_ops,
	[OQ_CONV_WINOGRAD_F4] = &oq_winograd_f4_ops,
};

static bool extent_valid(int64_t extent)
{
	return extent >= 1 && extent <= EXTENT_LIMIT;
}

bool oq_conv_shape_valid(const oq_conv_shape *s)
{
	if (!extent_valid(s->in_channels) || !extent_valid(s->out_channels))
		return false;
	for (int i = 0; i < 3; i++)
		if (!extent_valid(s->in[i]) || !extent_valid(s->out[i]) || !extent_valid(s->kernel[i]) || !extent_valid(s->stride[i]) ||
			s->pad_low[i] < 0 || s->pad_low[i] >= s->kernel[i])
			return false;
	const int64_t in[4] = {s->in[0], s->in[1], s->in[2], s->in_channels}, out[4] = {s->out[0], s->out[1], s->out[2], s->out_channels};
	const int64_t weights[5] = {s->in_channels, s->out_channels, s->kernel[0], s->kernel[1], s->kernel[2]};
	size_t bytes;
	return oq_size_product(in, 4, sizeof(float), &bytes) && bytes <= INT64_MAX / 16 && oq_size_product(out, 4, sizeof(float), &bytes) &&
		bytes <= INT64_MAX / 16 && oq_size_product(weights, 5, sizeof(float), &bytes) && bytes <= INT64_MAX / 128;
}

bool oq_conv_supports(oq_conv_method method, const oq_conv_shape *shape)
{
	return (size_t)method < sizeof methods / sizeof *methods && oq_conv_shape_valid(shape) && methods[method]->supports(shape);
}

oq_status oq_conv_create(oq_conv_method method, const oq_conv_shape *shape, const float *weights, oq_isa isa, oq_conv **out, oq_error *err)
{
	*out = NULL;
	if (!oq_conv_supports(method, shape))
		return oq_fail(err, OQ_E_INTERNAL, "E_CONV", "convolution: method %d cannot do this shape, expected one that oq_conv_supports accepts", (int)method);
	oq_conv *conv = oq_calloc(1, sizeof *conv);
	if (!conv)
		return oq_fail_memory(err, "convolution", sizeof *conv);
	*conv = (oq_conv){.method = method, .shape = *shape, .isa = isa, .gemm = oq_gemm_f32_kernel(isa), .ops = methods[method]};
	oq_status status = conv->ops->create(conv, weights, err);
	if (status != OQ_OK) {
		oq_conv_free(conv);
		return status;
	}
	*out = conv;
	return OQ_OK;
}

void oq_conv_free(oq_conv *conv)
{
	if (!conv)
		return;
	conv->ops->free(conv);
	oq_free(conv);
}

size_t oq_conv_weight_bytes(const oq_conv *conv)
{
	return conv->ops->weight_bytes(conv);
}

size_t oq_conv_scratch_bytes(const oq_conv *conv, int64_t batch, int threads)
{
	return conv->ops->scratch_bytes(conv, batch, threads);
}

/* Sum and sum of squares of each output channel of each patch: a second pass over the output, panel by panel, in voxel order. */
static void sum_output(const oq_conv *conv, int64_t batch, const float *y, double *sums, int threads)
{
	static const float zero[OQ_GEMM_NR];
	const oq_conv_shape *s = &conv->shape;
	int64_t n = s->out_channels, voxels = s->out[0] * s->out[1] * s->out[2], panels = (n + OQ_GEMM_NR - 1) / OQ_GEMM_NR;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t p = 0; p < panels; p++)
		for (int64_t b = 0; b < batch; b++) {
			double *sum = sums + b * 2 * n + p * OQ_GEMM_NR, *square = sum + n;
			int64_t columns = n - p * OQ_GEMM_NR < OQ_GEMM_NR ? n - p * OQ_GEMM_NR : OQ_GEMM_NR;
			memset(sum, 0, (size_t)columns * sizeof *sum);
			memset(square, 0, (size_t)columns * sizeof *square);
			oq_simple_for(conv->isa)->center_sums(voxels, columns, n, y + b * voxels * n + p * OQ_GEMM_NR, zero, sum, square);
		}
}

void oq_conv_run(const oq_conv *conv, int64_t batch, const float *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, float *y,
	void *scratch, int threads)
{
	conv->ops->run(conv, batch, x, prologue, epilogue, y, scratch, threads);
	if (epilogue && epilogue->sums)
		sum_output(conv, batch, y, epilogue->sums, threads);
}
