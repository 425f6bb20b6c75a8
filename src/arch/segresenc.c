/* SegResEncoder (MONAI; CT-FM with batch norm, VISTA3D with instance norm): pre-activation residual blocks,
 *   y = conv2(relu(norm2(conv1(relu(norm1(x)))))) + x,
 * a strided 3x3x3 convolution between the levels, mean over the last level.
 * Parameters: size, init_filters, blocks_down [levels], norm "batch" | "instance". */
#include "emit.h"

#include <string.h>

#define MAX_LEVELS 8
#define EPS 1e-5

typedef struct segresenc {
	int64_t size, filters, blocks[MAX_LEVELS];
	int levels;
	bool instance;
} segresenc;

static oq_status parse(const oq_json *p, const char *where, segresenc *net, oq_error *err)
{
	static const char *const known[] = {"size", "init_filters", "blocks_down", "norm", NULL};
	const oq_json *blocks;
	const char *norm;
	OQ_TRY(oq_json_only_keys(p, known, where, err));
	OQ_TRY(oq_json_need_int(p, "size", where, &net->size, err));
	OQ_TRY(oq_json_need_int(p, "init_filters", where, &net->filters, err));
	OQ_TRY(oq_json_need_array(p, "blocks_down", where, &blocks, err));
	OQ_TRY(oq_json_need_string(p, "norm", where, &norm, err));
	net->instance = !strcmp(norm, "instance");
	net->levels = oq_json_count(blocks);
	if (net->levels < 1 || net->levels > MAX_LEVELS || net->filters < 1 || net->filters > 4096 || net->size < 1 || net->size > 512
		|| (!net->instance && strcmp(norm, "batch")))
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: 1 to 8 levels, 1 to 4096 filters, norm \"batch\" or \"instance\"", where);
	OQ_TRY(oq_json_need_ints(p, "blocks_down", where, net->blocks, net->levels, err));
	for (int level = 0; level < net->levels; level++)
		if (net->blocks[level] < 1 || net->blocks[level] > 64)
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: blocks_down[%d] is %lld, expected 1 to 64", where, level, (long long)net->blocks[level]);
	return OQ_OK;
}

/* relu(norm(x)), then a 3x3x3 convolution: half a block; `half` is 1 or 2. */
static oq_val emit_half(oq_emitter *e, const segresenc *net, oq_val x, const char *block, int half, int64_t channels)
{
	oq_val norm = oq_name("%s.norm%d", block, half), conv = oq_name("%s.conv%d", block, half);
	x = net->instance ? oq_emit_instance_norm(e, norm, x, channels, EPS, norm.name) : oq_emit_batch_norm(e, norm, x, channels, EPS, norm.name);
	x = oq_emit_simple(e, "relu", oq_name("%s.act%d", block, half), x);
	const oq_conv_args args = oq_conv_cube(channels, channels, 3, 1, false, conv.name);
	return oq_emit_conv(e, conv, x, &args);
}

oq_status oq_arch_segresenc(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	segresenc net = {0};
	oq_emitter e;
	OQ_TRY(parse(parameters, where, &net, err));
	const int64_t input[4] = {1, net.size, net.size, net.size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	int64_t channels = net.filters;
	const oq_conv_args stem = oq_conv_cube(1, channels, 3, 1, false, "conv_init");
	oq_val x = oq_emit_conv(&e, oq_name("conv_init"), oq_emit_input(), &stem);
	for (int level = 0; level < net.levels; level++) {
		for (int64_t b = 0; b < net.blocks[level]; b++) {
			oq_val block = oq_name("layers.%d.blocks.%lld", level, (long long)b);
			oq_val y = emit_half(&e, &net, x, block.name, 1, channels);
			y = emit_half(&e, &net, y, block.name, 2, channels);
			x = oq_emit_add(&e, block, y, x);
		}
		if (level + 1 == net.levels)
			break;
		oq_val down = oq_name("layers.%d.downsample", level);
		const oq_conv_args args = oq_conv_cube(channels, 2 * channels, 3, 2, false, down.name);
		x = oq_emit_conv(&e, down, x, &args);
		channels *= 2;
	}
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), x);
	return oq_emit_close(&e, x, graph);
}
