/* Normalisation and activation: batch norm that could not be folded, instance norm, relu, leaky relu, L2 normalisation.
 * All end in one pass y = lrelu(x*scale[c] + shift[c]). */
#include "op.h"

#include "kernel/simple.h"

#include <math.h>
#include <string.h>

/* scale and shift of a batch norm; statistics per patch need more, see run_instance_norm. */
typedef struct norm_state {
	float *scale, *shift; /* [C]: batch norm: final; instance norm: weight and bias */
} norm_state;

oq_status oq_node_tensor(oq_graph *graph, const oq_node *node, const oq_json *json, const char *key, bool required, const char **out, oq_error *err)
{
	const char *name = NULL;
	OQ_TRY(required ? oq_json_need_string(json, key, node->name, &name, err) : oq_json_want_string(json, key, node->name, &name, err));
	if (name && !(*out = oq_arena_strdup(&graph->arena, name)))
		return oq_fail_memory(err, graph->where, strlen(name));
	return OQ_OK;
}

static oq_status parse_norm(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	bool batch = node->op == &oq_op_batch_norm;
	oq_attributes *a = &node->attributes;
	OQ_TRY(oq_node_tensor(graph, node, json, "weight", batch, &a->weight, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias", batch, &a->bias, err));
	if (batch) {
		OQ_TRY(oq_node_tensor(graph, node, json, "mean", true, &a->mean, err));
		OQ_TRY(oq_node_tensor(graph, node, json, "var", true, &a->var, err));
	}
	OQ_TRY(oq_json_need_number(json, "eps", node->name, &a->eps, err));
	if (!(a->eps >= 0 && a->eps < 1))
		return oq_graph_refuse(graph, node, err, "eps is %g, expected 0 to 1", a->eps);
	return OQ_OK;
}

static oq_status infer_elementwise(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	output->rank = input->rank;
	memcpy(output->shape, input->shape, sizeof output->shape);
	const oq_attributes *a = &node->attributes;
	const char *const tensors[] = {a->weight, a->bias, a->mean, a->var};
	for (size_t i = 0; i < sizeof tensors / sizeof *tensors; i++)
		if (tensors[i])
			OQ_TRY(oq_graph_check_tensor(graph, node, tensors[i], 1, input->shape, err));
	return OQ_OK;
}

/* A [C] tensor, or `value` everywhere when the tensor is absent. */
static oq_status read_or_fill(const oq_graph *graph, const char *tensor, float value, float *dst, int64_t channels, oq_error *err)
{
	if (tensor)
		return oq_package_read_f32(graph->package, tensor, dst, (size_t)channels, err);
	for (int64_t c = 0; c < channels; c++)
		dst[c] = value;
	return OQ_OK;
}

oq_status oq_batch_norm_affine(const oq_graph *graph, const oq_node *node, double *scale, double *shift, int64_t channels, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	float *raw = oq_alloc((size_t)channels * 4 * sizeof *raw);
	if (!raw)
		return oq_fail_memory(err, node->name, (size_t)channels * 4 * sizeof *raw);
	const char *const tensors[] = {a->weight, a->bias, a->mean, a->var};
	oq_status status = OQ_OK;
	for (int i = 0; i < 4 && status == OQ_OK; i++)
		status = oq_package_read_f32(graph->package, tensors[i], raw + i * channels, (size_t)channels, err);
	for (int64_t c = 0; c < channels && status == OQ_OK; c++) {
		double var = (double)raw[3 * channels + c];
		if (!(var >= 0 && var + a->eps > 0)) {
			status = oq_graph_refuse(graph, node, err, "tensor %s[%lld] is %g, expected a variance of at least 0", a->var, (long long)c, var);
			break;
		}
		scale[c] = (double)raw[c] / sqrt(var + a->eps);
		shift[c] = (double)raw[channels + c] - (double)raw[2 * channels + c] * scale[c];
	}
	oq_free(raw);
	return status;
}

static void close_norm(oq_step *step)
{
	norm_state *state = step->state;
	if (state)
		oq_free(state->scale);
	oq_free(state);
}

static oq_status open_state(oq_step *step, int64_t channels, norm_state **out, oq_error *err)
{
	norm_state *state = step->state = oq_calloc(1, sizeof *state);
	if (state)
		state->scale = oq_alloc((size_t)channels * 2 * sizeof *state->scale);
	if (!state || !state->scale)
		return oq_fail_memory(err, step->node->name, (size_t)channels * 2 * sizeof *state->scale);
	state->shift = state->scale + channels;
	step->weight_bytes = (size_t)channels * 2 * sizeof *state->scale;
	*out = state;
	return OQ_OK;
}

oq_status oq_norm_constants(const oq_graph *graph, const oq_node *node, float *scale, float *shift, int64_t channels, oq_error *err)
{
	if (node->op == &oq_op_instance_norm) {
		OQ_TRY(read_or_fill(graph, node->attributes.weight, 1.0f, scale, channels, err));
		return read_or_fill(graph, node->attributes.bias, 0.0f, shift, channels, err);
	}
	double *affine = oq_alloc((size_t)channels * 2 * sizeof *affine);
	if (!affine)
		return oq_fail_memory(err, node->name, (size_t)channels * 2 * sizeof *affine);
	oq_status status = oq_batch_norm_affine(graph, node, affine, affine + channels, channels, err);
	for (int64_t c = 0; c < channels && status == OQ_OK; c++) {
		scale[c] = (float)affine[c];
		shift[c] = (float)affine[channels + c];
	}
	oq_free(affine);
	return status;
}

void oq_instance_norm_affine(const oq_node *node, float weight, float bias, double mean, double variance, float *scale, float *shift)
{
	double s = (double)weight / sqrt(variance + node->attributes.eps);
	*scale = (float)s;
	*shift = (float)((double)bias - mean * s);
}

static oq_status plan_batch_norm(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	int64_t channels = oq_step_input(step, 0)->shape[0];
	norm_state *state = NULL;
	OQ_TRY(open_state(step, channels, &state, err));
	return oq_norm_constants(planner->graph, node, state->scale, state->shift, channels, err);
}

static float slope_of(const oq_step *step)
{
	return step->node->activated ? step->node->slope : 1.0f;
}

/* y = lrelu(x*scale[c] + shift[c]) between values of any type; NULL scale = activation only. */
static void apply(const oq_step *step, const oq_run *run, const float *scale, const float *shift, float slope)
{
	const oq_value *input = oq_step_input(step, 0);
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), input), y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
	oq_scale_shift_act_typed(oq_value_voxels(input), input->shape[0], &x, scale, shift, slope, &y, run->threads);
}

