/* Unsigned by signed bytes without an 8-bit dot product: products are added in 16 bits, which saturate (vpmaddubsw) or wrap (vpaddw), before they
 * are added in 32. So the weights are sorted, when they are packed, into bins of up to four steps (a step: four channels of eight columns) such
 * that of the up to eight weights that meet in 16 bits no sum of one sign is beyond 128: 255 * 128 fits. What a step has more than that is a
 * step of its own. The sums are exact and the same on every instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_U8_ISA_H
#define OQ_NN_KERNEL_GEMM_U8_ISA_H

#include "core/cpu.h"

#include <stdint.h>

#define OQ_GEMM_U8_NR 32
#define OQ_GEMM_U8_PART 8 /* columns that are packed together */
#define OQ_GEMM_U8_PARTS (OQ_GEMM_U8_NR / OQ_GEMM_U8_PART)
#define OQ_GEMM_U8_STEP (4 * OQ_GEMM_U8_PART) /* weights of a step */
#define OQ_GEMM_U8_BIN 4
#define OQ_GEMM_U8_LIMIT 128

/* The products of a block of channels by 8 columns: their steps lie bin after bin, the largest bins first. */
typedef struct oq_gemm_u8_list {
	int32_t start[OQ_GEMM_U8_PART]; /* what the input's zero point takes away: 32-byte aligned */
	int64_t first;                  /* step */
	uint16_t bins[OQ_GEMM_U8_BIN];  /* [i]: how many bins of i + 1 steps */
	char aligned[16];
} oq_gemm_u8_list;

/* c[r][j] = (accumulate ? c[r][j] : 0) + start[j] + the products of a[r] and column j. */
typedef struct oq_gemm_u8_call {
	int64_t rows;
	const uint8_t *const *a;
	const oq_gemm_u8_list *lists; /* [4]: 32 columns */
	const int8_t *b;              /* [steps][8][4], 32-byte aligned */
	const uint16_t *at;           /* [steps]: where its four bytes are in a row */
	int32_t *const *c;            /* rows of 32, 32-byte aligned */
	bool accumulate;
} oq_gemm_u8_call;

typedef void oq_gemm_u8_bins_fn(const oq_gemm_u8_call *call);

extern oq_gemm_u8_bins_fn oq_gemm_u8_bins_plain; /* in conv_tap_u8.c */
#ifdef OQ_KERNEL_X86
extern oq_gemm_u8_bins_fn oq_gemm_u8_bins_avx2;
#endif

#endif
