/* Conversions compiled for this instruction set. */
#define TABLE oq_convert_avx512
#include "convert_body.h"
