/* The loops for large cohorts against plain twins: the same bits on every instruction set (wide), products and factors of matrices of awkward sizes
 * (dense, Cholesky), and filtered neighbours against every pair (nearest), the same for any number of threads. */
#include "check.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "dense.h"
#include "eval/cholesky.h"
#include "eval/fidelity.h"
#include "wide.h"

static uint64_t state = 1;

/* Between -1 and 1. */
static double draw(void)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (double)(int64_t)state * 0x1p-63;
}

static double *draw_many(int64_t count)
{
	double *values = oq_alloc((size_t)(count + 1) * sizeof *values);
	OQ_REQUIRE(values);
	for (int64_t i = 0; i < count; i++)
		values[i] = draw();
	return values;
}

static float *draw_floats(int64_t count)
{
	float *values = oq_alloc((size_t)(count + 1) * sizeof *values);
	OQ_REQUIRE(values);
	for (int64_t i = 0; i < count; i++)
		values[i] = (float)draw();
	return values;
}

/* One set beside the plain one, to the bit, and that beside a long double sum. */
static void check_loops(oq_isa isa, int64_t n)
{
	const oq_wide *plain = oq_wide_for(OQ_ISA_PLAIN), *wide = oq_wide_for(isa);
	double *a = draw_many(n), *b = draw_many(n), *to = draw_many(n), *again = oq_alloc((size_t)(n + 1) * sizeof *again);
	float *x = draw_floats(n), *y = draw_floats(n);
	long double sum = 0, floats = 0;
	OQ_REQUIRE(again);
	for (int64_t i = 0; i < n; i++) {
		sum += (long double)a[i] * b[i];
		floats += (long double)x[i] * y[i];
	}
	OQ_CHECK_NEAR(wide->dot(a, b, n), plain->dot(a, b, n), 0);
	OQ_CHECK_NEAR(wide->dot_floats(x, y, n), plain->dot_floats(x, y, n), 0);
	/* n terms of at most 1, each and each sum rounded to 2^-53 */
	OQ_CHECK_NEAR(plain->dot(a, b, n), (double)sum, 1e-15 * (double)(n + 1));
	OQ_CHECK_NEAR(plain->dot_floats(x, y, n), (double)floats, 1e-15 * (double)(n + 1));
	memcpy(again, to, (size_t)n * sizeof *to);
	plain->add(to, 0.3, a, n);
	wide->add(again, 0.3, a, n);
	OQ_CHECK(!memcmp(to, again, (size_t)n * sizeof *to));
	plain->standardise(x, a, b, to, n);
	wide->standardise(x, a, b, again, n);
	OQ_CHECK(!memcmp(to, again, (size_t)n * sizeof *to));
	wide->widen(x, again, n);
	OQ_CHECK(n == 0 || (again[0] == (double)x[0] && again[n - 1] == (double)x[n - 1]));
	OQ_CHECK(n == 0 || to[n - 1] == ((double)x[n - 1] - a[n - 1]) * b[n - 1]);
	oq_free(a);
	oq_free(b);
	oq_free(to);
	oq_free(again);
	oq_free(x);
	oq_free(y);
}

static void check_tile(oq_isa isa, int64_t count)
{
	enum { ROWS = OQ_WIDE_ROWS, COLUMNS = OQ_WIDE_COLUMNS };
	double *a = draw_many(count * ROWS), *b = draw_many(count * COLUMNS), *tile = draw_many(ROWS * COLUMNS), want[ROWS * COLUMNS];
	memcpy(want, tile, sizeof want);
	for (int64_t k = 0; k < count; k++)
		for (int i = 0; i < ROWS; i++)
			for (int j = 0; j < COLUMNS; j++)
				want[i * COLUMNS + j] += a[k * ROWS + i] * b[k * COLUMNS + j];
	oq_wide_for(isa)->tile(a, b, count, tile);
	OQ_CHECK(!memcmp(want, tile, sizeof want));
	oq_free(a);
	oq_free(b);
	oq_free(tile);
}

