/* The Winograd transforms compiled for this instruction set. */
#define LANES 16
#define WINOGRAD_TABLE oq_winograd_avx512
#include "winograd_body.h"
