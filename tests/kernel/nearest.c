/* The byte micro-kernel against its twin, and the nearest of a codebook with and without byte products against a plain search: on random
 * codebooks, on neighbours that differ by a unit in the last place, on ties, and on what is no number. */
#include "harness.h"

#include "core/error.h"
#include "core/mem.h"
#include "kernel/gemm_dot.h"
#include "kernel/nearest.h"
#include "kernel/token_f32.h"

static bool has_vnni(void)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	return cpu.avx512_vnni && cpu.isa == OQ_ISA_AVX512;
}

static void check_gemm_u8_of(int64_t rows, int64_t k, bool extreme)
{
	int64_t steps = oq_dot_steps(k, 1), stride = steps * OQ_DOT_BYTES + 12, c_stride = OQ_DOT_NR + 5;
	uint8_t *a = malloc((size_t)(rows * stride));
	int8_t *codes = malloc((size_t)(OQ_DOT_NR * k)), *b = oq_alloc_aligned((size_t)(OQ_DOT_NR * steps * OQ_DOT_BYTES));
	int32_t *start = oq_alloc_aligned(OQ_DOT_NR * sizeof *start), *want = calloc((size_t)(rows * c_stride), sizeof *want),
		*got = calloc((size_t)(rows * c_stride), sizeof *got);
	OQ_REQUIRE(a && codes && b && start && want && got);
	for (int64_t i = 0; i < rows * stride; i++)
		a[i] = extreme ? 255 : (uint8_t)random_below(256);
	for (int64_t i = 0; i < OQ_DOT_NR * k; i++)
		codes[i] = extreme ? (i / k % 2 ? -128 : 127) : (int8_t)((int)random_below(256) - 128);
	for (int j = 0; j < OQ_DOT_NR; j++)
		start[j] = (int32_t)random_below(1000) - 500;
	oq_gemm_dot_pack(OQ_DOT_NR, k, 1, codes, b);
	oq_gemm_u8_plain(rows, steps, a, stride, b, start, want, c_stride);
	for (int64_t r = 0; r < rows; r++)
		for (int j = 0; j < OQ_DOT_NR; j++) {
			int64_t sum = start[j];
			for (int64_t i = 0; i < k; i++)
				sum += (int64_t)a[r * stride + i] * codes[j * k + i];
			OQ_CHECK(sum == want[r * c_stride + j]);
		}
	if (has_vnni()) {
		oq_gemm_u8_kernel(true)(rows, steps, a, stride, b, start, got, c_stride);
		OQ_CHECK(!memcmp(want, got, (size_t)(rows * c_stride) * sizeof *want));
	}
	free(a), free(codes), oq_free_aligned(b), oq_free_aligned(start), free(want), free(got);
}

static void check_gemm_u8(void)
{
	for (int64_t rows = 1; rows <= 30; rows++)
		check_gemm_u8_of(rows, 4 * rows + rows % 3, false);
	check_gemm_u8_of(14, 4096, true);
}

typedef struct problem {
	int64_t codes, channels, rows;
	float *stored, *x;
} problem;

/* What the header says, with the same float32 chains, over all codes. */
static void search(const problem *p, int64_t *index)
{
	float *directions = aligned_values(p->codes * p->channels), *unit = aligned_values(p->channels);
	for (int64_t code = 0; code < p->codes; code++) {
		double squares = 0;
		for (int64_t c = 0; c < p->channels; c++)
			squares += (double)p->stored[code * p->channels + c] * (double)p->stored[code * p->channels + c];
		for (int64_t c = 0; c < p->channels; c++)
			directions[code * p->channels + c] = (float)((double)p->stored[code * p->channels + c] / (squares > 1e-24 ? sqrt(squares) : 1e-12));
	}
	for (int64_t r = 0; r < p->rows; r++) {
		float best = 0;
		oq_token_kernels_for(OQ_ISA_PLAIN)->unit_row(p->channels, p->x + r * p->channels, NULL, unit);
		for (int64_t code = 0; code < p->codes; code++) {
			float sum = 0;
			for (int64_t c = 0; c < p->channels; c++)
				sum = fmaf(directions[code * p->channels + c], unit[c], sum);
			if (!code || sum > best) {
				best = sum;
				index[r] = code;
			}
		}
	}
	free(directions), free(unit);
}

static void check_search(const problem *p, oq_isa isa, bool vnni, int threads, const int64_t *want)
{
	oq_error err = {0};
	oq_nearest *nearest = NULL;
	int64_t *got = calloc((size_t)p->rows, sizeof *got);
	OQ_REQUIRE(got && oq_nearest_create(p->codes, p->channels, p->stored, isa, vnni, &nearest, &err) == OQ_OK);
	OQ_CHECK(oq_nearest_has_bytes(nearest) == vnni);
	void *scratch = oq_alloc_aligned(oq_nearest_scratch_bytes(nearest, p->rows, threads));
	OQ_REQUIRE(scratch != NULL);
	oq_nearest_run(nearest, p->rows, p->x, got, scratch, threads);
	OQ_CHECK(!memcmp(got, want, (size_t)p->rows * sizeof *got));
	oq_free_aligned(scratch);
	oq_nearest_free(nearest);
	free(got);
}

