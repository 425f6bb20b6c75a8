/* The float32 micro-kernel against its plain twin and against double. */
#include "harness.h"

#include "kernel/gemm_f32.h"

#define NR OQ_GEMM_NR

/* rows x k times k x 32, rows `a_stride` and `c_stride` apart. */
typedef struct problem {
	int64_t rows, k, a_stride, c_stride;
	float *a, *b;
} problem;

static problem make_problem(int64_t rows, int64_t k, int64_t a_gap, int64_t c_gap, value_kind kind)
{
	problem p = {.rows = rows, .k = k, .a_stride = k + a_gap, .c_stride = NR + c_gap};
	p.a = random_values(rows * p.a_stride, kind);
	p.b = random_values(k * NR, kind);
	return p;
}

static void free_problem(problem *p)
{
	free(p->a);
	free(p->b);
}

static void multiply(const problem *p, oq_isa isa, float *c, bool accumulate)
{
	const float **a = calloc((size_t)p->rows + 1, sizeof *a);
	float **rows = calloc((size_t)p->rows + 1, sizeof *rows);
	OQ_REQUIRE(a && rows);
	for (int64_t r = 0; r < p->rows; r++) {
		a[r] = p->a + r * p->a_stride;
		rows[r] = c + r * p->c_stride;
	}
	oq_gemm_f32_kernel(isa)(p->rows, p->k, a, p->b, rows, accumulate);
	free(a);
	free(rows);
}

static void check_double(const problem *p, const float *c)
{
	for (int64_t r = 0; r < p->rows; r++)
		for (int j = 0; j < NR; j++) {
			double sum = 0, size = 0;
			for (int64_t i = 0; i < p->k; i++) {
				double term = (double)p->a[r * p->a_stride + i] * (double)p->b[i * NR + j];
				sum += term;
				size += fabs(term);
			}
			/* A chain of k roundings errs by at most k units of the partial sums. */
			OQ_CHECK_NEAR((double)c[r * p->c_stride + j], sum, (double)(p->k + 1) * 0x1p-24 * size);
		}
}

static void check_problem(problem p, value_kind kind)
{
	int64_t count = p.rows * p.c_stride;
	float *want = aligned_values(count), *start = random_values(count, kind), *got = aligned_values(count);
	multiply(&p, OQ_ISA_PLAIN, want, false);
	if (kind == VALUES_UNIT)
		check_double(&p, want);
	for (int accumulate = 0; accumulate < 2; accumulate++) {
		memcpy(want, start, (size_t)count * sizeof *want);
		multiply(&p, OQ_ISA_PLAIN, want, accumulate);
		for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
			memcpy(got, start, (size_t)count * sizeof *got);
			multiply(&p, isa, got, accumulate);
			OQ_CHECK(same_bits("gemm", count, got, want)); /* the gaps between rows too: they must stay */
		}
	}
	free(want);
	free(start);
	free(got);
	free_problem(&p);
}

static void check_gemm(void)
{
	for (int64_t rows = 0; rows <= 45; rows++)
		check_problem(make_problem(rows, 1 + random_below(70), random_below(5), random_below(40), VALUES_UNIT), VALUES_UNIT);
	for (int i = 0; i < 30; i++)
		check_problem(make_problem(random_below(40), random_below(60), random_below(3), 0, VALUES_WILD), VALUES_WILD);
	check_problem(make_problem(29, 1024, 0, 0, VALUES_UNIT), VALUES_UNIT);
	check_problem(make_problem(3, 0, 0, 0, VALUES_UNIT), VALUES_UNIT);
}

/* A result must not depend on which rows it is computed with. */
static void check_grouping(void)
{
	problem p = make_problem(41, 37, 0, 0, VALUES_UNIT);
	float *want = aligned_values(41 * NR), *got = aligned_values(41 * NR);
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++) {
		multiply(&p, isa, want, false);
		for (int64_t r = 0; r < p.rows;) {
			problem part = p;
			part.a += r * p.a_stride;
			part.rows = 1 + random_below(7) < p.rows - r ? 1 + random_below((uint32_t)(p.rows - r)) : p.rows - r;
			multiply(&part, isa, got + r * NR, false);
			r += part.rows;
		}
		OQ_CHECK(same_bits("gemm in groups", 41 * NR, got, want));
	}
	free(want);
	free(got);
	free_problem(&p);
}

static double best_time(const problem *p, oq_isa isa, float *c)
{
	double best = INFINITY;
	for (int repeat = 0; repeat < 10; repeat++) {
		int calls = (int)(1e8 / (double)(p->rows * p->k * NR)) + 1;
		double start = now_seconds();
		for (int i = 0; i < calls; i++)
			multiply(p, isa, c, false);
		best = fmin(best, (now_seconds() - start) / calls);
	}
	return best;
}

static void time_gemm(void)
{
	static const int64_t sizes[][2] = {{1, 512}, {4, 512}, {8, 512}, {14, 64}, {14, 256}, {14, 512}, {27, 512}, {216, 256}, {216, 512}};
	printf("gemm: rows x k x 32, Gop/s\n%6s %6s %8s %8s\n", "rows", "k", "avx2", "avx512");
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		problem p = make_problem(sizes[i][0], sizes[i][1], 0, 0, VALUES_UNIT);
		float *c = aligned_values(p.rows * NR);
		printf("%6lld %6lld", (long long)p.rows, (long long)p.k);
		for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++)
			printf(" %8.1f", 2e-9 * (double)(p.rows * p.k * NR) / best_time(&p, isa, c));
		printf("\n");
		free(c);
		free_problem(&p);
	}
}

static const kernel_case cases[] = {{"gemm", check_gemm, time_gemm}, {"gemm_grouping", check_grouping, NULL}, {NULL, NULL, NULL}};
const kernel_family gemm_family = KERNEL_FAMILY(cases);
