/* CTViT (CT-CLIP): blocks of the volume become tokens; a spatial transformer over each time step, a temporal one over each
 * place, vector quantisation, mean over the tokens. Kept from the reference: keys and values come from tokens that are not
 * normalised, and the temporal position encoding reads the tokens (h,w,t) as if they lay (t,h,w).
 * Parameters: size, block [t,h,w], dim, depth, heads, codes. */
#include "emit.h"

#define EPS 1e-5
#define DIM_HEAD 32

typedef struct ctvit {
	int64_t size, block[3], grid[3], dim, depth, heads, codes;
} ctvit;

static oq_status parse(const oq_json *p, const char *where, ctvit *net, oq_error *err)
{
	static const char *const known[] = {"size", "block", "dim", "depth", "heads", "codes", NULL};
	OQ_TRY(oq_json_only_keys(p, known, where, err));
	OQ_TRY(oq_json_need_int(p, "size", where, &net->size, err));
	OQ_TRY(oq_json_need_ints(p, "block", where, net->block, 3, err));
	OQ_TRY(oq_json_need_int(p, "dim", where, &net->dim, err));
	OQ_TRY(oq_json_need_int(p, "depth", where, &net->depth, err));
	OQ_TRY(oq_json_need_int(p, "heads", where, &net->heads, err));
	OQ_TRY(oq_json_need_int(p, "codes", where, &net->codes, err));
	bool good = net->size > 0 && net->size <= 512 && net->dim > 0 && net->dim <= 8192 && net->depth > 0 && net->depth <= 64 && net->heads > 0
		&& net->heads <= 64 && net->codes > 0 && net->codes <= 1 << 20;
	for (int i = 0; i < 3; i++) {
		good &= net->block[i] > 0 && net->size % (net->block[i] > 0 ? net->block[i] : 1) == 0;
		net->grid[i] = good ? net->size / net->block[i] : 0;
	}
	return good ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: blocks must divide the size", where);
}

static oq_val emit_reshape(oq_emitter *e, oq_val name, oq_val x, const int64_t grid[3])
{
	oq_emit_check(e, oq_json_add_ints(oq_emit_node(e, "reshape", name, &x, 1), "grid", grid, 3));
	return name;
}

/* Depthwise 3x3x3 with bias; the past only on the first axis. */
static oq_val emit_peg(oq_emitter *e, const ctvit *net, oq_val x, const char *layer)
{
	static const int64_t pads[3][2] = {{2, 0}, {1, 1}, {1, 1}}, ones[3] = {1, 1, 1};
	const int64_t shape[5] = {net->dim, 1, 3, 3, 3};
	oq_val name = oq_name("%s.0", layer);
	oq_json *node = oq_emit_node(e, "conv", name, &x, 1);
	oq_emit_named(e, node, "weight", oq_name("%s.0.dsconv.weight", layer), 5, shape);
	oq_emit_named(e, node, "bias", oq_name("%s.0.dsconv.bias", layer), 1, shape);
	oq_emit_check(e, oq_json_add_ints(node, "stride", ones, 3) && oq_json_add_int(node, "groups", net->dim));
	oq_json *list = oq_json_add_array(node, "pad");
	for (int i = 0; i < 3; i++)
		oq_emit_check(e, oq_json_add_ints(list, NULL, pads[i], 2));
	return name;
}

static oq_val emit_attention(oq_emitter *e, const ctvit *net, oq_val x, const char *layer, const int64_t window[3], bool biased)
{
	const int64_t dim_head = DIM_HEAD, inner = DIM_HEAD * net->heads;
	oq_val gamma = oq_name("%s.1.norm.gamma", layer), beta = oq_name("%s.1.norm.beta", layer), name = oq_name("%s.1.attention", layer);
	oq_val to_q = oq_name("%s.1.to_q", layer), to_kv = oq_name("%s.1.to_kv", layer), to_out = oq_name("%s.1.to_out", layer);
	oq_val normed = oq_emit_layer_norm(e, oq_name("%s.1.norm", layer), x, net->dim, EPS, gamma.name, beta.name);
	const oq_val inputs[2] = {oq_emit_linear(e, to_q, normed, net->dim, inner, false, to_q.name),
		oq_emit_linear(e, to_kv, x, net->dim, 2 * inner, false, to_kv.name)};
	oq_json *node = oq_emit_node(e, "window_attention", name, inputs, 2);
	oq_emit_check(e, oq_json_add_int(node, "heads", net->heads) && oq_json_add_ints(node, "window", window, 3) && oq_json_add_number(node, "scale", 8));
	oq_emit_named(e, node, "q_scale", oq_name("%s.1.q_scale", layer), 1, &dim_head);
	oq_emit_named(e, node, "k_scale", oq_name("%s.1.k_scale", layer), 1, &dim_head);
	if (biased)
		oq_emit_check(e, oq_json_add_string(node, "bias_mlp", "spatial_rel_pos_bias"));
	return oq_emit_linear(e, oq_name("%s.1", layer), name, inner, net->dim, false, to_out.name);
}

