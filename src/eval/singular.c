/* Householder reflections from both sides make the matrix bidiagonal. Its singular values are the positive eigenvalues of the
 * tridiagonal matrix with a zero diagonal and the bidiagonal's entries, alternating, beside it (Golub and Kahan 1965); implicit QL
 * finds those. Values only: no vectors are kept. */
#include "singular.h"

#include "core/mem.h"

#include <float.h>
#include <math.h>

/* A reflection I - beta v v' that sends x (count values, `stride` apart) to (alpha, 0, ..., 0). v is left in its own array. */
static double reflect(const double *x, int64_t count, int64_t stride, double *v, double *beta)
{
	double scale = 0, square = 0;
	*beta = 0;
	for (int64_t i = 0; i < count; i++)
		scale = fmax(scale, fabs(x[i * stride]));
	if (!(scale > 0))
		return 0;
	for (int64_t i = 0; i < count; i++) {
		v[i] = x[i * stride] / scale;
		square += v[i] * v[i];
	}
	/* The sign that adds magnitudes: no cancellation. */
	double alpha = v[0] > 0 ? -sqrt(square) : sqrt(square);
	*beta = 1 / (square - alpha * v[0]);
	v[0] -= alpha;
	return alpha * scale;
}

/* a [count][columns] (rows `stride` apart) from the left: a -= beta v (v' a). `sums` [columns]. Every thread owns columns, so that no sum
 * depends on how many threads there are. */
static void apply_left(double *a, int64_t count, int64_t columns, int64_t stride, const double *v, double beta, double *sums, int threads)
{
	if (beta == 0)
		return;
	const int64_t width = 64, blocks = (columns + width - 1) / width;
#pragma omp parallel for num_threads(threads) schedule(static) if (count * columns > 16384)
	for (int64_t b = 0; b < blocks; b++) {
		int64_t first = b * width, last = first + width < columns ? first + width : columns;
		for (int64_t j = first; j < last; j++)
			sums[j] = 0;
		for (int64_t i = 0; i < count; i++)
			for (int64_t j = first; j < last; j++)
				sums[j] += v[i] * a[i * stride + j];
		for (int64_t i = 0; i < count; i++)
			for (int64_t j = first; j < last; j++)
				a[i * stride + j] -= beta * v[i] * sums[j];
	}
}

/* a [rows][count] from the right: a -= beta (a v) v'. */
static void apply_right(double *a, int64_t rows, int64_t count, int64_t stride, const double *v, double beta, int threads)
{
	if (beta == 0)
		return;
#pragma omp parallel for num_threads(threads) schedule(static) if (count * rows > 16384)
	for (int64_t i = 0; i < rows; i++) {
		double *row = a + i * stride, sum = 0;
		for (int64_t j = 0; j < count; j++)
			sum += row[j] * v[j];
		sum *= beta;
		for (int64_t j = 0; j < count; j++)
			row[j] -= sum * v[j];
	}
}

/* Off-diagonal of the tridiagonal matrix: diagonal and superdiagonal of the bidiagonal one in turn, 2*columns-1 values. rows >= columns. */
static void make_bidiagonal(double *a, int64_t rows, int64_t columns, double *room, double *beside, int threads)
{
	double *v = room, *sums = room + rows, beta;
	for (int64_t k = 0; k < columns; k++) {
		beside[2 * k] = reflect(a + k * columns + k, rows - k, columns, v, &beta);
		apply_left(a + k * columns + k + 1, rows - k, columns - k - 1, columns, v, beta, sums, threads);
		if (k + 1 == columns)
			break;
		beside[2 * k + 1] = reflect(a + k * columns + k + 1, columns - k - 1, 1, v, &beta);
		apply_right(a + (k + 1) * columns + k + 1, rows - k - 1, columns - k - 1, columns, v, beta, threads);
	}
}

/* One implicit QL step on rows l to m of the tridiagonal matrix (diagonal d, e[i] between i and i+1). */
static void ql_step(double *d, double *e, int64_t l, int64_t m)
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
	}
	d[l] -= p;
	e[l] = g;
	e[m] = 0;
}

/* Eigenvalues into d. A value is settled when its neighbour is below the rounding of the whole matrix (`small`): with a diagonal of
 * zeros a test relative to the diagonal alone would never end. */
