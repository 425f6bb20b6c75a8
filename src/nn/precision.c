/* Precision is a property of products and of values. Products get theirs from the package or the caller; a value is held in the
 * cheapest type that its producer can write and all its readers can read; a reader that needs another type gets a cast. */
#include "precision.h"

#include "weights.h"

#include "kernel/attention_i8.h"
#include "kernel/linear.h"

#include <stdio.h>
#include <string.h>

#define FEW_CHANNELS 16 /* input channels below which 8 and 16 bits gain nothing: stems */

bool oq_is_product(const oq_node *node)
{
	return node->op == &oq_op_conv || node->op == &oq_op_linear;
}

static const char *const names[] = {[OQ_PRECISION_PACKAGE] = "package", [OQ_PRECISION_F32] = "f32", [OQ_PRECISION_BF16] = "bf16",
	[OQ_PRECISION_F16] = "f16", [OQ_PRECISION_INT8] = "int8"};

/* ---- What is asked for and what can be had ---- */

static oq_status package_precision(const oq_package *package, oq_precision *out, oq_error *err)
{
	const oq_json *quantization = oq_json_get(oq_package_json(package), "quantization");
	const char *name, *where = oq_package_path(package);
	*out = OQ_PRECISION_F32;
	if (!quantization)
		return OQ_OK;
	OQ_TRY(oq_json_need_string(quantization, "precision", where, &name, err));
	for (oq_precision p = OQ_PRECISION_BF16; p <= OQ_PRECISION_INT8; p++)
		if (!strcmp(name, names[p]))
			*out = p;
	if (*out == OQ_PRECISION_F32)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: quantization.precision is \"%s\", expected bf16, f16 or int8", where, name);
	return OQ_OK;
}

static oq_status fall_back(const oq_package *package, bool strict, const char *why, oq_resolution *out, oq_error *err)
{
	if (strict)
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_PRECISION", "%s: %s was asked for strictly, and %s", oq_package_path(package), names[out->asked], why);
	out->used = OQ_PRECISION_F32;
	snprintf(out->why, sizeof out->why, "%s: weights rounded to %s, float32 arithmetic", why, names[out->asked]);
	return OQ_OK;
}

oq_status oq_precision_resolve(const oq_package *package, const oq_nn_options *options, const oq_cpu *cpu, oq_resolution *out, oq_error *err)
{
	oq_precision own;
	OQ_TRY(package_precision(package, &own, err));
	bool strict = options && options->strict;
	*out = (oq_resolution){.asked = options && options->precision ? options->precision : own, .stored = OQ_F32,
		.bytes = oq_linear_supports(OQ_I8, cpu), .bf16 = cpu->avx512_bf16 && !(options && options->wide),
		.own = options ? options->convolution : OQ_CONVOLUTION_AUTO};
	out->convolution = strict ? OQ_CONVOLUTION_DIRECT : out->own;
	out->used = out->asked;
	bool given = options && options->quantization;
	if (out->asked == OQ_PRECISION_INT8 && own != OQ_PRECISION_INT8 && !given)
		return oq_fail(err, OQ_E_USAGE, "E_PRECISION", "%s: is a package for %s; int8 needs one made by `oncoquant quantize`", oq_package_path(package), names[own]);
	if (out->asked != own && own != OQ_PRECISION_F32)
		return oq_fail(err, OQ_E_USAGE, "E_PRECISION", "%s: is a package for %s; %s needs the package it was made from", oq_package_path(package), names[own],
			names[out->asked]);
	if (out->asked == OQ_PRECISION_F16) {
		out->stored = OQ_F16;
		return fall_back(package, strict, "this version has no float16 arithmetic", out, err);
	}
	if (out->asked != OQ_PRECISION_BF16)
		return OQ_OK;
	out->stored = OQ_BF16;
	return cpu->avx512_bf16 ? OQ_OK : fall_back(package, strict, "this processor has no bfloat16 dot product", out, err);
}

/* ---- Products ---- */

bool oq_precision_quantizable(const oq_graph *graph, const oq_node *node)
{
	const oq_attributes *a = &node->attributes;
	return oq_is_product(node) && a->groups == 1 && !a->transposed && node->repeat_in == 1 && graph->values[node->inputs[0]].shape[0] >= FEW_CHANNELS
		&& graph->values[node->output].shape[0] >= FEW_CHANNELS;
}