/* c [wa][wb] -= a'b with a transposed in memory: to the bit, since every sum has its order. */
static void check_product(int64_t count, int64_t wa, int64_t wb, bool lower, int threads)
{
	double *a = draw_many(count * wa), *b = draw_many(count * wb), *c = draw_many(wa * wb), *want = oq_alloc((size_t)(wa * wb + 1) * sizeof *want);
	const oq_dense_side left = {a, 1, count, wa}, right = {b, wb, 1, wb};
	oq_error err = {0};
	int64_t wrong = 0;
	OQ_REQUIRE(want);
	memcpy(want, c, (size_t)(wa * wb) * sizeof *c);
	for (int64_t k = 0; k < count; k++)
		for (int64_t i = 0; i < wa; i++)
			for (int64_t j = 0; j < wb; j++)
				want[i * wb + j] += -a[i * count + k] * b[k * wb + j];
	OQ_REQUIRE(oq_dense_add(&left, &right, count, -1, lower, threads, c, wb, &err) == OQ_OK);
	for (int64_t i = 0; i < wa; i++)
		wrong += memcmp(c + i * wb, want + i * wb, (size_t)(lower && i < wb ? i + 1 : wb) * sizeof *c) != 0;
	OQ_CHECK_INT(wrong, 0);
	oq_free(a);
	oq_free(b);
	oq_free(c);
	oq_free(want);
}

/* A known triangle comes back from its product with itself, and a system is solved. */
static void check_factor(int64_t n)
{
	double *l = draw_many(n * n), *a = oq_calloc((size_t)(n * n), sizeof *a), *one = oq_alloc((size_t)(n * n) * sizeof *one), *x = draw_many(n), worst = 0;
	oq_error err = {0};
	OQ_REQUIRE(a && one);
	for (int64_t i = 0; i < n; i++)
		l[i * n + i] = 2 + fabs(l[i * n + i]) + sqrt((double)n); /* well conditioned */
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j <= i; j++)
			for (int64_t k = 0; k <= j; k++)
				a[i * n + j] += l[i * n + k] * l[j * n + k];
	memcpy(one, a, (size_t)(n * n) * sizeof *a);
	OQ_REQUIRE(oq_cholesky_large(one, n, 1, &err) == OQ_OK && oq_cholesky_large(a, n, 3, &err) == OQ_OK);
	OQ_CHECK(!memcmp(one, a, (size_t)(n * n) * sizeof *a));
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j <= i; j++)
			worst = fmax(worst, fabs(a[i * n + j] - l[i * n + j]));
	OQ_CHECK_NEAR(worst, 0, 1e-12 * (double)n); /* condition below 100 */
	double *b = oq_calloc((size_t)n, sizeof *b), *half = oq_calloc((size_t)n, sizeof *half);
	OQ_REQUIRE(b && half);
	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k <= i; k++)
			half[k] += l[i * n + k] * x[i];
	for (int64_t i = 0; i < n; i++)
		for (int64_t k = 0; k <= i; k++)
			b[i] += l[i * n + k] * half[k];
	oq_cholesky_solve(a, n, b);
	for (int64_t i = 0; i < n; i++)
		OQ_CHECK_NEAR(b[i], x[i], 1e-12 * (double)n);
	double *const all[] = {l, a, one, x, b, half};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		oq_free(all[i]);
}

static void check_singular(void)
{
	double a[200 * 200];
	oq_error err = {0};
	for (int i = 0; i < 200 * 200; i++)
		a[i] = 1;
	OQ_CHECK(oq_cholesky_large(a, 200, 2, &err) == OQ_E_INTERNAL && !strcmp(err.code, "E_NUMERIC"));
}

