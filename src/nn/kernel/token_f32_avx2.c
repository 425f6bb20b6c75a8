/* Token kernels compiled for this instruction set. */
#include "token_f32_isa.h"

#define TOKEN_TABLE oq_token_kernels_avx2
#include "token_f32_body.h"
