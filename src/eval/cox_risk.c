#include "cox_risk.h"

#include "survival_order.h"

#include "core/mem.h"

#include <math.h>

/* One time: cases order[first..last), of which the first `events` have their event then. */
typedef struct moment {
	int64_t first, last, events;
	double risk, tied;   /* sum of hazards of all who are at risk, and of those who have the event */
} moment;

struct oq_cox_risk {
	const oq_survival *survival;
	oq_cox_ties ties;
	int64_t *order;
	moment *moments;      /* by time */
	int64_t moment_count, events;
	double *hazard;       /* [count] exp(eta), scaled to at most 1 */
	double *own, *before; /* [moments] sums over the moment's events, and over all up to it */
	double *ratio;        /* [moments] the same of the curvature, room */
};

oq_status oq_cox_risk_open(const oq_survival *s, oq_cox_ties ties, oq_cox_risk **out, oq_error *err)
{
	oq_cox_risk *r = oq_calloc(1, sizeof *r);
	size_t n = (size_t)s->count;
	if (!r)
		return oq_fail_memory(err, "Cox", sizeof *r);
	oq_status status = oq_survival_order(s, &r->order, err);
	if (status == OQ_OK) {
		r->survival = s;
		r->ties = ties;
		r->moments = oq_calloc(n, sizeof *r->moments);
		r->hazard = oq_calloc(4 * n, sizeof *r->hazard);
		status = r->moments && r->hazard ? OQ_OK : oq_fail_memory(err, "Cox", 4 * n * sizeof *r->hazard);
	}
	if (status == OQ_OK) {
		r->own = r->hazard + n;
		r->before = r->own + n;
		r->ratio = r->before + n;
		for (int64_t first = 0; first < s->count;) {
			moment *m = &r->moments[r->moment_count++];
			*m = (moment){.first = first, .last = oq_survival_tied(s, r->order, first)};
			for (int64_t k = m->first; k < m->last; k++)
				m->events += s->event[r->order[k]];
			r->events += m->events;
			first = m->last;
		}
		if (!r->events)
			status = oq_fail(err, OQ_E_INPUT, "E_EVENTS", "Cox: none of %lld cases has an event", (long long)s->count);
	}
	if (status == OQ_OK)
		*out = r;
	else
		oq_cox_risk_close(r);
	return status;
}

void oq_cox_risk_close(oq_cox_risk *r)
{
	if (!r)
		return;
	oq_free(r->order);
	oq_free(r->moments);
	oq_free(r->hazard);
	oq_free(r);
}

int64_t oq_cox_risk_events(const oq_cox_risk *r)
{
	return r->events;
}

/* Share of the tied events that the k-th of them no longer competes with. */
static double gone(const oq_cox_risk *r, const moment *m, int64_t k)
{
	return r->ties == OQ_COX_EFRON ? (double)k / (double)m->events : 0;
}

double oq_cox_risk_set(oq_cox_risk *r, const double *eta)
{
	double most = -INFINITY, risk = 0, likelihood = 0, before = 0;
	for (int64_t i = 0; i < r->survival->count; i++)
		most = eta[i] > most ? eta[i] : most;
	for (int64_t g = r->moment_count - 1; g >= 0; g--) {
		moment *m = &r->moments[g];
		m->tied = 0;
		for (int64_t k = m->first; k < m->last; k++) {
			int64_t i = r->order[k];
			r->hazard[i] = exp(eta[i] - most); /* the likelihood minds differences only */
			risk += r->hazard[i];
			if (k - m->first < m->events) {
				m->tied += r->hazard[i];
				likelihood += eta[i] - most;
			}
		}
		m->risk = risk;
		r->own[g] = 0;
		r->before[g] = 0;
		for (int64_t k = 0; k < m->events; k++) {
			double below = m->risk - gone(r, m, k) * m->tied;
			likelihood -= log(below);
			r->before[g] += 1 / below;
			r->own[g] += gone(r, m, k) / below;
		}
	}
	for (int64_t g = 0; g < r->moment_count; g++)
		r->before[g] = before += r->before[g];
	return isfinite(likelihood) && isfinite(before) ? likelihood : -INFINITY;
}

void oq_cox_risk_gradient(const oq_cox_risk *r, double *gradient)
{
	for (int64_t g = 0; g < r->moment_count; g++) {
		const moment *m = &r->moments[g];
		for (int64_t k = m->first; k < m->last; k++) {
			bool event = k - m->first < m->events;
			int64_t i = r->order[k];
			gradient[i] = event - r->hazard[i] * (r->before[g] - event * r->own[g]);
		}
	}
}

void oq_cox_risk_curvature(oq_cox_risk *r, const double *u, double *product)
{
	double risk = 0, before = 0;
	for (int64_t g = r->moment_count - 1; g >= 0; g--) { /* ratio: sum over the moment's events of mean / risk set; own part into product for now */
		const moment *m = &r->moments[g];
		double tied = 0, own = 0;
		for (int64_t k = m->first; k < m->last; k++) {
			double part = r->hazard[r->order[k]] * u[r->order[k]];
			risk += part;
			tied += k - m->first < m->events ? part : 0;
		}
		r->ratio[g] = 0;
		for (int64_t k = 0; k < m->events; k++) {
			double share = gone(r, m, k), below = m->risk - share * m->tied, mean = (risk - share * tied) / below;
			r->ratio[g] += mean / below;
			own += share * mean / below;
		}
		for (int64_t k = 0; k < m->events; k++)
			product[r->order[m->first + k]] = own;
	}
	for (int64_t g = 0; g < r->moment_count; g++) {
		const moment *m = &r->moments[g];
		before += r->ratio[g];
		for (int64_t k = m->first; k < m->last; k++) {
			int64_t i = r->order[k];
			bool event = k - m->first < m->events;
			double own = event ? product[i] : 0;
			product[i] = r->hazard[i] * (u[i] * (r->before[g] - event * r->own[g]) - (before - own));
		}
	}
}
