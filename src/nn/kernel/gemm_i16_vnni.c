/* With VNNI: the dot product that wraps, not the one that saturates. */
#define KERNEL oq_gemm_i16_vnni
#define DOT(SUM, X, Y) _mm512_dpwssd_epi32(SUM, X, Y)
#include "gemm_i16_body.h"
