#include "eval/cholesky.h"

#include "core/mem.h"
#include "dense.h"

#include <math.h>

#define BLOCK 96 /* columns factored at a time */

/* Columns first to last - 1 of row i, from the factors of the rows above it. */
static void reduce(double *a, int64_t n, int64_t i, int64_t first, int64_t last)
{
	for (int64_t j = first; j < last; j++) {
		double sum = a[i * n + j];
		for (int64_t k = first; k < j; k++)
			sum -= a[i * n + k] * a[j * n + k];
		a[i * n + j] = sum / a[j * n + j];
	}
}

/* The diagonal block from `first` to `last`; diagonal [n]: of the matrix as it was. */
static bool factor_block(double *a, int64_t n, int64_t first, int64_t last, const double *diagonal)
{
	for (int64_t i = first; i < last; i++) {
		double sum = a[i * n + i];
		reduce(a, n, i, first, i);
		for (int64_t k = first; k < i; k++)
			sum -= a[i * n + k] * a[i * n + k];
		if (!(sum > 1e-10 * diagonal[i])) /* what is left of the variance once the columns before are known: rounding */
			return false;
		a[i * n + i] = sqrt(sum);
	}
	return true;
}

oq_status oq_cholesky_large(double *a, int64_t n, int threads, oq_error *err)
{
	double *diagonal = oq_alloc((size_t)n * sizeof *diagonal);
	oq_status status = diagonal ? OQ_OK : oq_fail_memory(err, "Cholesky factor", (size_t)n * sizeof *diagonal);
	for (int64_t i = 0; i < n && diagonal; i++)
		diagonal[i] = a[i * n + i];
	for (int64_t first = 0; first < n && status == OQ_OK; first += BLOCK) {
		int64_t last = first + BLOCK < n ? first + BLOCK : n;
		if (!factor_block(a, n, first, last, diagonal))
			status = oq_fail(err, OQ_E_INTERNAL, "E_NUMERIC", "the matrix is not positive definite");
		if (status != OQ_OK || last == n)
			continue;
#pragma omp parallel for num_threads(threads) schedule(static)
		for (int64_t i = last; i < n; i++)
			reduce(a, n, i, first, last);
		const oq_dense_side below = {.data = a + last * n + first, .along = 1, .across = n, .width = n - last};
		status = oq_dense_add(&below, &below, last - first, -1, true, threads, a + last * n + last, n, err);
	}
	oq_free(diagonal);
	return status;
}

bool oq_cholesky(double *a, int n)
{
	double diagonal[OQ_CHOLESKY_SMALL];
	for (int i = 0; i < n; i++)
		diagonal[i] = a[i * n + i];
	return factor_block(a, n, 0, n, diagonal);
}

void oq_cholesky_solve(const double *factor, int64_t n, double *b)
{
	for (int64_t i = 0; i < n; i++) {
		const double *row = factor + i * n;
		double sums[4] = {b[i]}; /* four chains do not wait for each other */
		int64_t k = 0;
		for (; k + 4 <= i; k += 4)
			for (int c = 0; c < 4; c++)
				sums[c] -= row[k + c] * b[k + c];
		for (; k < i; k++)
			sums[0] -= row[k] * b[k];
		b[i] = ((sums[0] + sums[1]) + (sums[2] + sums[3])) / row[i];
	}
	for (int64_t i = n - 1; i >= 0; i--) { /* by rows, as they lie */
		b[i] /= factor[i * n + i];
		for (int64_t k = 0; k < i; k++)
			b[k] -= factor[i * n + k] * b[i];
	}
}
