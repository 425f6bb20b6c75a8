/* Parsing and checking of graphs. Refuses unknown ops and attributes, names used twice or before they exist, shapes that do
 * not fit, tensors that are missing or of another shape. Nothing is allocated for activations here. */
#include "op.h"

#include <stdio.h>
#include <string.h>

#define MAX_NODES 20000
#define MAX_VALUE_COUNT ((size_t)1 << 31)

static const oq_op *const op_table[] = {
	&oq_op_conv, &oq_op_linear, &oq_op_batch_norm, &oq_op_instance_norm, &oq_op_relu, &oq_op_leaky_relu, &oq_op_add,
	&oq_op_concat, &oq_op_max_pool, &oq_op_avg_pool, &oq_op_global_avg_pool, &oq_op_l2_normalize, &oq_op_permute, &oq_op_flatten,
	&oq_op_layer_norm, &oq_op_gelu, &oq_op_patch_merge, &oq_op_window_attention, &oq_op_vq_lookup, &oq_op_patchify,
	&oq_op_reshape, &oq_op_geglu, &oq_op_channel_attention,
};

const oq_op *oq_op_find(const char *name)
{
	for (size_t i = 0; i < sizeof op_table / sizeof *op_table; i++)
		if (!strcmp(op_table[i]->name, name))
			return op_table[i];
	return NULL;
}

oq_status oq_graph_refuse(const oq_graph *graph, const oq_node *node, oq_error *err, const char *format, ...)
{
	char text[512];
	va_list args;
	va_start(args, format);
	vsnprintf(text, sizeof text, format, args);
	va_end(args);
	return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: node %s (%s): %s", graph->where, node->name ? node->name : "?",
		node->op ? node->op->name : "?", text);
}

oq_node *oq_graph_producer(const oq_graph *graph, int value)
{
	for (int i = 0; i < graph->node_count; i++)
		if (!graph->nodes[i].removed && graph->nodes[i].output == value)
			return &graph->nodes[i];
	return NULL;
}

int oq_graph_value(const oq_graph *graph, const char *name)
{
	/* Newest first: most nodes read what was just made. */
	for (int i = graph->value_count - 1; i >= 0; i--)
		if (!strcmp(graph->values[i].name, name))
			return i;
	return -1;
}

oq_status oq_graph_check_tensor(const oq_graph *graph, const oq_node *node, const char *tensor, int rank, const int64_t *shape, oq_error *err)
{
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), tensor);
	if (!info)
		return oq_graph_refuse(graph, node, err, "tensor %s is not in the weights", tensor);
	bool same = info->rank == rank;
	for (int i = 0; same && i < rank; i++)
		same = info->shape[i] == shape[i];
	if (same)
		return OQ_OK;
	char is[128] = "", expected[128] = "";
	for (int i = 0; i < info->rank; i++)
		snprintf(is + strlen(is), sizeof is - strlen(is), "%s%lld", i ? "," : "", (long long)info->shape[i]);
	for (int i = 0; i < rank; i++)
		snprintf(expected + strlen(expected), sizeof expected - strlen(expected), "%s%lld", i ? "," : "", (long long)shape[i]);
	return oq_graph_refuse(graph, node, err, "tensor %s is [%s], expected [%s]", tensor, is, expected);
}

static oq_status add_value(oq_graph *graph, const char *name, int *index, oq_error *err)
{
	if (!name[0] || oq_graph_value(graph, name) >= 0)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: graph: the name \"%s\" is empty or used twice", graph->where, name);
	char *copy = oq_arena_strdup(&graph->arena, name);
	if (!copy)
		return oq_fail_memory(err, graph->where, strlen(name));
	*index = graph->value_count++;
	graph->values[*index] = (oq_value){.name = copy};
	return OQ_OK;
}

static oq_status set_count(const oq_graph *graph, oq_value *value, oq_error *err)
{
	size_t count;
	bool fits = oq_size_product(value->shape, value->rank, 1, &count) && count > 0 && count <= MAX_VALUE_COUNT;
	if (!fits)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: value %s: its shape has no or too many elements", graph->where, value->name);
	value->count = count;
	return OQ_OK;
}

static oq_status parse_input(oq_graph *graph, const oq_json *json, oq_error *err)
{
	const oq_json *inputs, *input;
	OQ_TRY(oq_json_need_array(json, "inputs", "graph", &inputs, err));
	input = oq_json_first(inputs);
	if (oq_json_count(inputs) != 1 || !oq_json_is_object(input))
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: graph.inputs: has %d entries, expected one object", graph->where, oq_json_count(inputs));
	const char *name;
	OQ_TRY(oq_json_need_string(input, "name", "graph.inputs[0]", &name, err));
	OQ_TRY(add_value(graph, name, &graph->input, err));
	oq_value *value = &graph->values[graph->input];
	value->rank = 4;
	OQ_TRY(oq_json_need_ints(input, "shape", "graph.inputs[0]", value->shape, 4, err));
	return set_count(graph, value, err);
}

