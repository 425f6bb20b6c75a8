/* Random numbers by a counter: a number is a pure function of the seed and of where it is used, so that neither order nor threads matter. */
#ifndef OQ_EVAL_RANDOM_H
#define OQ_EVAL_RANDOM_H

#include <stdint.h>

/* SplitMix64's finaliser (Steele, Lea and Flood 2014). */
static inline uint64_t oq_random_mix(uint64_t z)
{
	z += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* The key of a stream: one per seed and, say, row and draw. */
static inline uint64_t oq_random_key(uint64_t seed, uint64_t row, uint64_t draw)
{
	return oq_random_mix(oq_random_mix(oq_random_mix(seed) + row) + draw);
}

/* The i-th number of a stream, evenly from [0,1), in steps of 2^-53. */
static inline double oq_random_uniform(uint64_t key, uint64_t i)
{
	return (double)(oq_random_mix(key + i * 0xD1342543DE82EF95u) >> 11) * 0x1p-53;
}

/* The i-th standard normal number of a stream (Box and Muller; uses uniform numbers 2i and 2i+1). */
double oq_random_normal(uint64_t key, uint64_t i);
/* A point drawn evenly from the ball of radius 1: the first triple of the stream that lies in it. */
void oq_random_ball(uint64_t key, double point[3]);

#endif
