/* Ops on grids of tokens: patchify cuts a one-channel volume into blocks and makes each a token; reshape reads the same
 * tokens in the same order as another grid; geglu gates one half of the channels with the GELU of the other. */
#include "op.h"

#include "kernel/token_f32.h"

#include <omp.h>
#include <string.h>

static oq_status parse_patchify(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	(void)graph;
	return oq_json_need_ints(json, "block", node->name, node->attributes.kernel, OQ_SPATIAL, err);
}

static oq_status infer_patchify(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	const int64_t *block = node->attributes.kernel;
	if (input->rank != 4 || input->shape[0] != 1)
		return oq_graph_refuse(graph, node, err, "input %s is not a volume of one channel", input->name);
	output->rank = 4;
	output->shape[0] = 1;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		if (block[axis] < 1 || block[axis] > input->shape[1 + axis] || input->shape[1 + axis] % block[axis])
			return oq_graph_refuse(graph, node, err, "block of %lld does not divide axis %d of %lld", (long long)block[axis], axis,
				(long long)input->shape[1 + axis]);
		output->shape[0] *= block[axis];
		output->shape[1 + axis] = input->shape[1 + axis] / block[axis];
	}
	return OQ_OK;
}

static oq_status run_patchify(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const int64_t *in = oq_step_input(step, 0)->shape, *out = oq_step_output(step)->shape, *block = step->node->attributes.kernel;
	const float *x = oq_run_input(step, run, 0);
	float *y = oq_run_output(step, run);
	for (int64_t d = 0; d < out[1]; d++)
		for (int64_t h = 0; h < out[2]; h++)
			for (int64_t w = 0; w < out[3]; w++)
				for (int64_t z = 0; z < block[0]; z++)
					for (int64_t r = 0; r < block[1]; r++, y += block[2])
						memcpy(y, x + ((d * block[0] + z) * in[2] + h * block[1] + r) * in[3] + w * block[2],
							(size_t)block[2] * sizeof *y);
	return OQ_OK;
}

static oq_status parse_reshape(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	(void)graph;
	return oq_json_need_ints(json, "grid", node->name, node->attributes.kernel, OQ_SPATIAL, err);
}

static oq_status infer_reshape(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	const int64_t *grid = node->attributes.kernel;
	size_t tokens;
	if (input->rank != 4 || !oq_size_product(grid, OQ_SPATIAL, 1, &tokens) || tokens != (size_t)oq_value_voxels(input))
		return oq_graph_refuse(graph, node, err, "its grid does not hold the tokens of input %s", input->name);
	output->rank = 4;
	output->shape[0] = input->shape[0];
	memcpy(output->shape + 1, grid, OQ_SPATIAL * sizeof *grid);
	return OQ_OK;
}

static oq_status run_reshape(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	/* In place unless somebody else still reads the input. */
	if (oq_run_output(step, run) != oq_run_input(step, run, 0))
		memcpy(oq_run_output(step, run), oq_run_input(step, run, 0), oq_step_output(step)->count * sizeof(float));
	return OQ_OK;
}

static oq_status infer_geglu(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->shape[0] % 2)
		return oq_graph_refuse(graph, node, err, "input %s has an odd number of channels (%lld)", input->name, (long long)input->shape[0]);
	output->rank = input->rank;
	memcpy(output->shape, input->shape, sizeof output->shape);
	output->shape[0] /= 2;
	return OQ_OK;
}

/* Buffers for one token per thread. */
static oq_status plan_geglu(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	(void)node;
	(void)err;
	step->scratch_bytes = (size_t)planner->threads * 3 * (size_t)oq_step_output(step)->shape[0] * sizeof(float);
	return OQ_OK;
}

/* value*gelu(gate): the first half of the channels is the value, the second the gate. */
static oq_status run_geglu(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_token_kernels *kernels = oq_token_kernels_for(run->isa);
	int64_t half = oq_step_output(step)->shape[0], tokens = oq_value_voxels(oq_step_output(step));
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), oq_step_input(step, 0)),
		y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
#pragma omp parallel for num_threads(run->threads) if (run->threads > 1)
	for (int64_t t = 0; t < tokens; t++) {
		float *in = (float *)run->scratch + (run->threads > 1 ? omp_get_thread_num() : 0) * 3 * half, *out = in + 2 * half;
		const float *value = oq_typed_read(&x, (size_t)(2 * t * half), 2 * half, in);
		float *to = y.dtype == OQ_F32 ? (float *)y.data + t * half : out;
		kernels->gelu(half, value + half, to);
		for (int64_t c = 0; c < half; c++)
			to[c] *= value[c];
		oq_typed_write(to, half, &y, (size_t)(t * half));
	}
	return OQ_OK;
}

const oq_op oq_op_patchify = {.name = "patchify", .min_inputs = 1, .max_inputs = 1, .parse = parse_patchify, .infer = infer_patchify, .run = run_patchify};
const oq_op oq_op_reshape = {.name = "reshape", .min_inputs = 1, .max_inputs = 1, .in_place = true, .parse = parse_reshape, .infer = infer_reshape,
	.run = run_reshape};
const oq_op oq_op_geglu = {.name = "geglu", .min_inputs = 1, .max_inputs = 1, .typed = true, .infer = infer_geglu, .plan = plan_geglu, .run = run_geglu};
