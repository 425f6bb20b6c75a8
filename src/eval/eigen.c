#include "eigen.h"

#include "core/mem.h"

#include <float.h>
#include <math.h>

/* Reduces a to tridiagonal form by reflections, row by row from the last; diagonal and subdiagonal go to d and e, the product of the
 * reflections stays in a. */
static void reduce(int64_t n, double *a, double *d, double *e)
{
	for (int64_t i = n - 1; i > 0; i--) {
		double *row = a + i * n, scale = 0, h = 0;
		for (int64_t k = 0; k < i; k++)
			scale += fabs(row[k]);
		if (i == 1 || scale == 0) {
			e[i] = row[i - 1];
			d[i] = 0;
			continue;
		}
		for (int64_t k = 0; k < i; k++) {
			row[k] /= scale;
			h += row[k] * row[k];
		}
		double f = row[i - 1], g = f > 0 ? -sqrt(h) : sqrt(h), sum = 0;
		e[i] = scale * g;
		h -= f * g;
		row[i - 1] = f - g;
		for (int64_t j = 0; j < i; j++) {
			a[j * n + i] = row[j] / h;
			g = 0;
			for (int64_t k = 0; k <= j; k++)
				g += a[j * n + k] * row[k];
			for (int64_t k = j + 1; k < i; k++)
				g += a[k * n + j] * row[k];
			e[j] = g / h;
			sum += e[j] * row[j];
		}
		for (int64_t j = 0; j < i; j++) {
			f = row[j];
			g = e[j] -= sum / (h + h) * f;
			for (int64_t k = 0; k <= j; k++)
				a[j * n + k] -= f * e[k] + g * row[k];
		}
		d[i] = h;
	}
	d[0] = e[0] = 0;
}

/* Multiplies the reflections out. */
static void accumulate(int64_t n, double *a, double *d)
{
	for (int64_t i = 0; i < n; i++) {
		double *row = a + i * n;
		if (d[i] != 0)
			for (int64_t j = 0; j < i; j++) {
				double g = 0;
				for (int64_t k = 0; k < i; k++)
					g += row[k] * a[k * n + j];
				for (int64_t k = 0; k < i; k++)
					a[k * n + j] -= g * a[k * n + i];
			}
		d[i] = row[i];
		row[i] = 1;
		for (int64_t j = 0; j < i; j++)
			row[j] = a[j * n + i] = 0;
	}
}

/* One implicit QL step on rows l to m. */
static void ql_step(int64_t n, double *a, double *d, double *e, int64_t l, int64_t m)
{
	double g = (d[l + 1] - d[l]) / (2 * e[l]), r = hypot(g, 1), s = 1, c = 1, p = 0;
	g = d[m] - d[l] + e[l] / (g + (g >= 0 ? r : -r));
	for (int64_t i = m - 1; i >= l; i--) {
		double f = s * e[i], b = c * e[i];
		e[i + 1] = r = hypot(f, g);
		if (r == 0) {
			d[i + 1] -= p;
			e[m] = 0;
			return;
		}
		s = f / r;
		c = g / r;
		g = d[i + 1] - p;
		r = (d[i] - g) * s + 2 * c * b;
		p = s * r;
		d[i + 1] = g + p;
		g = c * r - b;
		for (int64_t k = 0; k < n; k++) {
			f = a[k * n + i + 1];
			a[k * n + i + 1] = s * a[k * n + i] + c * f;
			a[k * n + i] = c * a[k * n + i] - s * f;
		}
	}
	d[l] -= p;
	e[l] = g;
	e[m] = 0;
}

static bool diagonalise(int64_t n, double *a, double *d, double *e)
{
	for (int64_t i = 1; i < n; i++)
		e[i - 1] = e[i];
	e[n - 1] = 0;
	for (int64_t l = 0; l < n; l++)
		for (int round = 0;; round++) {
			int64_t m = l;
			while (m < n - 1 && fabs(e[m]) > DBL_EPSILON * (fabs(d[m]) + fabs(d[m + 1])))
				m++;
			if (m == l)
				break;
			if (round == 60)
				return false;
			ql_step(n, a, d, e, l, m);
		}
	return true;
}

oq_status oq_eigen_symmetric(int64_t n, double *a, double *values, oq_error *err)
{
	double *e = oq_alloc((size_t)n * sizeof *e);
	if (!e)
		return oq_fail_memory(err, "eigenvalues", (size_t)n * sizeof *e);
	reduce(n, a, values, e);
	accumulate(n, a, values);
	bool good = diagonalise(n, a, values, e);
	oq_free(e);
	return good ? OQ_OK : oq_fail(err, OQ_E_INTERNAL, "E_CONVERGE", "eigenvalues: no convergence for a matrix of %lld rows", (long long)n);
}
