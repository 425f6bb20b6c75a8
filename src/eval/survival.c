/* Cases by time, the Kaplan-Meier curve, the log-rank test. */
#include "survival_order.h"

#include "core/mem.h"
#include "eval/cholesky.h"
#include "eval/inference.h"

#include <math.h>
#include <stdlib.h>

#define Z95 1.959963984540054

typedef struct timed {
	double time;
	int64_t index;
	bool event;
} timed;

static int by_time(const void *a, const void *b)
{
	const timed *x = a, *y = b;
	if (x->time > y->time || x->time < y->time)
		return x->time > y->time ? 1 : -1;
	if (x->event != y->event)
		return x->event ? -1 : 1;
	return (x->index > y->index) - (x->index < y->index);
}

oq_status oq_survival_order(const oq_survival *s, int64_t **order, oq_error *err)
{
	if (s->count < 1)
		return oq_fail(err, OQ_E_INPUT, "E_ROWS", "survival: no cases, expected some");
	for (int64_t i = 0; i < s->count; i++)
		if (!(s->time[i] >= 0) || isinf(s->time[i]))
			return oq_fail(err, OQ_E_INPUT, "E_TIME", "survival: time of case %lld is %g, expected a finite number, 0 or more", (long long)i + 1, s->time[i]);
	timed *cases = oq_alloc((size_t)s->count * sizeof *cases);
	*order = oq_alloc((size_t)s->count * sizeof **order);
	if (!cases || !*order) {
		oq_free(cases);
		oq_free(*order);
		return oq_fail_memory(err, "survival", (size_t)s->count * sizeof *cases);
	}
	for (int64_t i = 0; i < s->count; i++)
		cases[i] = (timed){s->time[i], i, s->event[i]};
	qsort(cases, (size_t)s->count, sizeof *cases, by_time);
	for (int64_t i = 0; i < s->count; i++)
		(*order)[i] = cases[i].index;
	oq_free(cases);
	return OQ_OK;
}

int64_t oq_survival_tied(const oq_survival *s, const int64_t *order, int64_t first)
{
	int64_t last = first + 1;
	while (last < s->count && !(s->time[order[last]] > s->time[order[first]]))
		last++;
	return last;
}

/* The complementary log-log transform of survival has the standard error se / |log survival|. */
static void set_loglog(oq_km_step *step)
{
	double reach = exp(Z95 * step->se / -log(step->survival)); /* survival 1: se 0, 0 / 0 */
	bool sure = step->survival >= 1;
	step->loglog_low = sure ? 1 : step->survival > 0 ? pow(step->survival, reach) : NAN;
	step->loglog_high = sure ? 1 : step->survival > 0 ? pow(step->survival, 1 / reach) : NAN;
}

oq_status oq_kaplan_meier(const oq_survival *s, oq_km_step *steps, int64_t *step_count, oq_error *err)
{
	int64_t *order = NULL;
	double survival = 1, variance = 0;
	OQ_TRY(oq_survival_order(s, &order, err));
	*step_count = 0;
	for (int64_t first = 0; first < s->count;) {
		int64_t last = oq_survival_tied(s, order, first);
		oq_km_step step = {.time = s->time[order[first]], .at_risk = s->count - first};
		for (int64_t k = first; k < last; k++)
			step.events += s->event[order[k]];
		step.censored = last - first - step.events;
		double risk = (double)step.at_risk, events = (double)step.events;
		survival *= 1 - events / risk;
		variance += events / (risk * (risk - events)); /* infinite when nobody is left */
		step.survival = survival;
		step.se = events > 0 || variance > 0 ? sqrt(variance) : 0;
		step.low = survival > 0 ? survival * exp(-Z95 * step.se) : NAN;
		step.high = survival > 0 ? fmin(survival * exp(Z95 * step.se), 1) : NAN;
		set_loglog(&step);
		steps[(*step_count)++] = step;
		first = last;
	}
	oq_free(order);
	return OQ_OK;
}

double oq_km_time(const oq_km_step *steps, int64_t count, double share)
{
	for (int64_t i = 0; i < count; i++)
		if (steps[i].survival <= share)
			return steps[i].time;
	return NAN;
}

/* One time's events, expected as at random among those at risk; covariance [groups][groups]. */
static void add_time(const double *at_risk, const double *events, int groups, oq_logrank *out, double *covariance)
{
	double risk = 0, d = 0;
	for (int g = 0; g < groups; g++) {
		risk += at_risk[g];
		d += events[g];
	}
	for (int g = 0; g < groups; g++) {
		double share = at_risk[g] / risk;
		out->observed[g] += events[g];
		out->expected[g] += d * share;
		for (int h = 0; h < groups && risk > 1; h++)
			covariance[g * groups + h] += d * (risk - d) / (risk - 1) * share * ((g == h) - at_risk[h] / risk);
	}
}

/* (O-E)' V^-1 (O-E) without the last group, which follows from the others. */
static oq_status test_groups(const double *covariance, int groups, oq_logrank *out, oq_error *err)
{
	double v[OQ_LOGRANK_GROUPS * OQ_LOGRANK_GROUPS], z[OQ_LOGRANK_GROUPS];
	int n = groups - 1;
	for (int g = 0; g < n; g++) {
		z[g] = out->observed[g] - out->expected[g];
		for (int h = 0; h < n; h++)
			v[g * n + h] = covariance[g * groups + h];
	}
	if (!oq_cholesky(v, n))
		return oq_fail(err, OQ_E_INPUT, "E_EVENTS", "log-rank: the groups are never at risk at the same time, or there are no events");
	oq_cholesky_solve(v, n, z);
	for (int g = 0; g < n; g++)
		out->chi_squared += z[g] * (out->observed[g] - out->expected[g]);
	out->degrees = n;
	out->p = oq_chi_squared_tail(out->chi_squared, n);
	return OQ_OK;
}

oq_status oq_logrank_test(const oq_survival *s, const int *group, int groups, oq_logrank *out, oq_error *err)
{
	double covariance[OQ_LOGRANK_GROUPS * OQ_LOGRANK_GROUPS] = {0}, at_risk[OQ_LOGRANK_GROUPS] = {0};
	int64_t *order = NULL;
	*out = (oq_logrank){0};
	if (groups < 2 || groups > OQ_LOGRANK_GROUPS)
		return oq_fail(err, OQ_E_INPUT, "E_GROUPS", "log-rank: %d groups, expected 2 to %d", groups, OQ_LOGRANK_GROUPS);
	OQ_TRY(oq_survival_order(s, &order, err));
	for (int64_t i = 0; i < s->count; i++)
		out->count[group[i]]++;
	for (int g = 0; g < groups; g++)
		at_risk[g] = (double)out->count[g];
	for (int64_t first = 0; first < s->count;) {
		int64_t last = oq_survival_tied(s, order, first);
		double events[OQ_LOGRANK_GROUPS] = {0};
		for (int64_t k = first; k < last; k++)
			events[group[order[k]]] += s->event[order[k]];
		add_time(at_risk, events, groups, out, covariance);
		for (int64_t k = first; k < last; k++)
			at_risk[group[order[k]]]--;
		first = last;
	}
	oq_free(order);
	return test_groups(covariance, groups, out, err);
}
