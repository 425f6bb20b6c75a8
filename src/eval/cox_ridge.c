/* Cox with many columns and a ridge: Newton's method whose steps are found by conjugate gradients, which only multiply by the information. The
 * columns are never copied: scaling goes into the coefficients, and an offset common to all cases changes nothing. */
#include "cox_risk.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define ITERATIONS 50
#define HALVINGS 30
#define INNER 400
#define FIRST_ACCURACY 0.1  /* of a step, later that of the last change: as exact as the step deserves, the next one corrects it */
#define CONVERGED 1e-6      /* largest change of a case's risk; what is still missing is about its square */
#define BLOCK 64            /* columns that a thread sums at a time */

typedef struct fit {
	const oq_survival *survival;
	const oq_cox_ridge *ridge;
	oq_cox_risk *risk;
	double *scale, *b, *step, *residual, *direction, *product, *scaled; /* [columns] */
	double *eta, *move, *slope;                                         /* [count] */
} fit;

/* scale = 1 / standard deviation over the cases; 0 for a column that does not vary. */
static void find_scale(fit *f)
{
	const oq_matrix *x = f->ridge->x;
	int64_t n = f->survival->count;
#pragma omp parallel for num_threads(f->ridge->threads) schedule(static)
	for (int64_t d = 0; d < x->columns; d++) {
		double mean = 0, square = 0;
		for (int64_t i = 0; i < n; i++)
			mean += (double)oq_matrix_row(x, f->ridge->row[i])[d] / (double)n;
		for (int64_t i = 0; i < n; i++) {
			double away = (double)oq_matrix_row(x, f->ridge->row[i])[d] - mean;
			square += away * away / (double)n;
		}
		f->scale[d] = sqrt(square) > 1e-7 * fabs(mean) ? 1 / sqrt(square) : 0; /* below float32's own rounding nothing varies */
	}
}

/* eta [count] = scaled rows times v */
static void spread(const fit *f, const double *v, double *eta)
{
	const oq_matrix *x = f->ridge->x;
	for (int64_t d = 0; d < x->columns; d++)
		f->scaled[d] = v[d] * f->scale[d];
#pragma omp parallel for num_threads(f->ridge->threads) schedule(static)
	for (int64_t i = 0; i < f->survival->count; i++) {
		const float *row = oq_matrix_row(x, f->ridge->row[i]);
		double sums[4] = {0};
		int64_t d = 0;
		for (; d + 4 <= x->columns; d += 4)
			for (int k = 0; k < 4; k++)
				sums[k] += (double)row[d + k] * f->scaled[d + k];
		for (; d < x->columns; d++)
			sums[0] += (double)row[d] * f->scaled[d];
		eta[i] = (sums[0] + sums[1]) + (sums[2] + sums[3]);
	}
}

/* out [columns] = scaled rows transposed times v [count] */
static void gather(const fit *f, const double *v, double *out)
{
	const oq_matrix *x = f->ridge->x;
#pragma omp parallel for num_threads(f->ridge->threads) schedule(static)
	for (int64_t first = 0; first < x->columns; first += BLOCK) {
		int64_t width = x->columns - first < BLOCK ? x->columns - first : BLOCK;
		double sums[BLOCK] = {0};
		for (int64_t i = 0; i < f->survival->count; i++) {
			const float *row = oq_matrix_row(x, f->ridge->row[i]) + first;
			for (int64_t d = 0; d < width; d++)
				sums[d] += (double)row[d] * v[i];
		}
		for (int64_t d = 0; d < width; d++)
			out[first + d] = sums[d] * f->scale[first + d];
	}
}

static double dot(const double *a, const double *b, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += a[i] * b[i];
	return sum;
}

/* product = (information + ridge) direction */
static void multiply(fit *f)
{
	spread(f, f->direction, f->move);
	oq_cox_risk_curvature(f->risk, f->move, f->slope);
	gather(f, f->slope, f->product);
	for (int64_t d = 0; d < f->ridge->x->columns; d++)
		f->product[d] += f->ridge->ridge * f->direction[d];
}

