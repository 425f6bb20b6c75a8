/* Inflated ResNet (I3ResNet; Merlin's image encoder, astra): the patch is turned depth first, its channel repeated three
 * times, stem (3,7,7) of stride (1,2,2), max pool, four bottleneck stages, mean; then Merlin's contrastive head and L2 norm,
 * or the mean-pooled features themselves.
 * Parameters: size, depths [4], tensor_prefix, head: outputs of the contrastive head (0 = none), perm [4]. */
#include "emit.h"

#define PLANES 64

typedef struct i3resnet {
	int64_t size, head, perm[4];
	const char *prefix;
	oq_bottlenecks stages;
} i3resnet;

static oq_status parse(const oq_json *p, const char *where, i3resnet *net, oq_error *err)
{
	static const char *const known[] = {"size", "depths", "tensor_prefix", "head", "perm", NULL};
	OQ_TRY(oq_json_only_keys(p, known, where, err));
	OQ_TRY(oq_json_need_int(p, "size", where, &net->size, err));
	OQ_TRY(oq_json_need_int(p, "head", where, &net->head, err));
	OQ_TRY(oq_json_need_ints(p, "perm", where, net->perm, 4, err));
	OQ_TRY(oq_json_need_string(p, "tensor_prefix", where, &net->prefix, err));
	OQ_TRY(oq_json_need_ints(p, "depths", where, net->stages.depths, 4, err));
	if (net->size < 8 || net->size > 512 || net->head < 0 || net->head > 65536)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: parameters out of range: size 8 to 512, head 0 to 65536", where);
	net->stages.planes = PLANES;
	net->stages.tensor = net->prefix;
	net->stages.stage = "";
	return OQ_OK;
}

static oq_val emit_head(oq_emitter *e, const i3resnet *net, oq_val x)
{
	/* A 1x1x1 convolution in the checkpoint; on the one voxel that the mean leaves it is a linear layer. */
	const int64_t shape[5] = {net->head, 32 * PLANES, 1, 1, 1};
	oq_val weight = oq_name("%scontrastive_head.weight", net->prefix), bias = oq_name("%scontrastive_head.bias", net->prefix);
	x = oq_emit_simple(e, "global_avg_pool", oq_name("avgpool"), x);
	oq_json *node = oq_emit_node(e, "linear", oq_name("contrastive_head"), &x, 1);
	oq_emit_check(e, oq_json_add_string(node, "weight", weight.name) && oq_json_add_string(node, "bias", bias.name));
	oq_emit_tensor(e, weight.name, 5, shape);
	oq_emit_tensor(e, bias.name, 1, shape);
	return oq_name("contrastive_head");
}

oq_status oq_arch_i3resnet(const oq_json *parameters, const char *where, oq_json **graph, oq_error *err)
{
	i3resnet net = {0};
	oq_emitter e;
	OQ_TRY(parse(parameters, where, &net, err));
	const int64_t input[4] = {1, net.size, net.size, net.size};
	OQ_TRY(oq_emit_open(&e, where, input, err));
	oq_val patch = oq_emit_input(), turned = oq_name("depth_first");
	oq_emit_check(&e, oq_json_add_ints(oq_emit_node(&e, "permute", turned, &patch, 1), "perm", net.perm, 4));
	const oq_val copies[3] = {turned, turned, turned};
	oq_emit_node(&e, "concat", oq_name("three_channels"), copies, 3);
	oq_val conv = oq_name("%sconv1", net.prefix), norm = oq_name("%sbn1", net.prefix);
	const oq_conv_args stem = {.in = 3, .out = PLANES, .kernel = {3, 7, 7}, .stride = {1, 2, 2}, .pad = {1, 3, 3}, .weight = conv.name};
	oq_val x = oq_emit_conv(&e, oq_name("conv1"), oq_name("three_channels"), &stem);
	x = oq_emit_batch_norm(&e, oq_name("bn1"), x, PLANES, 1e-5, norm.name);
	x = oq_emit_simple(&e, "relu", oq_name("relu"), x);
	x = oq_emit_pool(&e, "max_pool", oq_name("maxpool"), x, 3, 2, 1);
	x = oq_emit_bottlenecks(&e, x, &net.stages);
	if (net.head) {
		x = emit_head(&e, &net, x);
		x = oq_emit_simple(&e, "l2_normalize", oq_name("embedding"), x);
	} else {
		x = oq_emit_simple(&e, "global_avg_pool", oq_name("embedding"), x);
	}
	return oq_emit_close(&e, x, graph);
}