static oq_status parse_node_inputs(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	const oq_json *inputs;
	OQ_TRY(oq_json_need_array(json, "in", node->name, &inputs, err));
	int count = oq_json_count(inputs);
	if (count < node->op->min_inputs || count > node->op->max_inputs)
		return oq_graph_refuse(graph, node, err, "has %d inputs, expected %d to %d", count, node->op->min_inputs, node->op->max_inputs);
	for (const oq_json *input = oq_json_first(inputs); input; input = oq_json_next(input)) {
		const char *name = oq_json_string(input);
		int value = name ? oq_graph_value(graph, name) : -1;
		if (value < 0)
			return oq_graph_refuse(graph, node, err, "input %s is not a value made before it", name ? name : "(not a string)");
		node->inputs[node->input_count++] = value;
		graph->values[value].uses++;
	}
	return OQ_OK;
}

static oq_status parse_node(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	const char *op_name, *name;
	OQ_TRY(oq_json_need_string(json, "name", "graph.nodes", &name, err));
	if (!(node->name = oq_arena_strdup(&graph->arena, name)))
		return oq_fail_memory(err, graph->where, strlen(name));
	OQ_TRY(oq_json_need_string(json, "op", name, &op_name, err));
	node->op = oq_op_find(op_name);
	if (!node->op)
		return oq_graph_refuse(graph, node, err, "op \"%s\" is unknown to this version", op_name);
	node->residual = -1;
	node->repeat_in = 1;
	node->slope = 1.0f;
	OQ_TRY(parse_node_inputs(graph, node, json, err));
	if (node->op->parse)
		OQ_TRY(node->op->parse(graph, node, json, err));
	OQ_TRY(add_value(graph, name, &node->output, err));
	oq_value *output = &graph->values[node->output];
	OQ_TRY(node->op->infer(graph, node, output, err));
	return set_count(graph, output, err);
}

static oq_status parse_output(oq_graph *graph, const oq_json *json, oq_error *err)
{
	const oq_json *outputs;
	OQ_TRY(oq_json_need_array(json, "outputs", "graph", &outputs, err));
	const char *name = oq_json_count(outputs) == 1 ? oq_json_string(oq_json_first(outputs)) : NULL;
	graph->output = name ? oq_graph_value(graph, name) : -1;
	if (graph->output < 0)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: graph.outputs: expected the name of one value of the graph", graph->where);
	oq_value *output = &graph->values[graph->output];
	if (output->rank != 1)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: output %s: has rank %d, expected a vector", graph->where, output->name, output->rank);
	output->uses++;
	return OQ_OK;
}

oq_status oq_graph_parse(const oq_package *package, const char *const *keep, oq_graph *graph, oq_error *err)
{
	const oq_json *json, *nodes;
	*graph = (oq_graph){.where = oq_package_path(package), .package = package};
	OQ_TRY(oq_json_need_object(oq_package_json(package), "graph", graph->where, &json, err));
	OQ_TRY(oq_json_need_array(json, "nodes", "graph", &nodes, err));
	int count = oq_json_count(nodes);
	if (count < 1 || count > MAX_NODES)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: graph.nodes: has %d nodes, expected 1 to %d", graph->where, count, MAX_NODES);
	graph->nodes = oq_calloc((size_t)count, sizeof *graph->nodes);
	graph->values = oq_calloc((size_t)count + 1, sizeof *graph->values);
	if (!graph->nodes || !graph->values)
		return oq_fail_memory(err, graph->where, (size_t)count * sizeof *graph->nodes);
	OQ_TRY(parse_input(graph, json, err));
	for (const oq_json *node = oq_json_first(nodes); node; node = oq_json_next(node))
		OQ_TRY(parse_node(graph, &graph->nodes[graph->node_count++], node, err));
	OQ_TRY(parse_output(graph, json, err));
	for (; keep && *keep; keep++) {
		int value = oq_graph_value(graph, *keep);
		if (value < 0)
			return oq_fail(err, OQ_E_USAGE, "E_KEEP", "%s: value %s: asked to be kept, but not in the graph", graph->where, *keep);
		graph->values[value].keep = true;
	}
	return OQ_OK;
}

void oq_graph_free(oq_graph *graph)
{
	oq_free(graph->nodes);
	oq_free(graph->values);
	oq_arena_free(&graph->arena);
	*graph = (oq_graph){0};
}
