/* Convolution and linear layers: their weights with everything folded in, then the implementation that the rule of
 * oq_conv_choose prefers. Products of codes and of bfloat16 are oneDNN's where nothing of ours gains: linear layers in rows, Winograd in
 * integers (exact) and in bfloat16. */
#include "op.h"
#include "direct_part.h"
#include "precision.h"
#include "weights.h"

#include "kernel/conv_f32.h"
#include "kernel/conv_i8.h"
#include "kernel/conv_tap_i8.h"
#include "kernel/depthwise_f32.h"
#include "kernel/linear.h"

#include <stdio.h>
#include <string.h>

typedef struct conv_state {
	oq_direct *direct;      /* either this */
	oq_conv *own;           /* or this */
	oq_conv_i8 *codes;      /* or this, with code_scale */
	oq_tap_i8 *code_taps;   /* or this, with code_scale */
	float *code_scale;      /* [out]: input's scale times that of the weights */
	oq_linear *linear;      /* or this: a linear layer in bytes or bfloat16 */
	oq_depthwise depthwise; /* or this, when it has weights */
	float *depthwise_weights;
	float *bias;            /* [out] or NULL */
	float *entry;           /* [2][in]: scale and shift of a batch norm before it, or NULL */
	float *exit;            /* [2][out]: weight and bias of an instance norm behind it, or NULL */
	size_t moments;         /* where they are in scratch, bytes */
	int64_t tile;           /* edge of what Winograd computes by itself; 0: nothing less than the whole output */
} conv_state;

/* What a session binds to oneDNN's convolutions. */
typedef struct conv_bound {
	oq_direct_bound *whole, *part;
} conv_bound;

static oq_status parse_conv(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	OQ_TRY(oq_node_tensor(graph, node, json, "weight", true, &a->weight, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias", false, &a->bias, err));
	a->groups = 1;
	OQ_TRY(oq_json_want_int(json, "groups", node->name, &a->groups, err));
	if (a->groups < 1)
		return oq_graph_refuse(graph, node, err, "groups is %lld, expected at least 1", (long long)a->groups);
	return oq_window_parse(graph, node, json, false, err);
}

static oq_status infer_conv(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]];
	if (input->rank != 4)
		return oq_graph_refuse(graph, node, err, "input %s has rank %d, expected 4 (C,D,H,W)", input->name, input->rank);
	const oq_tensor_info *weight = oq_safetensors_find(oq_package_weights(graph->package), a->weight);
	if (!weight || weight->rank < 4 || weight->rank > 5 || input->shape[0] % a->groups)
		return oq_graph_refuse(graph, node, err, "tensor %s is missing or not of rank 4 or 5, or groups do not divide the channels", a->weight);
	/* The weights of a 2D convolution have no depth axis; it runs as a 3D one of depth 1. */
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		a->kernel[axis] = weight->rank == 5 ? weight->shape[2 + axis] : axis ? weight->shape[1 + axis] : 1;
	const int64_t expected[5] = {weight->shape[0], input->shape[0] / a->groups, weight->shape[2], weight->shape[3], a->kernel[2]};
	OQ_TRY(oq_graph_check_tensor(graph, node, a->weight, weight->rank, expected, err));
	if (a->bias)
		OQ_TRY(oq_graph_check_tensor(graph, node, a->bias, 1, expected, err));
	if (weight->count == 0 || expected[0] % a->groups)
		return oq_graph_refuse(graph, node, err, "tensor %s is empty or its groups do not divide its outputs", a->weight);
	output->rank = 4;
	output->shape[0] = expected[0];
	return oq_window_infer(graph, node, input->shape + 1, output->shape + 1, err);
}

static oq_status parse_linear(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	OQ_TRY(oq_node_tensor(graph, node, json, "weight", true, &node->attributes.weight, err));
	OQ_TRY(oq_json_want_bool(json, "transposed", node->name, &node->attributes.transposed, err));
	return oq_node_tensor(graph, node, json, "bias", false, &node->attributes.bias, err);
}

