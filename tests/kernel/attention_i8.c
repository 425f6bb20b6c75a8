/* Attention in bytes: bit for bit over instruction sets and ways of multiplying, beside attention in double, and what it says of values that
 * are no numbers. */
#include "harness.h"

#include "core/dtype.h"
#include "core/mem.h"
#include "kernel/attention_bf16.h"
#include "kernel/attention_f32.h"
#include "kernel/attention_i8.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct setup {
	int64_t n, d;
	float *values[3], *bias, *mask; /* q, k, v: [n][d]; [n][n] */
	uint16_t *halves[3];
	const void **rows;              /* [3][n] */
	float **out;
	bool holes;                     /* every third token is padding nobody wants */
} setup;

static setup make(int64_t n, int64_t d, bool holes)
{
	setup s = {.n = n, .d = d, .holes = holes, .bias = random_values(n * n, VALUES_UNIT), .mask = random_values(n * n, VALUES_UNIT)};
	s.rows = calloc((size_t)(3 * n), sizeof *s.rows);
	s.out = calloc((size_t)n, sizeof *s.out);
	OQ_REQUIRE(s.rows && s.out);
	for (int i = 0; i < 3; i++) {
		s.values[i] = random_values(n * d, VALUES_UNIT);
		s.halves[i] = calloc((size_t)(n * d), sizeof *s.halves[i]);
		OQ_REQUIRE(s.halves[i] != NULL);
	}
	return s;
}

/* Values of q, k and v rounded to bfloat16, so that both types say the same. */
static void round_values(setup *s)
{
	for (int i = 0; i < 3; i++)
		for (int64_t c = 0; c < s->n * s->d; c++) {
			s->halves[i][c] = oq_f32_to_bf16(s->values[i][c]);
			uint32_t bits = (uint32_t)s->halves[i][c] << 16;
			memcpy(&s->values[i][c], &bits, sizeof bits);
		}
}

static void let_go(setup *s)
{
	for (int i = 0; i < 3; i++)
		free(s->values[i]), free(s->halves[i]);
	free(s->bias), free(s->mask), free((void *)s->rows), free(s->out);
}

static void run(setup *s, oq_dtype dtype, oq_isa isa, bool vnni, float *result)
{
	void *scratch = oq_alloc_aligned(oq_attention_i8_scratch_bytes(s->n, s->d));
	OQ_REQUIRE(scratch != NULL);
	for (int i = 0; i < 3; i++)
		for (int64_t t = 0; t < s->n; t++)
			s->rows[i * s->n + t] = dtype == OQ_F32 ? (const void *)(s->values[i] + t * s->d) : (const void *)(s->halves[i] + t * s->d);
	for (int64_t t = 0; t < s->n; t++)
		s->out[t] = s->holes && t % 3 == 2 ? NULL : result + t * s->d;
	const oq_attention_i8 a = {.tokens = s->n, .head_dim = s->d, .scale = 0.3f, .dtype = dtype, .q = s->rows, .k = s->rows + s->n, .v = s->rows + 2 * s->n,
		.bias = s->bias, .mask = s->mask, .out = s->out};
	oq_attention_i8_run(&a, isa, vnni, scratch);
	oq_free_aligned(scratch);
}

/* Every instruction set, with and without the 8-bit dot product, from either type: the bits of `want`. */
static void check_forms(setup *s, const float *want)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	float *got = aligned_values(s->n * s->d);
	for (int form = 0; form < 2 * (int)(best_isa() + 1); form++) {
		const bool vnni = form % 2;
		if (vnni && !(form / 2 == OQ_ISA_AVX512 && cpu.avx512_vnni))
			continue;
		for (int half = 0; half < 2; half++) {
			run(s, half ? OQ_BF16 : OQ_F32, (oq_isa)(form / 2), vnni, got);
			OQ_CHECK(same_bits("attention in bytes", s->n * s->d, got, want));
		}
	}
	free(got);
}

/* In double, from the values themselves; returns the largest difference of row i. */
static double row_error(const setup *s, int64_t i, const float *got)
{
	double sum = 0, worst = 0, *p = calloc((size_t)s->n, sizeof *p);
	OQ_REQUIRE(p != NULL);
	for (int64_t j = 0; j < s->n; j++) {
		for (int64_t c = 0; c < s->d; c++)
			p[j] += 0.3 * (double)s->values[0][i * s->d + c] * (double)s->values[1][j * s->d + c];
		p[j] = exp(p[j] + (s->bias ? (double)s->bias[i * s->n + j] : 0) + (s->mask ? (double)s->mask[i * s->n + j] : 0));
		sum += p[j];
	}
	for (int64_t c = 0; c < s->d; c++) {
		double y = 0;
		for (int64_t j = 0; j < s->n; j++)
			y += p[j] / sum * (double)s->values[2][j * s->d + c];
		worst = fmax(worst, fabs(y - (double)got[c]));
	}
	free(p);
	return worst;
}

static void check_of(int64_t n, int64_t d, bool holes)
{
	setup s = make(n, d, holes);
	float *want = aligned_values(n * d);
	round_values(&s);
	run(&s, OQ_F32, OQ_ISA_PLAIN, false, want);
	check_forms(&s, want);
	for (int64_t i = 0; i < n; i++)
		if (s.out[i]) /* v below 1 is rounded by 1/254, weights by 1/510 of the largest, scores by some hundredths */
			OQ_CHECK_NEAR(row_error(&s, i, want + i * d), 0, 0.02);
		else
			OQ_CHECK(isnan(want[i * d])); /* padding is not written */
	free(s.bias), free(s.mask);
	s.bias = s.mask = NULL;
	run(&s, OQ_F32, OQ_ISA_PLAIN, false, want);
	check_forms(&s, want);
	free(want);
	let_go(&s);
}

