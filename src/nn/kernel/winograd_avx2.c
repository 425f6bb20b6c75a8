/* The Winograd transforms compiled for this instruction set. */
#include <immintrin.h>

#define LANES 8
#define MADD(a, b, c) ((channels)_mm256_fmadd_ps((__m256)(a), (__m256)(b), (__m256)(c)))
#define WINOGRAD_TABLE oq_winograd_avx2
#include "winograd_body.h"
