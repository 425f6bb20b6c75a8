/* Micro-kernels on four bytes, one per instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_DOT_ISA_H
#define OQ_NN_KERNEL_GEMM_DOT_ISA_H

#include "kernel/gemm_dot.h"

#ifdef OQ_KERNEL_X86
oq_gemm_dot_fn oq_gemm_u8_avx512, oq_gemm_bf16_avx512; /* with VNNI, with BF16 */
#endif

#endif
