/* AVX-512 micro-kernel on panels of bytes, without VNNI: up to 14 rows by 32 columns in 28 of 32 registers. Compiled with AVX-512 options;
 * called only where they are allowed. */
#include "gemm_i16_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 14
#define STEP (2 * OQ_GEMM16_NR) /* bytes of a panel per pair */
#define AHEAD 4096              /* bytes: panels of one layer lie one behind the other, and a prefetch never faults */

static inline __attribute__((always_inline)) __m512i pair_of(const int16_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm512_set1_epi32(bits);
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c,
	bool accumulate)
{
	__m512i sum[MAX_ROWS][2];
	const int16_t *in[MAX_ROWS];
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		in[r] = a[r];
		sum[r][0] = accumulate ? _mm512_load_si512(c[r]) : _mm512_setzero_si512();
		sum[r][1] = accumulate ? _mm512_load_si512(c[r] + 16) : _mm512_setzero_si512();
	}
	for (int64_t i = 0; i < pairs; i++, b += STEP) {
		const __m512i b0 = _mm512_cvtepi8_epi16(_mm256_load_si256((const void *)b)), b1 = _mm512_cvtepi8_epi16(_mm256_load_si256((const void *)(b + STEP / 2)));
		_mm_prefetch((const char *)b + AHEAD, _MM_HINT_T1);
#pragma GCC unroll 14
		for (int r = 0; r < rows; r++) {
			const __m512i x = pair_of(in[r] + 2 * i);
			sum[r][0] = _mm512_add_epi32(sum[r][0], _mm512_madd_epi16(x, b0));
			sum[r][1] = _mm512_add_epi32(sum[r][1], _mm512_madd_epi16(x, b1));
		}
	}
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		_mm512_store_si512(c[r], sum[r][0]);
		_mm512_store_si512(c[r] + 16, sum[r][1]);
	}
}

typedef void block_fn(int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate);

#define BLOCK(ROWS)                                                                                                    \
	static void block_##ROWS(int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate) \
	{                                                                                                              \
		block(ROWS, pairs, a, b, c, accumulate);                                                               \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8,
	block_9, block_10, block_11, block_12, block_13, block_14};

void oq_gemm_i16s8_avx512(int64_t rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate)
{
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (rows + left - 1) / left;
		blocks[height](pairs, a, b, c, accumulate);
		a += height;
		c += height;
		rows -= height;
	}
}
