/* AVX2 micro-kernel on bytes: up to 5 rows by 16 columns in 10 of 16 registers, run twice over the 32 columns of a panel. Compiled with AVX2
 * options; called only where they are allowed. */
#include "gemm_u8_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 5
#define HALF 16 /* columns at a time */
#define STEP (4 * OQ_GEMM_U8_NR) /* bytes of a panel per step */

#define INLINE static inline __attribute__((always_inline))

/* Four bytes of a row in every lane. */
INLINE __m256i bytes_of(const uint8_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm256_set1_epi32(bits);
}

INLINE __m256i add_products(__m256i sum, __m256i x, __m256i weights)
{
	return _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(x, weights), _mm256_set1_epi16(1)));
}

/* One step of `rows`: their four bytes at `at`, by 16 columns. */
INLINE void add_step(const int rows, const uint8_t *const *in, int64_t at, const int8_t *b, __m256i sum[MAX_ROWS][2])
{
	const __m256i b0 = _mm256_load_si256((const void *)b), b1 = _mm256_load_si256((const void *)(b + 32));
#pragma GCC unroll 5
	for (int r = 0; r < rows; r++) {
		const __m256i x = bytes_of(in[r] + at);
		sum[r][0] = add_products(sum[r][0], x, b0);
		sum[r][1] = add_products(sum[r][1], x, b1);
	}
}

/* All extra steps of the 8 columns of register `j`. */
INLINE void add_extra(const int rows, const uint8_t *const *in, int32_t first, const oq_gemm_u8_extra *extra, int j, __m256i sum[MAX_ROWS][2])
{
	for (int64_t e = 0; e < extra->count; e++) {
		const __m256i weights = _mm256_load_si256((const void *)(extra->b + e * 4 * OQ_GEMM_U8_PART));
		const int64_t at = 4 * (int64_t)(extra->step[e] - first);
#pragma GCC unroll 5
		for (int r = 0; r < rows; r++)
			sum[r][j] = add_products(sum[r][j], bytes_of(in[r] + at), weights);
	}
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. The panel that follows in
 * memory is fetched into L2 meanwhile; a prefetch never faults. */
INLINE void block(const int rows, const oq_gemm_u8_call *call, int half, int64_t first)
{
	__m256i sum[MAX_ROWS][2];
	const uint8_t *in[MAX_ROWS];
	const int8_t *b = call->b + half * 4 * HALF, *ahead = call->b + call->steps * STEP + half * 4 * HALF;
	const oq_gemm_u8_extra *extra = &call->extra[2 * half];
#pragma GCC unroll 5
	for (int r = 0; r < rows; r++) {
		const int32_t *c = call->c[first + r] + half * HALF;
		in[r] = call->a[first + r];
		sum[r][0] = call->accumulate ? _mm256_load_si256((const void *)c) : _mm256_setzero_si256();
		sum[r][1] = call->accumulate ? _mm256_load_si256((const void *)(c + 8)) : _mm256_setzero_si256();
	}
	for (int64_t s = 0; s < call->steps; s++) {
		_mm_prefetch((const char *)ahead + s * STEP, _MM_HINT_T1);
		add_step(rows, in, 4 * s, b + s * STEP, sum);
	}
	add_extra(rows, in, call->first, &extra[0], 0, sum);
	add_extra(rows, in, call->first, &extra[1], 1, sum);
#pragma GCC unroll 5
	for (int r = 0; r < rows; r++) {
		int32_t *c = call->c[first + r] + half * HALF;
		_mm256_store_si256((void *)c, sum[r][0]);
		_mm256_store_si256((void *)(c + 8), sum[r][1]);
	}
}

typedef void block_fn(const oq_gemm_u8_call *call, int half, int64_t first);

#define BLOCK(ROWS)                                                                    \
	static void block_##ROWS(const oq_gemm_u8_call *call, int half, int64_t first) \
	{                                                                              \
		block(ROWS, call, half, first);                                        \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5};

void oq_gemm_u8_pairs_avx2(const oq_gemm_u8_call *call)
{
	int64_t at = 0;
	for (int64_t left = (call->rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (call->rows - at + left - 1) / left;
		blocks[height](call, 0, at);
		blocks[height](call, 1, at);
		at += height;
	}
}
