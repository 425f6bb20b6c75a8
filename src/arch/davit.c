/* DaViT (UniCL; MedImageInsight's image encoder) on one RGB slice: stages of blocks that attend within windows and then over
 * channels, each with depthwise convolutions and a feed-forward part; mean, layer norm, projection, L2 norm.
 * Parameters: size, depths [4], dims [4], window, tensor_prefix, projection: outputs. */
#include "emit.h"

#include <math.h>

#define STAGES 4
#define DIM_HEAD 32
#define EPS 1e-5

typedef struct davit {
	int64_t size, depths[STAGES], dims[STAGES], window, projection;
	const char *prefix;
} davit;

static oq_status parse(const oq_json *p, const char *where, davit *net, oq_error *err)
{
	static const char *const known[] = {"size", "depths", "dims", "window", "tensor_prefix", "projection", NULL};
	OQ_TRY(oq_json_only_keys(p, known, where, err));
	OQ_TRY(oq_json_need_int(p, "size", where, &net->size, err));
	OQ_TRY(oq_json_need_ints(p, "depths", where, net->depths, STAGES, err));
	OQ_TRY(oq_json_need_ints(p, "dims", where, net->dims, STAGES, err));
	OQ_TRY(oq_json_need_int(p, "window", where, &net->window, err));
	OQ_TRY(oq_json_need_int(p, "projection", where, &net->projection, err));
	OQ_TRY(oq_json_need_string(p, "tensor_prefix", where, &net->prefix, err));
	bool good = net->size >= 32 && net->size <= 2048 && net->window > 1 && net->window <= 64 && net->projection > 0 && net->projection <= 65536;
	for (int i = 0; i < STAGES; i++)
		good &= net->depths[i] > 0 && net->depths[i] <= 64 && net->dims[i] > 0 && net->dims[i] <= 8192 && net->dims[i] % DIM_HEAD == 0;
	return good ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: dims must be multiples of %d", where, DIM_HEAD);
}

typedef struct flat_conv {
	int64_t in, out, kernel, stride, groups;
} flat_conv;

/* A 2D convolution with bias, padding kernel/2. */
static oq_val emit_conv2d(oq_emitter *e, oq_val name, oq_val x, const flat_conv *c, const char *tensor)
{
	const int64_t shape[4] = {c->out, c->in / c->groups, c->kernel, c->kernel}, stride[3] = {1, c->stride, c->stride};
	const int64_t none[2] = {0, 0}, both[2] = {c->kernel / 2, c->kernel / 2};
	oq_json *node = oq_emit_node(e, "conv", name, &x, 1);
	oq_emit_named(e, node, "weight", oq_name("%s.weight", tensor), 4, shape);
	oq_emit_named(e, node, "bias", oq_name("%s.bias", tensor), 1, shape);
	oq_json *pads = oq_json_add_array(node, "pad");
	oq_emit_check(e, oq_json_add_ints(node, "stride", stride, 3) && oq_json_add_int(node, "groups", c->groups)
		&& oq_json_add_ints(pads, NULL, none, 2) && oq_json_add_ints(pads, NULL, both, 2) && oq_json_add_ints(pads, NULL, both, 2));
	return name;
}

static oq_val emit_norm(oq_emitter *e, oq_val name, oq_val x, int64_t channels, const char *tensor)
{
	oq_val weight = oq_name("%s.weight", tensor), bias = oq_name("%s.bias", tensor);
	return oq_emit_layer_norm(e, name, x, channels, EPS, weight.name, bias.name);
}

/* x += dw(x) */
static oq_val emit_local(oq_emitter *e, const davit *net, oq_val x, const char *block, int which, int64_t channels)
{
	oq_val tensor = oq_name("%s%s.conv%d.fn.dw", net->prefix, block, which);
	const flat_conv c = {channels, channels, 3, 1, channels};
	oq_val y = emit_conv2d(e, oq_name("%s.conv%d", block, which), x, &c, tensor.name);
	return oq_emit_add(e, oq_name("%s.local%d", block, which), y, x);
}

