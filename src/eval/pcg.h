/* numpy.random.default_rng(seed) for a 32-bit seed: PCG64 (O'Neill 2014, XSL-RR) seeded through SeedSequence. Only here so that negative
 * controls come out as the reference's; all else uses eval/random.h. */
#ifndef OQ_EVAL_PCG_H
#define OQ_EVAL_PCG_H

#include <stdbool.h>
#include <stdint.h>

__extension__ typedef unsigned __int128 oq_u128;

typedef struct oq_pcg {
	oq_u128 state, increment;
	bool has_half; /* 32-bit numbers come in pairs, the low half first */
	uint32_t half;
} oq_pcg;

void oq_pcg_seed(oq_pcg *pcg, uint32_t seed);
/* 0 to most, evenly (Lemire 2019), as numpy's integers and choice draw them. */
uint32_t oq_pcg_integer(oq_pcg *pcg, uint32_t most);
/* The same by masking and rejecting, as numpy's shuffle draws them. */
uint32_t oq_pcg_interval(oq_pcg *pcg, uint32_t most);

#endif
