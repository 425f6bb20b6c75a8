/* The float32 micro-kernel under our own convolutions: rows of A by a packed panel of B, each output one chain of fused
 * multiply-adds over k in ascending order, so that AVX2, AVX-512 and the plain twin (fmaf) give the same bits and no
 * result depends on how rows are grouped. */
#ifndef OQ_NN_KERNEL_GEMM_F32_H
#define OQ_NN_KERNEL_GEMM_F32_H

#include "core/cpu.h"
#include <stdint.h>

#define OQ_GEMM_NR 32 /* columns of a packed panel, on every ISA, so that packed weights are ISA-independent */

/* c[r][0..31] = (accumulate ? c[r][0..31] : 0) + sum_k a[r][k] * b[k*32 + 0..31], for r in [0,rows).
 * a[r], c[r]: row pointers (rows may be any number; the kernel blocks them). c rows have at least 32 floats of room.
 * b: 64-byte aligned panel [k][32]. */
typedef void oq_gemm_f32_fn(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate);

/* The kernel for an instruction set (OQ_ISA_PLAIN is the twin). */
oq_gemm_f32_fn *oq_gemm_f32_kernel(oq_isa isa);

#endif
