#include "eval/fidelity.h"

#include "core/mem.h"
#include "eval/quantile.h"
#include "eval/rows.h"

#include <math.h>
#include <string.h>

const int oq_fidelity_neighbours[4] = {1, 5, 10, 50};

static oq_status check(const oq_matrix *x, const oq_matrix *q, const char *where, oq_error *err)
{
	if (x->rows != q->rows || x->columns != q->columns)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: reference is %lld x %lld, candidate %lld x %lld: expected the same patches and network", where,
			(long long)x->rows, (long long)x->columns, (long long)q->rows, (long long)q->columns);
	if (x->rows < 2 || x->columns < 1)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, expected at least 2", where, (long long)x->rows);
	for (int which = 0; which < 2; which++)
		for (int64_t r = 0; r < x->rows; r++) {
			const float *row = oq_matrix_row(which ? q : x, r);
			bool zero = true;
			for (int64_t d = 0; d < x->columns; d++) {
				if (!isfinite(row[d]))
					return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "%s: %s row %lld, column %lld is %g, expected a finite number", where,
						which ? "candidate" : "reference", (long long)r, (long long)d, (double)row[d]);
				zero = zero && row[d] == 0;
			}
			if (zero)
				return oq_fail(err, OQ_E_INPUT, "E_ZERO", "%s: %s row %lld is all zeros", where, which ? "candidate" : "reference", (long long)r);
		}
	return OQ_OK;
}

void oq_fidelity_rows(const oq_matrix *x, const oq_matrix *q, double *centred, double *relative)
{
	double *mean = oq_alloc((size_t)x->columns * sizeof *mean);
	if (mean)
		oq_rows_mean(x, mean);
	for (int64_t r = 0; r < x->rows; r++) {
		centred[r] = mean ? oq_rows_cosine(oq_matrix_row(x, r), oq_matrix_row(q, r), mean, x->columns) : NAN;
		relative[r] = oq_rows_relative_error(oq_matrix_row(x, r), oq_matrix_row(q, r), x->columns);
	}
	oq_free(mean);
}

static void find_worst(const double *centred, int64_t rows, oq_fidelity *out)
{
	for (int64_t r = 0; r < rows; r++) {
		int at = out->worst_count;
		while (at > 0 && centred[out->worst[at - 1]] > centred[r])
			at--;
		if (at >= OQ_FIDELITY_WORST)
			continue;
		out->worst_count += out->worst_count < OQ_FIDELITY_WORST;
		for (int i = out->worst_count - 1; i > at; i--)
			out->worst[i] = out->worst[i - 1];
		out->worst[at] = r;
	}
}

static double mean_of(const double *values, int64_t count)
{
	double sum = 0;
	for (int64_t i = 0; i < count; i++)
		sum += values[i];
	return sum / (double)count;
}

/* room [4][rows] */
static void measure_rows(const oq_matrix *x, const oq_matrix *q, const double *mean, double *room, oq_fidelity *out)
{
	int64_t n = x->rows;
	double *cosine = room, *centred = room + n, *relative = room + 2 * n, *sqnr = room + 3 * n, energy = 0, spread = 0, error = 0;
	for (int64_t r = 0; r < n; r++) {
		const float *a = oq_matrix_row(x, r), *b = oq_matrix_row(q, r);
		double size = 0, own = 0;
		cosine[r] = oq_rows_cosine(a, b, NULL, x->columns);
		centred[r] = oq_rows_cosine(a, b, mean, x->columns);
		relative[r] = oq_rows_relative_error(a, b, x->columns);
		for (int64_t d = 0; d < x->columns; d++) {
			double e = (double)b[d] - (double)a[d], c = (double)a[d] - mean[d];
			size += (double)a[d] * (double)a[d];
			spread += c * c;
			own += e * e;
			out->max_abs_error = fabs(e) > out->max_abs_error ? fabs(e) : out->max_abs_error;
		}
		sqnr[r] = own > 0 ? 10 * log10(size / own) : INFINITY;
		energy += size;
		error += own;
	}
	out->norm_error = error / (double)n;
	out->sqnr_db = error > 0 ? 10 * log10(energy / error) : INFINITY;
	out->sqnr_centred_db = error > 0 ? 10 * log10(spread / error) : INFINITY;
	find_worst(centred, n, out);
	out->cosine_mean = mean_of(cosine, n);
	out->centred_mean = mean_of(centred, n);
	out->relative_mean = mean_of(relative, n);
	for (int i = 0; i < 4; i++)
		oq_sort_doubles(room + i * n, n);
	out->cosine_min = cosine[0];
	out->cosine_p1 = oq_quantile(cosine, n, 0.01);
	out->centred_min = centred[0];
	out->centred_p1 = oq_quantile(centred, n, 0.01);
	out->centred_median = oq_quantile(centred, n, 0.5);
	out->relative_max = relative[n - 1];
	out->sqnr_row_min_db = sqnr[0];
	out->sqnr_row_median_db = oq_quantile(sqnr, n, 0.5);
}

typedef struct dimension {
	double bias_z, z, pearson, ccc, slope;
} dimension;

