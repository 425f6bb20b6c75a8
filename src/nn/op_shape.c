/* Ops that move or combine values without weights: add, concat, permute, flatten. */
#include "op.h"

#include "kernel/simple.h"

#include <string.h>

void oq_same_reach(const oq_step *step, const oq_box *in, oq_box *out)
{
	(void)step;
	*out = *in;
}

static oq_status infer_same(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *first = &graph->values[node->inputs[0]];
	for (int i = 1; i < node->input_count; i++) {
		const oq_value *other = &graph->values[node->inputs[i]];
		if (other->rank != first->rank || memcmp(other->shape, first->shape, sizeof first->shape))
			return oq_graph_refuse(graph, node, err, "inputs %s and %s have different shapes", first->name, other->name);
	}
	output->rank = first->rank;
	memcpy(output->shape, first->shape, sizeof output->shape);
	return OQ_OK;
}

static oq_status need_volume(const oq_graph *graph, const oq_node *node, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->rank != 4)
		return oq_graph_refuse(graph, node, err, "input %s has rank %d, expected 4 (C,D,H,W)", input->name, input->rank);
	return OQ_OK;
}

static oq_status run_add(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	float slope = step->node->activated ? step->node->slope : 1.0f;
	oq_add_act(oq_step_output(step)->count, oq_run_input(step, run, 0), oq_run_input(step, run, 1), slope, oq_run_output(step, run),
		run->threads);
	return OQ_OK;
}

static oq_status infer_concat(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	OQ_TRY(need_volume(graph, node, err));
	const oq_value *first = &graph->values[node->inputs[0]];
	output->rank = 4;
	memcpy(output->shape, first->shape, sizeof output->shape);
	for (int i = 1; i < node->input_count; i++) {
		const oq_value *other = &graph->values[node->inputs[i]];
		if (other->rank != 4 || memcmp(other->shape + 1, first->shape + 1, OQ_SPATIAL * sizeof *first->shape))
			return oq_graph_refuse(graph, node, err, "inputs %s and %s differ outside the channel axis", first->name, other->name);
		output->shape[0] += other->shape[0];
	}
	return OQ_OK;
}

static oq_status run_concat(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	int64_t voxels = oq_value_voxels(oq_step_output(step)), channels = oq_step_output(step)->shape[0], at = 0;
	float *out = oq_run_output(step, run);
	for (int i = 0; i < step->node->input_count; i++) {
		int64_t own = oq_step_input(step, i)->shape[0];
		const float *in = oq_run_input(step, run, i);
		for (int64_t v = 0; v < voxels; v++)
			memcpy(out + v * channels + at, in + v * own, (size_t)own * sizeof *out);
		at += own;
	}
	return OQ_OK;
}

static oq_status parse_permute(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	int64_t *perm = node->attributes.perm;
	OQ_TRY(oq_json_need_ints(json, "perm", node->name, perm, 4, err));
	int seen = 0;
	for (int i = 0; i < 4; i++)
		seen |= perm[i] >= 0 && perm[i] < 4 ? 1 << perm[i] : 0;
	return seen == 15 ? OQ_OK : oq_graph_refuse(graph, node, err, "perm is not a permutation of 0 to 3");
}

static oq_status infer_permute(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	OQ_TRY(need_volume(graph, node, err));
	output->rank = 4;
	for (int i = 0; i < 4; i++)
		output->shape[i] = graph->values[node->inputs[0]].shape[node->attributes.perm[i]];
	return OQ_OK;
}

static oq_status run_permute(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const int64_t *in = oq_step_input(step, 0)->shape, *out = oq_step_output(step)->shape;
	/* Strides of the logical axes C,D,H,W in channels-last memory. */
	const int64_t source[4] = {1, in[2] * in[3] * in[0], in[3] * in[0], in[0]};
	int64_t stride[4];
	for (int i = 0; i < 4; i++)
		stride[i] = source[step->node->attributes.perm[i]];
	const float *x = oq_run_input(step, run, 0);
	float *y = oq_run_output(step, run);
	for (int64_t d = 0; d < out[1]; d++)
		for (int64_t h = 0; h < out[2]; h++)
			for (int64_t w = 0; w < out[3]; w++)
				for (int64_t c = 0; c < out[0]; c++)
					*y++ = x[d * stride[1] + h * stride[2] + w * stride[3] + c * stride[0]];
	return OQ_OK;
}

static void permute_reach(const oq_step *step, const oq_box *in, oq_box *out)
{
	const int64_t *perm = step->node->attributes.perm;
	for (int i = 0; i < OQ_SPATIAL && perm[0] == 0; i++) {
		out->low[i] = in->low[perm[1 + i] - 1];
		out->high[i] = in->high[perm[1 + i] - 1];
	}
}

static oq_status infer_flatten(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	OQ_TRY(need_volume(graph, node, err));
	output->rank = 1;
	output->shape[0] = (int64_t)graph->values[node->inputs[0]].count;
	return OQ_OK;
}

static oq_status run_flatten(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	/* Row-major order of the logical shape: channels outermost. */
	oq_channels_first(oq_step_input(step, 0)->shape[0], oq_value_voxels(oq_step_input(step, 0)), oq_run_input(step, run, 0),
		oq_run_output(step, run));
	return OQ_OK;
}

const oq_op oq_op_add = {.name = "add", .min_inputs = 2, .max_inputs = 2, .in_place = true, .infer = infer_same, .run = run_add,
	.reach = oq_same_reach};
const oq_op oq_op_concat = {.name = "concat", .min_inputs = 1, .max_inputs = OQ_MAX_INPUTS, .infer = infer_concat, .run = run_concat,
	.reach = oq_same_reach};
const oq_op oq_op_permute = {.name = "permute", .min_inputs = 1, .max_inputs = 1, .parse = parse_permute, .infer = infer_permute, .run = run_permute,
	.reach = permute_reach};
const oq_op oq_op_flatten = {.name = "flatten", .min_inputs = 1, .max_inputs = 1, .infer = infer_flatten, .run = run_flatten};
