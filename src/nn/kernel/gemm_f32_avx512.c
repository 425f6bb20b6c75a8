/* AVX-512 micro-kernel: up to 14 rows by 32 columns in 28 of 32 registers; two more hold a row of the panel and one a
 * broadcast element of A. Compiled with AVX-512 options; called only where they are allowed. */
#include "gemm_f32_isa.h"

#include <immintrin.h>

#define MAX_ROWS 14
#define COLS 2 /* registers per row */

/* How far ahead of its use the packed panel is asked for, in floats. Panels of one convolution lie one behind the other, so
 * reading past the end of one warms the next; a prefetch never faults. With few rows the kernel waits for memory: just far
 * enough for its latency, straight to L1. With more it computes longer than memory takes, and L2 may be filled far ahead. */
#define FEW_ROWS 4
#define AHEAD_FEW 1024
#define AHEAD_MANY 4096

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	__m512 sum[MAX_ROWS][COLS];
	const float *in[MAX_ROWS];
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		in[r] = a[r];
		sum[r][0] = accumulate ? _mm512_loadu_ps(c[r]) : _mm512_setzero_ps();
		sum[r][1] = accumulate ? _mm512_loadu_ps(c[r] + 16) : _mm512_setzero_ps();
	}
	for (int64_t i = 0; i < k; i++) {
		const __m512 b0 = _mm512_load_ps(b), b1 = _mm512_load_ps(b + 16);
		if (rows <= FEW_ROWS) {
			_mm_prefetch((const char *)(b + AHEAD_FEW), _MM_HINT_T0);
			_mm_prefetch((const char *)(b + AHEAD_FEW + 16), _MM_HINT_T0);
		} else {
			_mm_prefetch((const char *)(b + AHEAD_MANY), _MM_HINT_T1);
			_mm_prefetch((const char *)(b + AHEAD_MANY + 16), _MM_HINT_T1);
		}
		b += OQ_GEMM_NR;
#pragma GCC unroll 14
		for (int r = 0; r < rows; r++) {
			const __m512 x = _mm512_set1_ps(in[r][i]);
			sum[r][0] = _mm512_fmadd_ps(x, b0, sum[r][0]);
			sum[r][1] = _mm512_fmadd_ps(x, b1, sum[r][1]);
		}
	}
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		_mm512_storeu_ps(c[r], sum[r][0]);
		_mm512_storeu_ps(c[r] + 16, sum[r][1]);
	}
}

typedef void block_fn(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate);

#define BLOCK(ROWS)                                                                                                       \
	static void block_##ROWS(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)      \
	{                                                                                                                 \
		block(ROWS, k, a, b, c, accumulate);                                                                      \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8,
	block_9, block_10, block_11, block_12, block_13, block_14};

void oq_gemm_f32_avx512(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	/* Blocks of nearly equal height: 18 rows run better as 9 + 9 than as 14 + 4, where the chains are too few. */
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
		int64_t height = (rows + left - 1) / left;
		blocks[height](k, a, b, c, accumulate);
		a += height;
		c += height;
		rows -= height;
	}
}
