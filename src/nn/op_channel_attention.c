/* Channel attention (DaViT): within each group of 32 channels the channels attend to each other, summed over all tokens:
 *   A[a][b] = softmax_b( N^-0.5 * sum_n q[n][a] k[n][b] ),  out[n][a] = sum_b A[a][b] v[n][b]
 * Input [q|k|v] of 3C channels, group-major; "groups". Both products run through the float32 micro-kernel in blocks of tokens;
 * the blocks of the first are summed in double: over 14,400 tokens one float chain would lose two digits, which the depth of the
 * network multiplies. */
#include "op.h"

#include "kernel/gemm_f32.h"
#include "kernel/token_f32.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define DIM OQ_GEMM_NR /* channels of a group */
#define BLOCK 256      /* tokens gathered at a time */

static oq_status parse_channel(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	(void)graph;
	return oq_json_need_int(json, "groups", node->name, &node->attributes.groups, err);
}

static oq_status infer_channel(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_value *input = &graph->values[node->inputs[0]];
	int64_t groups = node->attributes.groups;
	if (input->rank != 4 || groups < 1 || input->shape[0] != 3 * DIM * groups)
		return oq_graph_refuse(graph, node, err, "%lld groups of %d channels do not make input %s", (long long)groups, DIM, input->name);
	output->rank = 4;
	memcpy(output->shape, input->shape, sizeof output->shape);
	output->shape[0] = DIM * groups;
	return OQ_OK;
}

typedef struct channel_scratch {
	float *queries;  /* [DIM][BLOCK], transposed */
	float *keys;     /* [BLOCK][DIM] */
	float *scores;   /* [DIM][DIM], of one block, then of all */
	double *sums;    /* [DIM][DIM] */
	float *packed;   /* [DIM][DIM], transposed scores */
} channel_scratch;

#define THREAD_FLOATS (2 * DIM * BLOCK + 4 * DIM * DIM)

static oq_status plan_channel(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	(void)node;
	(void)err;
	step->scratch_bytes = (size_t)planner->threads * THREAD_FLOATS * sizeof(float);
	step->gflop = 4e-9 * (double)oq_step_output(step)->count * DIM;
	return OQ_OK;
}

static void gather_block(const float *q, const float *k, int64_t stride, int64_t tokens, const channel_scratch *s)
{
	for (int64_t n = 0; n < tokens; n++) {
		for (int c = 0; c < DIM; c++)
			s->queries[c * BLOCK + n] = q[n * stride + c];
		memcpy(s->keys + n * DIM, k + n * stride, DIM * sizeof *k);
	}
}

static void score(oq_gemm_f32_fn *gemm, const float *q, const float *k, int64_t stride, int64_t tokens, const channel_scratch *s)
{
	const float *in[DIM];
	float *out[DIM];
	for (int c = 0; c < DIM; c++) {
		in[c] = s->queries + c * BLOCK;
		out[c] = s->scores + c * DIM;
	}
	memset(s->sums, 0, DIM * DIM * sizeof *s->sums);
	for (int64_t n = 0; n < tokens; n += BLOCK) {
		int64_t some = tokens - n < BLOCK ? tokens - n : BLOCK;
		gather_block(q + n * stride, k + n * stride, stride, some, s);
		gemm(DIM, some, in, s->keys, out, false);
		for (int i = 0; i < DIM * DIM; i++)
			s->sums[i] += (double)s->scores[i];
	}
	for (int i = 0; i < DIM * DIM; i++)
		s->scores[i] = (float)s->sums[i];
}

static void apply(oq_gemm_f32_fn *gemm, const float *v, int64_t stride, int64_t tokens, int64_t channels, const channel_scratch *s, float *y)
{
	const float *in[BLOCK];
	float *out[BLOCK];
	for (int64_t n = 0; n < tokens; n += BLOCK) {
		int64_t some = tokens - n < BLOCK ? tokens - n : BLOCK;
		for (int64_t i = 0; i < some; i++) {
			in[i] = v + (n + i) * stride;
			out[i] = y + (n + i) * channels;
		}
		gemm(some, DIM, in, s->packed, out, false);
	}
}

static void attend_group(const oq_step *step, const oq_run *run, int64_t group, float *scratch)
{
	const oq_token_kernels *kernels = oq_token_kernels_for(run->isa);
	const oq_value *output = oq_step_output(step);
	int64_t channels = output->shape[0], tokens = oq_value_voxels(output), stride = 3 * channels;
	const float *q = oq_run_input(step, run, 0) + group * DIM, *k = q + channels, *v = k + channels;
	const channel_scratch s = {.queries = scratch, .keys = scratch + DIM * BLOCK, .scores = scratch + 2 * DIM * BLOCK,
		.packed = scratch + 2 * DIM * BLOCK + DIM * DIM, .sums = (double *)(void *)(scratch + 2 * DIM * (BLOCK + DIM))};
	score(oq_gemm_f32_kernel(run->isa), q, k, stride, tokens, &s);
	float scale = (float)(1.0 / sqrt((double)tokens));
	for (int a = 0; a < DIM; a++) {
		float sum = kernels->softmax_row(DIM, s.scores + a * DIM, scale, NULL, NULL);
		for (int b = 0; b < DIM; b++)
			s.packed[b * DIM + a] = s.scores[a * DIM + b] / sum;
	}
	apply(oq_gemm_f32_kernel(run->isa), v, stride, tokens, channels, &s, oq_run_output(step, run) + group * DIM);
}

static oq_status run_channel(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
#pragma omp parallel for num_threads(run->threads) if (run->threads > 1)
	for (int64_t group = 0; group < step->node->attributes.groups; group++) {
		int thread = run->threads > 1 ? omp_get_thread_num() : 0;
		attend_group(step, run, group, (float *)run->scratch + thread * THREAD_FLOATS);
	}
	return OQ_OK;
}

const oq_op oq_op_channel_attention = {.name = "channel_attention", .min_inputs = 1, .max_inputs = 1, .parse = parse_channel,
	.infer = infer_channel, .plan = plan_channel, .run = run_channel};
