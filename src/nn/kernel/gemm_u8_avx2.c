/* AVX2 micro-kernel on bytes: up to 8 rows by 8 columns, in 8 of 16 registers; four more hold the weights of a bin. Compiled with AVX2 options;
 * called only where they are allowed. */
#include "gemm_u8_isa.h"

#include <immintrin.h>
#include <string.h>

#define MAX_ROWS 8
#define BIN OQ_GEMM_U8_BIN
#define AHEAD (16 << 10) /* bytes: four lists of 128 steps, the columns and channels that follow; a prefetch never faults */

#define INLINE static inline __attribute__((always_inline))

typedef struct steps {
	const int8_t *b;
	const uint16_t *at;
} steps;

/* Four bytes of a row in every lane. */
INLINE __m256i bytes_of(const uint8_t *a)
{
	int32_t bits;
	memcpy(&bits, a, sizeof bits);
	return _mm256_set1_epi32(bits);
}

/* `bins` of `size` steps. Inlined with constant `rows` and `size`, so that every loop but the first unrolls. */
INLINE void add_bins(const int rows, const int size, int64_t bins, const uint8_t *const in[MAX_ROWS], steps *s, __m256i sum[MAX_ROWS])
{
	for (; bins > 0; bins--) {
		__m256i weights[BIN];
#pragma GCC unroll 4
		for (int e = 0; e < size; e++) {
			weights[e] = _mm256_load_si256((const void *)(s->b + e * OQ_GEMM_U8_STEP));
			if (e % 2 == 0)
				_mm_prefetch((const char *)s->b + AHEAD + e * OQ_GEMM_U8_STEP, _MM_HINT_T1);
		}
#pragma GCC unroll 8
		for (int r = 0; r < rows; r++) {
			__m256i pairs = _mm256_maddubs_epi16(bytes_of(in[r] + s->at[0]), weights[0]);
#pragma GCC unroll 3
			for (int e = 1; e < size; e++)
				pairs = _mm256_add_epi16(pairs, _mm256_maddubs_epi16(bytes_of(in[r] + s->at[e]), weights[e]));
			sum[r] = _mm256_add_epi32(sum[r], _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
		}
		s->b += size * OQ_GEMM_U8_STEP;
		s->at += size;
	}
}

INLINE void block(const int rows, const oq_gemm_u8_call *call, int part, int64_t first)
{
	const oq_gemm_u8_list *list = &call->lists[part];
	const __m256i start = _mm256_load_si256((const void *)list->start);
	steps s = {call->b + list->first * OQ_GEMM_U8_STEP, call->at + list->first};
	__m256i sum[MAX_ROWS];
	const uint8_t *in[MAX_ROWS];
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++) {
		in[r] = call->a[first + r];
		sum[r] = start;
		if (call->accumulate)
			sum[r] = _mm256_add_epi32(start, _mm256_load_si256((const void *)(call->c[first + r] + part * OQ_GEMM_U8_PART)));
	}
	add_bins(rows, 4, list->bins[3], in, &s, sum);
	add_bins(rows, 3, list->bins[2], in, &s, sum);
	add_bins(rows, 2, list->bins[1], in, &s, sum);
	add_bins(rows, 1, list->bins[0], in, &s, sum);
#pragma GCC unroll 8
	for (int r = 0; r < rows; r++)
		_mm256_store_si256((void *)(call->c[first + r] + part * OQ_GEMM_U8_PART), sum[r]);
}

typedef void block_fn(const oq_gemm_u8_call *call, int part, int64_t first);

#define BLOCK(ROWS)                                                                    \
	static void block_##ROWS(const oq_gemm_u8_call *call, int part, int64_t first) \
	{                                                                              \
		block(ROWS, call, part, first);                                        \
	}
BLOCK(1) BLOCK(2) BLOCK(3) BLOCK(4) BLOCK(5) BLOCK(6) BLOCK(7) BLOCK(8)

static block_fn *const blocks[MAX_ROWS + 1] = {NULL, block_1, block_2, block_3, block_4, block_5, block_6, block_7, block_8};

void oq_gemm_u8_bins_avx2(const oq_gemm_u8_call *call)
{
	int64_t at = 0;
	for (int64_t left = (call->rows + MAX_ROWS - 1) / MAX_ROWS; left > 0; left--) { /* blocks of nearly equal height */
		int64_t height = (call->rows - at + left - 1) / left;
		for (int part = 0; part < OQ_GEMM_U8_PARTS; part++)
			blocks[height](call, part, at);
		at += height;
	}
}
