/* The integer transforms for AVX2. */
#define BYTES 32
#define TABLE oq_w16_avx2
#include "winograd_i16_body.h"
