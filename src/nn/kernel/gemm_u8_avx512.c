/* Codes, with VNNI. Called only where these instructions are allowed. */
#define KERNEL oq_gemm_u8_avx512
#define VEC __m512i
#define LOAD(p) _mm512_load_si512(p)
#define STORE(p, v) _mm512_storeu_si512(p, v)
#define DOT(sum, x, b) _mm512_dpbusd_epi32(sum, x, b)
#include "gemm_dot_body.h"
