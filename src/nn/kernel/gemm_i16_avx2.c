/* AVX2 micro-kernel: up to 6 rows by 16 columns in 12 of 16 registers, run twice over the 32 columns of a panel. Compiled with AVX2 options;
 * called only where they are allowed. */
#include "gemm_i16_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 6
#define HALF 16 /* columns at a time */

static inline __attribute__((always_inline)) __m256i pair_of(const int16_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm256_set1_epi32(bits);
}

static inline __attribute__((always_inline)) __m256i load(const void *from)
{
	return _mm256_load_si256(from);
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, const oq_gemm_i16_call *call, const int16_t *a, const int16_t *b, int32_t *c)
{
	__m256i sum[MAX_ROWS][2];
	const int64_t step = call->a_stride;
	const int16_t *fourth = a + 3 * step; /* the two rows behind it and behind `a` are within an address's reach */
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		sum[r][0] = call->accumulate ? load(c + r * call->c_stride) : _mm256_setzero_si256();
		sum[r][1] = call->accumulate ? load(c + r * call->c_stride + 8) : _mm256_setzero_si256();
	}
	for (int64_t i = 0; i < call->pairs; i++, b += 2 * OQ_GEMM16_NR) {
		const __m256i b0 = load(b), b1 = load(b + 16);
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++) {
			const __m256i x = pair_of((r < 3 ? a : fourth) + r % 3 * step);
			sum[r][0] = _mm256_add_epi32(sum[r][0], _mm256_madd_epi16(x, b0));
			sum[r][1] = _mm256_add_epi32(sum[r][1], _mm256_madd_epi16(x, b1));
		}
		a += 2;
		fourth += 2;
	}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		_mm256_store_si256((void *)(c + r * call->c_stride), sum[r][0]);
		_mm256_store_si256((void *)(c + r * call->c_stride + 8), sum[r][1]);
	}
}

typedef void block_fn(const oq_gemm_i16_call *call, const int16_t *a, const int16_t *b, int32_t *c);

#define BLOCK(ROWS)                                                                                    \
	static void block_##ROWS(const oq_gemm_i16_call *call, const int16_t *a, const int16_t *b, int32_t *c) \
	{                                                                                              \
		block(ROWS, call, a, b, c);                                                            \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6};

void oq_gemm_i16_avx2(const oq_gemm_i16_call *call)
{
	/* Blocks of nearly equal height: 8 rows run better as 4 + 4 than as 6 + 2, where the chains are too few. */
	int64_t rows = call->rows, at = 0;
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
		int64_t height = (rows - at + left - 1) / left;
		const int16_t *a = call->a + at * call->a_stride;
		int32_t *c = call->c + at * call->c_stride;
		blocks[height](call, a, call->b, c);
		if (!call->half)
			blocks[height](call, a, call->b + 2 * HALF, c + HALF);
		at += height;
	}
}
