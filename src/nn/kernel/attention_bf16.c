#include "kernel/attention_bf16.h"

#include "convert_isa.h"
#include "kernel/gemm_dot.h"
#include "kernel/token_f32.h"
#include "scratch.h"

#include <string.h>

#define ROWS 56 /* queries at a time: four blocks of the micro-kernel */

typedef struct room {
	uint16_t *keys;    /* panels of 32 keys: [panel][d/2][32][2] */
	uint16_t *values;  /* panels of 32 dims: [panel][steps][32][2] */
	uint16_t *queries; /* [ROWS][d] */
	uint16_t *weights; /* [ROWS][2*steps] */
	float *scores;     /* [ROWS][padded] */
	float *result;     /* [ROWS][d] */
	float *zeros;      /* [32] */
	size_t bytes;
} room;

/* `scratch` may be NULL: for the size only. */
static room lay_out(int64_t n, int64_t d, char *scratch)
{
	int64_t padded = oq_dot_panels(n) * OQ_DOT_NR, even = 2 * oq_dot_steps(n, sizeof(uint16_t));
	room m = {0};
	m.keys = oq_scratch_place(scratch, &m.bytes, padded * d, sizeof *m.keys);
	m.values = oq_scratch_place(scratch, &m.bytes, even * d, sizeof *m.values);
	m.queries = oq_scratch_place(scratch, &m.bytes, ROWS * d, sizeof *m.queries);
	m.weights = oq_scratch_place(scratch, &m.bytes, ROWS * even, sizeof *m.weights);
	m.scores = oq_scratch_place(scratch, &m.bytes, ROWS * padded, sizeof *m.scores);
	m.result = oq_scratch_place(scratch, &m.bytes, ROWS * d, sizeof *m.result);
	m.zeros = oq_scratch_place(scratch, &m.bytes, OQ_DOT_NR, sizeof *m.zeros);
	return m;
}

size_t oq_attention_bf16_scratch_bytes(int64_t tokens, int64_t head_dim)
{
	return lay_out(tokens, head_dim, NULL).bytes;
}

static void pack_keys(const oq_attention_bf16 *a, uint16_t *packed)
{
	int64_t d = a->head_dim, padded = oq_dot_panels(a->tokens) * OQ_DOT_NR;
	memset(packed + (padded - OQ_DOT_NR) * d, 0, (size_t)(OQ_DOT_NR * d) * sizeof *packed); /* what is missing in the last panel */
	for (int64_t j = 0; j < a->tokens; j++) {
		uint16_t *to = packed + j / OQ_DOT_NR * OQ_DOT_NR * d + j % OQ_DOT_NR * 2;
		for (int64_t i = 0; i < d; i += 2, to += 2 * OQ_DOT_NR)
			memcpy(to, a->k[j] + i, 2 * sizeof *to);
	}
}

static void pack_values(const oq_attention_bf16 *a, uint16_t *packed)
{
	for (int64_t at = 0; at < a->head_dim; at += OQ_DOT_NR)
		for (int64_t t = 0; t < a->tokens; t += 2, packed += 2 * OQ_DOT_NR) {
			const uint16_t *first = a->v[t] + at, *second = t + 1 < a->tokens ? a->v[t + 1] + at : NULL;
			for (int i = 0; i < OQ_DOT_NR; i++) {
				packed[2 * i] = first[i];
				packed[2 * i + 1] = second ? second[i] : 0;
			}
		}
}

/* Next query rows that are wanted, from *at on. */
static int64_t gather(const oq_attention_bf16 *a, int64_t *at, int64_t index[ROWS], uint16_t *queries)
{
	int64_t rows = 0;
	for (; *at < a->tokens && rows < ROWS; (*at)++)
		if (a->out[*at]) {
			memcpy(queries + rows * a->head_dim, a->q[*at], (size_t)a->head_dim * sizeof *queries);
			index[rows++] = *at;
		}
	return rows;
}

void oq_attention_bf16_run(const oq_attention_bf16 *a, oq_isa isa, void *scratch)
{
	const oq_token_kernels *kernels = oq_token_kernels_for(isa);
	oq_gemm_dot_fn *fast = oq_gemm_bf16_kernel(isa == OQ_ISA_AVX512), *multiply = fast ? fast : oq_gemm_bf16_plain;
	const room m = lay_out(a->tokens, a->head_dim, scratch);
	int64_t n = a->tokens, d = a->head_dim, padded = oq_dot_panels(n) * OQ_DOT_NR, steps = oq_dot_steps(n, sizeof(uint16_t)), at = 0, index[ROWS];
	pack_keys(a, m.keys);
	pack_values(a, m.values);
	memset(m.zeros, 0, OQ_DOT_NR * sizeof *m.zeros);
	for (int64_t rows = gather(a, &at, index, m.queries); rows > 0; rows = gather(a, &at, index, m.queries)) {
		float sums[ROWS];
		for (int64_t p = 0; p < padded; p += OQ_DOT_NR)
			multiply(rows, d / 2, m.queries, 2 * d, m.keys + p * d, m.zeros, m.scores + p, padded);
		for (int64_t r = 0; r < rows; r++) {
			float *row = m.scores + r * padded;
			sums[r] = kernels->softmax_row(n, row, a->scale, a->bias ? a->bias + index[r] * n : NULL, a->mask ? a->mask + index[r] * n : NULL);
			m.weights[r * 2 * steps + 2 * steps - 1] = 0; /* beside a value that is 0, when n is odd */
			oq_convert_for(isa)->f32_to_bf16(n, row, m.weights + r * 2 * steps);
		}
		for (int64_t p = 0; p < d; p += OQ_DOT_NR)
			multiply(rows, steps, m.weights, 4 * steps, m.values + p * 2 * steps, m.zeros, m.result + p, d);
		for (int64_t r = 0; r < rows; r++)
			kernels->divide(d, m.result + r * d, sums[r], a->out[index[r]]);
	}
}
