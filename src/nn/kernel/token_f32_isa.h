/* The tables of token kernels, one per instruction set. */
#ifndef OQ_NN_KERNEL_TOKEN_F32_ISA_H
#define OQ_NN_KERNEL_TOKEN_F32_ISA_H

#include "kernel/token_f32.h"

extern const oq_token_kernels oq_token_kernels_plain;
#ifdef OQ_KERNEL_X86
extern const oq_token_kernels oq_token_kernels_avx2, oq_token_kernels_avx512;
#endif

#endif
