/* Row statistics that every metric starts from: mean row, dot products, norms, all in double. */
#include "eval/rows.h"

#include "wide.h"

#include <math.h>

void oq_rows_mean(const oq_matrix *x, double *mean)
{
	for (int64_t d = 0; d < x->columns; d++)
		mean[d] = 0;
	for (int64_t r = 0; r < x->rows; r++)
		for (int64_t d = 0; d < x->columns; d++)
			mean[d] += (double)oq_matrix_row(x, r)[d];
	for (int64_t d = 0; d < x->columns; d++)
		mean[d] /= (double)x->rows;
}

void oq_rows_norms(const oq_matrix *x, int threads, double *norms)
{
	const oq_wide *wide = oq_wide_here();
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t r = 0; r < x->rows; r++)
		norms[r] = sqrt(wide->dot_floats(oq_matrix_row(x, r), oq_matrix_row(x, r), x->columns));
}

double oq_rows_cosine(const float *a, const float *b, const double *centre, int64_t columns)
{
	double ab = 0, aa = 0, bb = 0;
	for (int64_t d = 0; d < columns; d++) {
		double u = (double)a[d] - (centre ? centre[d] : 0), v = (double)b[d] - (centre ? centre[d] : 0);
		ab += u * v;
		aa += u * u;
		bb += v * v;
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

double oq_rows_relative_error(const float *reference, const float *candidate, int64_t columns)
{
	double error = 0, size = 0;
	for (int64_t d = 0; d < columns; d++) {
		double x = (double)reference[d], e = (double)candidate[d] - x;
		error += e * e;
		size += x * x;
	}
	return size > 0 ? sqrt(error / size) : error > 0 ? INFINITY : 0;
}