static oq_status infer_linear(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]];
	const oq_tensor_info *weight = oq_safetensors_find(oq_package_weights(graph->package), a->weight);
	/* A 1x1x1 convolution in the checkpoint is a linear layer too: trailing extents of 1 do not count. */
	int rank = weight ? weight->rank : 0;
	while (rank > 2 && weight->shape[rank - 1] == 1)
		rank--;
	if (rank != 2)
		return oq_graph_refuse(graph, node, err, "tensor %s is missing or not of rank 2", a->weight);
	const int64_t outputs = weight->shape[a->transposed], in = input->shape[0];
	const int64_t expected[OQ_MAX_RANK] = {a->transposed ? in : outputs, a->transposed ? outputs : in, 1, 1, 1, 1, 1, 1};
	OQ_TRY(oq_graph_check_tensor(graph, node, a->weight, weight->rank, expected, err));
	if (a->bias)
		OQ_TRY(oq_graph_check_tensor(graph, node, a->bias, 1, &outputs, err));
	if (weight->count == 0)
		return oq_graph_refuse(graph, node, err, "tensor %s is empty", a->weight);
	/* A linear layer is a 1x1x1 convolution, of a single voxel when its input is a vector. */
	a->groups = 1;
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		a->kernel[axis] = a->stride[axis] = a->dilation[axis] = 1;
	output->rank = input->rank;
	memcpy(output->shape, input->shape, sizeof output->shape);
	output->shape[0] = outputs;
	return OQ_OK;
}

static void spatial_of(const oq_value *value, int64_t shape[4])
{
	for (int i = 0; i < 4; i++)
		shape[i] = i < value->rank ? value->shape[i] : 1;
}

static void own_shape(const oq_graph *graph, const oq_node *node, oq_conv_shape *shape)
{
	int64_t in[4], out[4];
	const oq_attributes *a = &node->attributes;
	spatial_of(&graph->values[node->inputs[0]], in);
	spatial_of(&graph->values[node->output], out);
	*shape = (oq_conv_shape){.in_channels = in[0], .out_channels = out[0], .moments = node->exit_norm != NULL};
	if (node->winograd) {
		shape->in_type = graph->values[node->inputs[0]].dtype;
		shape->out_type = graph->values[node->output].dtype;
	}
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		shape->in[axis] = in[1 + axis];
		shape->out[axis] = out[1 + axis];
		shape->kernel[axis] = a->kernel[axis];
		shape->stride[axis] = a->stride[axis];
		shape->pad_low[axis] = a->pad_low[axis];
		shape->dilation[axis] = a->dilation[axis];
	}
}

static const char *const method_names[] = {[OQ_CONV_TAP_GEMM] = "tap-gemm", [OQ_CONV_WINOGRAD_F2] = "winograd-f2", [OQ_CONV_WINOGRAD_F4] = "winograd-f4",
	[OQ_CONV_WINOGRAD_F2_BF16] = "winograd-f2-bf16"};

static bool is_undilated(const oq_attributes *a)
{
	return a->dilation[0] == 1 && a->dilation[1] == 1 && a->dilation[2] == 1;
}

/* False: oneDNN's direct convolution. */
static bool choose_method(oq_convolution choice, const oq_attributes *a, const oq_conv_shape *shape, oq_conv_method *method)
{
	oq_conv_method most = choice == OQ_CONVOLUTION_DIRECT ? OQ_CONV_TAP_GEMM : choice == OQ_CONVOLUTION_WINOGRAD ? OQ_CONV_WINOGRAD_F2
		: OQ_CONV_WINOGRAD_F4;
	return a->groups == 1 && is_undilated(a) && oq_conv_choose(shape, most, method);
}

/* In bfloat16 F(2) takes the maps that are too small for F(4): there it saves half of the products' time, on larger ones less, as it moves
 * more; and the error of bfloat16 doubles. */
