/* The micro-kernels behind oq_gemm_f32_kernel, one source per instruction set. */
#ifndef OQ_NN_KERNEL_GEMM_F32_ISA_H
#define OQ_NN_KERNEL_GEMM_F32_ISA_H

#include "kernel/gemm_f32.h"

#ifdef OQ_KERNEL_X86
oq_gemm_f32_fn oq_gemm_f32_avx2, oq_gemm_f32_avx512;
#endif

/* How far ahead of its use the packed panel is asked for, in floats. Panels of one convolution lie one behind the other,
 * so reading past the end of one warms the next; a prefetch never faults. 4 KiB covers memory latency at one core's bandwidth. */
#define OQ_GEMM_PREFETCH 1024

#endif
