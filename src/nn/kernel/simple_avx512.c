/* The memory-bound kernels for AVX-512. */
#define LANES 16
#define TABLE oq_simple_avx512
#include "simple_fast.h"
