/* Attention of one head over one set of tokens: out_i = softmax_j(scale*q_i.k_j + bias_ij + mask_ij) v_j, in blocks of query
 * rows, so that the n x n scores never exist at once. */
#ifndef OQ_NN_KERNEL_ATTENTION_F32_H
#define OQ_NN_KERNEL_ATTENTION_F32_H

#include "kernel/gemm_f32.h"
#include "kernel/token_f32.h"

typedef struct oq_attention {
	int64_t tokens, head_dim;   /* n, and d: a multiple of 32 */
	float scale;
	const float *const *q, *const *k, *const *v; /* n pointers to rows of d */
	const float *bias, *mask;   /* [n][n] or NULL */
	float *const *out;          /* n pointers to rows of d; NULL = not wanted (padding) */
} oq_attention;

size_t oq_attention_scratch_floats(int64_t tokens, int64_t head_dim);
void oq_attention_run(const oq_attention *attention, oq_isa isa, float *scratch);

#endif
