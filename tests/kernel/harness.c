/* Runs the cases; `harness NAME...` only those whose name starts so, `--time` times instead of checking. */
#include "harness.h"

#include <time.h>

static uint64_t state = 0x9e3779b97f4a7c15u;

uint32_t random_below(uint32_t limit)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return (uint32_t)((state >> 32) % limit);
}

static float wild(float v)
{
	static const float special[] = {0.0f, -0.0f, 1e-40f, -3e-45f, 1e30f, -3e38f, INFINITY, -INFINITY, NAN, 1e-20f};
	uint32_t pick = random_below(40);
	return pick < sizeof special / sizeof *special ? special[pick] : v * 1e3f;
}

float *random_values(int64_t count, value_kind kind)
{
	float *x = aligned_values(count);
	for (int64_t i = 0; i < count; i++) {
		float v = (float)random_below(1u << 24) / (float)(1 << 23) - 1.0f;
		x[i] = kind == VALUES_WILD ? wild(v) : kind == VALUES_POSITIVE ? v + 1.001f : v;
	}
	return x;
}

float *aligned_values(int64_t count)
{
	float *x = aligned_alloc(64, ((size_t)count * sizeof *x + 63) / 64 * 64 + 64);
	OQ_REQUIRE(x != NULL);
	for (int64_t i = 0; i < count; i++)
		x[i] = NAN;
	return x;
}

bool same_bits(const char *what, int64_t count, const float *got, const float *want)
{
	for (int64_t i = 0; i < count; i++)
		if (memcmp(&got[i], &want[i], sizeof *got) && !(isnan(got[i]) && isnan(want[i]))) {
			fprintf(stderr, "%s: value %lld of %lld is %a, expected %a\n", what, (long long)i, (long long)count, (double)got[i], (double)want[i]);
			return false;
		}
	return true;
}

double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

oq_isa best_isa(void)
{
#if defined(__x86_64__)
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return OQ_ISA_AVX512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return OQ_ISA_AVX2;
#endif
	return OQ_ISA_PLAIN;
}

static bool wanted(const char *name, int count, char **names)
{
	bool any = false;
	for (int i = 1; i < count; i++) {
		if (!strcmp(names[i], "--time"))
			continue;
		any = true;
		if (!strncmp(name, names[i], strlen(names[i])))
			return true;
	}
	return !any;
}

int main(int argc, char **argv)
{
	static const kernel_family *const families[] = {&gemm_family, &conv_family, &conv_i8_family, &simple_family, &pool_family, &token_family,
		&convert_family, &nearest_family, &linear_family, &attention_i8_family};
	bool timing = false;
	for (int i = 1; i < argc; i++)
		timing = timing || !strcmp(argv[i], "--time");
	for (size_t f = 0; f < sizeof families / sizeof *families; f++) {
		for (const kernel_case *c = families[f]->cases; c->name; c++) {
			if (!wanted(c->name, argc, argv))
				continue;
			if (timing && c->time)
				c->time();
			else if (!timing)
				c->check();
		}
		oq_checks_made += *families[f]->made;
		oq_checks_failed += *families[f]->failed;
	}
	return timing ? 0 : oq_checks_done();
}
