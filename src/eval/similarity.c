/* All of it on Gram matrices of the rows, so that the number of dimensions hardly matters. */
#include "eval/similarity.h"

#include "core/mem.h"
#include "eigen.h"
#include "eval/fidelity.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* gram[i][j] = sum over d of (x_i - mean)(x_j - mean) */
static oq_status centred_gram(const oq_matrix *x, int threads, double *gram, oq_error *err)
{
	int64_t n = x->rows, d = x->columns;
	double *centred = oq_alloc((size_t)(n * d) * sizeof *centred);
	if (!centred)
		return oq_fail_memory(err, "similarity", (size_t)(n * d) * sizeof *centred);
	for (int64_t c = 0; c < d; c++) {
		double mean = 0;
		for (int64_t r = 0; r < n; r++)
			mean += (double)oq_matrix_row(x, r)[c];
		mean /= (double)n;
		for (int64_t r = 0; r < n; r++)
			centred[r * d + c] = (double)oq_matrix_row(x, r)[c] - mean;
	}
#pragma omp parallel for num_threads(threads) schedule(dynamic)
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j <= i; j++) {
			double sums[4] = {0};
			for (int64_t c = 0; c < d; c++)
				sums[c & 3] += centred[i * d + c] * centred[j * d + c];
			gram[i * n + j] = gram[j * n + i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
		}
	oq_free(centred);
	return OQ_OK;
}

static double inner(const double *a, const double *b, int64_t count)
{
	double sum = 0;
	for (int64_t i = 0; i < count; i++)
		sum += a[i] * b[i];
	return sum;
}

/* Unbiased HSIC of two Gram matrices, their diagonals taken as zero. */
static double unbiased_hsic(const double *k, const double *l, int64_t n)
{
	double trace = 0, sum_k = 0, sum_l = 0, cross = 0, m = (double)n;
	for (int64_t i = 0; i < n; i++) {
		double row_k = 0, row_l = 0;
		for (int64_t j = 0; j < n; j++)
			if (j != i) {
				trace += k[i * n + j] * l[i * n + j];
				row_k += k[i * n + j];
				row_l += l[i * n + j];
			}
		sum_k += row_k;
		sum_l += row_l;
		cross += row_k * row_l;
	}
	return (trace + sum_k * sum_l / ((m - 1) * (m - 2)) - 2 / (m - 2) * cross) / (m * (m - 3));
}

/* Condensed cosine distances. */
static void distances(const oq_matrix *x, double *out)
{
	int64_t at = 0;
	for (int64_t i = 0; i < x->rows; i++)
		for (int64_t j = i + 1; j < x->rows; j++) {
			double ab = 0, aa = 0, bb = 0;
			for (int64_t c = 0; c < x->columns; c++) {
				double a = (double)oq_matrix_row(x, i)[c], b = (double)oq_matrix_row(x, j)[c];
				ab += a * b;
				aa += a * a;
				bb += b * b;
			}
			out[at++] = 1 - ab / sqrt(aa * bb);
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

/* Values to their ranks, ties to the mean rank. */
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

static double correlation(const double *a, const double *b, int64_t count)
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

static oq_status measure_rsa(const oq_matrix *x, const oq_matrix *y, oq_similarity *out, oq_error *err)
{
	int64_t pairs = x->rows * (x->rows - 1) / 2;
	double *a = oq_alloc((size_t)(2 * pairs) * sizeof *a);
	ranked *room = oq_alloc((size_t)pairs * sizeof *room);
	oq_status status = a && room ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)pairs * sizeof *room);
	if (status == OQ_OK) {
		distances(x, a);
		distances(y, a + pairs);
		rank(a, pairs, room);
		rank(a + pairs, pairs, room);
		out->rsa_spearman = correlation(a, a + pairs, pairs);
	}
	oq_free(a);
	oq_free(room);
	return status;
}

