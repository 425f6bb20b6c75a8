/* CKA, Procrustes and common neighbours, in coordinates: with more dimensions than rows a set is first turned into a triangle of as many
 * dimensions as rows (the same Gram matrix), so that everything costs rows times the smaller of rows and dimensions squared. */
#include "eval/similarity.h"

#include "core/mem.h"
#include "eval/rank.h"
#include "eval/fidelity.h"
#include "dense.h"
#include "eval/rows.h"
#include "rsa.h"
#include "singular.h"

#include <math.h>
#include <string.h>

#define NEIGHBOURS 10
#define BLOCK 256 /* rows at a time: 4 MB of 2048 dimensions */

struct oq_similarity_side {
	oq_matrix source;
	int64_t width;    /* dimensions that are computed with: the smaller of rows and columns */
	double *mean;     /* [columns] */
	double *factor;   /* [rows][width], lower triangle; NULL when the source is used itself */
	double *square;   /* [rows] |xc_r|^2 */
	double *ranks;    /* [pairs] of distances */
	int32_t *nearest; /* [rows][10], or NULL */
	double total;     /* |Xc|^2 */
	double self;      /* |Xc'Xc|^2 */
};

/* Rows first..first+count, centred: out [count][width] */
static void read_block(const oq_similarity_side *s, int64_t first, int64_t count, int threads, double *out)
{
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t r = 0; r < count; r++) {
		double *to = out + r * s->width;
		const float *from = oq_matrix_row(&s->source, first + r);
		for (int64_t c = 0; c < s->width; c++)
			to[c] = s->factor ? s->factor[(first + r) * s->width + c] : (double)from[c] - s->mean[c];
	}
}

/* Xc'Yc, [wx][wy], of which Xc'Xc has its lower half only; free with oq_free. */
static oq_status multiply(const oq_similarity_side *x, const oq_similarity_side *y, int threads, double **cross, oq_error *err)
{
	int64_t wx = x->width, wy = y->width, rows = x->source.rows;
	double *out = oq_calloc((size_t)wx * (size_t)wy, sizeof *out), *room = oq_alloc((size_t)(BLOCK * (wx + wy)) * sizeof *room);
	const oq_dense_side a = {room, wx, 1, wx}, b = {x == y ? room : room + BLOCK * wx, wy, 1, wy};
	oq_status status = out && room ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)wx * (size_t)wy * sizeof *out);
	for (int64_t r = 0; r < rows && status == OQ_OK; r += BLOCK) {
		int64_t count = r + BLOCK < rows ? BLOCK : rows - r;
		read_block(x, r, count, threads, room);
		if (x != y)
			read_block(y, r, count, threads, room + BLOCK * wx);
		status = oq_dense_add(&a, &b, count, 1, x == y, threads, out, wy, err);
	}
	oq_free(room);
	if (status == OQ_OK)
		*cross = out;
	else
		oq_free(out);
	return status;
}

static double sum_of_squares(const double *a, int64_t count)
{
	double sums[4] = {0};
	for (int64_t i = 0; i < count; i++)
		sums[i & 3] += a[i] * a[i];
	return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

static oq_status make_factor(oq_similarity_side *s, int threads, oq_error *err)
{
	int64_t n = s->source.rows, d = s->source.columns;
	double *a = oq_alloc((size_t)n * (size_t)d * sizeof *a); /* [n][d] */
	s->factor = oq_alloc((size_t)n * (size_t)n * sizeof *s->factor);
	oq_status status = a && s->factor ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)n * (size_t)d * sizeof *a);
	if (status == OQ_OK) {
		for (int64_t r = 0; r < n; r++)
			for (int64_t c = 0; c < d; c++)
				a[r * d + c] = (double)oq_matrix_row(&s->source, r)[c] - s->mean[c];
		status = oq_triangle(a, n, d, threads, err);
		for (int64_t r = 0; r < n; r++)
			memcpy(s->factor + r * n, a + r * d, (size_t)n * sizeof *a);
	}
	oq_free(a);
	return status;
}

static oq_status measure_squares(oq_similarity_side *s, int threads, oq_error *err)
{
	double *room = oq_alloc((size_t)s->width * sizeof *room), *cross = NULL;
	oq_status status = room ? OQ_OK : oq_fail_memory(err, "similarity", (size_t)s->width * sizeof *room);
	for (int64_t r = 0; r < s->source.rows && status == OQ_OK; r++) {
		read_block(s, r, 1, 1, room);
		s->square[r] = sum_of_squares(room, s->width);
		s->total += s->square[r];
	}
	if (status == OQ_OK)
		status = multiply(s, s, threads, &cross, err);
	for (int64_t i = 0; i < s->width && status == OQ_OK; i++) /* what is above the diagonal is there below it, too */
		s->self += 2 * sum_of_squares(cross + i * s->width, i) + cross[i * s->width + i] * cross[i * s->width + i];
	oq_free(cross);
	oq_free(room);
	return status;
}

