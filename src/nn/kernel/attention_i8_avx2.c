/* Passes of the attention in bytes for AVX2. */
#include "attention_i8_isa.h"

#include <immintrin.h>

#define LANES 8

static inline __m256 scores_of(const oq_score_row *s, int64_t j)
{
	__m256 x = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_loadu_si256((const void *)(s->sums + j))), _mm256_set1_ps(s->row));
	const __m256 column = _mm256_loadu_ps(s->column + j);
	x = s->bias ? _mm256_fmadd_ps(x, column, _mm256_loadu_ps(s->bias + j)) : _mm256_mul_ps(x, column);
	return s->mask ? _mm256_add_ps(x, _mm256_loadu_ps(s->mask + j)) : x;
}

/* As oq_weight_one, the codes in the low bytes. */
static inline __m256i weights_of(__m256 below)
{
	const __m256 to_integer = _mm256_set1_ps(OQ_TO_INTEGER);
	const __m256 t = _mm256_max_ps(_mm256_mul_ps(below, _mm256_set1_ps(OQ_LOG2_E)), _mm256_set1_ps(OQ_LEAST_EXPONENT));
	const __m256 shifted = _mm256_add_ps(t, to_integer), f = _mm256_sub_ps(t, _mm256_sub_ps(shifted, to_integer));
	__m256 p = _mm256_fmadd_ps(_mm256_set1_ps(OQ_EXP2_3 * 255.0f), f, _mm256_set1_ps(OQ_EXP2_2 * 255.0f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(OQ_EXP2_1 * 255.0f));
	p = _mm256_fmadd_ps(p, f, _mm256_set1_ps(255.0f));
	const __m256i scaled = _mm256_add_epi32(_mm256_castps_si256(p), _mm256_slli_epi32(_mm256_castps_si256(shifted), 23));
	return _mm256_and_si256(_mm256_castps_si256(_mm256_add_ps(_mm256_castsi256_ps(scaled), to_integer)), _mm256_set1_epi32(255));
}

static inline void store_codes(__m256i codes, uint8_t *to)
{
	const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
	_mm_storel_epi64((void *)to, _mm_packus_epi16(words, words));
}

static int32_t softmax(const oq_score_row *s, float *room, uint8_t *codes)
{
	__m256 most = _mm256_set1_ps(-INFINITY);
	__m256i sum = _mm256_setzero_si256();
	float lane[LANES], top = -INFINITY;
	int32_t part[LANES], total = 0;
	int64_t j = 0;
	for (; j + LANES <= s->count; j += LANES) {
		const __m256 x = scores_of(s, j);
		most = _mm256_max_ps(x, most);
		_mm256_storeu_ps(room + j, x);
	}
	_mm256_storeu_ps(lane, most);
	for (int l = 0; l < LANES; l++)
		top = lane[l] > top ? lane[l] : top;
	for (; j < s->count; j++) {
		room[j] = oq_score_one(s, j);
		top = room[j] > top ? room[j] : top;
	}
	for (j = 0; j + LANES <= s->count; j += LANES) {
		const __m256i w = weights_of(_mm256_sub_ps(_mm256_loadu_ps(room + j), _mm256_set1_ps(top)));
		sum = _mm256_add_epi32(sum, w);
		store_codes(w, codes + j);
	}
	_mm256_storeu_si256((void *)part, sum);
	for (int l = 0; l < LANES; l++)
		total += part[l];
	for (; j < s->count; j++)
		total += codes[j] = oq_weight_one(room[j] - top);
	return total;
}

#define TABLE oq_attention_i8_avx2
#define SOFTMAX softmax
#include "attention_i8_body.h"
