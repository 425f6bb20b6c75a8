/* The Winograd transforms compiled for this instruction set. */
#include <immintrin.h>

#define LANES 16
#define MADD(a, b, c) ((channels)_mm512_fmadd_ps((__m512)(a), (__m512)(b), (__m512)(c)))
#define WINOGRAD_TABLE oq_winograd_avx512
#include "winograd_body.h"
