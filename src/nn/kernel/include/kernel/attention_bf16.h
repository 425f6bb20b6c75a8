/* Attention of one head over one set of tokens as in attention_f32.h, its two products in bfloat16: queries, keys and values as they lie
 * in memory, softmax in float32, its exponentials rounded to bfloat16 for the second product and summed before that. */
#ifndef OQ_NN_KERNEL_ATTENTION_BF16_H
#define OQ_NN_KERNEL_ATTENTION_BF16_H

#include "core/cpu.h"

#include <stddef.h>

typedef struct oq_attention_bf16 {
	int64_t tokens, head_dim;   /* n, and d: a multiple of 32 */
	float scale;
	const uint16_t *const *q, *const *k, *const *v; /* n pointers to rows of d */
	const float *bias, *mask;   /* [n][n] or NULL */
	float *const *out;          /* n pointers to rows of d; NULL = not wanted (padding) */
} oq_attention_bf16;

size_t oq_attention_bf16_scratch_bytes(int64_t tokens, int64_t head_dim);
/* `isa` AVX512: the processor multiplies bfloat16; else the plain twin. `scratch` is OQ_ALIGN-aligned. */
void oq_attention_bf16_run(const oq_attention_bf16 *attention, oq_isa isa, void *scratch);

#endif
