/* Byte micro-kernels, one per instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_U8_ISA_H
#define OQ_NN_KERNEL_GEMM_U8_ISA_H

#include "kernel/gemm_u8.h"

#ifdef OQ_KERNEL_X86
oq_gemm_u8_fn oq_gemm_u8_avx512; /* with VNNI */
#endif

#endif
