/* The integer transforms for AVX-512. */
#define BYTES 64
#define TABLE oq_w16_avx512
#include "winograd_i16_body.h"
