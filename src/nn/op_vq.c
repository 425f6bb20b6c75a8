/* Vector quantisation by cosine: every token is replaced by the stored row of the codebook whose direction is nearest (the
 * first one on a tie). */
#include "op.h"

#include "kernel/nearest.h"

#include <stdio.h>
#include <string.h>

typedef struct vq_state {
	int64_t codes, channels;
	float *stored; /* [codes][channels] */
	oq_nearest *nearest;
} vq_state;

static oq_status parse_vq(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	return oq_node_tensor(graph, node, json, "codebook", true, &node->attributes.weight, err);
}

static oq_status infer_vq(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	const oq_tensor_info *codebook = oq_safetensors_find(oq_package_weights(graph->package), node->attributes.weight);
	/* [codes][channels], or with a leading 1: one codebook. */
	bool fits = codebook && codebook->rank >= 2 && codebook->count > 0 && codebook->shape[codebook->rank - 1] == input->shape[0]
		&& codebook->shape[codebook->rank - 2] * input->shape[0] == (int64_t)codebook->count;
	if (!fits)
		return oq_graph_refuse(graph, node, err, "tensor %s is missing or not [codes][%lld]", node->attributes.weight, (long long)input->shape[0]);
	output->rank = input->rank;
	memcpy(output->shape, input->shape, sizeof output->shape);
	return OQ_OK;
}

/* Floats, or 8-bit codes with NAME#scale: one for each row. */
static oq_status read_codebook(const oq_graph *graph, const oq_node *node, const oq_tensor_info *codebook, const vq_state *s, oq_error *err)
{
	if (codebook->dtype != OQ_I8)
		return oq_package_read_f32(graph->package, codebook->name, s->stored, codebook->count, err);
	char name[512];
	int length = snprintf(name, sizeof name, "%s#scale", codebook->name);
	const oq_tensor_info *info = length < (int)sizeof name ? oq_safetensors_find(oq_package_weights(graph->package), name) : NULL;
	if (!info || info->count != (size_t)s->codes)
		return oq_graph_refuse(graph, node, err, "tensor %s#scale is missing or does not have %lld elements", codebook->name, (long long)s->codes);
	int8_t *codes = oq_alloc(codebook->count);
	float *scale = oq_alloc(info->count * sizeof *scale);
	oq_status status = codes && scale ? oq_package_read(graph->package, codebook->name, codes, codebook->bytes, err)
		: oq_fail_memory(err, node->name, codebook->count);
	if (status == OQ_OK)
		status = oq_package_read_f32(graph->package, name, scale, info->count, err);
	for (int64_t i = 0; i < s->codes && status == OQ_OK; i++)
		if (!(scale[i] > 0))
			status = oq_graph_refuse(graph, node, err, "tensor %s[%lld] is %g, expected a positive number", name, (long long)i, (double)scale[i]);
	for (int64_t i = 0; i < s->codes * s->channels && status == OQ_OK; i++)
		s->stored[i] = scale[i / s->channels] * (float)codes[i];
	oq_free(codes);
	oq_free(scale);
	return status;
}

/* Room for the answers before the rest of the scratch. */
static size_t index_bytes(int64_t tokens)
{
	return ((size_t)tokens * sizeof(int64_t) + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
}

static oq_status plan_vq(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	const oq_tensor_info *codebook = oq_safetensors_find(oq_package_weights(planner->graph->package), node->attributes.weight);
	vq_state *s = step->state = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, node->name, sizeof *s);
	s->channels = codebook->shape[codebook->rank - 1];
	s->codes = (int64_t)codebook->count / s->channels;
	s->stored = oq_alloc(codebook->count * sizeof *s->stored);
	if (!s->stored)
		return oq_fail_memory(err, node->name, codebook->count * sizeof *s->stored);
	OQ_TRY(read_codebook(planner->graph, node, codebook, s, err));
	OQ_TRY(oq_nearest_create(s->codes, s->channels, s->stored, planner->isa, planner->vnni, &s->nearest, err));
	step->weight_bytes = codebook->count * sizeof(float) + oq_nearest_weight_bytes(s->nearest);
	int64_t tokens = oq_value_voxels(oq_step_input(step, 0));
	step->scratch_bytes = index_bytes(tokens) + oq_nearest_scratch_bytes(s->nearest, tokens, planner->threads);
	step->gflop = 2e-9 * (double)tokens * (double)(s->codes * s->channels);
	if (oq_nearest_has_bytes(s->nearest))
		snprintf(step->implementation, sizeof step->implementation, "own:%s+u8", oq_isa_name(planner->isa));
	return OQ_OK;
}

static oq_status run_vq(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const vq_state *s = step->state;
	int64_t tokens = oq_value_voxels(oq_step_input(step, 0)), *index = run->scratch;
	float *y = oq_run_output(step, run);
	oq_nearest_run(s->nearest, tokens, oq_run_input(step, run, 0), index, (char *)run->scratch + index_bytes(tokens), run->threads);
	for (int64_t t = 0; t < tokens; t++)
		memcpy(y + t * s->channels, s->stored + index[t] * s->channels, (size_t)s->channels * sizeof *y);
	return OQ_OK;
}

static void close_vq(oq_step *step)
{
	vq_state *s = step->state;
	if (!s)
		return;
	oq_free(s->stored);
	oq_nearest_free(s->nearest);
	oq_free(s);
}

const oq_op oq_op_vq_lookup = {.name = "vq_lookup", .min_inputs = 1, .max_inputs = 1, .parse = parse_vq, .infer = infer_vq, .plan = plan_vq,
	.run = run_vq, .close = close_vq};
