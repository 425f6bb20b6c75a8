/* The body of the AVX-512 micro-kernels on four bytes: up to 14 rows by 32 columns in 28 of 32 registers, as in gemm_f32_avx512.c.
 * The including file defines KERNEL, VEC, LOAD(p), STORE(p, v) and DOT(sum, x, b), x being four bytes of a row in every lane. */
#include "gemm_dot_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 14
#define COLS 2      /* registers per row */
#define GROUP 3     /* rows that one pointer serves: fewer pointers than rows fit into registers */
#define GROUPS ((MAX_ROWS + GROUP - 1) / GROUP)
#define STEP (OQ_DOT_NR * OQ_DOT_BYTES) /* bytes of a panel */
#define AHEAD 16384 /* bytes that the panel is asked for before its use; the next panel lies behind this one, and a prefetch never faults */

static inline __m512i four_bytes(const unsigned char *a)
{
	int word;
	memcpy(&word, a, sizeof word);
	return _mm512_set1_epi32(word);
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t steps, const unsigned char *a, int64_t a_stride,
	const unsigned char *b, const int32_t *start, int32_t *c, int64_t c_stride)
{
	VEC sum[MAX_ROWS][COLS];
	const unsigned char *in[GROUPS];
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		in[r / GROUP] = a + r / GROUP * GROUP * a_stride;
		sum[r][0] = LOAD(start);
		sum[r][1] = LOAD(start + 16);
	}
	for (int64_t s = 0; s < steps; s++, b += STEP) {
		const __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + STEP / 2);
		_mm_prefetch((const char *)b + AHEAD, _MM_HINT_T1);
		_mm_prefetch((const char *)b + AHEAD + STEP / 2, _MM_HINT_T1);
#pragma GCC unroll 14
		for (int r = 0; r < rows; r++) {
			const __m512i x = four_bytes(in[r / GROUP] + r % GROUP * a_stride + s * OQ_DOT_BYTES);
			sum[r][0] = DOT(sum[r][0], x, b0);
			sum[r][1] = DOT(sum[r][1], x, b1);
		}
	}
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		STORE(c + r * c_stride, sum[r][0]);
		STORE(c + r * c_stride + 16, sum[r][1]);
	}
}

typedef void block_fn(int64_t steps, const unsigned char *a, int64_t a_stride, const unsigned char *b, const int32_t *start, int32_t *c,
	int64_t c_stride);

#define BLOCK(ROWS)                                                                                                                            \
	static void block_##ROWS(int64_t steps, const unsigned char *a, int64_t a_stride, const unsigned char *b, const int32_t *start,        \
		int32_t *c, int64_t c_stride)                                                                                                  \
	{                                                                                                                                      \
		block(ROWS, steps, a, a_stride, b, start, c, c_stride);                                                                        \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8,
	block_9, block_10, block_11, block_12, block_13, block_14};

void KERNEL(int64_t rows, int64_t steps, const void *a, int64_t a_stride, const void *b, const void *start, void *c, int64_t c_stride)
{
	const unsigned char *in = a;
	int32_t *out = c;
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (rows + left - 1) / left;
		blocks[height](steps, in, a_stride, b, start, out, c_stride);
		in += height * a_stride;
		out += height * c_stride;
		rows -= height;
	}
}
