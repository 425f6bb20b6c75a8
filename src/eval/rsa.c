#include "rsa.h"

#include "core/mem.h"
#include "eval/rank.h"
#include "eval/rows.h"
#include "eval/similarity.h"
#include "wide.h"

#include <math.h>

int64_t oq_rsa_rows(int64_t rows)
{
	return rows < OQ_RSA_ROWS ? rows : OQ_RSA_ROWS;
}

/* The i-th of the rows looked at: evenly spread, since cohorts come in an order. */
static int64_t place_of(const oq_matrix *x, int64_t i)
{
	return i * x->rows / oq_rsa_rows(x->rows);
}

static const float *picked(const oq_matrix *x, int64_t i)
{
	return oq_matrix_row(x, place_of(x, i));
}

/* A row of zeros has no direction: distance 1 to all. */
static void distances(const oq_matrix *x, int threads, const double *norms, double *out)
{
	int64_t n = oq_rsa_rows(x->rows);
	const oq_wide *wide = oq_wide_here();
#pragma omp parallel for num_threads(threads) schedule(dynamic, 8)
	for (int64_t i = 0; i < n; i++) {
		double *row = out + i * n - i * (i + 1) / 2 - i - 1;
		for (int64_t j = i + 1; j < n; j++) {
			double size = norms[i] * norms[j];
			row[j] = size > 0 ? 1 - wide->dot_floats(picked(x, i), picked(x, j), x->columns) / size : 1;
		}
	}
}

oq_status oq_rsa_ranks(const oq_matrix *x, int threads, double **ranks, oq_error *err)
{
	int64_t n = oq_rsa_rows(x->rows), pairs = oq_rsa_pairs(x->rows);
	double *values = oq_alloc((size_t)pairs * sizeof *values), *norms = oq_alloc((size_t)x->rows * sizeof *norms);
	oq_status status = values && norms ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)pairs * sizeof *values);
	if (status == OQ_OK) {
		oq_rows_norms(x, threads, norms);
		for (int64_t i = 0; i < n; i++) /* never behind what is read */
			norms[i] = norms[place_of(x, i)];
		distances(x, threads, norms, values);
		status = oq_rank(values, pairs, err);
	}
	if (status == OQ_OK) {
		*ranks = values;
		values = NULL;
	}
	oq_free(values);
	oq_free(norms);
	return status;
}
