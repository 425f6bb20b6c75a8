#include "mt19937.h"

#define N 624
#define M 397

void oq_mt19937_seed(oq_mt19937 *mt, uint32_t seed)
{
	mt->key[0] = seed;
	for (uint32_t i = 1; i < N; i++)
		mt->key[i] = 1812433253u * (mt->key[i - 1] ^ mt->key[i - 1] >> 30) + i;
	mt->at = N;
}

static void refill(oq_mt19937 *mt)
{
	for (int i = 0; i < N; i++) {
		uint32_t y = (mt->key[i] & 0x80000000u) | (mt->key[(i + 1) % N] & 0x7fffffffu);
		mt->key[i] = mt->key[(i + M) % N] ^ y >> 1 ^ (y & 1 ? 0x9908b0dfu : 0);
	}
	mt->at = 0;
}

static uint32_t next(oq_mt19937 *mt)
{
	if (mt->at == N)
		refill(mt);
	uint32_t y = mt->key[mt->at++];
	y ^= y >> 11;
	y ^= y << 7 & 0x9d2c5680u;
	y ^= y << 15 & 0xefc60000u;
	return y ^ y >> 18;
}

/* 0 to most, evenly, by masking and rejecting. */
static uint32_t interval(oq_mt19937 *mt, uint32_t most)
{
	uint32_t mask = most, value;
	for (int shift = 1; shift < 32; shift *= 2)
		mask |= mask >> shift;
	do
		value = next(mt) & mask;
	while (value > most);
	return value;
}

void oq_mt19937_shuffle(oq_mt19937 *mt, int64_t *values, int64_t count)
{
	for (int64_t i = count - 1; i > 0; i--) {
		int64_t j = interval(mt, (uint32_t)i), swap = values[i];
		values[i] = values[j];
		values[j] = swap;
	}
}

void oq_mt19937_permutation(oq_mt19937 *mt, int64_t *values, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		values[i] = i;
	oq_mt19937_shuffle(mt, values, count);
}
