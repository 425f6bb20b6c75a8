/* Ops of transformers that work on one token (voxel) at a time: layer norm over channels, GELU; and patch_merge, which
 * gathers the eight (or four) voxels of a block into the channels of one. */
#include "op.h"

#include "kernel/token_f32.h"

#include <omp.h>
#include <string.h>

typedef struct token_state {
	float *weight, *bias; /* [C] or NULL */
} token_state;

static oq_status parse_layer_norm(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	OQ_TRY(oq_node_tensor(graph, node, json, "weight", false, &a->weight, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias", false, &a->bias, err));
	OQ_TRY(oq_json_need_number(json, "eps", node->name, &a->eps, err));
	return a->eps > 0 && a->eps < 1 ? OQ_OK : oq_graph_refuse(graph, node, err, "eps is %g, expected more than 0 and less than 1", a->eps);
}

static oq_status infer_token(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	output->rank = input->rank;
	memcpy(output->shape, input->shape, sizeof output->shape);
	if (node->attributes.weight)
		OQ_TRY(oq_graph_check_tensor(graph, node, node->attributes.weight, 1, input->shape, err));
	if (node->attributes.bias)
		OQ_TRY(oq_graph_check_tensor(graph, node, node->attributes.bias, 1, input->shape, err));
	return OQ_OK;
}

const float *oq_nn_vector_find(const oq_nn_vector *vectors, int count, const char *tensor)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(vectors[i].tensor, tensor))
			return vectors[i].values;
	return NULL;
}

static oq_status read_optional(const oq_planner *planner, const char *tensor, int64_t count, float **out, oq_error *err)
{
	if (!tensor)
		return OQ_OK;
	const oq_nn_quantization *q = planner->quantization; /* may bring other values */
	const float *other = q ? oq_nn_vector_find(q->vectors, q->vector_count, tensor) : NULL;
	*out = oq_alloc((size_t)count * sizeof **out);
	if (!*out)
		return oq_fail_memory(err, tensor, (size_t)count * sizeof **out);
	if (!other)
		return oq_package_read_f32(planner->graph->package, tensor, *out, (size_t)count, err);
	memcpy(*out, other, (size_t)count * sizeof **out);
	return OQ_OK;
}

static oq_status plan_token(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	int64_t channels = oq_step_input(step, 0)->shape[0];
	token_state *state = step->state = oq_calloc(1, sizeof *state);
	if (!state)
		return oq_fail_memory(err, node->name, sizeof *state);
	OQ_TRY(read_optional(planner, node->attributes.weight, channels, &state->weight, err));
	OQ_TRY(read_optional(planner, node->attributes.bias, channels, &state->bias, err));
	step->weight_bytes = (size_t)channels * sizeof(float) * ((state->weight != NULL) + (state->bias != NULL));
	return OQ_OK;
}

static void close_token(oq_step *step)
{
	token_state *state = step->state;
	if (!state)
		return;
	oq_free(state->weight);
	oq_free(state->bias);
	oq_free(state);
}

#define ROW_BLOCK 16    /* tokens a thread takes at a time; rows are independent, so the split changes no bits */
#define GELU_BLOCK 4096 /* values */

/* Buffers for values that are not float32 in memory: one block in and one out per thread. */
static oq_status plan_layer_norm(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	step->scratch_bytes = (size_t)planner->threads * 2 * ROW_BLOCK * (size_t)oq_step_input(step, 0)->shape[0] * sizeof(float);
	return plan_token(planner, node, step, err);
}

static oq_status run_layer_norm(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const token_state *state = step->state;
	const oq_value *input = oq_step_input(step, 0);
	int64_t channels = input->shape[0], rows = oq_value_voxels(input);
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), input), y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
	float eps = (float)step->node->attributes.eps;
#pragma omp parallel for num_threads(run->threads) if (run->threads > 1)
	for (int64_t r = 0; r < rows; r += ROW_BLOCK) {
		float *in = (float *)run->scratch + (run->threads > 1 ? omp_get_thread_num() : 0) * 2 * ROW_BLOCK * channels, *out = in + ROW_BLOCK * channels;
		int64_t some = rows - r < ROW_BLOCK ? rows - r : ROW_BLOCK;
		float *to = y.dtype == OQ_F32 ? (float *)y.data + r * channels : out;
		oq_token_kernels_for(run->isa)->layer_norm(some, channels, oq_typed_read(&x, (size_t)(r * channels), some * channels, in), state->weight, state->bias,
			eps, to);
		oq_typed_write(to, some * channels, &y, (size_t)(r * channels));
	}
	return OQ_OK;
}

