/* bfloat16, with AVX512-BF16. Called only where these instructions are allowed. */
#define KERNEL oq_gemm_bf16_avx512
#define VEC __m512
#define LOAD(p) _mm512_load_ps(p)
#define STORE(p, v) _mm512_storeu_ps(p, v)
#define DOT(sum, x, b) _mm512_dpbf16_ps(sum, (__m512bh)(x), (__m512bh)(b))
#include "gemm_dot_body.h"
