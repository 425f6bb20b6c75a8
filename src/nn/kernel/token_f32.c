/* The plain twin of the token kernels, and the choice by instruction set. */
#include "token_f32_isa.h"

#define TOKEN_TABLE oq_token_kernels_plain
#include "token_f32_body.h"

const oq_token_kernels *oq_token_kernels_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return &oq_token_kernels_avx512;
	if (isa == OQ_ISA_AVX2)
		return &oq_token_kernels_avx2;
#endif
	(void)isa;
	return &oq_token_kernels_plain;
}
