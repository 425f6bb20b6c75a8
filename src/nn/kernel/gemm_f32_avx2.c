/* AVX2 micro-kernel: up to 6 rows by 16 columns in 12 of 16 registers, run twice over the 32 columns of a panel.
 * Compiled with AVX2 and FMA options; called only where they are allowed. */
#include "gemm_f32_isa.h"

#include <immintrin.h>

#define MAX_ROWS 6
#define HALF 16 /* columns at a time */

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. The pass over the
 * left half asks for both halves `ahead`: left alone, each pass would fetch every other cache line, at half the bandwidth. */
static inline __attribute__((always_inline)) void block(const int rows, const bool ahead, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	__m256 sum[MAX_ROWS][2];
	const float *in[MAX_ROWS];
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		in[r] = a[r];
		sum[r][0] = accumulate ? _mm256_loadu_ps(c[r]) : _mm256_setzero_ps();
		sum[r][1] = accumulate ? _mm256_loadu_ps(c[r] + 8) : _mm256_setzero_ps();
	}
	for (int64_t i = 0; i < k; i++) {
		const __m256 b0 = _mm256_load_ps(b), b1 = _mm256_load_ps(b + 8);
		if (ahead) {
			_mm_prefetch((const char *)(b + OQ_GEMM_PREFETCH), _MM_HINT_T0);
			_mm_prefetch((const char *)(b + OQ_GEMM_PREFETCH + HALF), _MM_HINT_T0);
		}
		b += OQ_GEMM_NR;
#pragma GCC unroll 6
		for (int r = 0; r < rows; r++) {
			const __m256 x = _mm256_broadcast_ss(in[r] + i);
			sum[r][0] = _mm256_fmadd_ps(x, b0, sum[r][0]);
			sum[r][1] = _mm256_fmadd_ps(x, b1, sum[r][1]);
		}
	}
#pragma GCC unroll 6
	for (int r = 0; r < rows; r++) {
		_mm256_storeu_ps(c[r], sum[r][0]);
		_mm256_storeu_ps(c[r] + 8, sum[r][1]);
	}
}

typedef void block_fn(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate);

#define BLOCK(ROWS)                                                                                                       \
	static void block_##ROWS(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)      \
	{                                                                                                                 \
		float *right[ROWS];                                                                                       \
		for (int r = 0; r < ROWS; r++)                                                                            \
			right[r] = c[r] + HALF;                                                                           \
		block(ROWS, true, k, a, b, c, accumulate);                                                                     \
		block(ROWS, false, k, a, b + HALF, right, accumulate);                                                         \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6};

void oq_gemm_f32_avx2(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	/* Blocks of nearly equal height: 8 rows run better as 4 + 4 than as 6 + 2, where the chains are too few. */
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) {
		int64_t height = (rows + left - 1) / left;
		blocks[height](k, a, b, c, accumulate);
		a += height;
		c += height;
		rows -= height;
	}
}