bool oq_conv_is_winograd(const oq_graph *graph, const oq_node *node, oq_convolution choice)
{
	oq_conv_shape shape;
	oq_conv_method method;
	own_shape(graph, node, &shape);
	if (node->compute == OQ_BF16 && (!choose_method(OQ_CONVOLUTION_AUTO, &node->attributes, &shape, &method) || method != OQ_CONV_WINOGRAD_F2
		|| !oq_conv_supports(OQ_CONV_WINOGRAD_F2_BF16, &shape)))
		return false;
	return choose_method(choice, &node->attributes, &shape, &method) && method != OQ_CONV_TAP_GEMM;
}

bool oq_conv_beats_bf16(const oq_graph *graph, const oq_node *node, oq_convolution choice)
{
	oq_conv_shape shape;
	oq_conv_method method;
	own_shape(graph, node, &shape);
	return choose_method(choice, &node->attributes, &shape, &method) && method == OQ_CONV_WINOGRAD_F4;
}

static oq_status read_norm(const oq_step *step, const oq_node *norm, int64_t channels, float **constants, oq_error *err)
{
	size_t bytes = (size_t)channels * 2 * sizeof **constants;
	if (!(*constants = oq_alloc(bytes)))
		return oq_fail_memory(err, step->node->name, bytes);
	return oq_norm_constants(step->graph, norm, *constants, *constants + channels, channels, err);
}

