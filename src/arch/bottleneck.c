/* The four stages of a bottleneck residual network: conv 1x1x1, conv 3x3x3 (with the stride), conv 1x1x1 to four times the
 * planes, each followed by batch norm; a projected shortcut in the first block of a stage. */
#include "emit.h"

#define EPS 1e-5

/* conv + batch norm [+ relu]; tensors TENSOR.convN and TENSOR.bnN, values STAGE.convN ... */
static oq_val emit_unit(oq_emitter *e, oq_val x, const char *tensor, const char *stage, int n, const oq_conv_args *shape)
{
	oq_val weight = oq_name("%s.conv%d", tensor, n), norm = oq_name("%s.bn%d", tensor, n);
	oq_conv_args args = *shape;
	args.weight = weight.name;
	x = oq_emit_conv(e, oq_name("%s.conv%d", stage, n), x, &args);
	x = oq_emit_batch_norm(e, oq_name("%s.bn%d", stage, n), x, args.out, EPS, norm.name);
	return n == 3 ? x : oq_emit_simple(e, "relu", oq_name("%s.relu%d", stage, n), x);
}

static oq_val emit_shortcut(oq_emitter *e, oq_val x, const char *tensor, const char *stage, bool bias, const oq_conv_args *shape)
{
	oq_val weight = oq_name("%s.downsample.0", tensor), norm = oq_name("%s.downsample.1", tensor);
	oq_conv_args args = *shape;
	args.weight = weight.name;
	args.bias = bias;
	x = oq_emit_conv(e, oq_name("%s.downsample.0", stage), x, &args);
	return oq_emit_batch_norm(e, oq_name("%s.downsample.1", stage), x, args.out, EPS, norm.name);
}

oq_val oq_emit_bottlenecks(oq_emitter *e, oq_val x, const oq_bottlenecks *args)
{
	int64_t in = args->planes, planes = args->planes;
	for (int layer = 0; layer < 4; layer++, planes *= 2)
		for (int64_t b = 0; b < args->depths[layer]; b++) {
			oq_val tensor = oq_name("%slayer%d.%lld", args->tensor, layer + 1, (long long)b);
			oq_val stage = oq_name("%slayer%d.%lld", args->stage, layer + 1, (long long)b);
			int64_t stride = layer > 0 && b == 0 ? 2 : 1, out = 4 * planes;
			const oq_conv_args shapes[4] = {oq_conv_cube(in, planes, 1, 1, false, NULL), oq_conv_cube(planes, planes, 3, stride, false, NULL),
				oq_conv_cube(planes, out, 1, 1, false, NULL), oq_conv_cube(in, out, 1, stride, false, NULL)};
			oq_val y = x;
			for (int n = 1; n <= 3; n++)
				y = emit_unit(e, y, tensor.name, stage.name, n, &shapes[n - 1]);
			if (b == 0)
				x = emit_shortcut(e, x, tensor.name, stage.name, args->shortcut_bias, &shapes[3]);
			y = oq_emit_add(e, oq_name("%s.add", stage.name), y, x);
			x = oq_emit_simple(e, "relu", stage, y);
			in = out;
		}
	return x;
}
