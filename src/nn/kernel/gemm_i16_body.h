/* The AVX-512 micro-kernel, included once with and once without the dot product of VNNI: KERNEL names it, DOT(sum, x, y) adds the products of
 * pairs. Up to 14 rows by 32 columns in 28 of 32 registers; two more hold a pair of the panel, one a broadcast pair of A, one a product. */
#include "gemm_i16_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 14
#define AHEAD 1024 /* bytes from which the panel is asked for ahead of its use: those of one layer lie one behind the other */

static inline __attribute__((always_inline)) __m512i pair_of(const int16_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm512_set1_epi32(bits);
}

/* Inlined with constant `rows` and `halves` of the columns, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, const int halves, const oq_gemm_i16_call *call, const int16_t *a, int32_t *c)
{
	__m512i sum[MAX_ROWS][2];
	const int64_t step = call->a_stride;
	const int16_t *b = call->b, *third[(MAX_ROWS + 2) / 3]; /* every third row: the two behind it are within an address's reach */
#pragma GCC unroll 5
	for (int r = 0; r < (rows + 2) / 3; r++)
		third[r] = a + 3 * r * step;
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		sum[r][0] = call->accumulate ? _mm512_load_si512(c + r * call->c_stride) : _mm512_setzero_si512();
		sum[r][1] = call->accumulate && halves == 2 ? _mm512_load_si512(c + r * call->c_stride + 16) : _mm512_setzero_si512();
	}
	for (int64_t i = 0; i < call->pairs; i++) {
		const __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + 32);
		_mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
		_mm_prefetch((const char *)b + AHEAD + 64, _MM_HINT_T0);
		b += 2 * OQ_GEMM16_NR;
#pragma GCC unroll 14
		for (int r = 0; r < rows; r++) {
			const __m512i x = pair_of(third[r / 3] + r % 3 * step);
			sum[r][0] = DOT(sum[r][0], x, b0);
			if (halves == 2)
				sum[r][1] = DOT(sum[r][1], x, b1);
		}
#pragma GCC unroll 5
		for (int r = 0; r < (rows + 2) / 3; r++)
			third[r] += 2;
	}
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		_mm512_store_si512(c + r * call->c_stride, sum[r][0]);
		if (halves == 2)
			_mm512_store_si512(c + r * call->c_stride + 16, sum[r][1]);
	}
}

typedef void block_fn(const oq_gemm_i16_call *call, const int16_t *a, int32_t *c);

#define BLOCK(ROWS)                                                                     \
	static void half_##ROWS(const oq_gemm_i16_call *call, const int16_t *a, int32_t *c)  \
	{                                                                               \
		block(ROWS, 1, call, a, c);                                             \
	}                                                                               \
	static void block_##ROWS(const oq_gemm_i16_call *call, const int16_t *a, int32_t *c) \
	{                                                                               \
		block(ROWS, 2, call, a, c);                                             \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

#define BOTH(ROWS) {block_##ROWS, half_##ROWS}
static block_fn *const blocks[MAX_ROWS + 1][2] = {{NULL, NULL}, BOTH(1), BOTH(2), BOTH(3), BOTH(4), BOTH(5), BOTH(6), BOTH(7), BOTH(8), BOTH(9),
	BOTH(10), BOTH(11), BOTH(12), BOTH(13), BOTH(14)};

void KERNEL(const oq_gemm_i16_call *call)
{
	/* Blocks of nearly equal height: 18 rows run better as 9 + 9 than as 14 + 4, where the chains are too few. */
	int64_t rows = call->rows, at = 0;
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
		int64_t height = (rows - at + left - 1) / left;
		blocks[height][call->half](call, call->a + at * call->a_stride, call->c + at * call->c_stride);
		at += height;
	}
}