static oq_status plan_norms(oq_step *step, const oq_conv_shape *shape, oq_error *err)
{
	conv_state *state = step->state;
	const oq_node *node = step->node;
	if (node->entry_norm && node->input_count == 1)
		OQ_TRY(read_norm(step, node->entry_norm, shape->in_channels, &state->entry, err));
	if (!node->exit_norm)
		return OQ_OK;
	state->moments = (step->scratch_bytes + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
	step->scratch_bytes = state->moments + (size_t)shape->out_channels * 2 * sizeof(double);
	return read_norm(step, node->exit_norm, shape->out_channels, &state->exit, err);
}

static oq_status plan_own(const oq_planner *planner, oq_step *step, oq_conv_method method, const oq_conv_shape *shape, const float *weights, oq_error *err)
{
	conv_state *state = step->state;
	OQ_TRY(oq_conv_create(method, shape, weights, planner->isa, &state->own, err));
	step->scratch_bytes = oq_conv_scratch_bytes(state->own, 1, planner->threads);
	step->weight_bytes = oq_conv_weight_bytes(state->own);
	OQ_TRY(plan_norms(step, shape, err));
	state->tile = method == OQ_CONV_TAP_GEMM || step->node->exit_norm ? 0 : method == OQ_CONV_WINOGRAD_F4 ? 4 : 2;
	step->method = method_names[method];
	snprintf(step->implementation, sizeof step->implementation, "%s:%s", step->method, oq_isa_name(planner->isa));
	return OQ_OK;
}

#define EXACT_CODES 64 /* 2 * 255 * 64 fits 16 bits: oneDNN's sums of two products do not saturate */

/* What computes codes exactly here beside the integer Winograd, and from how many of its tiles that is faster (bench/ops/bench_conv_i8): its
 * weights are 9 times those of the others, so with few tiles reading them takes longer than multiplying. */
typedef enum code_products { CODES_DOT, CODES_SMALL, CODES_WIDE, CODE_PRODUCTS } code_products;

static const int64_t code_tiles[CODE_PRODUCTS] = {
	[CODES_DOT] = 64,   /* oneDNN, with an 8-bit dot product */
	[CODES_SMALL] = 16, /* oneDNN: no code of these weights is so large that its products saturate */
	[CODES_WIDE] = 8,   /* products over taps */
};

static code_products products_of(const oq_planner *planner, const oq_weights *w)
{
	if (planner->dot)
		return CODES_DOT;
	bool small = planner->isa != OQ_ISA_PLAIN;
	for (size_t i = 0; i < (size_t)w->out * w->per_out && small; i++)
		small = w->codes[i] >= -EXACT_CODES && w->codes[i] <= EXACT_CODES;
	return small ? CODES_SMALL : CODES_WIDE;
}

/* Whether the exact integer Winograd beats the other products. By shape and weights only, as choose_method. */
static bool prefers_winograd_codes(oq_convolution choice, const oq_node *node, const oq_conv_shape *shape, code_products products)
{
	const oq_attributes *a = &node->attributes;
	int64_t tiles = 1;
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		tiles *= (shape->out[axis] + 2) / 3;
	return choice != OQ_CONVOLUTION_DIRECT && !node->gelu && a->groups == 1 && is_undilated(a)
		&& tiles >= code_tiles[products] && oq_conv_i8_supports(shape);
}

#define SMALL_CODE_MAP 64 /* output voxels: there most taps meet padding, which oneDNN multiplies */

/* Whether products over taps are needed, or beat oneDNN's. */
static bool prefers_code_taps(const oq_conv_shape *shape, code_products products)
{
	bool small = shape->out[0] * shape->out[1] * shape->out[2] <= SMALL_CODE_MAP, pointwise = shape->kernel[0] * shape->kernel[1] * shape->kernel[2] == 1;
	return products == CODES_WIDE || (products == CODES_SMALL && small && !pointwise && oq_tap_i8_supports(shape));
}

#define LEAN_CHANNELS 128 /* of the input: below, what is done once per block of rows takes longer than oneDNN's blocks of columns gain */

static bool may_be_lean(const oq_planner *planner, const oq_conv_shape *shape, code_products products)
{
	return products == CODES_SMALL && planner->isa == OQ_ISA_AVX2 && shape->in_channels >= LEAN_CHANNELS && oq_tap_i8_supports(shape);
}

static oq_conv_i8_desc codes_desc(const oq_planner *planner, const oq_step *step, const oq_conv_shape *shape, const oq_weights *w)
{
	return (oq_conv_i8_desc){.shape = *shape, .codes = w->codes, .zero = oq_step_input(step, 0)->zero, .isa = planner->isa, .vnni = planner->vnni};
}

/* Scale and bias of the sums; how they are made, for the profile. */
static void take_scales(const oq_planner *planner, oq_step *step, oq_weights *w, const char *method)
{
	conv_state *state = step->state;
	for (int64_t o = 0; o < w->out; o++)
		w->scale[o] = oq_step_input(step, 0)->scale * w->scale[o];
	state->code_scale = w->scale;
	state->bias = w->bias;
	w->scale = w->bias = NULL;
	step->method = method;
	snprintf(step->implementation, sizeof step->implementation, "%s:%s%s", method, oq_isa_name(planner->isa), planner->vnni ? "_vnni" : "");
}

/* Leaves state->codes NULL when these weights cannot be computed exactly that way. */
static oq_status plan_codes(const oq_planner *planner, oq_step *step, const oq_conv_shape *shape, oq_weights *w, oq_error *err)
{
	conv_state *state = step->state;
	const oq_conv_i8_desc desc = codes_desc(planner, step, shape, w);
	OQ_TRY(oq_conv_i8_create(&desc, &state->codes, err));
	if (!state->codes)
		return OQ_OK;
	take_scales(planner, step, w, "winograd-i16-f3");
	state->tile = 3;
	step->scratch_bytes = oq_conv_i8_scratch_bytes(state->codes, planner->threads);
	step->weight_bytes = oq_conv_i8_weight_bytes(state->codes);
	return OQ_OK;
}

/* `lean`: leaves state->code_taps NULL unless the weights are such that oneDNN's products are slower. */
static oq_status plan_code_taps(const oq_planner *planner, oq_step *step, const oq_conv_shape *shape, oq_weights *w, bool lean, oq_error *err)
{
	conv_state *state = step->state;
	const oq_conv_i8_desc desc = codes_desc(planner, step, shape, w);
	if (!oq_tap_i8_supports(shape))
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_CPU", "%s: sums %lld products of 8 bits, and this processor has no 8-bit dot product (VNNI): expected at most "
			"%d, or a package made with --weight-bits 7", step->node->name, (long long)w->per_out, OQ_TAP_I8_MAX_SUM);
	OQ_TRY(oq_tap_i8_create(&desc, &state->code_taps, err));
	if (lean && !oq_tap_i8_is_lean(state->code_taps)) {
		oq_tap_i8_free(state->code_taps);
		state->code_taps = NULL;
		return OQ_OK;
	}
	take_scales(planner, step, w, oq_tap_i8_method(state->code_taps));
	step->scratch_bytes = oq_tap_i8_scratch_bytes(state->code_taps, planner->threads);
	step->weight_bytes = oq_tap_i8_weight_bytes(state->code_taps);
	return OQ_OK;
}

