/* The Winograd transforms compiled for this instruction set. */
#define LANES 8
#define WINOGRAD_TABLE oq_winograd_avx2
#include "winograd_body.h"
