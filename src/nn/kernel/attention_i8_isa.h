/* Passes of the attention in bytes, one table per instruction set; all give the same bits. */
#ifndef OQ_NN_KERNEL_ATTENTION_I8_ISA_H
#define OQ_NN_KERNEL_ATTENTION_I8_ISA_H

#include "to_integer.h"

#include "core/cpu.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Scores of one row, as softmax takes them: score[j] = sums[j]*row*column[j] + bias[j] + mask[j]. */
typedef struct oq_score_row {
	int64_t count;
	const int32_t *sums;
	float row;               /* the scale of q's row, times that of all scores */
	const float *column;     /* [count]: the scales of k's rows */
	const float *bias, *mask; /* [count] or NULL */
} oq_score_row;

typedef struct oq_attention_i8_kernels {
	/* codes[c] = round(x[c]/scale), scale = max|x|/127, which is returned; 0 and codes 0 when the largest is below 1e-30, or is no finite number:
	 * then that is returned. */
	float (*code_row)(int64_t count, const float *x, int8_t *codes);
	/* most[c] = the larger of it and the bits of |x[c]|: in this order a NaN is beyond infinity. */
	void (*add_most)(int64_t count, const float *x, uint32_t *most);
	/* Four (two) rows of 32 values times inverse[c], rounded, as four (two) bytes side by side. */
	void (*code_four)(const float *const x[4], const float *inverse, int8_t *packed);
	void (*code_two)(const float *const x[2], const float *inverse, int8_t *packed);
	/* codes[j] = round(255*exp(score[j] - the largest)); returns the sum of the codes. `room`: [count]. */
	int32_t (*softmax)(const oq_score_row *scores, float *room, uint8_t *codes);
	/* y[c] = sums[c]*factor*scale[c], rounded in this order */
	void (*scale_out)(int64_t count, const int32_t *sums, const float *scale, float factor, float *y);
} oq_attention_i8_kernels;

extern const oq_attention_i8_kernels oq_attention_i8_plain;
#ifdef OQ_KERNEL_X86
extern const oq_attention_i8_kernels oq_attention_i8_avx2, oq_attention_i8_avx512;
#endif

/* ---- Softmax in codes, one element ---- */

/* 2^t for t in [-0.5, 0.5]: 1 at 0, else good to 1.02e-4 (own fit), a fortieth of a code. */
#define OQ_EXP2_1 0.69328293f
#define OQ_EXP2_2 0.24221096f
#define OQ_EXP2_3 0.05500893f
#define OQ_LOG2_E 1.44269504f
#define OQ_LEAST_EXPONENT (-16.0f) /* 2^-9 of 255 already is code 0 */

static inline float oq_score_one(const oq_score_row *s, int64_t j)
{
	float score = (float)s->sums[j] * s->row;
	score = s->bias ? fmaf(score, s->column[j], s->bias[j]) : score * s->column[j];
	return s->mask ? score + s->mask[j] : score;
}

static inline uint8_t oq_weight_one(float below)
{
	float t = below * OQ_LOG2_E;
	t = t > OQ_LEAST_EXPONENT ? t : OQ_LEAST_EXPONENT; /* NaN, too */
	float shifted = t + OQ_TO_INTEGER, f = t - (shifted - OQ_TO_INTEGER);
	float p = fmaf(OQ_EXP2_3 * 255.0f, f, OQ_EXP2_2 * 255.0f);
	p = fmaf(p, f, OQ_EXP2_1 * 255.0f);
	p = fmaf(p, f, 255.0f);
	uint32_t exponent, bits;
	memcpy(&exponent, &shifted, sizeof exponent);
	memcpy(&bits, &p, sizeof bits);
	bits += exponent << 23;
	memcpy(&p, &bits, sizeof p);
	p += OQ_TO_INTEGER;
	memcpy(&bits, &p, sizeof bits);
	return (uint8_t)bits;
}

#endif