/* Every channel its own filter, no activation: weights become [tap][channel]. */
static bool is_depthwise(const oq_node *node, const oq_conv_shape *shape)
{
	const oq_attributes *a = &node->attributes;
	return a->groups == shape->in_channels && a->groups == shape->out_channels && a->groups > 1 && !node->activated
		&& is_undilated(a) && a->kernel[0] * a->kernel[1] * a->kernel[2] <= OQ_DEPTHWISE_MAX_TAPS;
}

static oq_status plan_depthwise(const oq_planner *planner, oq_step *step, const oq_conv_shape *shape, const float *weights, oq_error *err)
{
	conv_state *state = step->state;
	int64_t channels = shape->in_channels, taps = shape->kernel[0] * shape->kernel[1] * shape->kernel[2];
	step->weight_bytes = (size_t)(channels * taps) * sizeof(float);
	state->depthwise_weights = oq_alloc(step->weight_bytes);
	if (!state->depthwise_weights)
		return oq_fail_memory(err, step->node->name, step->weight_bytes);
	for (int64_t c = 0; c < channels; c++)
		for (int64_t t = 0; t < taps; t++)
			state->depthwise_weights[t * channels + c] = weights[c * taps + t];
	oq_depthwise *d = &state->depthwise;
	*d = (oq_depthwise){.channels = channels, .weights = state->depthwise_weights, .bias = state->bias};
	memcpy(d->in, shape->in, sizeof d->in);
	memcpy(d->out, shape->out, sizeof d->out);
	memcpy(d->kernel, shape->kernel, sizeof d->kernel);
	memcpy(d->stride, shape->stride, sizeof d->stride);
	memcpy(d->pad_low, shape->pad_low, sizeof d->pad_low);
	step->method = "depthwise";
	snprintf(step->implementation, sizeof step->implementation, "%s:%s", step->method, oq_isa_name(planner->isa));
	return OQ_OK;
}

static oq_status plan_direct(const oq_planner *planner, oq_step *step, const oq_weights *weights, oq_error *err)
{
	conv_state *state = step->state;
	const oq_node *node = step->node;
	oq_direct_desc desc = {.where = node->name, .attributes = &node->attributes, .compute = node->compute, .src = oq_step_input(step, 0),
		.dst = oq_step_output(step), .residual = oq_step_residual(step), .slope = node->activated ? node->slope : 1.0f, .gelu = node->gelu,
		.weights = weights};
	spatial_of(oq_step_input(step, 0), desc.in);
	spatial_of(oq_step_output(step), desc.out);
	OQ_TRY(oq_direct_create(planner, &desc, &state->direct, err));
	step->scratch_bytes = oq_direct_scratch_bytes(state->direct);
	step->weight_bytes = oq_direct_weight_bytes(state->direct);
	step->method = "onednn";
	snprintf(step->implementation, sizeof step->implementation, "%s:%s", step->method, oq_direct_implementation(state->direct));
	return OQ_OK;
}