bool oq_precision_nonnegative(const oq_graph *graph, int value)
{
	const oq_node *node = oq_graph_producer(graph, value);
	if (!node)
		return false;
	if (node->op == &oq_op_relu || (node->activated && node->slope == 0))
		return true;
	return (node->op == &oq_op_max_pool || node->op == &oq_op_avg_pool) && oq_precision_nonnegative(graph, node->inputs[0]);
}

/* Only layers that can be quantised read the value, and it is added to nothing. */
static bool is_private(const oq_graph *graph, int value)
{
	bool all = value != graph->output && !graph->values[value].keep;
	for (int i = 0; i < graph->node_count && all; i++) {
		const oq_node *reader = &graph->nodes[i];
		if (reader->removed)
			continue;
		all = reader->residual != value;
		for (int k = 0; k < reader->input_count; k++)
			all = all && (reader->inputs[k] != value || oq_precision_quantizable(graph, reader));
	}
	return all;
}

bool oq_precision_private_output(const oq_graph *graph, const oq_node *node)
{
	return node->residual < 0 && is_private(graph, node->output);
}

/* How often the graph names a tensor as weight or bias. */
static int uses_of(const oq_graph *graph, const char *tensor)
{
	int uses = 0;
	for (int i = 0; i < graph->node_count; i++) {
		const oq_attributes *a = &graph->nodes[i].attributes;
		uses += (a->weight && !strcmp(a->weight, tensor)) + (a->bias && !strcmp(a->bias, tensor));
	}
	return uses;
}

const oq_node *oq_precision_scalable_norm(const oq_graph *graph, int value)
{
	const oq_node *norm = oq_graph_producer(graph, value);
	if (!norm || norm->op != &oq_op_layer_norm || !norm->attributes.weight || !is_private(graph, value) || uses_of(graph, norm->attributes.weight) != 1)
		return NULL;
	return !norm->attributes.bias || uses_of(graph, norm->attributes.bias) == 1 ? norm : NULL;
}

/* The ranges of a package: "quantization": {"values": {NAME: [scale, zero]}}. */
static oq_status read_ranges(oq_graph *graph, oq_error *err)
{
	const oq_json *values;
	OQ_TRY(oq_json_need_object(oq_json_get(oq_package_json(graph->package), "quantization"), "values", graph->where, &values, err));
	for (const oq_json *entry = oq_json_first(values); entry; entry = oq_json_next(entry)) {
		int value = oq_graph_value(graph, oq_json_key(entry));
		const oq_json *scale = oq_json_first(entry), *zero = scale ? oq_json_next(scale) : NULL;
		double s = scale ? oq_json_number(scale) : 0, z = zero ? oq_json_number(zero) : -1;
		if (value < 0 || !(s > 0 && s < 1e30) || !(z >= 0 && z <= 255) || z != (double)(int)z)
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: quantization.values.%s: expected a value of the graph with [scale above 0, zero of 0 to 255]",
				graph->where, oq_json_key(entry));
		graph->values[value].scale = (float)s;
		graph->values[value].zero = (int32_t)z;
	}
	return OQ_OK;
}

static bool has_codes(const oq_graph *graph, const oq_node *node, const oq_nn_quantization *q)
{
	if (!q)
		return oq_weights_are_codes(graph, node);
	for (int i = 0; i < q->layer_count; i++)
		if (!strcmp(q->layers[i].node, node->name))
			return q->layers[i].codes != NULL;
	return false;
}

static oq_status choose_int8(oq_graph *graph, const oq_nn_quantization *q, oq_error *err)
{
	if (!q)
		OQ_TRY(read_ranges(graph, err));
	for (int i = 0; q && i < q->range_count; i++) {
		int value = oq_graph_value(graph, q->ranges[i].value);
		if (value < 0)
			return oq_fail(err, OQ_E_INTERNAL, "E_GRAPH", "%s: range of %s: not a value of the graph", graph->where, q->ranges[i].value);
		graph->values[value].scale = q->ranges[i].scale;
		graph->values[value].zero = q->ranges[i].zero;
	}
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		if (node->removed || !oq_is_product(node) || !has_codes(graph, node, q))
			continue;
		if (!(graph->values[node->inputs[0]].scale > 0) || !oq_precision_quantizable(graph, node))
			return oq_graph_refuse(graph, node, err, "has 8-bit weights, but its input %s has no range or the layer cannot run in 8 bits",
				graph->values[node->inputs[0]].name);
		node->compute = OQ_I8;
	}
	return OQ_OK;
}

