/* Norms into the Winograd convolutions around them, after every value has its type: the convolution before an instance norm also sums up
 * mean and variance, so that the norm takes one pass instead of two; the convolution behind a norm that nobody else reads applies
 * it, with its activation, as it loads tiles, so that it takes none. Values that are kept, added elsewhere or read by several stay. */
#include "op.h"

#include <stdio.h>
#include <string.h>

/* The one node that reads a value, as its first input; NULL when there are others, or when it must stay readable. */
static oq_node *only_reader(const oq_graph *graph, int value)
{
	oq_node *reader = NULL;
	int reads = graph->values[value].keep || value == graph->output;
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		if (node->removed)
			continue;
		reads += node->residual == value;
		for (int k = 0; k < node->input_count; k++)
			reads += node->inputs[k] == value;
		reader = node->inputs[0] == value ? node : reader;
	}
	return reads == 1 ? reader : NULL;
}

/* A value of [2*C] for scale and shift of `norm`. */
static oq_status add_affine(oq_graph *graph, const oq_node *norm, int *out, oq_error *err)
{
	const char *name = graph->values[norm->output].name;
	size_t room = strlen(name) + 8;
	char *own = oq_arena_alloc(&graph->arena, room);
	if (!own)
		return oq_fail_memory(err, graph->where, room);
	snprintf(own, room, "%s@affine", name);
	int64_t count = 2 * graph->values[norm->output].shape[0];
	*out = graph->value_count++;
	graph->values[*out] = (oq_value){.name = own, .rank = 1, .shape = {count}, .count = (size_t)count, .uses = 1};
	return OQ_OK;
}

/* The convolution sums up what the norm needs; it still applies it. */
static oq_status leave(oq_graph *graph, oq_node *conv, oq_node *norm, oq_error *err)
{
	OQ_TRY(add_affine(graph, norm, &conv->affine, err));
	conv->exit_norm = norm;
	norm->inputs[norm->input_count++] = conv->affine;
	return OQ_OK;
}

/* The convolution applies the norm. One that has to find its statistics itself stays for that. */
static oq_status enter(oq_graph *graph, oq_node *norm, oq_node *conv, oq_error *err)
{
	conv->entry_norm = norm;
	conv->inputs[0] = norm->inputs[0];
	conv->inputs[1] = norm->inputs[1];
	conv->input_count = norm->input_count;
	norm->removed = true;
	if (norm->op == &oq_op_batch_norm || norm->input_count > 1)
		return OQ_OK;
	norm->removed = false;
	OQ_TRY(add_affine(graph, norm, &norm->output, err));
	conv->inputs[conv->input_count++] = norm->output;
	return OQ_OK;
}

static oq_status fuse_norm(oq_graph *graph, oq_node *norm, oq_error *err)
{
	oq_node *before = oq_graph_producer(graph, norm->inputs[0]), *behind = only_reader(graph, norm->output);
	bool sums = norm->op == &oq_op_instance_norm && before && before->winograd && !before->activated && only_reader(graph, norm->inputs[0]) == norm;
	if (sums)
		OQ_TRY(leave(graph, before, norm, err));
	return behind && behind->winograd ? enter(graph, norm, behind, err) : OQ_OK;
}

oq_status oq_graph_fuse_norms(oq_graph *graph, oq_error *err)
{
	size_t roomy = (size_t)graph->value_count + (size_t)graph->node_count;
	oq_value *values = oq_calloc(roomy, sizeof *values);
	if (!values)
		return oq_fail_memory(err, graph->where, roomy * sizeof *values);
	memcpy(values, graph->values, (size_t)graph->value_count * sizeof *values);
	oq_free(graph->values);
	graph->values = values;
	for (int i = 0; i < graph->node_count; i++) {
		oq_node *node = &graph->nodes[i];
		if (!node->removed && (node->op == &oq_op_instance_norm || node->op == &oq_op_batch_norm))
			OQ_TRY(fuse_norm(graph, node, err));
	}
	return OQ_OK;
}
