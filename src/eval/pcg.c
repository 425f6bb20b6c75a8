#include "pcg.h"

typedef struct hasher {
	uint32_t constant, factor;
} hasher;

static uint32_t hash(hasher *h, uint32_t value)
{
	value ^= h->constant;
	h->constant *= h->factor;
	value *= h->constant;
	return value ^ value >> 16;
}

static uint32_t mix(uint32_t x, uint32_t y)
{
	uint32_t z = 0xca01f9ddu * x - 0x4973f715u * y;
	return z ^ z >> 16;
}

/* SeedSequence's pool of four words, and eight words drawn from it. */
static void spread_seed(uint32_t seed, uint32_t words[8])
{
	uint32_t pool[4];
	hasher in = {0x43b0d7e5u, 0x931e8875u}, out = {0x8b51f9ddu, 0x58f38dedu};
	for (int i = 0; i < 4; i++)
		pool[i] = hash(&in, i ? 0 : seed);
	for (int from = 0; from < 4; from++)
		for (int to = 0; to < 4; to++)
			if (from != to)
				pool[to] = mix(pool[to], hash(&in, pool[from]));
	for (int i = 0; i < 8; i++)
		words[i] = hash(&out, pool[i % 4]);
}

static oq_u128 wide(const uint32_t *words)
{
	uint64_t high = words[0] | (uint64_t)words[1] << 32, low = words[2] | (uint64_t)words[3] << 32;
	return (oq_u128)high << 64 | low;
}

static void step(oq_pcg *pcg)
{
	const oq_u128 factor = (oq_u128)0x2360ED051FC65DA4u << 64 | 0x4385DF649FCCF645u;
	pcg->state = pcg->state * factor + pcg->increment;
}

void oq_pcg_seed(oq_pcg *pcg, uint32_t seed)
{
	uint32_t words[8];
	spread_seed(seed, words);
	*pcg = (oq_pcg){.increment = wide(words + 4) << 1 | 1};
	step(pcg);
	pcg->state += wide(words);
	step(pcg);
}

static uint32_t next(oq_pcg *pcg)
{
	if (pcg->has_half) {
		pcg->has_half = false;
		return pcg->half;
	}
	step(pcg);
	uint64_t folded = (uint64_t)(pcg->state >> 64) ^ (uint64_t)pcg->state;
	unsigned turn = (unsigned)(pcg->state >> 122);
	folded = folded >> turn | folded << (-turn & 63);
	pcg->has_half = true;
	pcg->half = (uint32_t)(folded >> 32);
	return (uint32_t)folded;
}

uint32_t oq_pcg_integer(oq_pcg *pcg, uint32_t most)
{
	if (most == 0)
		return 0;
	if (most == UINT32_MAX)
		return next(pcg);
	uint32_t range = most + 1, threshold = (UINT32_MAX - most) % range;
	uint64_t product;
	do
		product = (uint64_t)next(pcg) * range;
	while ((uint32_t)product < threshold);
	return (uint32_t)(product >> 32);
}

uint32_t oq_pcg_interval(oq_pcg *pcg, uint32_t most)
{
	uint32_t mask = most, value;
	for (int shift = 1; shift < 32; shift *= 2)
		mask |= mask >> shift;
	if (most == 0)
		return 0;
	do
		value = next(pcg) & mask;
	while (value > most);
	return value;
}