static void choose_bf16(oq_graph *graph, oq_convolution convolution)
{
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		if (!node->removed && node->compute == OQ_F32 && oq_precision_quantizable(graph, node) && !oq_conv_beats_bf16(graph, node, convolution))
			node->compute = OQ_BF16;
	}
}

static void mark_winograd(oq_graph *graph, oq_convolution convolution)
{
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		node->winograd = !node->removed && node->op == &oq_op_conv && oq_conv_is_winograd(graph, node, convolution);
	}
}

/* Gating is done by the kernels of our own, which compute linear layers only. */
static bool can_gate(const oq_node *product, const oq_resolution *resolution)
{
	return product->op == &oq_op_linear && (product->compute == OQ_I8 ? resolution->bytes : resolution->bf16);
}

/* A GELU or a gating that alone reads a narrow product becomes part of it: what is between them would go to memory in float32 only to be
 * read again. */
static void fuse_gelu(oq_graph *graph, const oq_resolution *resolution)
{
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		bool gated = node->op == &oq_op_geglu;
		if (node->removed || (node->op != &oq_op_gelu && !gated))
			continue;
		const oq_value *input = &graph->values[node->inputs[0]];
		oq_node *product = oq_graph_producer(graph, node->inputs[0]);
		if (!product || !oq_is_product(product) || product->compute == OQ_F32 || product->winograd || product->activated || product->residual >= 0
			|| input->uses != 1 || input->keep)
			continue;
		if (gated && !can_gate(product, resolution))
			continue;
		product->gelu = !gated;
		product->gated = gated;
		product->output = node->output;
		node->removed = true;
	}
}

/* ---- Values ---- */

/* The maximum of codes is the code of the maximum. */
static bool passes_bytes(const oq_node *node)
{
	return node->op == &oq_op_max_pool && node->compute == OQ_U8;
}

static bool can_write(const oq_node *node, oq_dtype dtype)
{
	if (dtype == OQ_F32)
		return true;
	if (node && passes_bytes(node))
		return dtype == OQ_U8;
	if (!node || !node->op->typed)
		return false;
	if (!oq_is_product(node))
		return true;
	return node->compute == OQ_I8 ? dtype == OQ_U8 || dtype == OQ_BF16 : node->compute == dtype || (node->winograd && dtype == OQ_BF16);
}

/* The type that a product reads. */
static oq_dtype factor_type(const oq_node *product)
{
	return product->compute == OQ_I8 ? OQ_U8 : product->compute;
}

/* `main`: as a product's factor; else as a shortcut that is added. */
static bool can_read(const oq_node *node, bool main, oq_dtype dtype)
{
	if (passes_bytes(node))
		return dtype == OQ_U8;
	if (!oq_is_product(node))
		return dtype == OQ_F32 || node->op->typed;
	if (main)
		return dtype == factor_type(node) || (node->winograd && dtype == OQ_BF16);
	return dtype == OQ_F32 || (dtype == OQ_BF16 && node->compute == OQ_BF16);
}

static bool all_can_read(const oq_graph *graph, int value, oq_dtype dtype)
{
	for (int i = 0; i < graph->node_count; i++) {
		const oq_node *node = &graph->nodes[i];
		if (node->removed)
			continue;
		for (int k = 0; k < node->input_count; k++)
			if (node->inputs[k] == value && !can_read(node, true, dtype))
				return false;
		if (node->residual == value && !can_read(node, false, dtype))
			return false;
	}
	return true;
}

/* The type of a value in memory. Bytes are for values that only 8-bit products read: a norm could read them, too, but would
 * lose what it needs. */
static oq_dtype choose_type(const oq_graph *graph, int value, oq_dtype narrow)
{
	const oq_value *v = &graph->values[value];
	const oq_node *producer = oq_graph_producer(graph, value);
	bool fits = narrow != OQ_F32 && !v->keep && value != graph->output && can_write(producer, narrow) && all_can_read(graph, value, narrow);
	for (int i = 0; narrow != OQ_F32 && fits && i < graph->node_count; i++) {
		const oq_node *node = &graph->nodes[i];
		fits = node->removed || node->residual != value; /* sums of many layers: what is lost here is lost for good */
		for (int k = 0; k < node->input_count && !node->removed; k++)
			fits = fits && (narrow != OQ_U8 || node->inputs[k] != value || node->compute == OQ_I8 || passes_bytes(node));
	}
	return fits ? narrow : OQ_F32;
}