/* Rows of zeros, twins, a crowd that no filter can tell apart: the same neighbours as of every pair. */
static void check_neighbours(int64_t rows, int64_t columns, double apart)
{
	float *data = draw_floats(rows * columns);
	const oq_matrix x = {data, rows, columns};
	enum { K = 10 };
	int32_t *plain = oq_alloc((size_t)(rows * K) * sizeof *plain), *fast = oq_alloc((size_t)(rows * K) * sizeof *fast);
	oq_error err = {0};
	OQ_REQUIRE(plain && fast);
	for (int64_t i = 0; i < rows * columns; i++)
		data[i] = (float)(1 + apart * (double)data[i]);
	memset(data + 7 * columns, 0, (size_t)columns * sizeof *data);
	memset(data + 8 * columns, 0, (size_t)columns * sizeof *data);
	for (int64_t r = 20; r < rows; r += 40)
		memcpy(data + r * columns, data + (r - 13) * columns, (size_t)columns * sizeof *data);
	OQ_REQUIRE(oq_nearest_by(OQ_NEAREST_PLAIN, &x, &x, K, 1, plain, &err) == OQ_OK);
	OQ_REQUIRE(oq_nearest_by(OQ_NEAREST_FILTERED, &x, &x, K, 3, fast, &err) == OQ_OK);
	OQ_CHECK(!memcmp(plain, fast, (size_t)(rows * K) * sizeof *plain));
	OQ_CHECK(plain[60 * K] == 47 || apart < 1); /* a twin comes first */
	oq_free(data);
	oq_free(plain);
	oq_free(fast);
}

/* More rows alike than a pool holds: every row is measured, to the same result; the last query is like none of them and keeps its filter. */
static void check_alike(void)
{
	enum { QUERIES = 9, ROWS = 60000, COLUMNS = 3, K = 6 };
	float *data = malloc((ROWS + QUERIES) * COLUMNS * sizeof *data);
	int32_t plain[QUERIES * K], fast[QUERIES * K];
	oq_error err = {0};
	OQ_REQUIRE(data);
	for (int i = 0; i < (ROWS + QUERIES) * COLUMNS; i++)
		data[i] = 1 + 1e-6f * (float)(i * 7919 % 1009);
	for (int i = 0; i < 40; i++) /* some that differ, and the query that asks for them */
		data[i * 500 * COLUMNS] = -1 - 0.01f * (float)i;
	data[(ROWS + QUERIES - 1) * COLUMNS] = -1;
	const oq_matrix gallery = {data, ROWS, COLUMNS}, queries = {data + ROWS * COLUMNS, QUERIES, COLUMNS};
	OQ_REQUIRE(oq_nearest_by(OQ_NEAREST_PLAIN, &queries, &gallery, K, 1, plain, &err) == OQ_OK);
	OQ_REQUIRE(oq_nearest_by(OQ_NEAREST_FILTERED, &queries, &gallery, K, 2, fast, &err) == OQ_OK);
	OQ_CHECK(!memcmp(plain, fast, sizeof plain));
	free(data);
}

int main(void)
{
	static const int64_t sizes[] = {0, 1, 2, 7, 8, 15, 16, 17, 31, 33, 100, 2048, 2049};
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	for (int isa = OQ_ISA_PLAIN; isa <= (int)cpu.isa; isa++) {
		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
			check_loops((oq_isa)isa, sizes[i]);
		check_tile((oq_isa)isa, 1);
		check_tile((oq_isa)isa, 255);
	}
	check_product(1, 1, 1, false, 1);
	check_product(300, 13, 33, false, 2);
	check_product(257, 205, 270, false, 3);
	check_product(511, 199, 199, true, 2);
	check_factor(1);
	check_factor(96);
	check_factor(97);
	check_factor(250);
	check_singular();
	check_alike();
	check_neighbours(1500, 37, 1);
	check_neighbours(1200, 5, 1e-3);
	check_neighbours(1100, 64, 0);
	return oq_checks_done();
}
