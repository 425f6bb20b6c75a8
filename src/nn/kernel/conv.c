/* Own convolutions: checks the shape, finds the method's row of functions and hands over. Refuses shapes whose extents are
 * not positive or whose sizes overflow, and methods that cannot do a shape. */
#include "conv_impl.h"

#include "core/mem.h"

#define EXTENT_LIMIT ((int64_t)1 << 24) /* channels and axes: far beyond any network, and products of two fit easily */

static const oq_conv_ops *const methods[] = {
	[OQ_CONV_TAP_GEMM] = &oq_conv_tap_ops,
	[OQ_CONV_WINOGRAD_F2] = &oq_winograd_f2_ops,
	[OQ_CONV_WINOGRAD_F4] = &oq_winograd_f4_ops,
	[OQ_CONV_WINOGRAD_F2_BF16] = &oq_winograd_f2_bf16_ops,
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
			s->dilation[i] < 0 || s->dilation[i] > EXTENT_LIMIT || s->pad_low[i] < 0 || s->pad_low[i] > (s->kernel[i] - 1) * oq_conv_dilation(s, i))
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

#define FEW_CHANNELS 16   /* input channels below which nothing of ours gains */
#define SMALL_MAP 64      /* output voxels */
#define POINTWISE_MAP 128 /* output voxels of a 1x1x1 convolution */
#define DEEP_STRIDED 256  /* input channels of a strided convolution */
#define WINOGRAD_MAP 100  /* output voxels */
#define WINOGRAD4_TILES 27 /* of 4x4x4 outputs: fewer rows read weights for longer than they multiply */

static bool fits_winograd4(const oq_conv_shape *shape)
{
	int64_t tiles = 1;
	for (int axis = 0; axis < 3; axis++)
		tiles *= (shape->out[axis] + 3) / 4;
	return tiles >= WINOGRAD4_TILES && oq_conv_supports(OQ_CONV_WINOGRAD_F4, shape);
}

bool oq_conv_choose(const oq_conv_shape *shape, oq_conv_method most, oq_conv_method *method)
{
	if (shape->in_channels < FEW_CHANNELS)
		return false;
	int64_t voxels = shape->out[0] * shape->out[1] * shape->out[2], taps = shape->kernel[0] * shape->kernel[1] * shape->kernel[2];
	bool strided = shape->stride[0] * shape->stride[1] * shape->stride[2] > 1;
	*method = most == OQ_CONV_WINOGRAD_F4 && fits_winograd4(shape) ? OQ_CONV_WINOGRAD_F4 : OQ_CONV_WINOGRAD_F2;
	if (most != OQ_CONV_TAP_GEMM && voxels >= WINOGRAD_MAP && oq_conv_supports(*method, shape))
		return true;
	*method = OQ_CONV_TAP_GEMM;
	if (taps == 1)
		return strided || voxels <= POINTWISE_MAP;
	return voxels <= SMALL_MAP || (strided && shape->in_channels >= DEEP_STRIDED);
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

void oq_conv_run(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
	void *scratch, int threads)
{
	conv->ops->run(conv, batch, x, prologue, epilogue, y, scratch, threads);
}