/* A max pool between a producer of bytes and readers of bytes passes them through: its input takes the range of its result. */
static void pass_bytes(oq_graph *graph)
{
	for (int i = graph->node_count - 1; i >= 0; i--) {
		oq_node *pool = &graph->nodes[i];
		if (pool->removed || pool->op != &oq_op_max_pool)
			continue;
		oq_value *input = &graph->values[pool->inputs[0]], *output = &graph->values[pool->output];
		const oq_node *producer = oq_graph_producer(graph, pool->inputs[0]);
		if (!(output->scale > 0) || input->scale > 0 || input->uses != 1 || !producer)
			continue;
		pool->compute = OQ_U8;
		input->scale = output->scale;
		input->zero = output->zero;
		if (choose_type(graph, pool->output, OQ_U8) == OQ_U8 && choose_type(graph, pool->inputs[0], OQ_U8) == OQ_U8)
			continue;
		pool->compute = OQ_F32;
		input->scale = 0;
	}
}

/* ---- Attention ---- */

/* Bytes where 8-bit layers make queries, keys and values; bfloat16 where they are held so. Unit vectors (cosine attention) are multiplied in float32. */
static oq_dtype attention_type(const oq_graph *graph, const oq_node *node, const oq_resolution *resolution)
{
	const oq_attributes *a = &node->attributes;
	const oq_dtype held = graph->values[node->inputs[0]].dtype;
	bool bytes = resolution->used == OQ_PRECISION_INT8 && a->kernel[0] * a->kernel[1] * a->kernel[2] <= OQ_ATTENTION_I8_MAX_TOKENS, alike = !a->var;
	for (int i = 0; i < node->input_count; i++) {
		const oq_node *producer = oq_graph_producer(graph, node->inputs[i]);
		bytes = bytes && producer && oq_is_product(producer) && producer->compute == OQ_I8;
		alike = alike && graph->values[node->inputs[i]].dtype == held;
	}
	if (!alike)
		return OQ_F32;
	return bytes ? OQ_I8 : held == OQ_BF16 && resolution->bf16 ? OQ_BF16 : OQ_F32;
}

static void choose_attention(oq_graph *graph, const oq_resolution *resolution)
{
	for (int i = 0; i < graph->node_count; i++)
		if (!graph->nodes[i].removed && graph->nodes[i].op == &oq_op_window_attention)
			graph->nodes[i].compute = attention_type(graph, &graph->nodes[i], resolution);
}

/* ---- Casts ---- */

typedef struct rewrite {
	oq_graph *graph;
	oq_node *nodes;   /* the new list */
	int count;
	int *moved;       /* old index -> new index */
	int *cast_of;     /* [value][2] -> its twin in bytes and the one in bfloat16, or -1 */
} rewrite;

static oq_status add_cast(rewrite *r, int value, oq_dtype dtype, oq_error *err)
{
	oq_graph *graph = r->graph;
	const char *name = graph->values[value].name, *suffix = dtype == OQ_U8 ? "u8" : "bf16";
	size_t room = strlen(name) + 8;
	char *own = oq_arena_alloc(&graph->arena, room);
	if (!own)
		return oq_fail_memory(err, graph->where, room);
	snprintf(own, room, "%s@%s", name, suffix);
	int twin = graph->value_count++;
	graph->values[twin] = graph->values[value];
	graph->values[twin].name = own;
	graph->values[twin].keep = false;
	graph->values[twin].dtype = dtype;
	r->cast_of[2 * value + (dtype == OQ_BF16)] = twin;
	r->nodes[r->count++] = (oq_node){.op = &oq_op_cast, .name = own, .inputs = {value}, .input_count = 1, .output = twin, .residual = -1, .repeat_in = 1,
		.slope = 1.0f};
	return OQ_OK;
}

/* Whether some product wants a value as `dtype` that is held in another type. */
static bool is_wanted(const oq_graph *graph, int value, oq_dtype dtype)
{
	bool wanted = false;
	for (int i = 0; i < graph->node_count && graph->values[value].dtype != dtype; i++) {
		const oq_node *node = &graph->nodes[i];
		wanted = wanted || (!node->removed && oq_is_product(node) && node->inputs[0] == value && factor_type(node) == dtype);
	}
	return wanted;
}

static oq_status add_casts(rewrite *r, int value, oq_error *err)
{
	static const oq_dtype types[] = {OQ_U8, OQ_BF16};
	for (int i = 0; i < 2; i++)
		if (is_wanted(r->graph, value, types[i]))
			OQ_TRY(add_cast(r, value, types[i], err));
	return OQ_OK;
}