/* Statistics of column d; false when the reference does not vary there. Variances are those of the population. */
static bool measure_dimension(const oq_matrix *x, const oq_matrix *q, int64_t d, dimension *out)
{
	double n = (double)x->rows, mx = 0, mq = 0, sxx = 0, sqq = 0, sxq = 0, most = 0;
	for (int64_t r = 0; r < x->rows; r++) {
		mx += (double)oq_matrix_row(x, r)[d] / n;
		mq += (double)oq_matrix_row(q, r)[d] / n;
	}
	for (int64_t r = 0; r < x->rows; r++) {
		double a = (double)oq_matrix_row(x, r)[d], b = (double)oq_matrix_row(q, r)[d];
		sxx += (a - mx) * (a - mx) / n;
		sqq += (b - mq) * (b - mq) / n;
		sxq += (a - mx) * (b - mq) / n;
		most = fabs(b - a) > most ? fabs(b - a) : most;
	}
	if (!(sxx > 0))
		return false;
	out->bias_z = fabs(mq - mx) / sqrt(sxx);
	out->z = most / sqrt(sxx);
	out->pearson = sqq > 0 ? sxq / sqrt(sxx * sqq) : 0;
	out->ccc = 2 * sxq / (sxx + sqq + (mx - mq) * (mx - mq));
	out->slope = sxq / sxx;
	return true;
}

/* room [3][columns] */
static void measure_dimensions(const oq_matrix *x, const oq_matrix *q, double *room, oq_fidelity *out)
{
	double *pearson = room, *ccc = room + x->columns, *slope = room + 2 * x->columns;
	int64_t n = 0;
	for (int64_t d = 0; d < x->columns; d++) {
		dimension one;
		if (!measure_dimension(x, q, d, &one))
			continue;
		out->bias_z_max = one.bias_z > out->bias_z_max ? one.bias_z : out->bias_z_max;
		out->max_abs_z = one.z > out->max_abs_z ? one.z : out->max_abs_z;
		pearson[n] = one.pearson;
		ccc[n] = one.ccc;
		slope[n++] = one.slope;
	}
	out->constant_dimensions = x->columns - n;
	if (!n)
		return;
	oq_sort_doubles(pearson, n);
	oq_sort_doubles(ccc, n);
	oq_sort_doubles(slope, n);
	out->pearson_min = pearson[0];
	out->pearson_median = oq_quantile(pearson, n, 0.5);
	out->ccc_min = ccc[0];
	out->ccc_median = oq_quantile(ccc, n, 0.5);
	out->slope_min = slope[0];
	out->slope_max = slope[n - 1];
}

/* How many of the first k of a are among the first k of b. */
static int64_t shared(const int32_t *a, const int32_t *b, int64_t k)
{
	int64_t count = 0;
	for (int64_t i = 0; i < k; i++)
		for (int64_t j = 0; j < k; j++)
			count += a[i] == b[j];
	return count;
}

static double mean_recall(const int32_t *a, const int32_t *b, int64_t rows, int64_t stride, int64_t k)
{
	int64_t sum = 0;
	for (int64_t r = 0; r < rows; r++)
		sum += shared(a + r * stride, b + r * stride, k);
	return (double)sum / (double)(rows * k);
}

static oq_status measure_neighbours(const oq_matrix *x, const oq_matrix *q, int threads, oq_fidelity *out, oq_error *err)
{
	int64_t rows = x->rows, k = rows - 1 < 50 ? rows - 1 : 50;
	int32_t *own = oq_alloc((size_t)(3 * rows * k) * sizeof *own), *other = own + rows * k, *cross = other + rows * k;
	double *each = oq_alloc((size_t)rows * sizeof *each);
	oq_status status = own && each ? oq_nearest(x, x, k, threads, own, err) : oq_fail_memory(err, "neighbours", (size_t)(3 * rows * k) * sizeof *own);
	if (status == OQ_OK)
		status = oq_nearest(q, q, k, threads, other, err);
	if (status == OQ_OK)
		status = oq_nearest(q, x, k, threads, cross, err);
	if (status == OQ_OK) {
		for (int i = 0; i < 4; i++) {
			int64_t near = oq_fidelity_neighbours[i];
			out->recall_mean[i] = near <= k ? mean_recall(own, other, rows, k, near) : NAN;
			out->cross_mean[i] = near <= k ? mean_recall(own, cross, rows, k, near) : NAN;
		}
		out->top1_agreement = out->recall_mean[0];
		int64_t ten = k < 10 ? k : 10;
		for (int64_t r = 0; r < rows; r++)
			each[r] = (double)shared(own + r * k, other + r * k, ten) / (double)ten;
		oq_sort_doubles(each, rows);
		out->recall10_min = each[0];
		out->recall10_p5 = oq_quantile(each, rows, 0.05);
	}
	oq_free(own);
	oq_free(each);
	return status;
}

oq_status oq_fidelity_measure(const oq_matrix *x, const oq_matrix *q, const char *where, int threads, oq_fidelity *out, oq_error *err)
{
	*out = (oq_fidelity){0};
	OQ_TRY(check(x, q, where, err));
	size_t room = (size_t)(4 * x->rows > 3 * x->columns ? 4 * x->rows : 3 * x->columns);
	double *mean = oq_alloc((size_t)x->columns * sizeof *mean), *values = oq_alloc(room * sizeof *values);
	oq_status status = mean && values ? OQ_OK : oq_fail_memory(err, where, room * sizeof *values);
	if (status == OQ_OK) {
		oq_rows_mean(x, mean);
		measure_rows(x, q, mean, values, out);
		measure_dimensions(x, q, values, out);
		status = measure_neighbours(x, q, threads > 1 ? threads : 1, out, err);
	}
	oq_free(mean);
	oq_free(values);
	return status;
}
