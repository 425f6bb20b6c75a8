/* AVX2 micro-kernel: up to 6 rows by 16 columns in 12 of 16 registers, run twice over the 32 columns of a panel; up to 3 rows
 * by all 32, where the time is that of reading the panel.
 * Compiled with AVX2 and FMA options; called only where they are allowed. */
#include "gemm_f32_isa.h"

#include <immintrin.h>

#define MAX_ROWS 6
#define HALF 16 /* columns at a time */

/* A panel is passed over at least twice. Meanwhile the panel behind it, which the next call will most likely want, is fetched
 * evenly into L2: a prefetch never faults. */
typedef struct ahead {
	const float *next;
	int64_t step; /* floats per k */
} ahead;

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate,
	ahead fetch)
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
		_mm_prefetch((const char *)fetch.next, _MM_HINT_T1);
		fetch.next += fetch.step;
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

#define FEW_ROWS 3
#define AHEAD_FEW 1024 /* floats: far enough for the latency of memory */

/* As above, for all columns at once; what is next in memory goes straight to L1. */
static inline __attribute__((always_inline)) void wide_block(const int rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	__m256 sum[FEW_ROWS][4];
#pragma GCC unroll 3
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++)
			sum[r][j] = accumulate ? _mm256_loadu_ps(c[r] + 8 * j) : _mm256_setzero_ps();
	for (int64_t i = 0; i < k; i++, b += OQ_GEMM_NR) {
		_mm_prefetch((const char *)(b + AHEAD_FEW), _MM_HINT_T0);
		_mm_prefetch((const char *)(b + AHEAD_FEW + HALF), _MM_HINT_T0);
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++) {
			const __m256 column = _mm256_load_ps(b + 8 * j);
#pragma GCC unroll 3
			for (int r = 0; r < rows; r++)
				sum[r][j] = _mm256_fmadd_ps(_mm256_broadcast_ss(a[r] + i), column, sum[r][j]);
		}
	}
#pragma GCC unroll 3
	for (int r = 0; r < rows; r++)
#pragma GCC unroll 4
		for (int j = 0; j < 4; j++)
			_mm256_storeu_ps(c[r] + 8 * j, sum[r][j]);
}

typedef void block_fn(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate, ahead fetch);

#define BLOCK(ROWS)                                                                                                       \
	static void block_##ROWS(int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate, ahead fetch) \
	{                                                                                                                 \
		block(ROWS, k, a, b, c, accumulate, fetch);                                                               \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6};

static void few_rows(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	if (rows == 3)
		wide_block(3, k, a, b, c, accumulate);
	else if (rows == 2)
		wide_block(2, k, a, b, c, accumulate);
	else if (rows == 1)
		wide_block(1, k, a, b, c, accumulate);
}

void oq_gemm_f32_avx2(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	if (rows <= FEW_ROWS) {
		few_rows(rows, k, a, b, c, accumulate);
		return;
	}
	/* Blocks of nearly equal height: 8 rows run better as 4 + 4 than as 6 + 2, where the chains are too few. */
	int64_t blocks_left = (rows + MAX_ROWS - 1) / MAX_ROWS, passes = 2 * blocks_left;
	ahead fetch = {.next = b + k * OQ_GEMM_NR, .step = (OQ_GEMM_NR + passes - 1) / passes};
	for (; blocks_left > 0; blocks_left--) {
		int64_t height = (rows + blocks_left - 1) / blocks_left;
		float *right[MAX_ROWS];
		for (int64_t r = 0; r < height; r++)
			right[r] = c[r] + HALF;
		blocks[height](k, a, b, c, accumulate, fetch);
		fetch.next += k * fetch.step;
		blocks[height](k, a, b + HALF, right, accumulate, fetch);
		fetch.next += k * fetch.step;
		a += height;
		c += height;
		rows -= height;
	}
}
