#include "kernel/attention_f32.h"

#include <string.h>

#define ROWS 28 /* two blocks of the micro-kernel */

static int64_t panels_of(int64_t n)
{
	return (n + OQ_GEMM_NR - 1) / OQ_GEMM_NR;
}

size_t oq_attention_scratch_floats(int64_t tokens, int64_t head_dim)
{
	int64_t padded = panels_of(tokens) * OQ_GEMM_NR;
	return (size_t)(padded * head_dim + tokens * head_dim + ROWS * padded + ROWS * head_dim);
}

/* Keys as panels of the transposed matrix: [panel][d][32]; missing keys are zero and never looked at. */
static void pack_keys(const oq_attention *a, float *packed)
{
	for (int64_t first = 0; first < a->tokens; first += OQ_GEMM_NR, packed += a->head_dim * OQ_GEMM_NR) {
		int64_t keys = a->tokens - first < OQ_GEMM_NR ? a->tokens - first : OQ_GEMM_NR;
		if (keys < OQ_GEMM_NR)
			memset(packed, 0, (size_t)(a->head_dim * OQ_GEMM_NR) * sizeof *packed);
		for (int64_t j = 0; j < keys; j++)
			for (int64_t d = 0; d < a->head_dim; d++)
				packed[d * OQ_GEMM_NR + j] = a->k[first + j][d];
	}
}

/* Values as panels of the matrix itself: [panel of 32 dims][n][32]. */
static void pack_values(const oq_attention *a, float *packed)
{
	for (int64_t p = 0; p < panels_of(a->head_dim); p++)
		for (int64_t j = 0; j < a->tokens; j++, packed += OQ_GEMM_NR)
			memcpy(packed, a->v[j] + p * OQ_GEMM_NR, OQ_GEMM_NR * sizeof *packed);
}

/* Next query rows that are wanted, from *at on. */
static int64_t gather_rows(const oq_attention *a, int64_t *at, int64_t index[ROWS])
{
	int64_t rows = 0;
	for (; *at < a->tokens && rows < ROWS; (*at)++)
		if (a->out[*at])
			index[rows++] = *at;
	return rows;
}

static void store_rows(const oq_attention *a, const oq_token_kernels *kernels, int64_t rows, const int64_t *index, const float *result,
	const float *sums)
{
	for (int64_t r = 0; r < rows; r++)
		kernels->divide(a->head_dim, result + r * a->head_dim, sums[r], a->out[index[r]]);
}

void oq_attention_run(const oq_attention *a, oq_isa isa, float *scratch)
{
	oq_gemm_f32_fn *gemm = oq_gemm_f32_kernel(isa);
	const oq_token_kernels *kernels = oq_token_kernels_for(isa);
	int64_t n = a->tokens, d = a->head_dim, padded = panels_of(n) * OQ_GEMM_NR, index[ROWS], at = 0;
	float *keys = scratch, *values = keys + padded * d, *scores = values + n * d, *result = scores + ROWS * padded;
	pack_keys(a, keys);
	pack_values(a, values);
	for (int64_t rows = gather_rows(a, &at, index); rows > 0; rows = gather_rows(a, &at, index)) {
		const float *in[ROWS];
		float *out[ROWS], sums[ROWS];
		for (int64_t p = 0; p < padded / OQ_GEMM_NR; p++) {
			for (int64_t r = 0; r < rows; r++) {
				in[r] = a->q[index[r]];
				out[r] = scores + r * padded + p * OQ_GEMM_NR;
			}
			gemm(rows, d, in, keys + p * d * OQ_GEMM_NR, out, false);
		}
		for (int64_t r = 0; r < rows; r++)
			sums[r] = kernels->softmax_row(n, scores + r * padded, a->scale, a->bias ? a->bias + index[r] * n : NULL,
				a->mask ? a->mask + index[r] * n : NULL);
		for (int64_t p = 0; p < d / OQ_GEMM_NR; p++) {
			for (int64_t r = 0; r < rows; r++) {
				in[r] = scores + r * padded;
				out[r] = result + r * d + p * OQ_GEMM_NR;
			}
			gemm(rows, n, in, values + p * n * OQ_GEMM_NR, out, false);
		}
		store_rows(a, kernels, rows, index, result, sums);
	}
}
