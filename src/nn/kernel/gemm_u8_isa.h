/* Unsigned by signed bytes without an 8-bit dot product: products of two pairs are added in 16 bits, which saturate (vpmaddubsw). Panels are such that
 * they cannot: of a pair of weights no sum of one sign is beyond 128, and 255 * 128 fits. What a weight has more than that comes as an extra
 * step with the same four bytes of the row. The sums are exact and the same on every instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_U8_ISA_H
#define OQ_NN_KERNEL_GEMM_U8_ISA_H

#include "core/cpu.h"

#include <stdint.h>

#define OQ_GEMM_U8_NR 32
#define OQ_GEMM_U8_PART 8 /* columns that have extra steps of their own */
#define OQ_GEMM_U8_PARTS (OQ_GEMM_U8_NR / OQ_GEMM_U8_PART)
#define OQ_GEMM_U8_PAIR 128

typedef struct oq_gemm_u8_extra {
	int64_t count;
	const int32_t *step; /* [count]: ascending, `first` being the panel's first step */
	const int8_t *b;     /* [count][8][4], 32-byte aligned */
} oq_gemm_u8_extra;

/* c[r][j] = (accumulate ? c[r][j] : 0) + the products of a[r] [4*steps] and the panel's column j. */
typedef struct oq_gemm_u8_call {
	int64_t rows, steps;
	const uint8_t *const *a;
	const int8_t *b;           /* [steps][32][4], 32-byte aligned */
	int32_t first;
	oq_gemm_u8_extra extra[OQ_GEMM_U8_PARTS];
	int32_t *const *c;         /* rows of 32, 32-byte aligned */
	bool accumulate;
} oq_gemm_u8_call;

typedef void oq_gemm_u8_pairs_fn(const oq_gemm_u8_call *call);

extern oq_gemm_u8_pairs_fn oq_gemm_u8_pairs_plain; /* in conv_tap_u8.c */
#ifdef OQ_KERNEL_X86
extern oq_gemm_u8_pairs_fn oq_gemm_u8_pairs_avx2;
#endif

#endif
