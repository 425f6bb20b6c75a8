/* The memory-bound kernels for AVX2. */
#define LANES 8
#define TABLE oq_simple_avx2
#include "simple_fast.h"
