/* 3D U-Net encoder (Models Genesis, SuPreM): four levels of two units conv3x3x3 (bias) -> norm -> relu, max pool between.
 * The norm uses statistics of the batch even in evaluation; at one patch that is an instance norm with affine part.
 * Parameters: size, pool: "windows" (AvgPool3d(3, stride 2), flattened; Models Genesis) | "mean" (SuPreM). */
#include "emit.h"

#include <string.h>

/* Input and output channels of the eight units. */
static const int64_t channels[4][3] = {{1, 32, 64}, {64, 64, 128}, {128, 128, 256}, {256, 256, 512}};
static const int widths[4] = {64, 128, 256, 512};

static oq_val emit_unit(oq_emitter *e, oq_val x, int level, int unit)
{
	oq_val prefix = oq_name("down_tr%d.ops.%d", widths[level], unit), conv = oq_name("%s.conv1", prefix.name), norm = oq_name("%s.bn1", prefix.name);
	const oq_conv_args args = oq_conv_cube(channels[level][unit], channels[level][unit + 1], 3, 1, true, conv.name);
	x = oq_emit_conv(e, conv, x, &args);
	x = oq_emit_instance_norm(e, norm, x, args.out, 1e-5, norm.name);
	return oq_emit_simple(e, "relu", prefix, x);
}

oq_status oq_arch_unet3d(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	static const char *const known[] = {"size", "pool", NULL};
	int64_t size;
	const char *pool;
	oq_emitter e;
	OQ_TRY(oq_json_only_keys(parameters, known, where, err));
	OQ_TRY(oq_json_need_int(parameters, "size", where, &size, err));
	OQ_TRY(oq_json_need_string(parameters, "pool", where, &pool, err));
	bool windows = !strcmp(pool, "windows");
	if (size < 24 || size > 512 || (!windows && strcmp(pool, "mean")))
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: size 24 to 512, pool \"windows\" or \"mean\"", where);
	const int64_t input[4] = {1, size, size, size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	oq_val x = oq_emit_input();
	for (int level = 0; level < 4; level++) {
		x = emit_unit(&e, x, level, 0);
		x = emit_unit(&e, x, level, 1);
		if (level < 3)
			x = oq_emit_pool(&e, "max_pool", oq_name("down_tr%d.maxpool", widths[level]), x, 2, 2, 0);
	}
	if (windows) {
		x = oq_emit_pool(&e, "avg_pool", oq_name("avg_pool"), x, 3, 2, 0);
		x = oq_emit_simple(&e, "flatten", oq_name("embedding"), x);
	} else {
		x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), x);
	}
	return oq_emit_close(&e, x, graph);
}
