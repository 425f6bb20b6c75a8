/* Micro-kernels whose instruction takes four bytes of a row at once: rows by a packed panel of 32 columns.
 *   u8    four unsigned codes by four signed ones, summed exactly in 32 bits: the same sums on every instruction set
 *   bf16  two bfloat16 by two, summed in float32 in the instruction's order: of each pair the second first, every sum rounded
 * Without the instructions (AVX-512 VNNI and BF16) there is only the plain twin. */
#ifndef OQ_NN_KERNEL_GEMM_DOT_H
#define OQ_NN_KERNEL_GEMM_DOT_H

#include "core/cpu.h"

#define OQ_DOT_NR 32           /* columns of a panel */
#define OQ_DOT_BYTES 4         /* of a row that a step takes */
#define OQ_DOT_U8_MAX_K 65000  /* 255 * 128 * k and a start of that size fit into 32 bits */

/* c[r][j] = start[j] + sum over steps and their elements of a[r][k] * b[step][j][..], for r in [0,rows), j in [0,32).
 * a: rows a_stride bytes apart, of 4*steps bytes; b: [steps][32][4 bytes]; start: [32]; c: rows of 32-bit sums c_stride elements apart.
 * b and start are 64-byte aligned. Codes sum in int32_t, bfloat16 in float. */
typedef void oq_gemm_dot_fn(int64_t rows, int64_t steps, const void *a, int64_t a_stride, const void *b, const void *start, void *c, int64_t c_stride);

oq_gemm_dot_fn oq_gemm_u8_plain, oq_gemm_bf16_plain;
/* The kernel where the processor has the instruction; NULL where only the twin is left, which is too slow to gain anything. */
oq_gemm_dot_fn *oq_gemm_u8_kernel(bool vnni), *oq_gemm_bf16_kernel(bool bf16);

/* Panels of [columns][k] elements of `size` bytes (1 or 2): [panel][steps][32][4 bytes]; what is missing is 0. */
void oq_gemm_dot_pack(int64_t columns, int64_t k, int64_t size, const void *elements, void *packed);

static inline int64_t oq_dot_panels(int64_t columns)
{
	return (columns + OQ_DOT_NR - 1) / OQ_DOT_NR;
}

static inline int64_t oq_dot_steps(int64_t k, int64_t size)
{
	return (k * size + OQ_DOT_BYTES - 1) / OQ_DOT_BYTES;
}

#endif
