/* Attention of one head over one set of tokens as in attention_f32.h, its two products in bytes. Nothing is calibrated: scales are those of the
 * rows at hand,
 *   q, k     a scale per token, codes -127 to 127
 *   v        a scale per channel over the tokens, codes -127 to 127
 *   weights  exp(score - the row's largest), codes 0 to 255, divided by the sum of the codes
 * so a weight below 1/510 of the largest one counts as 0. Sums of products are exact in 32 bits and softmax is float32 in a fixed order: every
 * instruction set gives the same bits, with an 8-bit dot product and without. What is no finite number in a row of q, k or v makes every
 * result that it takes part in NaN; what is below 1e-30 everywhere in a row (q, k) or channel (v) counts as 0. */
#ifndef OQ_NN_KERNEL_ATTENTION_I8_H
#define OQ_NN_KERNEL_ATTENTION_I8_H

#include "core/cpu.h"
#include "core/dtype.h"

#include <stddef.h>

#define OQ_ATTENTION_I8_MAX_TOKENS 65000 /* 255 * 127 times as many fit into 32 bits */

typedef struct oq_attention_i8 {
	int64_t tokens, head_dim;   /* n, and d: a multiple of 32 */
	float scale;
	oq_dtype dtype;             /* of q, k and v: OQ_F32 or OQ_BF16 */
	const void *const *q, *const *k, *const *v; /* n pointers to rows of d */
	const float *bias, *mask;   /* [n][n] or NULL */
	float *const *out;          /* n pointers to rows of d; NULL = not wanted (padding) */
} oq_attention_i8;

size_t oq_attention_i8_scratch_bytes(int64_t tokens, int64_t head_dim);
/* `vnni`: AVX-512 with an 8-bit dot product; without, products of 16 bits. `scratch` is OQ_ALIGN-aligned. */
void oq_attention_i8_run(const oq_attention_i8 *attention, oq_isa isa, bool vnni, void *scratch);

#endif
