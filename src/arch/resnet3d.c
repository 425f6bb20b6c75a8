/* Wide 3D ResNet (MONAI resnet50 with widen_factor; FMCIB): 7x7x7 stem of stride 2, max pool, four bottleneck stages with
 * biased projections, mean. Parameters: size, planes (of the first stage: 64 x widen factor), depths [4]. */
#include "emit.h"

oq_status oq_arch_resnet3d(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	static const char *const known[] = {"size", "planes", "depths", NULL};
	int64_t size;
	oq_bottlenecks stages = {.shortcut_bias = true, .tensor = "", .stage = "trunk."};
	oq_emitter e;
	OQ_TRY(oq_json_only_keys(parameters, known, where, err));
	OQ_TRY(oq_json_need_int(parameters, "size", where, &size, err));
	OQ_TRY(oq_json_need_int(parameters, "planes", where, &stages.planes, err));
	OQ_TRY(oq_json_need_ints(parameters, "depths", where, stages.depths, 4, err));
	if (size < 8 || size > 512 || stages.planes < 1 || stages.planes > 4096)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: size 8 to 512, planes 1 to 4096", where);
	const int64_t input[4] = {1, size, size, size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	const oq_conv_args stem = oq_conv_cube(1, stages.planes, 7, 2, false, "conv1");
	oq_val x = oq_emit_conv(&e, oq_name("trunk.conv1"), oq_emit_input(), &stem);
	x = oq_emit_batch_norm(&e, oq_name("trunk.bn1"), x, stages.planes, 1e-5, "bn1");
	x = oq_emit_simple(&e, "relu", oq_name("trunk.act"), x);
	x = oq_emit_pool(&e, "max_pool", oq_name("trunk.maxpool"), x, 3, 2, 1);
	x = oq_emit_bottlenecks(&e, x, &stages);
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("trunk.avgpool"), x);
	return oq_emit_close(&e, x, graph);
}
