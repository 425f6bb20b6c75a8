/* Passes of the attention in bytes for AVX-512. */
#include "attention_i8_isa.h"

#include <immintrin.h>

#define LANES 16

/* Of the lanes in `m`; the others are minus infinity. */
static inline __m512 scores_of(const oq_score_row *s, int64_t j, __mmask16 m)
{
	__m512 x = _mm512_mul_ps(_mm512_cvtepi32_ps(_mm512_maskz_loadu_epi32(m, s->sums + j)), _mm512_set1_ps(s->row));
	const __m512 column = _mm512_maskz_loadu_ps(m, s->column + j);
	x = s->bias ? _mm512_fmadd_ps(x, column, _mm512_maskz_loadu_ps(m, s->bias + j)) : _mm512_mul_ps(x, column);
	if (s->mask)
		x = _mm512_add_ps(x, _mm512_maskz_loadu_ps(m, s->mask + j));
	return _mm512_mask_blend_ps(m, _mm512_set1_ps(-INFINITY), x);
}

/* As oq_weight_one, the codes in the low bytes. */
static inline __m512i weights_of(__m512 below)
{
	const __m512 to_integer = _mm512_set1_ps(OQ_TO_INTEGER);
	const __m512 t = _mm512_max_ps(_mm512_mul_ps(below, _mm512_set1_ps(OQ_LOG2_E)), _mm512_set1_ps(OQ_LEAST_EXPONENT));
	const __m512 shifted = _mm512_add_ps(t, to_integer), f = _mm512_sub_ps(t, _mm512_sub_ps(shifted, to_integer));
	__m512 p = _mm512_fmadd_ps(_mm512_set1_ps(OQ_EXP2_3 * 255.0f), f, _mm512_set1_ps(OQ_EXP2_2 * 255.0f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(OQ_EXP2_1 * 255.0f));
	p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(255.0f));
	const __m512i scaled = _mm512_add_epi32(_mm512_castps_si512(p), _mm512_slli_epi32(_mm512_castps_si512(shifted), 23));
	return _mm512_and_si512(_mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(scaled), to_integer)), _mm512_set1_epi32(255));
}

/* Lanes of the last, partial register; the loops before it are free of masks, whose stores cost more. */
static inline __mmask16 lanes_left(int64_t count)
{
	return (__mmask16)((1u << count % LANES) - 1);
}

static int32_t softmax(const oq_score_row *scores, float *room, uint8_t *codes)
{
	const oq_score_row s = *scores; /* not to be read again after every store */
	const int64_t whole = s.count / LANES * LANES;
	const __mmask16 last = lanes_left(s.count);
	__m512 most = _mm512_set1_ps(-INFINITY);
	__m512i sum = _mm512_setzero_si512();
	for (int64_t j = 0; j < whole; j += LANES) {
		const __m512 x = scores_of(&s, j, (__mmask16)0xffff);
		most = _mm512_max_ps(x, most);
		_mm512_storeu_ps(room + j, x);
	}
	const __m512 rest = scores_of(&s, whole, last), top = _mm512_set1_ps(_mm512_reduce_max_ps(_mm512_max_ps(rest, most)));
	for (int64_t j = 0; j < whole; j += LANES) {
		const __m512i w = weights_of(_mm512_sub_ps(_mm512_loadu_ps(room + j), top));
		sum = _mm512_add_epi32(sum, w);
		_mm_storeu_si128((void *)(codes + j), _mm512_cvtepi32_epi8(w));
	}
	const __m512i w = _mm512_maskz_mov_epi32(last, weights_of(_mm512_sub_ps(rest, top)));
	_mm512_mask_cvtepi32_storeu_epi8(codes + whole, last, w);
	return _mm512_reduce_add_epi32(_mm512_add_epi32(sum, w));
}

#define TABLE oq_attention_i8_avx512
#define SOFTMAX softmax
#include "attention_i8_body.h"
