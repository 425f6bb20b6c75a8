/* Cox with few columns: Newton's method with halved steps and the whole information matrix, which the standard errors need anyway. */
#include "eval/cox.h"

#include "cox_risk.h"

#include "core/mem.h"
#include "eval/cholesky.h"
#include "eval/inference.h"

#include <assert.h>
#include <math.h>
#include <string.h>

static_assert(OQ_COX_COLUMNS <= OQ_CHOLESKY_SMALL, "the information matrix is factored as a small one");

#define ITERATIONS 60
#define HALVINGS 30
#define CONVERGED 1e-10 /* of the largest change of a case's risk */

/* Few columns: a fit's room. Columns are centred and scaled to variance 1, so that one tolerance suits all. */
typedef struct fit {
	const oq_survival *survival;
	oq_cox_risk *risk;
	int columns;
	double *z;                                /* [count][columns] */
	double *eta, *next, *slope, *u, *product; /* [count] */
	double mean[OQ_COX_COLUMNS], sd[OQ_COX_COLUMNS], b[OQ_COX_COLUMNS], step[OQ_COX_COLUMNS];
	double information[OQ_COX_COLUMNS * OQ_COX_COLUMNS];
} fit;

static oq_status standardise(fit *f, const double *x, oq_error *err)
{
	int64_t n = f->survival->count;
	int p = f->columns;
	for (int c = 0; c < p; c++) {
		double mean = 0, square = 0;
		for (int64_t i = 0; i < n; i++)
			mean += x[i * p + c] / (double)n;
		for (int64_t i = 0; i < n; i++)
			square += (x[i * p + c] - mean) * (x[i * p + c] - mean) / (double)n;
		if (!isfinite(square))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "Cox: column %d has values that are no finite numbers", c + 1);
		if (!(sqrt(square) > 1e-12 * fabs(mean)))
			return oq_fail(err, OQ_E_INPUT, "E_CONSTANT", "Cox: column %d is %g in all cases", c + 1, mean);
		f->mean[c] = mean;
		f->sd[c] = sqrt(square);
		for (int64_t i = 0; i < n; i++)
			f->z[i * p + c] = (x[i * p + c] - mean) / f->sd[c];
	}
	return OQ_OK;
}

/* out [columns] = z' v */
static void gather(const fit *f, const double *v, double *out)
{
	memset(out, 0, (size_t)f->columns * sizeof *out);
	for (int64_t i = 0; i < f->survival->count; i++)
		for (int c = 0; c < f->columns; c++)
			out[c] += f->z[i * f->columns + c] * v[i];
}

static void spread(const fit *f, const double *b, double *eta)
{
	for (int64_t i = 0; i < f->survival->count; i++) {
		eta[i] = 0;
		for (int c = 0; c < f->columns; c++)
			eta[i] += f->z[i * f->columns + c] * b[c];
	}
}

/* The Cholesky factor of the information at the point that the risk was set to; false when it has none. */
static bool factor_information(fit *f)
{
	int p = f->columns;
	for (int c = 0; c < p; c++) {
		for (int64_t i = 0; i < f->survival->count; i++)
			f->u[i] = f->z[i * p + c];
		oq_cox_risk_curvature(f->risk, f->u, f->product);
		gather(f, f->product, f->information + c * p);
	}
	return oq_cholesky(f->information, p);
}

static oq_status fail_separation(oq_error *err)
{
	return oq_fail(err, OQ_E_INPUT, "E_SEPARATION", "Cox: the columns put the events in order without exception, the coefficients are infinite");
}

/* Largest difference of two cases' risks that the step makes: no case's risk changes by more against any other's. */
static double reach(const fit *f, const double *step)
{
	double low = INFINITY, high = -INFINITY;
	spread(f, step, f->u);
	for (int64_t i = 0; i < f->survival->count; i++) {
		low = fmin(low, f->u[i]);
		high = fmax(high, f->u[i]);
	}
	return high - low;
}