/* step = (information + ridge)^-1 residual, nearly */
static void solve(fit *f, double accuracy)
{
	int64_t n = f->ridge->x->columns;
	memset(f->step, 0, (size_t)n * sizeof *f->step);
	memcpy(f->direction, f->residual, (size_t)n * sizeof *f->direction);
	double square = dot(f->residual, f->residual, n), enough = square * accuracy * accuracy;
	for (int i = 0; i < INNER && square > enough; i++) {
		multiply(f);
		double length = square / dot(f->direction, f->product, n), before = square;
		for (int64_t d = 0; d < n; d++) {
			f->step[d] += length * f->direction[d];
			f->residual[d] -= length * f->product[d];
		}
		square = dot(f->residual, f->residual, n);
		for (int64_t d = 0; d < n; d++)
			f->direction[d] = f->residual[d] + square / before * f->direction[d];
	}
}

/* What is to be made large. */
static double objective(fit *f, double share)
{
	double square = 0;
	int64_t n = f->survival->count;
	for (int64_t d = 0; d < f->ridge->x->columns; d++) {
		double b = f->b[d] + share * f->step[d];
		square += b * b;
	}
	for (int64_t i = 0; i < n; i++)
		f->slope[i] = f->eta[i] + share * f->move[i];
	return oq_cox_risk_set(f->risk, f->slope) - 0.5 * f->ridge->ridge * square;
}

/* One step. Returns its reach: the largest change of a case's risk against another's. */
static double newton(fit *f, double accuracy, double *value)
{
	int64_t columns = f->ridge->x->columns;
	double share = 1, next = -INFINITY, low = INFINITY, high = -INFINITY;
	oq_cox_risk_gradient(f->risk, f->slope);
	gather(f, f->slope, f->residual);
	for (int64_t d = 0; d < columns; d++)
		f->residual[d] -= f->ridge->ridge * f->b[d];
	solve(f, accuracy);
	spread(f, f->step, f->move);
	for (int half = 0; half < HALVINGS; half++, share /= 2) {
		next = objective(f, share);
		if (next >= *value - 1e-12 * fabs(*value))
			break;
	}
	for (int64_t d = 0; d < columns; d++)
		f->b[d] += share * f->step[d];
	for (int64_t i = 0; i < f->survival->count; i++) {
		f->eta[i] += share * f->move[i];
		low = fmin(low, f->move[i]);
		high = fmax(high, f->move[i]);
	}
	*value = next;
	return share * (high - low);
}

static oq_status run(fit *f, double *b, oq_error *err)
{
	int64_t columns = f->ridge->x->columns;
	double change = INFINITY;
	find_scale(f);
	for (int64_t d = 0; d < columns; d++) {
		f->b[d] = f->scale[d] > 0 ? b[d] / f->scale[d] : 0;
		f->step[d] = 0;
	}
	spread(f, f->b, f->eta);
	memset(f->move, 0, (size_t)f->survival->count * sizeof *f->move);
	double value = objective(f, 0);
	int steps = 0;
	while (steps++ < ITERATIONS && change > CONVERGED)
		change = newton(f, fmin(FIRST_ACCURACY, change), &value);
	for (int64_t d = 0; d < columns; d++)
		b[d] = f->b[d] * f->scale[d];
	if (!(change <= CONVERGED))
		return oq_fail(err, OQ_E_INPUT, "E_CONVERGENCE", "Cox: ridge %g: no convergence after %d steps", f->ridge->ridge, ITERATIONS);
	return OQ_OK;
}

oq_status oq_cox_ridge_fit(const oq_survival *s, const oq_cox_ridge *ridge, double *b, oq_error *err)
{
	if (!(ridge->ridge > 0) || ridge->threads < 1)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "Cox: ridge is %g, expected more than 0", ridge->ridge);
	size_t p = (size_t)ridge->x->columns, n = (size_t)s->count;
	fit f = {.survival = s, .ridge = ridge};
	double *room = oq_alloc((7 * p + 3 * n) * sizeof *room);
	oq_status status = room ? oq_cox_risk_open(s, OQ_COX_EFRON, &f.risk, err) : oq_fail_memory(err, "Cox", (7 * p + 3 * n) * sizeof *room);
	if (status == OQ_OK) {
		double **parts[] = {&f.scale, &f.b, &f.step, &f.residual, &f.direction, &f.product, &f.scaled};
		for (size_t i = 0; i < 7; i++)
			*parts[i] = room + i * p;
		f.eta = room + 7 * p;
		f.move = f.eta + n;
		f.slope = f.move + n;
		status = run(&f, b, err);
	}
	oq_cox_risk_close(f.risk);
	oq_free(room);
	return status;
}