static void check_attention(void)
{
	check_of(1, 32, false);
	check_of(9, 32, false);
	check_of(64, 64, true);
	check_of(101, 96, true);
	check_of(343, 64, false);
}

/* The largest sums that there are: every code is 127 or -127 and every weight 255. */
static void check_extremes(void)
{
	setup s = make(343, 64, false);
	float *want = aligned_values(s.n * s.d);
	memset(s.mask, 0, (size_t)(s.n * s.n) * sizeof *s.mask);
	memset(s.bias, 0, (size_t)(s.n * s.n) * sizeof *s.bias);
	for (int64_t c = 0; c < s.n * s.d; c++) {
		s.values[0][c] = s.values[1][c] = 2.0f;
		s.values[2][c] = c % s.d % 2 ? -3.0f : 3.0f;
	}
	round_values(&s);
	run(&s, OQ_F32, OQ_ISA_PLAIN, false, want);
	check_forms(&s, want);
	for (int64_t c = 0; c < s.n * s.d; c++)
		OQ_CHECK_NEAR((double)want[c], c % 2 ? -3 : 3, 1e-6); /* equal weights of equal values, and a few float32 roundings */
	for (int64_t c = 0; c < s.n * s.d; c++) /* scores of either sign beyond what exp takes, values beyond what float32 squares, and zeros */
		s.values[0][c] = c % 7 ? 1e20f : -1e20f, s.values[1][c] = c / s.d % 5 ? 1e15f : 0, s.values[2][c] = c % s.d % 3 ? 3e38f : 1e-40f;
	round_values(&s);
	run(&s, OQ_F32, OQ_ISA_PLAIN, false, want);
	check_forms(&s, want);
	for (int64_t c = 0; c < s.n * s.d; c++)
		OQ_CHECK(c % s.d % 3 ? fabsf(want[c] / 3e38f - 1) < 0.01f : want[c] == 0); /* 3e38 in bfloat16, and what counts as 0 */
	free(want);
	let_go(&s);
}

/* What is no finite number is not hidden: in a query the row, in a key all rows, in a value its channel. */
static void check_no_numbers(void)
{
	for (int which = 0; which < 3; which++) {
		setup s = make(20, 32, false);
		float *want = aligned_values(s.n * s.d);
		s.values[which][5 * s.d + 3] = which == 1 ? INFINITY : NAN;
		round_values(&s);
		run(&s, OQ_F32, OQ_ISA_PLAIN, false, want);
		check_forms(&s, want);
		for (int64_t c = 0; c < s.n * s.d; c++)
			OQ_CHECK(isnan(want[c]) == (which == 1 || (which == 0 ? c / s.d == 5 : c % s.d == 3)));
		free(want);
		let_go(&s);
	}
}

/* VoCo's window, in every precision. */
static void time_attention(void)
{
	enum { TURNS = 40 };
	setup s = make(343, 64, false);
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	float *result = aligned_values(s.n * s.d);
	void *scratch = oq_alloc_aligned(oq_attention_i8_scratch_bytes(s.n, s.d) + oq_attention_bf16_scratch_bytes(s.n, s.d)
		+ sizeof(float) * oq_attention_scratch_floats(s.n, s.d));
	OQ_REQUIRE(scratch != NULL);
	round_values(&s);
	run(&s, OQ_F32, OQ_ISA_PLAIN, false, result);
	const void **rows = s.rows;
	double least[3] = {1e9, 1e9, 1e9};
	for (int turn = 0; turn < 3 * TURNS; turn++) {
		int kind = turn % 3;
		for (int i = 0; i < 3; i++)
			for (int64_t t = 0; t < s.n; t++)
				rows[i * s.n + t] = kind == 0 ? (const void *)(s.values[i] + t * s.d) : (const void *)(s.halves[i] + t * s.d);
		const oq_attention f32 = {.tokens = s.n, .head_dim = s.d, .scale = 0.3f, .q = (const float *const *)rows, .k = (const float *const *)rows + s.n,
			.v = (const float *const *)rows + 2 * s.n, .bias = s.bias, .out = s.out};
		const oq_attention_bf16 bf16 = {.tokens = s.n, .head_dim = s.d, .scale = 0.3f, .q = (const uint16_t *const *)rows,
			.k = (const uint16_t *const *)rows + s.n, .v = (const uint16_t *const *)rows + 2 * s.n, .bias = s.bias, .out = s.out};
		const oq_attention_i8 i8 = {.tokens = s.n, .head_dim = s.d, .scale = 0.3f, .dtype = OQ_BF16, .q = rows, .k = rows + s.n, .v = rows + 2 * s.n,
			.bias = s.bias, .out = s.out};
		double start = now_seconds();
		if (kind == 0)
			oq_attention_run(&f32, cpu.isa, scratch);
		else if (kind == 1 && cpu.avx512_bf16)
			oq_attention_bf16_run(&bf16, cpu.isa, scratch);
		else
			oq_attention_i8_run(&i8, cpu.isa, cpu.avx512_vnni, scratch);
		least[kind] = fmin(least[kind], now_seconds() - start);
	}
	printf("attention 343 x 64: f32 %.3f ms, bf16 %.3f ms, bytes %.3f ms\n", 1e3 * least[0], 1e3 * least[1], 1e3 * least[2]);
	free(result), oq_free_aligned(scratch);
	let_go(&s);
}

static const kernel_case cases[] = {{"attention-i8", check_attention, time_attention}, {"attention-i8-extremes", check_extremes, NULL},
	{"attention-i8-no-numbers", check_no_numbers, NULL}, {NULL, NULL, NULL}};
const kernel_family attention_i8_family = KERNEL_FAMILY(cases);