static oq_status plan_linear(const oq_planner *planner, oq_step *step, const oq_weights *w, oq_error *err)
{
	conv_state *state = step->state;
	const oq_node *node = step->node;
	const oq_value *input = oq_step_input(step, 0);
	const oq_linear_desc desc = {.where = node->name, .compute = node->compute, .in = input->shape[0], .out = w->out, .codes = w->codes,
		.values = w->values, .scale = w->scale, .src_scale = input->scale, .src_zero = input->zero, .bias = w->bias, .gelu = node->gelu,
		.gated = node->gated, .slope = node->activated ? node->slope : 1.0f};
	OQ_TRY(oq_linear_create(&desc, planner->isa, &state->linear, err));
	step->scratch_bytes = oq_linear_scratch_bytes(state->linear, oq_value_voxels(input), planner->threads);
	step->weight_bytes = oq_linear_weight_bytes(state->linear);
	step->method = "rows";
	snprintf(step->implementation, sizeof step->implementation, "%s:%s", step->method, oq_isa_name(planner->isa));
	return OQ_OK;
}

/* Weights of a layer: those that the caller's quantisation brings, else the package's. */
static oq_status load_layer(const oq_planner *planner, const oq_node *node, oq_weights *w, oq_error *err)
{
	const oq_nn_quantization *q = planner->quantization;
	for (int i = 0; q && i < q->layer_count; i++)
		if (!strcmp(q->layers[i].node, node->name))
			return oq_weights_copy_codes(planner->graph, node, &q->layers[i], w, err);
	return oq_weights_load(planner->graph, node, w, err);
}

static oq_status plan_i8(const oq_planner *planner, oq_step *step, const oq_conv_shape *shape, oq_weights *w, oq_error *err)
{
	const conv_state *state = step->state;
	code_products products = products_of(planner, w);
	if (prefers_winograd_codes(planner->convolution, step->node, shape, products)) {
		OQ_TRY(plan_codes(planner, step, shape, w, err));
		if (state->codes)
			return OQ_OK;
	}
	if (prefers_code_taps(shape, products))
		return plan_code_taps(planner, step, shape, w, false, err);
	if (may_be_lean(planner, shape, products)) {
		OQ_TRY(plan_code_taps(planner, step, shape, w, true, err));
		if (state->code_taps)
			return OQ_OK;
	}
	return plan_direct(planner, step, w, err);
}

static oq_status plan_layer(const oq_planner *planner, const oq_node *node, oq_step *step, oq_weights *w, oq_error *err)
{
	conv_state *state = step->state;
	oq_conv_shape shape;
	oq_conv_method method;
	own_shape(planner->graph, node, &shape);
	OQ_TRY(load_layer(planner, node, w, err));
	if (w->values && oq_precision_quantizable(planner->graph, node)) /* stems stay as they are: every later value hangs on them */
		oq_round_floats(planner->stored, (size_t)w->out * w->per_out, w->values);
	step->gflop = 2e-9 * (double)oq_step_output(step)->count * (node->gated ? 2 : 1) * (double)w->per_out;
	if (node->op == &oq_op_linear && (node->compute == OQ_I8 ? planner->vnni : node->compute == OQ_BF16 && planner->bf16))
		return plan_linear(planner, step, w, err);
	if (node->compute == OQ_I8)
		return plan_i8(planner, step, &shape, w, err);
	if (node->compute != OQ_F32 && !node->winograd)
		return plan_direct(planner, step, w, err);
	if (!is_depthwise(node, &shape) && !choose_method(planner->convolution, &node->attributes, &shape, &method))
		return plan_direct(planner, step, w, err);
	method = node->compute == OQ_BF16 ? OQ_CONV_WINOGRAD_F2_BF16 : method;
	state->bias = w->bias;
	w->bias = NULL;
	return is_depthwise(node, &shape) ? plan_depthwise(planner, step, &shape, w->values, err)
		: plan_own(planner, step, method, &shape, w->values, err);
}

static oq_status plan_conv(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	oq_weights weights = {0};
	step->state = oq_calloc(1, sizeof(conv_state));
	if (!step->state)
		return oq_fail_memory(err, node->name, sizeof(conv_state));
	oq_status status = plan_layer(planner, node, step, &weights, err);
	oq_weights_free(&weights);
	return status;
}

