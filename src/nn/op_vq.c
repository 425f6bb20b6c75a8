/* Vector quantisation by cosine: every token is replaced by the stored row of the codebook whose direction is nearest (the
 * first one on a tie). Directions are packed once; the products run through the float32 micro-kernel. */
#include "op.h"

#include "kernel/gemm_f32.h"
#include "kernel/token_f32.h"

#include <math.h>
#include <string.h>

typedef struct vq_state {
	int64_t codes, channels, panels;
	float *stored; /* [codes][channels] */
	float *packed; /* directions, [panel][channels][32] */
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

static void pack_directions(vq_state *s)
{
	memset(s->packed, 0, (size_t)(s->panels * s->channels * OQ_GEMM_NR) * sizeof *s->packed);
	for (int64_t code = 0; code < s->codes; code++) {
		const float *row = s->stored + code * s->channels;
		double squares = 0;
		for (int64_t c = 0; c < s->channels; c++)
			squares += (double)row[c] * (double)row[c];
		double norm = squares > 1e-24 ? sqrt(squares) : 1e-12;
		float *column = s->packed + code / OQ_GEMM_NR * s->channels * OQ_GEMM_NR + code % OQ_GEMM_NR;
		for (int64_t c = 0; c < s->channels; c++)
			column[c * OQ_GEMM_NR] = (float)((double)row[c] / norm);
	}
}

static oq_status plan_vq(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	const oq_tensor_info *codebook = oq_safetensors_find(oq_package_weights(planner->graph->package), node->attributes.weight);
	vq_state *s = step->state = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, node->name, sizeof *s);
	s->channels = codebook->shape[codebook->rank - 1];
	s->codes = (int64_t)codebook->count / s->channels;
	s->panels = (s->codes + OQ_GEMM_NR - 1) / OQ_GEMM_NR;
	size_t packed_bytes = (size_t)(s->panels * s->channels * OQ_GEMM_NR) * sizeof(float);
	s->stored = oq_alloc(codebook->count * sizeof *s->stored);
	s->packed = oq_alloc_aligned(packed_bytes);
	if (!s->stored || !s->packed)
		return oq_fail_memory(err, node->name, packed_bytes);
	OQ_TRY(oq_package_read_f32(planner->graph->package, codebook->name, s->stored, codebook->count, err));
	pack_directions(s);
	step->weight_bytes = codebook->count * sizeof(float) + packed_bytes;
	int64_t tokens = oq_value_voxels(oq_step_input(step, 0));
	step->scratch_bytes = (size_t)tokens * ((size_t)(s->channels + s->panels * OQ_GEMM_NR) * sizeof(float) + 2 * sizeof(void *));
	step->gflop = 2e-9 * (double)tokens * (double)(s->codes * s->channels);
	return OQ_OK;
}

static int64_t first_maximum(const float *scores, int64_t count)
{
	int64_t best = 0;
	for (int64_t i = 1; i < count; i++)
		if (scores[i] > scores[best])
			best = i;
	return best;
}

static oq_status run_vq(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const vq_state *s = step->state;
	int64_t tokens = oq_value_voxels(oq_step_input(step, 0)), width = s->panels * OQ_GEMM_NR;
	const float *x = oq_run_input(step, run, 0);
	float *y = oq_run_output(step, run), *units = run->scratch, *scores = units + tokens * s->channels;
	const float **in = (const float **)(void *)(scores + tokens * width);
	for (int64_t t = 0; t < tokens; t++) {
		oq_token_kernels_for(run->isa)->unit_row(s->channels, x + t * s->channels, NULL, units + t * s->channels);
		in[t] = units + t * s->channels;
	}
	float **out = (float **)(void *)(in + tokens);
	for (int64_t p = 0; p < s->panels; p++) {
		for (int64_t t = 0; t < tokens; t++)
			out[t] = scores + t * width + p * OQ_GEMM_NR;
		oq_gemm_f32_kernel(run->isa)(tokens, s->channels, in, s->packed + p * s->channels * OQ_GEMM_NR, out, false);
	}
	for (int64_t t = 0; t < tokens; t++)
		memcpy(y + t * s->channels, s->stored + first_maximum(scores + t * width, s->codes) * s->channels, (size_t)s->channels * sizeof *y);
	return OQ_OK;
}

static void close_vq(oq_step *step)
{
	vq_state *s = step->state;
	if (!s)
		return;
	oq_free(s->stored);
	oq_free_aligned(s->packed);
	oq_free(s);
}

const oq_op oq_op_vq_lookup = {.name = "vq_lookup", .min_inputs = 1, .max_inputs = 1, .parse = parse_vq, .infer = infer_vq, .plan = plan_vq,
	.run = run_vq, .close = close_vq};