static oq_status copy_nodes(rewrite *r, oq_error *err)
{
	oq_graph *graph = r->graph;
	OQ_TRY(add_casts(r, graph->input, err));
	for (int i = 0; i < graph->node_count; i++) {
		r->moved[i] = r->count;
		r->nodes[r->count++] = graph->nodes[i];
		if (!graph->nodes[i].removed)
			OQ_TRY(add_casts(r, graph->nodes[i].output, err));
	}
	return OQ_OK;
}

static oq_status insert_casts(oq_graph *graph, oq_error *err)
{
	int values = graph->value_count;
	rewrite r = {.graph = graph, .nodes = oq_calloc((size_t)graph->node_count + 2 * (size_t)values, sizeof *r.nodes),
		.moved = oq_calloc((size_t)graph->node_count, sizeof *r.moved), .cast_of = oq_alloc(2 * (size_t)values * sizeof *r.cast_of)};
	oq_value *roomy = oq_calloc((size_t)values * 3, sizeof *roomy);
	oq_status status = r.nodes && r.moved && r.cast_of && roomy ? OQ_OK : oq_fail_memory(err, graph->where, (size_t)values * sizeof *roomy);
	if (status == OQ_OK) {
		memcpy(roomy, graph->values, (size_t)values * sizeof *roomy);
		oq_value *old = graph->values;
		graph->values = roomy;
		roomy = old;
		for (int i = 0; i < 2 * values; i++)
			r.cast_of[i] = -1;
		status = copy_nodes(&r, err);
	}
	if (status == OQ_OK) {
		for (int i = 0; i < r.count; i++) {
			oq_node *node = &r.nodes[i];
			if (node->folded_norm)
				node->folded_norm = &r.nodes[r.moved[node->folded_norm - graph->nodes]];
			if (oq_is_product(node) && !node->removed && !can_read(node, true, graph->values[node->inputs[0]].dtype))
				node->inputs[0] = r.cast_of[2 * node->inputs[0] + (node->compute == OQ_BF16)];
		}
		oq_node *old = graph->nodes;
		graph->nodes = r.nodes;
		graph->node_count = r.count;
		r.nodes = old;
	}
	oq_free(roomy);
	oq_free(r.nodes);
	oq_free(r.moved);
	oq_free(r.cast_of);
	return status;
}

/* Read as a bfloat16 factor and as nothing else: every reader would round it so anyway. */
static bool is_factor_only(const oq_graph *graph, int value)
{
	bool all = graph->values[value].uses > 0;
	for (int i = 0; i < graph->node_count; i++) {
		const oq_node *node = &graph->nodes[i];
		if (node->removed)
			continue;
		all = all && node->residual != value;
		for (int k = 0; k < node->input_count; k++)
			all = all && (node->inputs[k] != value || (oq_is_product(node) && factor_type(node) == OQ_BF16));
	}
	return all;
}

/* A lookup gives another row of its codebook for the smallest difference: before it every rounding that saves no product is one too many. */
static bool has_lookup(const oq_graph *graph)
{
	bool found = false;
	for (int i = 0; i < graph->node_count; i++)
		found = found || (!graph->nodes[i].removed && graph->nodes[i].op == &oq_op_vq_lookup);
	return found;
}

oq_status oq_precision_assign(oq_graph *graph, const oq_resolution *resolution, const oq_nn_quantization *quantization, oq_error *err)
{
	bool low = resolution->used == OQ_PRECISION_INT8 || resolution->used == OQ_PRECISION_BF16;
	if (resolution->used == OQ_PRECISION_INT8)
		OQ_TRY(choose_int8(graph, quantization, err));
	if (low && resolution->bf16)
		choose_bf16(graph, resolution->convolution);
	if (resolution->used != OQ_PRECISION_INT8) /* where norms write codes, which they alone can */
		mark_winograd(graph, resolution->own);
	if (!low)
		return OQ_OK;
	fuse_gelu(graph, resolution);
	pass_bytes(graph);
	bool lookup = has_lookup(graph);
	for (int v = 0; v < graph->value_count; v++) {
		graph->values[v].dtype = graph->values[v].scale > 0 ? choose_type(graph, v, OQ_U8) : OQ_F32;
		if (graph->values[v].dtype == OQ_F32 && resolution->bf16 && (!lookup || is_factor_only(graph, v)))
			graph->values[v].dtype = choose_type(graph, v, OQ_BF16);
	}
	choose_attention(graph, resolution);
	return insert_casts(graph, err);
}
