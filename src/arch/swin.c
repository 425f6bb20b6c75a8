/* 3D Swin transformer with residual convolution blocks (MONAI SwinUNETR.swinViT with use_v2; VoCo). Per stage: a residual
 * convolution block, Swin blocks (the second one shifted), patch merging; then layer norm without affine part and the mean.
 * Parameters: size, feature_size, depths [4], heads [4], window, tensor_prefix. */
#include "emit.h"

#include <string.h>

#define STAGES 4
#define EPS 1e-5

typedef struct swin {
	int64_t size, features, depths[STAGES], heads[STAGES], window;
	const char *prefix;
} swin;

static oq_status parse(const oq_json *p, const char *where, swin *net, oq_error *err)
{
	static const char *const known[] = {"size", "feature_size", "depths", "heads", "window", "tensor_prefix", NULL};
	OQ_TRY(oq_json_only_keys(p, known, where, err));
	OQ_TRY(oq_json_need_int(p, "size", where, &net->size, err));
	OQ_TRY(oq_json_need_int(p, "feature_size", where, &net->features, err));
	OQ_TRY(oq_json_need_ints(p, "depths", where, net->depths, STAGES, err));
	OQ_TRY(oq_json_need_ints(p, "heads", where, net->heads, STAGES, err));
	OQ_TRY(oq_json_need_int(p, "window", where, &net->window, err));
	OQ_TRY(oq_json_need_string(p, "tensor_prefix", where, &net->prefix, err));
	bool good = net->size >= 32 && net->size <= 512 && net->size % 32 == 0 && net->features > 0 && net->features <= 1024 && net->window > 1 && net->window < 32;
	for (int i = 0; i < STAGES; i++)
		good &= net->depths[i] > 0 && net->depths[i] <= 64 && net->heads[i] > 0 && (net->features << i) % net->heads[i] == 0;
	return good ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: size a multiple of 32, heads that divide the features", where);
}

/* a = lrelu(IN(conv1 x)); out = lrelu(IN(conv2 a) + x) */
static oq_val emit_conv_block(oq_emitter *e, const swin *net, oq_val x, int stage, int64_t channels)
{
	oq_val name = oq_name("layers%dc.0", stage + 1), y = x;
	for (int half = 1; half <= 2; half++) {
		oq_val weight = oq_name("%slayers%dc.0.layer.conv%d.conv", net->prefix, stage + 1, half);
		const oq_conv_args args = oq_conv_cube(channels, channels, 3, 1, false, weight.name);
		y = oq_emit_conv(e, oq_name("%s.conv%d", name.name, half), y, &args);
		y = oq_emit_instance_norm(e, oq_name("%s.norm%d", name.name, half), y, channels, EPS, NULL);
		if (half == 1)
			y = oq_emit_leaky_relu(e, oq_name("%s.lrelu1", name.name), y, 0.01);
	}
	y = oq_emit_add(e, oq_name("%s.add", name.name), y, x);
	return oq_emit_leaky_relu(e, name, y, 0.01);
}

static oq_val emit_attention(oq_emitter *e, const swin *net, oq_val qkv, const char *block, const int64_t grid_heads[2], bool shifted)
{
	int64_t grid = grid_heads[0], heads = grid_heads[1], window = grid <= net->window ? grid : net->window;
	/* A window as large as the grid is not shifted. */
	int64_t shift = shifted && grid > net->window ? net->window / 2 : 0, entries = 2 * net->window - 1, full = net->window * net->window * net->window;
	const int64_t windows[3] = {window, window, window}, shifts[3] = {shift, shift, shift};
	const int64_t table[2] = {entries * entries * entries, heads}, index[2] = {full, full};
	oq_val attn = oq_name("%s%s.attn", net->prefix, block), name = oq_name("%s.attention", block);
	oq_val bias_table = oq_name("%s.relative_position_bias_table", attn.name), bias_index = oq_name("%s.relative_position_index", attn.name);
	oq_val pad = oq_name("%s.qkv.bias", attn.name);
	oq_json *node = oq_emit_node(e, "window_attention", name, &qkv, 1);
	oq_emit_check(e, oq_json_add_int(node, "heads", heads) && oq_json_add_ints(node, "window", windows, 3)
		&& oq_json_add_number(node, "scale", 0.125) && oq_json_add_string(node, "pad", pad.name)
		&& oq_json_add_string(node, "bias_table", bias_table.name) && oq_json_add_string(node, "bias_index", bias_index.name));
	if (shift)
		oq_emit_check(e, oq_json_add_ints(node, "shift", shifts, 3));
	oq_emit_tensor(e, bias_table.name, 2, table);
	oq_emit_tensor(e, bias_index.name, 2, index);
	return name;
}

