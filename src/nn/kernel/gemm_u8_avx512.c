/* AVX-512 with VNNI: up to 14 rows by 32 columns in 28 of 32 registers, as in gemm_f32_avx512.c. Compiled with these options; called only
 * where they are allowed. */
#include "gemm_u8_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 14
#define COLS 2      /* registers per row */
#define GROUP 3     /* rows that one pointer serves: fewer pointers than rows fit into registers */
#define GROUPS ((MAX_ROWS + GROUP - 1) / GROUP)
#define STEP (OQ_GEMM_U8_NR * OQ_GEMM_U8_QUAD) /* bytes of a panel per quad */
#define AHEAD 16384 /* bytes that the panel is asked for before its use; the next panel lies behind this one, and a prefetch never faults */

static inline __m512i four_bytes(const uint8_t *a)
{
	int word;
	memcpy(&word, a, sizeof word);
	return _mm512_set1_epi32(word);
}

/* Inlined with a constant `rows`, so that every loop over rows unrolls and the accumulators stay in registers. */
static inline __attribute__((always_inline)) void block(const int rows, int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b,
	const int32_t *start, int32_t *c, int64_t c_stride)
{
	__m512i sum[MAX_ROWS][COLS];
	const uint8_t *in[GROUPS];
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		in[r / GROUP] = a + r / GROUP * GROUP * a_stride;
		sum[r][0] = _mm512_load_si512(start);
		sum[r][1] = _mm512_load_si512(start + 16);
	}
	for (int64_t q = 0; q < quads; q++, b += STEP) {
		const __m512i b0 = _mm512_load_si512(b), b1 = _mm512_load_si512(b + STEP / 2);
		_mm_prefetch((const char *)b + AHEAD, _MM_HINT_T1);
		_mm_prefetch((const char *)b + AHEAD + STEP / 2, _MM_HINT_T1);
#pragma GCC unroll 14
		for (int r = 0; r < rows; r++) {
			const __m512i x = four_bytes(in[r / GROUP] + r % GROUP * a_stride + q * OQ_GEMM_U8_QUAD);
			sum[r][0] = _mm512_dpbusd_epi32(sum[r][0], x, b0);
			sum[r][1] = _mm512_dpbusd_epi32(sum[r][1], x, b1);
		}
	}
#pragma GCC unroll 14
	for (int r = 0; r < rows; r++) {
		_mm512_storeu_si512(c + r * c_stride, sum[r][0]);
		_mm512_storeu_si512(c + r * c_stride + 16, sum[r][1]);
	}
}

typedef void block_fn(int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b, const int32_t *start, int32_t *c, int64_t c_stride);

#define BLOCK(ROWS)                                                                                                                            \
	static void block_##ROWS(int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b, const int32_t *start, int32_t *c,         \
		int64_t c_stride)                                                                                                              \
	{                                                                                                                                      \
		block(ROWS, quads, a, a_stride, b, start, c, c_stride);                                                                        \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8) BLOCK(9) BLOCK(10) BLOCK(11) BLOCK(12) BLOCK(13) BLOCK(14)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8,
	block_9, block_10, block_11, block_12, block_13, block_14};

void oq_gemm_u8_avx512(int64_t rows, int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b, const int32_t *start, int32_t *c,
	int64_t c_stride)
{
	for (int64_t left = (rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (rows + left - 1) / left;
		blocks[height](quads, a, a_stride, b, start, c, c_stride);
		a += height * a_stride;
		c += height * c_stride;
		rows -= height;
	}
}
