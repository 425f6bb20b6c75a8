/* Exact neighbours by cosine. A query at a time, so that memory is one row of similarities per thread. */
#include "eval/fidelity.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>

static void norms_of(const oq_matrix *x, double *norms)
{
	for (int64_t r = 0; r < x->rows; r++) {
		double sum = 0;
		for (int64_t d = 0; d < x->columns; d++)
			sum += (double)oq_matrix_row(x, r)[d] * (double)oq_matrix_row(x, r)[d];
		norms[r] = sqrt(sum);
	}
}

static double dot(const float *a, const float *b, int64_t n)
{
	double sums[4] = {0}; /* four chains: the order is fixed, and they do not wait for each other */
	int64_t i = 0;
	for (; i + 4 <= n; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += (double)a[i + k] * (double)b[i + k];
	for (; i < n; i++)
		sums[0] += (double)a[i] * (double)b[i];
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* The k largest of `similar` in order, insertion by insertion; equal ones keep the order of their indices. */
static void pick(const double *similar, int64_t count, int64_t own, int64_t k, int32_t *nearest)
{
	int64_t filled = 0;
	for (int64_t j = 0; j < count; j++) {
		if (j == own)
			continue;
		int64_t at = filled;
		while (at > 0 && similar[nearest[at - 1]] < similar[j])
			at--;
		if (at >= k)
			continue;
		filled += filled < k;
		for (int64_t i = filled - 1; i > at; i--)
			nearest[i] = nearest[i - 1];
		nearest[at] = (int32_t)j;
	}
}

oq_status oq_nearest(const oq_matrix *queries, const oq_matrix *gallery, int64_t k, int threads, int32_t *nearest, oq_error *err)
{
	int64_t rows = queries->rows, count = gallery->rows;
	if (k < 1 || k >= count || count > INT32_MAX || gallery->columns != queries->columns)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "neighbours: %lld of %lld rows were asked for", (long long)k, (long long)count);
	double *norms = oq_alloc((size_t)count * sizeof *norms), *similar = oq_alloc((size_t)threads * (size_t)count * sizeof *similar);
	if (!norms || !similar) {
		oq_free(norms);
		oq_free(similar);
		return oq_fail_memory(err, "neighbours", (size_t)threads * (size_t)count * sizeof *similar);
	}
	norms_of(gallery, norms);
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t i = 0; i < rows; i++) {
		double *own = similar + (int64_t)omp_get_thread_num() * count;
		/* The query's own norm scales all alike; a row of zeros is near to none. */
		for (int64_t j = 0; j < count; j++)
			own[j] = norms[j] > 0 ? dot(oq_matrix_row(queries, i), oq_matrix_row(gallery, j), gallery->columns) / norms[j] : -INFINITY;
		pick(own, count, i, k, nearest + i * k);
	}
	oq_free(norms);
	oq_free(similar);
	return OQ_OK;
}