/* x += proj(attention(qkv(LN(x)))) */
static oq_val emit_attention(oq_emitter *e, const davit *net, oq_val x, const char *block, int64_t channels, bool spatial)
{
	const int64_t window[3] = {1, net->window, net->window};
	oq_val tensor = oq_name("%s%s.%s", net->prefix, block, spatial ? "window_attn" : "channel_attn"), name = oq_name("%s.attention", block);
	oq_val norm = oq_name("%s.norm", tensor.name), qkv = oq_name("%s.fn.qkv", tensor.name), proj = oq_name("%s.fn.proj", tensor.name);
	oq_val y = emit_norm(e, oq_name("%s.norm1", block), x, channels, norm.name);
	y = oq_emit_linear(e, oq_name("%s.qkv", block), y, channels, 3 * channels, true, qkv.name);
	oq_json *node = oq_emit_node(e, spatial ? "window_attention" : "channel_attention", name, &y, 1);
	if (spatial) {
		oq_val pad = oq_name("%s.bias", qkv.name);
		oq_emit_check(e, oq_json_add_int(node, "heads", channels / DIM_HEAD) && oq_json_add_ints(node, "window", window, 3)
			&& oq_json_add_number(node, "scale", 1 / sqrt(DIM_HEAD)) && oq_json_add_string(node, "pad", pad.name));
	} else {
		oq_emit_check(e, oq_json_add_int(node, "groups", channels / DIM_HEAD));
	}
	y = oq_emit_linear(e, oq_name("%s.proj", block), name, channels, channels, true, proj.name);
	return oq_emit_add(e, oq_name("%s.attended", block), y, x);
}

static oq_val emit_feed_forward(oq_emitter *e, const davit *net, oq_val x, const char *block, int64_t channels)
{
	oq_val tensor = oq_name("%s%s.ffn", net->prefix, block), norm = oq_name("%s.norm", tensor.name);
	oq_val up = oq_name("%s.fn.net.fc1", tensor.name), down = oq_name("%s.fn.net.fc2", tensor.name);
	oq_val y = emit_norm(e, oq_name("%s.norm2", block), x, channels, norm.name);
	y = oq_emit_linear(e, oq_name("%s.fc1", block), y, channels, 4 * channels, true, up.name);
	y = oq_emit_simple(e, "gelu", oq_name("%s.gelu", block), y);
	y = oq_emit_linear(e, oq_name("%s.fc2", block), y, 4 * channels, channels, true, down.name);
	return oq_emit_add(e, oq_name("%s", block), y, x);
}

static oq_val emit_block(oq_emitter *e, const davit *net, oq_val x, const char *block, int64_t channels, bool spatial)
{
	x = emit_local(e, net, x, block, 1, channels);
	x = emit_attention(e, net, x, block, channels, spatial);
	x = emit_local(e, net, x, block, 2, channels);
	return emit_feed_forward(e, net, x, block, channels);
}

/* The first embedding is normalised after its convolution, the later ones before. */
static oq_val emit_embedding(oq_emitter *e, const davit *net, oq_val x, int stage)
{
	oq_val name = oq_name("convs.%d", stage), tensor = oq_name("%sconvs.%d.proj", net->prefix, stage), norm = oq_name("%sconvs.%d.norm", net->prefix, stage);
	if (stage == 0) {
		const flat_conv first = {3, net->dims[0], 7, 4, 1};
		x = emit_conv2d(e, oq_name("convs.0.proj"), x, &first, tensor.name);
		return emit_norm(e, name, x, net->dims[0], norm.name);
	}
	const flat_conv next = {net->dims[stage - 1], net->dims[stage], 3, 2, 1};
	x = emit_norm(e, oq_name("%s.norm", name.name), x, net->dims[stage - 1], norm.name);
	return emit_conv2d(e, name, x, &next, tensor.name);
}

oq_status oq_arch_davit(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	davit net = {0};
	oq_emitter e;
	OQ_TRY(parse(parameters, where, &net, err));
	const int64_t input[4] = {3, 1, net.size, net.size}, projection[2] = {net.dims[STAGES - 1], net.projection};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	oq_val x = oq_emit_input();
	for (int stage = 0; stage < STAGES; stage++) {
		x = emit_embedding(&e, &net, x, stage);
		for (int64_t b = 0; b < net.depths[stage]; b++)
			for (int spatial = 1; spatial >= 0; spatial--) {
				oq_val block = oq_name("blocks.%d.%lld.%s_block", stage, (long long)b, spatial ? "spatial" : "channel");
				x = emit_block(&e, &net, x, block.name, net.dims[stage], spatial != 0);
			}
	}
	oq_val norm = oq_name("%snorms", net.prefix), projected = oq_name("projected");
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("pooled"), x);
	x = emit_norm(&e, oq_name("norms"), x, net.dims[STAGES - 1], norm.name);
	oq_json *node = oq_emit_node(&e, "linear", projected, &x, 1);
	oq_emit_named(&e, node, "weight", oq_name("image_projection"), 2, projection);
	oq_emit_check(&e, oq_json_add_bool(node, "transposed", true));
	x = oq_emit_simple(&e, "l2_normalize", oq_name("embedding"), projected);
	return oq_emit_close(&e, x, graph);
}