/* One step; *change is its reach as taken. */
static oq_status newton(fit *f, bool first, double *likelihood, double *change, oq_error *err)
{
	int p = f->columns;
	oq_cox_risk_gradient(f->risk, f->slope);
	gather(f, f->slope, f->step);
	if (!factor_information(f)) /* at the start: for good; later: in a direction in which nothing is left to learn */
		return first ? oq_fail(err, OQ_E_INPUT, "E_COLLINEAR", "Cox: a column follows from the others, or says nothing about who has an event") : fail_separation(err);
	oq_cholesky_solve(f->information, p, f->step);
	double share = 1, next = -INFINITY, b[OQ_COX_COLUMNS];
	for (int half = 0; half < HALVINGS; half++, share /= 2) {
		for (int c = 0; c < p; c++)
			b[c] = f->b[c] + share * f->step[c];
		spread(f, b, f->next);
		next = oq_cox_risk_set(f->risk, f->next);
		if (next >= *likelihood - 1e-12 * fabs(*likelihood)) /* rounding must not halve the last step */
			break;
	}
	*change = share * reach(f, f->step);
	/* Without bound: the likelihood has all but stopped to rise, yet the coefficients walk on at an even pace. */
	if (next - *likelihood < 1e-6 && *change > 0.1)
		return fail_separation(err);
	memcpy(f->b, b, (size_t)p * sizeof *b);
	*likelihood = next;
	return OQ_OK;
}

static void finish(const fit *f, oq_cox *out)
{
	int p = f->columns;
	for (int c = 0; c < p; c++) {
		double column[OQ_COX_COLUMNS] = {0};
		column[c] = 1;
		oq_cholesky_solve(f->information, p, column); /* a column of the inverse */
		oq_cox_coefficient *k = &out->coefficient[c];
		k->b = f->b[c] / f->sd[c];
		k->se = sqrt(column[c]) / f->sd[c];
		k->z = k->b / k->se;
		k->p = 2 * oq_normal_cdf(-fabs(k->z));
	}
	out->p = oq_chi_squared_tail(2 * (out->likelihood - out->likelihood_null), p);
}

static oq_status run(fit *f, oq_cox *out, oq_error *err)
{
	double change = INFINITY;
	memset(f->eta, 0, (size_t)f->survival->count * sizeof *f->eta);
	out->likelihood_null = out->likelihood = oq_cox_risk_set(f->risk, f->eta);
	out->events = oq_cox_risk_events(f->risk);
	while (out->iterations < ITERATIONS && change > CONVERGED) {
		OQ_TRY(newton(f, out->iterations++ == 0, &out->likelihood, &change, err));
	}
	if (change > CONVERGED)
		return oq_fail(err, OQ_E_INPUT, "E_CONVERGENCE", "Cox: no convergence after %d steps", ITERATIONS);
	if (!factor_information(f))
		return fail_separation(err);
	finish(f, out);
	return OQ_OK;
}

oq_status oq_cox_fit(const oq_survival *s, const double *x, int columns, oq_cox_ties ties, oq_cox *out, oq_error *err)
{
	*out = (oq_cox){.columns = columns};
	if (columns < 1 || columns > OQ_COX_COLUMNS)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "Cox: %d columns, expected 1 to %d", columns, OQ_COX_COLUMNS);
	size_t n = (size_t)s->count;
	fit *f = oq_calloc(1, sizeof *f);
	double *room = oq_alloc(n * (size_t)(columns + 5) * sizeof *room);
	oq_status status = f && room ? oq_cox_risk_open(s, ties, &f->risk, err) : oq_fail_memory(err, "Cox", n * (size_t)(columns + 5) * sizeof *room);
	if (status == OQ_OK) {
		f->survival = s;
		f->columns = columns;
		f->eta = room;
		f->next = room + n;
		f->slope = room + 2 * n;
		f->u = room + 3 * n;
		f->product = room + 4 * n;
		f->z = room + 5 * n;
		status = standardise(f, x, err);
	}
	if (status == OQ_OK)
		status = run(f, out, err);
	if (f)
		oq_cox_risk_close(f->risk);
	oq_free(f);
	oq_free(room);
	return status;
}

oq_status oq_cox_likelihood(const oq_survival *s, const double *risk, double *likelihood, oq_error *err)
{
	oq_cox_risk *r = NULL;
	OQ_TRY(oq_cox_risk_open(s, OQ_COX_EFRON, &r, err));
	*likelihood = oq_cox_risk_set(r, risk);
	oq_cox_risk_close(r);
	return OQ_OK;
}
