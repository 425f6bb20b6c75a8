/* Time to an event, with some cases only followed up to a time (censored): concordance of a score, curves, and whether groups differ. Formulas:
 * docs/evaluation.md. An event at a time comes before a censoring at the same time. */
#ifndef OQ_EVAL_SURVIVAL_H
#define OQ_EVAL_SURVIVAL_H

#include "core/error.h"

#include <stdint.h>

/* Borrowed. time [count] finite and not negative. */
typedef struct oq_survival {
	const double *time;
	const bool *event;
	int64_t count;
} oq_survival;

typedef struct oq_concordance {
	double c;         /* 1: a higher score always has the event earlier; equal scores count half */
	double variance;  /* infinitesimal jackknife */
	double concordant, discordant, tied; /* weights of pairs; Harrell's are plain counts */
	int64_t events;
} oq_concordance;

/* Of pairs whose first event is known. Harrell's: every pair counts 1. Uno's: 1/G(t-)^2, G the Kaplan-Meier curve of censoring at the earlier time,
 * and only events up to `horizon` (INFINITY: all). OQ_E_INPUT when no pair can be compared. */
typedef enum oq_concordance_kind { OQ_CONCORDANCE_HARRELL = 0, OQ_CONCORDANCE_UNO } oq_concordance_kind;
oq_status oq_concordance_measure(const oq_survival *survival, const double *score, oq_concordance_kind kind, double horizon, oq_concordance *out,
	oq_error *err);

typedef struct oq_km_step {
	double time;
	int64_t at_risk, events, censored;
	double survival;
	double se;         /* of log survival (Greenwood) */
	double low, high;  /* 95 % by the logarithm, R's default: survival * exp(-+1.96 se), at most 1 */
	double loglog_low, loglog_high; /* 95 % by log(-log), within 0 and 1 of itself: survival^exp(+-1.96 se / log survival); 1 and 1 before the first event */
} oq_km_step;
/* Kaplan-Meier: a step for every distinct time; steps [count] is room enough. */
oq_status oq_kaplan_meier(const oq_survival *survival, oq_km_step *steps, int64_t *step_count, oq_error *err);
/* First time at which no more than `share` survive; NaN when it is not reached. */
double oq_km_time(const oq_km_step *steps, int64_t count, double share);

#define OQ_LOGRANK_GROUPS 8
typedef struct oq_logrank {
	int64_t count[OQ_LOGRANK_GROUPS];
	double observed[OQ_LOGRANK_GROUPS], expected[OQ_LOGRANK_GROUPS]; /* events */
	double chi_squared, p;
	int degrees;
} oq_logrank;
/* group[count] of 0 to groups - 1, each with a case in it; 2 to OQ_LOGRANK_GROUPS groups. */
oq_status oq_logrank_test(const oq_survival *survival, const int *group, int groups, oq_logrank *out, oq_error *err);

#endif
