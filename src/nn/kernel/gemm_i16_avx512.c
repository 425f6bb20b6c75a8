/* Without VNNI: a multiplication that adds pairs, and an addition. */
#define KERNEL oq_gemm_i16_avx512
#define DOT(SUM, X, Y) _mm512_add_epi32(SUM, _mm512_madd_epi16(X, Y))
#include "gemm_i16_body.h"
