/* AVX2 micro-kernel on panels of bytes: up to 6 rows by 16 columns in 12 of 16 registers, run twice over the 32 columns of a panel. Compiled
 * with AVX2 options; called only where they are allowed. */
#include "gemm_i16_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 6
#define HALF 16 /* columns at a time */
#define STEP (2 * OQ_GEMM16_NR) /* bytes of a panel per pair */

static inline __attribute__((always_inline)) __m256i pair_of(const int16_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm256_set1_epi32(bits);
}

/* Eight columns' pairs. */
static inline __attribute__((always_inline)) __m256i widen(const int8_t *b)
{
	return _mm256_cvtepi8_epi16(_mm_load_si128((const void *)b));
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. `ahead`: of the panel that
 * follows in memory, fetched into L2 while this one is used; a prefetch never faults. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c,
	bool accumulate, const int8_t *ahead)
{
	__m256i sum[MAX_ROWS][2];
	const int16_t *in[MAX_ROWS];
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		in[r] = a[r];
		sum[r][0] = accumulate ? _mm256_load_si256((const void *)c[r]) : _mm256_setzero_si256();
		sum[r][1] = accumulate ? _mm256_load_si256((const void *)(c[r] + 8)) : _mm256_setzero_si256();
	}
	for (int64_t i = 0; i < pairs; i++) {
		const __m256i b0 = widen(b), b1 = widen(b + 16);
		_mm_prefetch((const char *)ahead + i * STEP, _MM_HINT_T1);
		b += STEP;
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++) {
			const __m256i x = pair_of(in[r] + 2 * i);
			sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(x, b0));
			sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(x, b1));
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		_mm256_store_si256((void *)c[r], sum[r][0]);
		_mm256_store_si256((void *)(c[r] + 8), sum[r][1]);
	}
}

typedef void block_fn(int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate, const int8_t *ahead);

#define BLOCK(ROWS)                                                                                                                       \
	static void block_##ROWS(int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate, const int8_t *ahead) \
	{                                                                                                                                 \
		block(ROWS, pairs, a, b, c, accumulate, ahead);                                                                           \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6};

void oq_gemm_i16s8_avx2(int64_t rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate)
{
	const int8_t *ahead = b + pairs * STEP;
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (rows + left - 1) / left;
		int32_t *right[MAX_ROWS];
		for (int64_t r = 0; r < height; r++)
			right[r] = c[r] + HALF;
		blocks[height](pairs, a, b, c, accumulate, ahead);
		blocks[height](pairs, a, b + 2 * HALF, right, accumulate, ahead);
		a += height;
		c += height;
		rows -= height;
	}
}