static void check_problem(problem p)
{
	int64_t *want = calloc((size_t)p.rows, sizeof *want);
	OQ_REQUIRE(want != NULL);
	search(&p, want);
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++)
		check_search(&p, isa, false, 1, want);
	if (has_vnni())
		for (int threads = 1; threads <= 2; threads++)
			check_search(&p, OQ_ISA_AVX512, true, threads, want);
	free(p.stored), free(p.x), free(want);
}

static problem random_problem(int64_t codes, int64_t channels, int64_t rows)
{
	return (problem){.codes = codes, .channels = channels, .rows = rows, .stored = random_values(codes * channels, VALUES_UNIT),
		.x = random_values(rows * channels, VALUES_UNIT)};
}

static void check_nearest(void)
{
	check_problem(random_problem(1, 5, 3));
	check_problem(random_problem(33, 30, 31));
	check_problem(random_problem(700, 64, 54));
}

/* Codes in pairs that differ by a unit in the last place of one channel, or not at all, and rows that lie among them. */
static void check_neighbours(void)
{
	problem p = random_problem(300, 48, 40);
	for (int64_t code = 1; code < p.codes; code += 2) {
		memcpy(p.stored + code * p.channels, p.stored + (code - 1) * p.channels, (size_t)p.channels * sizeof(float));
		float *one = p.stored + code * p.channels + code % p.channels;
		*one = code % 4 == 1 ? nextafterf(*one, 2) : *one;
	}
	for (int64_t r = 0; r < p.rows; r++)
		for (int64_t c = 0; c < p.channels; c++)
			p.x[r * p.channels + c] = p.stored[(7 * r % p.codes) * p.channels + c] * 3.0f;
	check_problem(p);
}

/* Rows and codes of zeros, of one spike, of tiny values, and with infinities and NaN. */
static void check_odd_rows(void)
{
	problem p = random_problem(100, 40, 34);
	memset(p.x, 0, (size_t)p.channels * sizeof(float));
	p.x[p.channels + 3] = NAN;
	p.x[2 * p.channels + 1] = INFINITY;
	for (int64_t c = 0; c < p.channels; c++) {
		p.x[3 * p.channels + c] *= 1e-30f;
		p.x[4 * p.channels + c] = c == 9 ? -2.0f : 0.0f;
		p.stored[5 * p.channels + c] = 0;
		p.stored[6 * p.channels + c] = c == 9 ? -1.0f : 0.0f;
		p.stored[7 * p.channels + c] *= 1e-25f;
	}
	check_problem(p);
	p = random_problem(64, 40, 34);
	p.stored[3 * p.channels] = NAN;
	check_problem(p);
}

/* The lookup of CT-CLIP's size, with and without byte products; the fastest of some runs. */
static void time_nearest(void)
{
	problem p = random_problem(8192, 512, 54);
	int64_t index[54];
	for (int bytes = 0; bytes <= has_vnni(); bytes++) {
		oq_error err = {0};
		oq_nearest *nearest = NULL;
		OQ_REQUIRE(oq_nearest_create(p.codes, p.channels, p.stored, best_isa(), bytes, &nearest, &err) == OQ_OK);
		void *scratch = oq_alloc_aligned(oq_nearest_scratch_bytes(nearest, p.rows, 1));
		double best = 1e9;
		OQ_REQUIRE(scratch != NULL);
		for (int run = 0; run < 100; run++) {
			double start = now_seconds();
			oq_nearest_run(nearest, p.rows, p.x, index, scratch, 1);
			best = fmin(best, now_seconds() - start);
		}
		printf("nearest of 8192 x 512 for 54 rows, %s: %.3f ms\n", bytes ? "bytes first" : "float32", 1e3 * best);
		oq_free_aligned(scratch);
		oq_nearest_free(nearest);
	}
	free(p.stored), free(p.x);
}

/* Rows of a transformer by weights that lie in L2: the share of the peak that one panel after the other reaches. */
static void time_gemm_u8(void)
{
	enum { ROWS = 54, K = 512, PANELS = 16 };
	uint8_t *a = calloc(ROWS, K);
	int8_t *b = oq_alloc_aligned((size_t)PANELS * OQ_DOT_NR * K);
	int32_t *start = oq_alloc_aligned(OQ_DOT_NR * sizeof *start), *c = calloc(ROWS, OQ_DOT_NR * sizeof *c);
	double best = 1e9;
	OQ_REQUIRE(a && b && start && c);
	memset(b, 1, (size_t)PANELS * OQ_DOT_NR * K);
	memset(start, 0, OQ_DOT_NR * sizeof *start);
	for (int run = 0; run < 1000 && has_vnni(); run++) {
		double begin = now_seconds();
		for (int p = 0; p < PANELS; p++)
			oq_gemm_u8_kernel(true)(ROWS, K / OQ_DOT_BYTES, a, K, b + p * OQ_DOT_NR * K, start, c, OQ_DOT_NR);
		best = fmin(best, now_seconds() - begin);
	}
	printf("gemm-u8 of 54 x 512 x 512: %.1f GFLOP/s\n", 2e-9 * ROWS * K * PANELS * OQ_DOT_NR / best);
	free(a), oq_free_aligned(b), oq_free_aligned(start), free(c);
}

static const kernel_case cases[] = {
	{"gemm-u8", check_gemm_u8, time_gemm_u8},
	{"nearest", check_nearest, time_nearest},
	{"nearest-neighbours", check_neighbours, NULL},
	{"nearest-odd-rows", check_odd_rows, NULL},
	{NULL, NULL, NULL},
};

const kernel_family nearest_family = KERNEL_FAMILY(cases);