static oq_status run_batch_norm(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const norm_state *state = step->state;
	apply(step, run, state->scale, state->shift, slope_of(step));
	return OQ_OK;
}

static oq_status plan_instance_norm(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	const oq_value *input = oq_step_input(step, 0);
	norm_state *state = NULL;
	if (node->input_count > 1) /* the convolution before it brings scale and shift */
		return OQ_OK;
	OQ_TRY(open_state(step, input->shape[0], &state, err));
	step->scratch_bytes = (size_t)input->shape[0] * 4 * sizeof(float) + oq_channel_stats_scratch(oq_value_voxels(input), input->shape[0]);
	return oq_norm_constants(planner->graph, node, state->scale, state->shift, input->shape[0], err);
}

/* Its result is scale and shift: the convolution behind it applies them. */
static bool statistics_only(const oq_step *step)
{
	return oq_step_output(step)->rank != oq_step_input(step, 0)->rank;
}

static oq_status run_instance_norm(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const norm_state *state = step->state;
	const oq_value *input = oq_step_input(step, 0);
	int64_t channels = input->shape[0], voxels = oq_value_voxels(input);
	if (!state) {
		const float *affine = oq_run_input(step, run, 1);
		apply(step, run, affine, affine + channels, slope_of(step));
		return OQ_OK;
	}
	float *mean = run->scratch, *var = mean + channels, *scale = var + channels, *shift = scale + channels;
	const oq_typed x = oq_typed_value(oq_run_input(step, run, 0), input);
	oq_channel_stats_typed(voxels, channels, &x, mean, var, shift + channels, run->threads);
	for (int64_t c = 0; c < channels; c++)
		oq_instance_norm_affine(step->node, state->scale[c], state->shift[c], (double)mean[c], (double)var[c], &scale[c], &shift[c]);
	if (statistics_only(step))
		memcpy(oq_run_output(step, run), scale, (size_t)channels * 2 * sizeof *scale);
	else
		apply(step, run, scale, shift, slope_of(step));
	return OQ_OK;
}

static oq_status parse_leaky_relu(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	double slope;
	OQ_TRY(oq_json_need_number(json, "slope", node->name, &slope, err));
	node->attributes.slope = (float)slope;
	return slope >= 0 && slope <= 1 ? OQ_OK : oq_graph_refuse(graph, node, err, "slope is %g, expected 0 to 1", slope);
}

static oq_status run_activation(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	apply(step, run, NULL, NULL, step->node->attributes.slope);
	return OQ_OK;
}

static oq_status run_l2_normalize(const oq_step *step, oq_run *run, oq_error *err)
{
	size_t count = oq_step_input(step, 0)->count;
	const float *x = oq_run_input(step, run, 0);
	float *y = oq_run_output(step, run);
	double sum = 0;
	for (size_t i = 0; i < count; i++)
		sum += (double)x[i] * (double)x[i];
	if (!(sum > 0 && isfinite(sum)))
		return oq_fail(err, OQ_E_INPUT, "E_NORM", "node %s: the L2 norm of its input is %g, expected a positive number", step->node->name, sqrt(sum));
	double inverse = 1 / sqrt(sum);
	for (size_t i = 0; i < count; i++)
		y[i] = (float)((double)x[i] * inverse);
	return OQ_OK;
}

const oq_op oq_op_batch_norm = {.name = "batch_norm", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .parse = parse_norm,
	.infer = infer_elementwise, .plan = plan_batch_norm, .run = run_batch_norm, .close = close_norm, .reach = oq_same_reach};
const oq_op oq_op_instance_norm = {.name = "instance_norm", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .parse = parse_norm,
	.infer = infer_elementwise, .plan = plan_instance_norm, .run = run_instance_norm, .close = close_norm};
const oq_op oq_op_relu = {.name = "relu", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .infer = infer_elementwise, .run = run_activation,
	.reach = oq_same_reach};
const oq_op oq_op_leaky_relu = {.name = "leaky_relu", .min_inputs = 1, .max_inputs = 1, .in_place = true, .typed = true, .parse = parse_leaky_relu,
	.infer = infer_elementwise, .run = run_activation, .reach = oq_same_reach};
const oq_op oq_op_l2_normalize = {.name = "l2_normalize", .min_inputs = 1, .max_inputs = 1, .in_place = true, .infer = infer_elementwise,
	.run = run_l2_normalize};