static oq_val emit_feed_forward(oq_emitter *e, const ctvit *net, oq_val x, const char *layer)
{
	/* GEGLU keeps two thirds of four times the width. */
	int64_t inner = net->dim * 8 / 3;
	oq_val weight = oq_name("%s.3.0.weight", layer), bias = oq_name("%s.3.0.bias", layer), up = oq_name("%s.3.1", layer), down = oq_name("%s.3.4", layer);
	x = oq_emit_layer_norm(e, oq_name("%s.3.0", layer), x, net->dim, EPS, weight.name, bias.name);
	x = oq_emit_linear(e, up, x, net->dim, 2 * inner, false, up.name);
	x = oq_emit_simple(e, "geglu", oq_name("%s.3.gated", layer), x);
	return oq_emit_linear(e, oq_name("%s.3", layer), x, inner, net->dim, false, down.name);
}

static oq_val emit_layer(oq_emitter *e, const ctvit *net, oq_val x, const char *layer, bool temporal)
{
	const int64_t spatial_window[3] = {1, net->grid[1], net->grid[2]}, temporal_window[3] = {1, 1, net->grid[0]};
	const int64_t places[3] = {net->grid[1], net->grid[2], net->grid[0]};
	oq_val y = x;
	if (temporal)
		y = emit_reshape(e, oq_name("%s.as_time", layer), y, net->grid);
	y = emit_peg(e, net, y, layer);
	if (temporal)
		y = emit_reshape(e, oq_name("%s.as_places", layer), y, places);
	x = oq_emit_add(e, oq_name("%s.encoded", layer), y, x);
	y = emit_attention(e, net, x, layer, temporal ? temporal_window : spatial_window, !temporal);
	x = oq_emit_add(e, oq_name("%s.attended", layer), y, x);
	y = emit_feed_forward(e, net, x, layer);
	return oq_emit_add(e, oq_name("%s.out", layer), y, x);
}

static oq_val emit_transformer(oq_emitter *e, const ctvit *net, oq_val x, const char *prefix, bool temporal)
{
	for (int64_t i = 0; i < net->depth; i++) {
		oq_val layer = oq_name("%s.layers.%lld", prefix, (long long)i);
		x = emit_layer(e, net, x, layer.name, temporal);
	}
	oq_val name = oq_name("%s.norm_out", prefix), gamma = oq_name("%s.gamma", name.name), beta = oq_name("%s.beta", name.name);
	return oq_emit_layer_norm(e, name, x, net->dim, EPS, gamma.name, beta.name);
}

static oq_val emit_tokens(oq_emitter *e, const ctvit *net)
{
	int64_t values = net->block[0] * net->block[1] * net->block[2];
	oq_val patch = oq_emit_input(), blocks = oq_name("blocks");
	oq_emit_check(e, oq_json_add_ints(oq_emit_node(e, "patchify", blocks, &patch, 1), "block", net->block, 3));
	oq_val x = oq_emit_layer_norm(e, oq_name("to_patch_emb.1"), blocks, values, EPS, "to_patch_emb.1.weight", "to_patch_emb.1.bias");
	x = oq_emit_linear(e, oq_name("to_patch_emb.2"), x, values, net->dim, true, "to_patch_emb.2");
	return oq_emit_layer_norm(e, oq_name("to_patch_emb.3"), x, net->dim, EPS, "to_patch_emb.3.weight", "to_patch_emb.3.bias");
}

/* The small network behind the spatial position bias; computed while planning. */
static void emit_bias_tensors(oq_emitter *e, const ctvit *net)
{
	const int64_t first[2] = {net->dim, 2}, second[2] = {net->dim, net->dim}, last[2] = {net->heads, net->dim};
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.0.0.weight", 2, first);
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.0.0.bias", 1, first);
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.1.0.weight", 2, second);
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.1.0.bias", 1, second);
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.2.weight", 2, last);
	oq_emit_tensor(e, "spatial_rel_pos_bias.net.2.bias", 1, last);
}

oq_status oq_arch_ctvit(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	static const int64_t places_first[4] = {0, 2, 3, 1};
	ctvit net = {0};
	oq_emitter e;
	OQ_TRY(parse(parameters, where, &net, err));
	const int64_t input[4] = {1, net.size, net.size, net.size}, codebook[3] = {1, net.codes, net.dim};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	emit_bias_tensors(&e, &net);
	oq_val x = emit_tokens(&e, &net), turned = oq_name("places");
	x = emit_transformer(&e, &net, x, "enc_spatial_transformer", false);
	oq_emit_check(&e, oq_json_add_ints(oq_emit_node(&e, "permute", turned, &x, 1), "perm", places_first, 4));
	x = emit_transformer(&e, &net, turned, "enc_temporal_transformer", true);
	oq_val codes = oq_name("vq");
	oq_emit_named(&e, oq_emit_node(&e, "vq_lookup", codes, &x, 1), "codebook", oq_name("vq._codebook.embed"), 3, codebook);
	x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), codes);
	return oq_emit_close(&e, x, graph);
}
