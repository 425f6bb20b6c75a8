/* The micro-kernels behind oq_gemm_f32_kernel, one source per instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_F32_ISA_H
#define OQ_NN_KERNEL_GEMM_F32_ISA_H

#include "kernel/gemm_f32.h"

#ifdef OQ_KERNEL_X86
oq_gemm_f32_fn oq_gemm_f32_avx2, oq_gemm_f32_avx512;
#endif

#endif
