/* The integer transforms for AVX2. */
#include <immintrin.h>
#include <stdint.h>

/* gcc 12 takes the vector apart and puts it together byte by byte. */
typedef uint8_t eight_bytes __attribute__((vector_size(8)));
static inline __attribute__((always_inline)) eight_bytes narrow(__m256i v)
{
	const __m128i words = _mm_packus_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
	return (eight_bytes)_mm_cvtsi128_si64(_mm_packus_epi16(words, words));
}

#define BYTES 32
#define TABLE oq_w16_avx2
#define NARROW(v) narrow((__m256i)(v))
#include "winograd_i16_body.h"