static oq_status run_gelu(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	int64_t count = (int64_t)oq_step_input(step, 0)->count;
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), oq_step_input(step, 0)),
		y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
#pragma omp parallel for num_threads(run->threads) if (run->threads > 1)
	for (int64_t i = 0; i < count; i += GELU_BLOCK) {
		float in[GELU_BLOCK], out[GELU_BLOCK], *to = y.dtype == OQ_F32 ? (float *)y.data + i : out;
		int64_t some = count - i < GELU_BLOCK ? count - i : GELU_BLOCK;
		oq_token_kernels_for(run->isa)->gelu(some, oq_typed_read(&x, (size_t)i, some, in), to);
		oq_typed_write(to, some, &y, (size_t)i);
	}
	return OQ_OK;
}

/* "offsets": [[d,h,w],...] in {0,1}: the order in which a block's voxels follow each other in the channels. */
static oq_status parse_patch_merge(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	const oq_json *offsets;
	OQ_TRY(oq_json_need_array(json, "offsets", node->name, &offsets, err));
	int count = 0;
	for (const oq_json *offset = oq_json_first(offsets); offset; offset = oq_json_next(offset), count++) {
		const oq_json *part = oq_json_first(offset);
		unsigned bits = 0;
		for (int axis = 0; axis < OQ_SPATIAL; axis++, part = part ? oq_json_next(part) : NULL) {
			double value = oq_json_is_number(part) ? oq_json_number(part) : -1;
			if (count >= OQ_MERGE_MAX || oq_json_count(offset) != OQ_SPATIAL || (value != 0 && value != 1))
				return oq_graph_refuse(graph, node, err, "offsets[%d] is not three numbers 0 or 1, or there are more than %d", count, OQ_MERGE_MAX);
			bits = bits * 2 + (unsigned)value;
		}
		node->attributes.merge[count] = (unsigned char)bits;
	}
	node->attributes.merge_count = count;
	return count ? OQ_OK : oq_graph_refuse(graph, node, err, "offsets is empty");
}

static oq_status infer_patch_merge(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->rank != 4)
		return oq_graph_refuse(graph, node, err, "input %s has rank %d, expected 4 (C,D,H,W)", input->name, input->rank);
	output->rank = 4;
	output->shape[0] = input->shape[0] * node->attributes.merge_count;
	for (int axis = 1; axis < 4; axis++) {
		if (input->shape[axis] % 2)
			return oq_graph_refuse(graph, node, err, "axis %d of input %s is odd (%lld), expected an even extent", axis, input->name,
				(long long)input->shape[axis]);
		output->shape[axis] = input->shape[axis] / 2;
	}
	return OQ_OK;
}

static oq_status run_patch_merge(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const oq_attributes *a = &step->node->attributes;
	const int64_t *in = oq_step_input(step, 0)->shape, *out = oq_step_output(step)->shape;
	const float *x = oq_run_input(step, run, 0);
	float *y = oq_run_output(step, run);
#pragma omp parallel for collapse(2) num_threads(run->threads) if (run->threads > 1)
	for (int64_t d = 0; d < out[1]; d++)
		for (int64_t h = 0; h < out[2]; h++)
			for (int64_t w = 0; w < out[3]; w++)
				for (int m = 0; m < a->merge_count; m++) {
					int64_t sd = 2 * d + (a->merge[m] >> 2 & 1), sh = 2 * h + (a->merge[m] >> 1 & 1), sw = 2 * w + (a->merge[m] & 1);
					memcpy(y + (((d * out[2] + h) * out[3] + w) * a->merge_count + m) * in[0],
						x + ((sd * in[2] + sh) * in[3] + sw) * in[0], (size_t)in[0] * sizeof *y);
				}
	return OQ_OK;
}

const oq_op oq_op_layer_norm = {.name = "layer_norm", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .parse = parse_layer_norm,
	.infer = infer_token, .plan = plan_layer_norm, .run = run_layer_norm, .close = close_token, .reach = oq_same_reach};
const oq_op oq_op_gelu = {.name = "gelu", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .infer = infer_token, .run = run_gelu,
	.reach = oq_same_reach};
const oq_op oq_op_patch_merge = {.name = "patch_merge", .min_inputs = 1, .max_inputs = 1, .parse = parse_patch_merge,
	.infer = infer_patch_merge, .run = run_patch_merge};
