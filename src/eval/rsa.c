#include "rsa.h"

#include "core/mem.h"
#include "eval/similarity.h"

#include <math.h>
#include <stdlib.h>

int64_t oq_rsa_rows(int64_t rows)
{
	return rows < OQ_RSA_ROWS ? rows : OQ_RSA_ROWS;
}

/* The i-th of the rows looked at: evenly spread, since cohorts come in an order. */
static const float *picked(const oq_matrix *x, int64_t i)
{
	return oq_matrix_row(x, i * x->rows / oq_rsa_rows(x->rows));
}

static double dot(const float *a, const float *b, int64_t n)
{
	double sums[4] = {0};
	int64_t i = 0;
	for (; i + 4 <= n; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += (double)a[i + k] * (double)b[i + k];
	for (; i < n; i++)
		sums[0] += (double)a[i] * (double)b[i];
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* A row of zeros has no direction: distance 1 to all. */
static void distances(const oq_matrix *x, int threads, const double *norms, double *out)
{
	int64_t n = oq_rsa_rows(x->rows);
#pragma omp parallel for num_threads(threads) schedule(dynamic, 8)
	for (int64_t i = 0; i < n; i++) {
		double *row = out + i * n - i * (i + 1) / 2 - i - 1;
		for (int64_t j = i + 1; j < n; j++) {
			double size = norms[i] * norms[j];
			row[j] = size > 0 ? 1 - dot(picked(x, i), picked(x, j), x->columns) / size : 1;
		}
	}
}

typedef struct ranked {
	double value;
	int64_t index;
} ranked;

static int ascending(const void *a, const void *b)
{
	double x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
	return (x > y) - (x < y);
}

static void rank(double *values, int64_t count, ranked *room)
{
	for (int64_t i = 0; i < count; i++)
		room[i] = (ranked){values[i], i};
	qsort(room, (size_t)count, sizeof *room, ascending);
	for (int64_t first = 0; first < count;) {
		int64_t last = first + 1;
		while (last < count && !(room[last].value > room[first].value))
			last++;
		for (int64_t i = first; i < last; i++)
			values[room[i].index] = 0.5 * (double)(first + last + 1);
		first = last;
	}
}

oq_status oq_rsa_ranks(const oq_matrix *x, int threads, double **ranks, oq_error *err)
{
	int64_t n = oq_rsa_rows(x->rows), pairs = oq_rsa_pairs(x->rows);
	double *values = oq_alloc((size_t)pairs * sizeof *values), *norms = oq_alloc((size_t)n * sizeof *norms);
	ranked *room = oq_alloc((size_t)pairs * sizeof *room);
	oq_status status = values && norms && room ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)pairs * sizeof *room);
	if (status == OQ_OK) {
		for (int64_t i = 0; i < n; i++)
			norms[i] = sqrt(dot(picked(x, i), picked(x, i), x->columns));
		distances(x, threads, norms, values);
		rank(values, pairs, room);
		*ranks = values;
		values = NULL;
	}
	oq_free(values);
	oq_free(norms);
	oq_free(room);
	return status;
}

double oq_correlation(const double *a, const double *b, int64_t count)
{
	double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
	for (int64_t i = 0; i < count; i++) {
		ma += a[i] / (double)count;
		mb += b[i] / (double)count;
	}
	for (int64_t i = 0; i < count; i++) {
		aa += (a[i] - ma) * (a[i] - ma);
		bb += (b[i] - mb) * (b[i] - mb);
		ab += (a[i] - ma) * (b[i] - mb);
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}