static oq_status prepare(oq_similarity_side *s, int threads, oq_error *err)
{
	int64_t n = s->source.rows, d = s->source.columns;
	s->mean = oq_alloc((size_t)d * sizeof *s->mean);
	s->square = oq_alloc((size_t)n * sizeof *s->square);
	if (!s->mean || !s->square)
		return oq_fail_memory(err, "similarity", (size_t)(n + d) * sizeof *s->mean);
	oq_rows_mean(&s->source, s->mean);
	s->width = n < d ? n : d;
	if (n < d)
		OQ_TRY(make_factor(s, threads, err));
	OQ_TRY(measure_squares(s, threads, err));
	OQ_TRY(oq_rsa_ranks(&s->source, threads, &s->ranks, err));
	if (n <= NEIGHBOURS)
		return OQ_OK;
	s->nearest = oq_alloc((size_t)n * NEIGHBOURS * sizeof *s->nearest);
	if (!s->nearest)
		return oq_fail_memory(err, "similarity", (size_t)n * NEIGHBOURS * sizeof *s->nearest);
	return oq_nearest(&s->source, &s->source, NEIGHBOURS, threads, s->nearest, err);
}

oq_status oq_similarity_open(const oq_matrix *x, int threads, oq_similarity_side **out, oq_error *err)
{
	*out = NULL;
	if (x->rows < 4)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "similarity: %lld rows, expected at least 4", (long long)x->rows);
	oq_similarity_side *side = oq_calloc(1, sizeof *side);
	if (!side)
		return oq_fail_memory(err, "similarity", sizeof *side);
	side->source = *x;
	oq_status status = prepare(side, threads, err);
	if (status == OQ_OK)
		*out = side;
	else
		oq_similarity_close(side);
	return status;
}

void oq_similarity_close(oq_similarity_side *side)
{
	if (!side)
		return;
	oq_free(side->mean);
	oq_free(side->factor);
	oq_free(side->square);
	oq_free(side->ranks);
	oq_free(side->nearest);
	oq_free(side);
}

/* Unbiased HSIC from |Xc'Yc|^2: without its diagonal a centred Gram matrix has row sums of minus that diagonal. */
static double unbiased_hsic(double cross, const oq_similarity_side *x, const oq_similarity_side *y)
{
	double diagonal = 0, n = (double)x->source.rows;
	for (int64_t r = 0; r < x->source.rows; r++)
		diagonal += x->square[r] * y->square[r];
	return (cross - diagonal + x->total * y->total / ((n - 1) * (n - 2)) - 2 / (n - 2) * diagonal) / (n * (n - 3));
}

static double ratio(double value, double a, double b)
{
	if (!(a > 0 && b > 0))
		return NAN;
	return a > b || a < b ? value / sqrt(a) / sqrt(b) : value / a; /* a set beside itself: 1 to the bit */
}

static double common_neighbours(const oq_similarity_side *x, const oq_similarity_side *y)
{
	int64_t common = 0, rows = x->source.rows;
	if (!x->nearest || !y->nearest)
		return NAN;
	for (int64_t r = 0; r < rows; r++)
		for (int i = 0; i < NEIGHBOURS; i++)
			for (int j = 0; j < NEIGHBOURS; j++)
				common += x->nearest[r * NEIGHBOURS + i] == y->nearest[r * NEIGHBOURS + j];
	return (double)common / (double)(rows * NEIGHBOURS);
}

/* |Xc'Yc|^2 and |Xc'Yc|_nuclear. */
static oq_status measure_cross(const oq_similarity_side *x, const oq_similarity_side *y, int threads, double *square, double *nuclear, oq_error *err)
{
	double *cross = NULL;
	if (x == y) { /* Xc'Xc has no negative eigenvalues: its nuclear norm is its trace */
		*square = x->self;
		*nuclear = x->total;
		return OQ_OK;
	}
	if (x->width < y->width) /* the cross product must not be wider than it is high */
		return measure_cross(y, x, threads, square, nuclear, err);
	OQ_TRY(multiply(x, y, threads, &cross, err));
	*square = sum_of_squares(cross, x->width * y->width);
	oq_status status = oq_nuclear_norm(cross, x->width, y->width, threads, nuclear, err);
	oq_free(cross);
	return status;
}

oq_status oq_similarity_pair(const oq_similarity_side *x, const oq_similarity_side *y, int threads, oq_similarity *out, oq_error *err)
{
	double square, nuclear;
	*out = (oq_similarity){0};
	if (y->source.rows != x->source.rows)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "similarity: %lld and %lld rows, expected the same patches", (long long)x->source.rows,
			(long long)y->source.rows);
	OQ_TRY(measure_cross(x, y, threads, &square, &nuclear, err));
	out->linear_cka = ratio(square, x->self, y->self);
	out->debiased_cka = ratio(unbiased_hsic(square, x, y), unbiased_hsic(x->self, x, x), unbiased_hsic(y->self, y, y));
	double share = ratio(nuclear, x->total, y->total);
	share = share > 1 ? 1 : share; /* rounding */
	out->procrustes_angle = acos(share);
	out->procrustes_disparity = 1 - share * share;
	out->rsa_spearman = oq_correlation(x->ranks, y->ranks, oq_rsa_pairs(x->source.rows));
	out->mutual_knn10 = common_neighbours(x, y);
	return OQ_OK;
}

oq_status oq_similarity_measure(const oq_matrix *x, const oq_matrix *y, int threads, oq_similarity *out, oq_error *err)
{
	oq_similarity_side *a = NULL, *b = NULL;
	oq_status status = oq_similarity_open(x, threads, &a, err);
	if (status == OQ_OK)
		status = oq_similarity_open(y, threads, &b, err);
	if (status == OQ_OK)
		status = oq_similarity_pair(a, b, threads, out, err);
	oq_similarity_close(a);
	oq_similarity_close(b);
	return status;
}