/* t += proj(attention(qkv(LN1(t)))); t += linear2(GELU(linear1(LN2(t)))) */
static oq_val emit_swin_block(oq_emitter *e, const swin *net, oq_val x, const char *block, const int64_t grid_heads[2], int64_t channels, bool shifted)
{
	oq_val tensor = oq_name("%s%s", net->prefix, block);
	oq_val n1w = oq_name("%s.norm1.weight", tensor.name), n1b = oq_name("%s.norm1.bias", tensor.name);
	oq_val n2w = oq_name("%s.norm2.weight", tensor.name), n2b = oq_name("%s.norm2.bias", tensor.name);
	oq_val qkv = oq_name("%s.attn.qkv", tensor.name), proj = oq_name("%s.attn.proj", tensor.name);
	oq_val up = oq_name("%s.mlp.linear1", tensor.name), down = oq_name("%s.mlp.linear2", tensor.name);
	oq_val y = oq_emit_layer_norm(e, oq_name("%s.norm1", block), x, channels, EPS, n1w.name, n1b.name);
	y = oq_emit_linear(e, oq_name("%s.qkv", block), y, channels, 3 * channels, true, qkv.name);
	y = emit_attention(e, net, y, block, grid_heads, shifted);
	y = oq_emit_linear(e, oq_name("%s.proj", block), y, channels, channels, true, proj.name);
	x = oq_emit_add(e, oq_name("%s.attended", block), y, x);
	y = oq_emit_layer_norm(e, oq_name("%s.norm2", block), x, channels, EPS, n2w.name, n2b.name);
	y = oq_emit_linear(e, oq_name("%s.linear1", block), y, channels, 4 * channels, true, up.name);
	y = oq_emit_simple(e, "gelu", oq_name("%s.gelu", block), y);
	y = oq_emit_linear(e, oq_name("%s.linear2", block), y, 4 * channels, channels, true, down.name);
	return oq_emit_add(e, oq_name("%s", block), y, x);
}

/* Eight neighbours into the channels (in MONAI's order of 0.9), layer norm, linear to twice the channels. */
static oq_val emit_merging(oq_emitter *e, const swin *net, oq_val x, int stage, int64_t channels)
{
	static const int64_t offsets[8][3] = {{0, 0, 0}, {1, 0, 0}, {0, 1, 0}, {0, 0, 1}, {1, 1, 0}, {1, 0, 1}, {0, 1, 1}, {1, 1, 1}};
	oq_val name = oq_name("layers%d.0.downsample", stage + 1), merged = oq_name("%s.merged", name.name);
	oq_val tensor = oq_name("%s%s", net->prefix, name.name), weight = oq_name("%s.norm.weight", tensor.name), bias = oq_name("%s.norm.bias", tensor.name);
	oq_val reduction = oq_name("%s.reduction", tensor.name);
	oq_json *list = oq_json_add_array(oq_emit_node(e, "patch_merge", merged, &x, 1), "offsets");
	for (int i = 0; i < 8; i++)
		oq_emit_check(e, oq_json_add_ints(list, NULL, offsets[i], 3));
	x = oq_emit_layer_norm(e, oq_name("%s.norm", name.name), merged, 8 * channels, EPS, weight.name, bias.name);
	return oq_emit_linear(e, name, x, 8 * channels, 2 * channels, false, reduction.name);
}

oq_status oq_arch_swin(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	swin net = {0};
	oq_emitter e;
	OQ_TRY(parse(parameters, where, &net, err));
	const int64_t input[4] = {1, net.size, net.size, net.size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	oq_val weight = oq_name("%spatch_embed.proj", net.prefix);
	const oq_conv_args embed = {.in = 1, .out = net.features, .kernel = {2, 2, 2}, .stride = {2, 2, 2}, .bias = true, .weight = weight.name};
	oq_val x = oq_emit_conv(&e, oq_name("patch_embed"), oq_emit_input(), &embed);
	int64_t channels = net.features, grid = net.size / 2;
	for (int stage = 0; stage < STAGES; stage++, channels *= 2, grid /= 2) {
		const int64_t grid_heads[2] = {grid, net.heads[stage]};
		x = emit_conv_block(&e, &net, x, stage, channels);
		for (int64_t b = 0; b < net.depths[stage]; b++) {
			oq_val block = oq_name("layers%d.0.blocks.%lld", stage + 1, (long long)b);
			x = emit_swin_block(&e, &net, x, block.name, grid_heads, channels, b % 2 == 1);
		}
		x = emit_merging(&e, &net, x, stage, channels);
	}
	x = oq_emit_layer_norm(&e, oq_name("norm"), x, channels, EPS, NULL, NULL);
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), x);
	return oq_emit_close(&e, x, graph);
}
