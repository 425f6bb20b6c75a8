/* The micro-kernel for bytes: rows of unsigned codes by a packed panel of signed ones, summed exactly in 32 bits. Integers have
 * no rounding, so every instruction set gives the same sums; without an 8-bit dot product (VNNI) there is only the plain twin. */
#ifndef OQ_NN_KERNEL_GEMM_U8_H
#define OQ_NN_KERNEL_GEMM_U8_H

#include "core/cpu.h"

#define OQ_GEMM_U8_NR 32         /* columns of a panel */
#define OQ_GEMM_U8_QUAD 4        /* neighbours in k that lie together, as the instruction takes them */
#define OQ_GEMM_U8_MAX_K 65000   /* 255 * 128 * k and a start of that size fit into 32 bits */

/* c[r][j] = start[j] + sum_k a[r*a_stride + k] * b[k/4][j][k%4] for r in [0,rows), j in [0,32), k in [0,4*quads).
 * Strides count elements; b and start are 64-byte aligned. */
typedef void oq_gemm_u8_fn(int64_t rows, int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b, const int32_t *start, int32_t *c,
	int64_t c_stride);

oq_gemm_u8_fn oq_gemm_u8_plain;
/* The kernel for a processor with or without `vnni` (AVX-512); NULL where only the twin is left, which is too slow to gain anything. */
oq_gemm_u8_fn *oq_gemm_u8_kernel(bool vnni);

/* Panels of [columns][k] signed codes: [panel][quads][32][4], what is missing is 0. */
void oq_gemm_u8_pack(int64_t columns, int64_t k, const int8_t *codes, int8_t *packed);

static inline int64_t oq_gemm_u8_panels(int64_t columns)
{
	return (columns + OQ_GEMM_U8_NR - 1) / OQ_GEMM_U8_NR;
}

static inline int64_t oq_gemm_u8_quads(int64_t k)
{
	return (k + OQ_GEMM_U8_QUAD - 1) / OQ_GEMM_U8_QUAD;
}

#endif