static void run_own(const oq_step *step, oq_run *run, const float *residual)
{
	const conv_state *state = step->state;
	const oq_node *node = step->node, *entry = node->entry_norm, *norm = node->exit_norm;
	int64_t in = oq_step_input(step, 0)->shape[0], out = oq_step_output(step)->shape[0];
	double *moments = norm ? (double *)(void *)((unsigned char *)run->scratch + state->moments) : NULL;
	const float *scale = state->entry ? state->entry : node->input_count > 1 ? oq_run_input(step, run, 1) : NULL;
	const oq_conv_prologue prologue = {.scale = scale, .shift = scale ? scale + in : NULL, .slope = entry && entry->activated ? entry->slope : 1.0f};
	const oq_conv_epilogue epilogue = {.bias = state->bias, .residual = residual, .slope = node->activated ? node->slope : 1.0f, .moments = moments,
		.box = state->tile ? run->box : NULL};
	oq_conv_run(state->own, 1, oq_run_input(step, run, 0), entry ? &prologue : NULL, &epilogue, oq_run_output(step, run), run->scratch, run->threads);
	float *affine = oq_run_affine(step, run);
	for (int64_t c = 0; norm && c < out; c++)
		oq_instance_norm_affine(norm, state->exit[c], state->exit[out + c], moments[c], moments[out + c], &affine[c], &affine[out + c]);
}

static void run_codes(const oq_step *step, oq_run *run, const float *residual)
{
	const conv_state *state = step->state;
	const oq_node *node = step->node;
	const uint8_t *x = (const uint8_t *)oq_run_input(step, run, 0);
	const oq_conv_i8_epilogue epilogue = {.scale = state->code_scale, .bias = state->bias, .residual = residual, .gelu = node->gelu,
		.slope = node->activated ? node->slope : 1.0f, .y = oq_typed_value(oq_run_output(step, run), oq_step_output(step)), .box = run->box};
	if (state->codes)
		oq_conv_i8_run(state->codes, x, &epilogue, run->scratch, run->threads);
	else
		oq_tap_i8_run(state->code_taps, x, &epilogue, run->scratch, run->threads);
}

static bool takes_part(const oq_direct_part *part, const oq_box *box)
{
	return part && box && oq_direct_part_fits(part, box);
}

static oq_status run_direct(const oq_step *step, oq_run *run, oq_error *err)
{
	const conv_state *state = step->state;
	const conv_bound *bound = run->private_state;
	if (!takes_part(run->part, run->box))
		return oq_direct_run(state->direct, bound->whole, run->stream, step->node->name, err);
	const oq_direct_values values = {.src = oq_run_input(step, run, 0), .residual = oq_run_residual(step, run), .dst = oq_run_output(step, run),
		.scratch = run->scratch};
	return oq_direct_part_run(run->part, bound->part, &values, run->box, run->stream, err);
}

static oq_status run_conv(const oq_step *step, oq_run *run, oq_error *err)
{
	const conv_state *state = step->state;
	if (state->direct)
		return run_direct(step, run, err);
	const float *residual = oq_run_residual(step, run);
	if (state->linear) {
		const oq_typed y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
		oq_linear_run(state->linear, oq_value_voxels(oq_step_input(step, 0)), oq_run_input(step, run, 0), residual, &y, run->scratch, run->threads);
		return OQ_OK;
	}
	if (state->depthwise.weights) {
		oq_depthwise_run(&state->depthwise, run->isa, oq_run_input(step, run, 0), residual, oq_run_output(step, run), run->threads);
		return OQ_OK;
	}
	if (state->codes || state->code_taps) {
		run_codes(step, run, residual);
		return OQ_OK;
	}
	run_own(step, run, residual);
	return OQ_OK;
}

static void close_conv(oq_step *step)
{
	conv_state *state = step->state;
	if (!state)
		return;
	oq_direct_free(state->direct);
	oq_conv_free(state->own);
	oq_conv_i8_free(state->codes);
	oq_tap_i8_free(state->code_taps);
	oq_linear_free(state->linear);
	oq_free(state->code_scale);
	oq_free(state->depthwise_weights);
	oq_free(state->bias);
	oq_free(state->entry);
	oq_free(state->exit);
	oq_free(state);
}

