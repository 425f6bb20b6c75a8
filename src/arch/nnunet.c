/* nnU-Net encoder (Generic_UNet with strided convolutions; PASTA): six stages of two units conv3x3x3 (bias) -> instance norm
 * (affine) -> leaky relu 0.01, the first unit of every later stage with stride 2; mean of the last stage.
 * Parameters: size, base (64), max_features (1024). */
#include "emit.h"

#define STAGES 6

static oq_val emit_unit(oq_emitter *e, oq_val x, const char *prefix, oq_val stage, const oq_conv_args *shape)
{
	oq_val conv = oq_name("%s.conv", prefix), norm = oq_name("%s.instnorm", prefix);
	oq_conv_args args = *shape;
	args.weight = conv.name;
	x = oq_emit_conv(e, conv, x, &args);
	x = oq_emit_instance_norm(e, norm, x, args.out, 1e-5, norm.name);
	return oq_emit_leaky_relu(e, stage, x, 0.01);
}

oq_status oq_arch_nnunet(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	static const char *const known[] = {"size", "base", "max_features", NULL};
	int64_t size, base, most;
	oq_emitter e;
	OQ_TRY(oq_json_only_keys(parameters, known, where, err));
	OQ_TRY(oq_json_need_int(parameters, "size", where, &size, err));
	OQ_TRY(oq_json_need_int(parameters, "base", where, &base, err));
	OQ_TRY(oq_json_need_int(parameters, "max_features", where, &most, err));
	if (size < 8 || size > 512 || base < 1 || base > 4096 || most < base || most > 65536)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: size 8 to 512, base 1 to 4096", where);
	const int64_t input[4] = {1, size, size, size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	oq_val x = oq_emit_input();
	int64_t in = 1, out = base;
	for (int stage = 0; stage < STAGES; stage++) {
		/* The bottleneck stage is a list of two one-unit blocks in the reference, hence its other names. */
		bool last = stage == STAGES - 1;
		oq_val first = last ? oq_name("conv_blocks_context.%d.0.blocks.0", stage) : oq_name("conv_blocks_context.%d.blocks.0", stage);
		oq_val second = last ? oq_name("conv_blocks_context.%d.1.blocks.0", stage) : oq_name("conv_blocks_context.%d.blocks.1", stage);
		const oq_conv_args shapes[2] = {oq_conv_cube(in, out, 3, stage ? 2 : 1, true, NULL), oq_conv_cube(out, out, 3, 1, true, NULL)};
		x = emit_unit(&e, x, first.name, last ? oq_name("conv_blocks_context.%d.0", stage) : first, &shapes[0]);
		x = emit_unit(&e, x, second.name, last ? oq_name("conv_blocks_context.%d.1", stage) : second, &shapes[1]);
		in = out;
		out = 2 * out < most ? 2 * out : most;
	}
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), x);
	return oq_emit_close(&e, x, graph);
}
