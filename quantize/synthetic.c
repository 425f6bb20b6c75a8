#include "synthetic.h"

#include <string.h>

#define GAMMA 0x9E3779B97F4A7C15u

static const float spread_table[16] = {0.5f, 0.548f, 0.602f, 0.66f, 0.724f, 0.796f, 0.872f, 0.956f, 1.048f, 1.148f, 1.26f, 1.382f, 1.516f,
	1.662f, 1.824f, 2.0f};
#define HEAVY 1.9148542f /* keeps the variance of a heavy channel, whose values are fifth powers */

static uint64_t mix(uint64_t z)
{
	z += GAMMA;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

static uint64_t fnv1a(const char *key)
{
	uint64_t hash = 0xcbf29ce484222325u;
	for (; *key; key++)
		hash = (hash ^ (unsigned char)*key) * 0x100000001b3u;
	return hash;
}

/* Uniform in [0,1), 24 bits, exact. */
static float uniform(uint64_t start, uint64_t index)
{
	return (float)(mix(start + index * GAMMA) >> 40) * 0x1p-24f;
}

static void fill_range(uint64_t start, const oq_init *init, size_t count, float *out)
{
#pragma omp parallel for
	for (size_t i = 0; i < count; i++)
		out[i] = init->low + init->span * uniform(start, i);
}

/* One filter of `per` values; the second half of an antisymmetric filter mirrors the first with the other sign. */
static void fill_filter(uint64_t start, const oq_init *init, size_t channel, size_t per, float *out)
{
	uint64_t q = mix(~start + channel * GAMMA);
	float bound = init->bound * (init->spread ? spread_table[q & 15] : 1.0f);
	bool heavy = init->spread && (q >> 8 & 15) == 0;
	size_t own = init->antisym ? per / 2 : per;
	for (size_t j = 0; j < own; j++) {
		float v = 2.0f * uniform(start, channel * per + j) - 1.0f;
		if (heavy) {
			float square = v * v;
			v = square * square * v * HEAVY;
		}
		out[j] = v * bound;
	}
	if (init->antisym && per % 2)
		out[own] = 0.0f;
	for (size_t j = 0; init->antisym && j < own; j++)
		out[per - 1 - j] = -out[j];
}

static void fill_const(const oq_init *init, oq_dtype dtype, size_t count, void *out)
{
	int64_t integer = (int64_t)init->value;
	float number = (float)init->value;
	for (size_t i = 0; i < count; i++)
		if (dtype == OQ_I64)
			memcpy((char *)out + i * sizeof integer, &integer, sizeof integer);
		else
			memcpy((char *)out + i * sizeof number, &number, sizeof number);
}

static void fill_rel_pos_index(const oq_init *init, int64_t *out)
{
	const int64_t *w = init->window;
	int64_t n = w[0] * w[1] * w[2];
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < n; j++) {
			int64_t dz = i / (w[1] * w[2]) - j / (w[1] * w[2]), dy = i / w[2] % w[1] - j / w[2] % w[1], dx = i % w[2] - j % w[2];
			*out++ = ((dz + w[0] - 1) * (2 * w[1] - 1) + dy + w[1] - 1) * (2 * w[2] - 1) + dx + w[2] - 1;
		}
}

void oq_synthetic_fill(uint64_t seed, const char *key, const oq_init *init, oq_dtype dtype, size_t count, void *out)
{
	uint64_t start = mix(fnv1a(key) ^ mix(seed));
	switch (init->kind) {
	case OQ_INIT_RANGE: fill_range(start, init, count, out); break;
	case OQ_INIT_WEIGHT: {
		size_t channels = (size_t)init->channels, per = channels ? count / channels : 0;
		float *values = out;
#pragma omp parallel for
		for (size_t c = 0; c < channels; c++)
			fill_filter(start, init, c, per, values + c * per);
		break;
	}
	case OQ_INIT_CONST: fill_const(init, dtype, count, out); break;
	case OQ_INIT_REL_POS_INDEX: fill_rel_pos_index(init, out); break;
	}
}