static bool diagonalise(int64_t n, double *d, double *e)
{
	double largest = 0;
	for (int64_t i = 0; i + 1 < n; i++)
		largest = fmax(largest, fabs(e[i]));
	double small = DBL_EPSILON * largest;
	for (int64_t l = 0; l < n; l++)
		for (int round = 0;; round++) {
			int64_t m = l;
			while (m < n - 1 && fabs(e[m]) > small)
				m++;
			if (m == l)
				break;
			if (round == 100)
				return false;
			ql_step(d, e, l, m);
		}
	return true;
}

oq_status oq_nuclear_norm(double *a, int64_t rows, int64_t columns, int threads, double *norm, oq_error *err)
{
	*norm = 0;
	if (rows < columns)
		return oq_fail(err, OQ_E_INTERNAL, "E_SHAPE", "singular values: %lld x %lld, expected rows at least as many as columns", (long long)rows, (long long)columns);
	int64_t n = 2 * columns;
	double *room = oq_calloc((size_t)(rows + columns + 2 * n), sizeof *room);
	if (!room)
		return oq_fail_memory(err, "singular values", (size_t)(rows + columns + 2 * n) * sizeof *room);
	double *d = room + rows + columns, *e = d + n;
	make_bidiagonal(a, rows, columns, room, e, threads);
	bool good = diagonalise(n, d, e);
	for (int64_t i = 0; i < n; i++)
		*norm += 0.5 * fabs(d[i]); /* every singular value is there with both signs */
	oq_free(room);
	return good ? OQ_OK : oq_fail(err, OQ_E_INTERNAL, "E_CONVERGE", "singular values: no convergence for a matrix of %lld columns", (long long)columns);
}

/* vector -= beta v (v' vector) */
static void apply_to_vector(double *vector, const double *v, int64_t length, double beta)
{
	double sums[4] = {0};
	int64_t i = 0;
	for (; i + 4 <= length; i += 4)
		for (int k = 0; k < 4; k++)
			sums[k] += v[i + k] * vector[i + k];
	for (; i < length; i++)
		sums[0] += v[i] * vector[i];
	double share = beta * ((sums[0] + sums[1]) + (sums[2] + sums[3]));
	for (i = 0; i < length; i++)
		vector[i] -= share * v[i];
}

/* All earlier reflections on a block of vectors, which meanwhile stays in the cache. Reflection j lies where vector j was, from j on. */
static void apply_earlier(double *vectors, int64_t length, const double *beta, int64_t first, int64_t last, int threads)
{
#pragma omp parallel num_threads(threads) if (first > 0)
	for (int64_t j = 0; j < first; j++) {
		/* Static and without waiting: a thread keeps its vectors through all reflections. */
#pragma omp for schedule(static) nowait
		for (int64_t k = first; k < last; k++)
			apply_to_vector(vectors + k * length + j, vectors + j * length + j, length - j, beta[j]);
	}
}

oq_status oq_triangle(double *vectors, int64_t count, int64_t length, int threads, oq_error *err)
{
	const int64_t block = 32;
	double *diagonal = oq_alloc((size_t)(2 * count + length) * sizeof *diagonal), *beta = diagonal + count, *room = beta + count;
	if (!diagonal)
		return oq_fail_memory(err, "triangular factor", (size_t)(2 * count + length) * sizeof *diagonal);
	for (int64_t first = 0; first < count; first += block) {
		int64_t last = first + block < count ? first + block : count;
		apply_earlier(vectors, length, beta, first, last, threads);
		for (int64_t k = first; k < last; k++) {
			double *own = vectors + k * length + k;
			diagonal[k] = reflect(own, length - k, 1, room, &beta[k]);
			for (int64_t i = 0; i < length - k && beta[k] != 0; i++)
				own[i] = room[i];
			for (int64_t l = k + 1; l < last; l++)
				apply_to_vector(vectors + l * length + k, own, length - k, beta[k]);
		}
	}
	for (int64_t k = 0; k < count; k++) {
		vectors[k * length + k] = diagonal[k];
		for (int64_t i = k + 1; i < length; i++)
			vectors[k * length + i] = 0;
	}
	oq_free(diagonal);
	return OQ_OK;
}
