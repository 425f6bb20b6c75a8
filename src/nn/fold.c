/* Rewriting: fewer passes over memory, same mathematics. Each rule looks at one node and its only consumer; a value that is
 * kept or read elsewhere is never folded away. Order of the rules: batch norm first (it becomes part of weights), then the
 * addition of a shortcut, then the activation, because a convolution applies them in that order. */
#include "op.h"

/* Producer of a value that only one node reads, that must not stay readable, and that is nobody's activated result yet. */
static oq_node *foldable_producer(const oq_graph *graph, int value)
{
	const oq_value *v = &graph->values[value];
	oq_node *node = v->uses == 1 && !v->keep && value != graph->output ? oq_graph_producer(graph, value) : NULL;
	return node && !node->activated ? node : NULL;
}

static bool is_product(const oq_node *node)
{
	return node->op == &oq_op_conv || node->op == &oq_op_linear;
}

/* `node` disappears; `producer` makes its output. */
static void absorb(oq_node *producer, oq_node *node)
{
	producer->output = node->output;
	node->removed = true;
}

static void fold_batch_norm(oq_graph *graph, oq_node *node)
{
	oq_node *producer = foldable_producer(graph, node->inputs[0]);
	if (!producer || !is_product(producer) || producer->folded_norm || producer->residual >= 0)
		return;
	producer->folded_norm = node;
	absorb(producer, node);
}

/* A concatenation of one single-channel value with itself, read by convolutions only: their weights are summed instead. */
static void fold_repeat(oq_graph *graph, oq_node *node)
{
	for (int i = 1; i < node->input_count; i++)
		if (node->inputs[i] != node->inputs[0])
			return;
	if (node->input_count < 2 || graph->values[node->inputs[0]].shape[0] != 1 || graph->values[node->output].keep)
		return;
	oq_node *reader = NULL;
	for (int i = 0; i < graph->node_count; i++)
		for (int k = 0; k < graph->nodes[i].input_count; k++)
			if (!graph->nodes[i].removed && graph->nodes[i].inputs[k] == node->output)
				reader = &graph->nodes[i];
	if (!reader || reader->op != &oq_op_conv || graph->values[node->output].uses != 1 || reader->attributes.groups != 1)
		return;
	reader->repeat_in = node->input_count;
	reader->inputs[0] = node->inputs[0];
	graph->values[node->inputs[0]].uses = graph->values[node->inputs[0]].uses - node->input_count + 1;
	node->removed = true;
}

/* conv + shortcut: the convolution must come after whatever makes the shortcut, so the later producer of the two takes it. */
static void fold_add(oq_graph *graph, oq_node *node)
{
	for (int side = 1; side >= 0; side--) {
		int own = node->inputs[side], other = node->inputs[1 - side];
		oq_node *producer = foldable_producer(graph, own);
		const oq_node *shortcut = oq_graph_producer(graph, other);
		if (own == other || !producer || !is_product(producer) || producer->residual >= 0 || (shortcut && shortcut > producer))
			continue;
		producer->residual = other;
		absorb(producer, node);
		return;
	}
}

static void fold_activation(oq_graph *graph, oq_node *node)
{
	oq_node *producer = foldable_producer(graph, node->inputs[0]);
	bool takes_it = producer && (is_product(producer) || producer->op == &oq_op_batch_norm || producer->op == &oq_op_instance_norm
		|| producer->op == &oq_op_add);
	if (!takes_it)
		return;
	producer->activated = true;
	producer->slope = node->attributes.slope;
	absorb(producer, node);
}

void oq_graph_fold(oq_graph *graph)
{
	static const struct {
		const oq_op *op;
		void (*rule)(oq_graph *graph, oq_node *node);
	} rules[] = {
		{&oq_op_concat, fold_repeat}, {&oq_op_batch_norm, fold_batch_norm}, {&oq_op_add, fold_add},
		{&oq_op_relu, fold_activation}, {&oq_op_leaky_relu, fold_activation},
	};
	for (size_t r = 0; r < sizeof rules / sizeof *rules; r++)
		for (int i = 0; i < graph->node_count; i++)
			if (graph->nodes[i].op == rules[r].op && !graph->nodes[i].removed)
				rules[r].rule(graph, &graph->nodes[i]);
}
