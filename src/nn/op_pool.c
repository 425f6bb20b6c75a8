/* Pooling: windows (max, average) and the mean over a whole volume. */
#include "op.h"

#include "kernel/simple.h"

#include <string.h>

static oq_status parse_pool(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	return oq_window_parse(graph, node, json, true, err);
}

static oq_status infer_pool(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->rank != 4)
		return oq_graph_refuse(graph, node, err, "input %s has rank %d, expected 4 (C,D,H,W)", input->name, input->rank);
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		if (a->dilation[axis] != 1 || a->pad_low[axis] >= a->kernel[axis] || a->pad_high[axis] >= a->kernel[axis])
			return oq_graph_refuse(graph, node, err, "is dilated or padded by a whole window on axis %d", axis);
	output->rank = 4;
	output->shape[0] = input->shape[0];
	return oq_window_infer(graph, node, input->shape + 1, output->shape + 1, err);
}

static oq_pool_shape shape_of(const oq_step *step)
{
	const oq_attributes *a = &step->node->attributes;
	oq_pool_shape shape = {.channels = oq_step_input(step, 0)->shape[0]};
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		shape.in[axis] = oq_step_input(step, 0)->shape[1 + axis];
		shape.out[axis] = oq_step_output(step)->shape[1 + axis];
		shape.kernel[axis] = a->kernel[axis];
		shape.stride[axis] = a->stride[axis];
		shape.pad_low[axis] = a->pad_low[axis];
	}
	return shape;
}

static oq_status run_max_pool(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_pool_shape shape = shape_of(step);
	if (oq_step_input(step, 0)->dtype == OQ_U8) {
		oq_max_pool_u8(&shape, (const uint8_t *)oq_run_input(step, run, 0), (uint8_t *)oq_run_output(step, run), run->threads);
		return OQ_OK;
	}
	oq_max_pool(&shape, oq_run_input(step, run, 0), oq_run_output(step, run), run->threads);
	return OQ_OK;
}

static oq_status run_avg_pool(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_pool_shape shape = shape_of(step);
	oq_avg_pool(&shape, oq_run_input(step, run, 0), oq_run_output(step, run), run->threads);
	return OQ_OK;
}

static oq_status infer_global(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->rank != 4)
		return oq_graph_refuse(graph, node, err, "input %s has rank %d, expected 4 (C,D,H,W)", input->name, input->rank);
	output->rank = 1;
	output->shape[0] = input->shape[0];
	return OQ_OK;
}

static oq_status run_global(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_value *input = oq_step_input(step, 0);
	oq_global_avg_pool(oq_value_voxels(input), input->shape[0], oq_run_input(step, run, 0), oq_run_output(step, run), run->threads);
	return OQ_OK;
}

const oq_op oq_op_max_pool = {.name = "max_pool", .min_inputs = 1, .max_inputs = 1, .parse = parse_pool, .infer = infer_pool, .run = run_max_pool,
	.reach = oq_window_reach};
const oq_op oq_op_avg_pool = {.name = "avg_pool", .min_inputs = 1, .max_inputs = 1, .parse = parse_pool, .infer = infer_pool, .run = run_avg_pool,
	.reach = oq_window_reach};
const oq_op oq_op_global_avg_pool = {.name = "global_avg_pool", .min_inputs = 1, .max_inputs = 1, .infer = infer_global, .run = run_global};