static void close_conv_session(const oq_step *step, void *private_state)
{
	(void)step;
	conv_bound *bound = private_state;
	if (!bound)
		return;
	oq_direct_unbind(bound->whole);
	oq_direct_unbind(bound->part);
	oq_free(bound);
}

static oq_status open_conv_session(const oq_step *step, oq_run *run, oq_error *err)
{
	const conv_state *state = step->state;
	if (!state->direct)
		return OQ_OK;
	conv_bound *bound = run->private_state = oq_calloc(1, sizeof *bound);
	if (!bound)
		return oq_fail_memory(err, step->node->name, sizeof *bound);
	OQ_TRY(oq_direct_bind(state->direct, oq_run_input(step, run, 0), oq_run_output(step, run), oq_run_residual(step, run), run->scratch, &bound->whole, err));
	return run->part ? oq_direct_part_bind(run->part, run->scratch, &bound->part, err) : OQ_OK;
}

/* A tile of Winograd's rounds each of its outputs by all of its inputs, unless it computes in integers. */
static void conv_reach(const oq_step *step, const oq_box *in, oq_box *out)
{
	const conv_state *state = step->state;
	const int64_t *extent = oq_step_output(step)->shape + 1;
	oq_window_reach(step, in, out);
	for (int i = 0; i < OQ_SPATIAL && state->own && state->tile; i++) {
		out->low[i] = out->low[i] / state->tile * state->tile;
		out->high[i] = (out->high[i] + state->tile - 1) / state->tile * state->tile;
		out->high[i] = out->high[i] < extent[i] ? out->high[i] : extent[i];
	}
}

#define PART_GAINS 0.75 /* of the output's voxels, at the most: a part is copied there and back */

static oq_status open_conv_part(const oq_step *step, const int64_t extent[OQ_SPATIAL], oq_part *part, oq_error *err)
{
	const conv_state *state = step->state;
	double voxels = (double)(extent[0] * extent[1] * extent[2]);
	if (!state->direct || voxels > PART_GAINS * (double)oq_value_voxels(oq_step_output(step)))
		return OQ_OK;
	oq_direct_part *direct = NULL;
	OQ_TRY(oq_direct_part_create(state->direct, extent, &direct, err));
	if (direct)
		*part = (oq_part){direct, oq_direct_part_scratch_bytes(direct)};
	return OQ_OK;
}

static void close_conv_part(void *part)
{
	oq_direct_part_free(part);
}

static double conv_share(const oq_step *step, const void *part, const oq_box *box)
{
	const conv_state *state = step->state;
	if (takes_part(part, box))
		return (double)oq_direct_part_voxels(part) / (double)oq_value_voxels(oq_step_output(step));
	if (!state->tile)
		return 1;
	const oq_box whole = oq_box_of(oq_step_output(step)->shape + 1);
	return (double)oq_box_tiles(box, state->tile).total / (double)oq_box_tiles(&whole, state->tile).total;
}

const oq_op oq_op_conv = {.name = "conv", .min_inputs = 1, .max_inputs = 1, .typed = true, .parse = parse_conv, .infer = infer_conv, .plan = plan_conv,
	.run = run_conv, .close = close_conv, .open_session = open_conv_session, .close_session = close_conv_session, .reach = conv_reach,
	.open_part = open_conv_part, .close_part = close_conv_part, .share = conv_share};
const oq_op oq_op_linear = {.name = "linear", .min_inputs = 1, .max_inputs = 1, .typed = true, .parse = parse_linear, .infer = infer_linear, .plan = plan_conv,
	.run = run_conv, .close = close_conv, .open_session = open_conv_session, .close_session = close_conv_session, .reach = conv_reach,
	.open_part = open_conv_part, .close_part = close_conv_part, .share = conv_share};
