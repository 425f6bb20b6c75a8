/* The micro-kernel under our own convolutions of codes: rows of 16-bit A by a packed panel of 16-bit B, sums of 32 bits that wrap. Integers
 * modulo 2^32 have one answer in any order, so every instruction set gives the same bits. Refuses nothing; a product of two pairs that
 * are all -32768 is the only one that 32 bits do not hold, and callers keep away from it. */
#ifndef OQ_NN_KERNEL_GEMM_I16_ISA_H
#define OQ_NN_KERNEL_GEMM_I16_ISA_H

#include "core/cpu.h"

#include <stdint.h>

#define OQ_GEMM16_NR 32 /* columns of a packed panel */

/* One panel's product. Strides in elements. */
typedef struct oq_gemm_i16_call {
	int64_t rows, pairs;       /* pairs of k */
	const int16_t *a;          /* [rows][2*pairs], rows a_stride apart, 4-byte aligned */
	int64_t a_stride;
	const int16_t *b;          /* [pairs][32][2], 64-byte aligned */
	int32_t *c;                /* [rows][32], rows c_stride apart, 64-byte aligned */
	int64_t c_stride;
	bool accumulate;           /* add to what c holds */
	bool half;                 /* columns 16 to 31 are not wanted: c keeps them */
} oq_gemm_i16_call;

typedef void oq_gemm_i16_fn(const oq_gemm_i16_call *call);

extern oq_gemm_i16_fn oq_gemm_i16_plain;
#ifdef OQ_KERNEL_X86
extern oq_gemm_i16_fn oq_gemm_i16_avx2, oq_gemm_i16_avx512, oq_gemm_i16_vnni;
#endif

/* The same with a pointer to every row and with panels of bytes, which are widened as they are read: half the memory. b: [pairs][32][2],
 * 64-byte aligned; c: rows of 32, 64-byte aligned. */
typedef void oq_gemm_i16s8_fn(int64_t rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate);

extern oq_gemm_i16s8_fn oq_gemm_i16s8_plain;
#ifdef OQ_KERNEL_X86
extern oq_gemm_i16s8_fn oq_gemm_i16s8_avx2, oq_gemm_i16s8_avx512;
#endif
oq_gemm_i16s8_fn *oq_gemm_i16s8_kernel(oq_isa isa);

/* `vnni`: the processor has AVX512_VNNI, whose dot product is one instruction instead of two. */
oq_gemm_i16_fn *oq_gemm_i16_kernel(oq_isa isa, bool vnni);

#endif