/* The singular values of Xc'Yc are the roots of the eigenvalues of Kx Ky, which are those of R Ky R with R the root of Kx. room [2][n][n] */
static oq_status nuclear_norm(const double *kx, const double *ky, int64_t n, double *room, double *norm, oq_error *err)
{
	double *root = room, *product = room + n * n, *values = oq_alloc((size_t)n * sizeof *values);
	if (!values)
		return oq_fail_memory(err, "similarity", (size_t)n * sizeof *values);
	memcpy(product, kx, (size_t)(n * n) * sizeof *product);
	oq_status status = oq_eigen_symmetric(n, product, values, err); /* columns of product: vectors */
	if (status == OQ_OK) {
		memset(root, 0, (size_t)(n * n) * sizeof *root);
		/* B = V sqrt(S): Kx = B B', and B' Ky B has the same eigenvalues. */
		for (int64_t i = 0; i < n; i++)
			for (int64_t j = 0; j < n; j++)
				product[i * n + j] *= values[j] > 0 ? sqrt(values[j]) : 0;
		double *half = oq_alloc((size_t)(n * n) * sizeof *half);
		if (half) {
			memset(half, 0, (size_t)(n * n) * sizeof *half);
			for (int64_t i = 0; i < n; i++)
				for (int64_t k = 0; k < n; k++)
					for (int64_t j = 0; j < n; j++)
						half[i * n + j] += ky[i * n + k] * product[k * n + j];
			for (int64_t k = 0; k < n; k++)
				for (int64_t i = 0; i < n; i++)
					for (int64_t j = 0; j < n; j++)
						root[i * n + j] += product[k * n + i] * half[k * n + j];
			oq_free(half);
			status = oq_eigen_symmetric(n, root, values, err);
		} else {
			status = oq_fail_memory(err, "similarity", (size_t)(n * n) * sizeof *half);
		}
	}
	*norm = 0;
	for (int64_t i = 0; i < n && status == OQ_OK; i++)
		*norm += values[i] > 0 ? sqrt(values[i]) : 0;
	oq_free(values);
	return status;
}

static oq_status measure_knn(const oq_matrix *x, const oq_matrix *y, int threads, oq_similarity *out, oq_error *err)
{
	out->mutual_knn10 = NAN;
	if (x->rows < 11)
		return OQ_OK;
	int32_t *a = oq_alloc((size_t)(x->rows * 20) * sizeof *a), *b = a + x->rows * 10;
	oq_status status = a ? oq_nearest(x, x, 10, threads, a, err) : oq_fail_memory(err, "similarity", (size_t)(x->rows * 20) * sizeof *a);
	if (status == OQ_OK)
		status = oq_nearest(y, y, 10, threads, b, err);
	int64_t common = 0;
	for (int64_t r = 0; r < x->rows && status == OQ_OK; r++)
		for (int i = 0; i < 10; i++)
			for (int j = 0; j < 10; j++)
				common += a[r * 10 + i] == b[r * 10 + j];
	out->mutual_knn10 = (double)common / (double)(x->rows * 10);
	oq_free(a);
	return status;
}

oq_status oq_similarity_measure(const oq_matrix *x, const oq_matrix *y, int threads, oq_similarity *out, oq_error *err)
{
	int64_t n = x->rows;
	*out = (oq_similarity){0};
	if (y->rows != n || n < 4)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "similarity: %lld and %lld rows, expected the same patches, at least 4", (long long)n, (long long)y->rows);
	double *kx = oq_alloc((size_t)(4 * n * n) * sizeof *kx), *ky = kx + n * n, *room = ky + n * n, nuclear = 0;
	oq_status status = kx ? centred_gram(x, threads, kx, err) : oq_fail_memory(err, "similarity", (size_t)(4 * n * n) * sizeof *kx);
	if (status == OQ_OK)
		status = centred_gram(y, threads, ky, err);
	if (status == OQ_OK) {
		double trace_x = 0, trace_y = 0;
		for (int64_t i = 0; i < n; i++) {
			trace_x += kx[i * n + i];
			trace_y += ky[i * n + i];
		}
		out->linear_cka = inner(kx, ky, n * n) / sqrt(inner(kx, kx, n * n) * inner(ky, ky, n * n));
		out->debiased_cka = unbiased_hsic(kx, ky, n) / sqrt(unbiased_hsic(kx, kx, n) * unbiased_hsic(ky, ky, n));
		status = nuclear_norm(kx, ky, n, room, &nuclear, err);
		double share = nuclear / sqrt(trace_x * trace_y);
		out->procrustes_angle = acos(share > 1 ? 1 : share);
	}
	if (status == OQ_OK)
		status = measure_rsa(x, y, out, err);
	if (status == OQ_OK)
		status = measure_knn(x, y, threads, out, err);
	oq_free(kx);
	return status;
}
