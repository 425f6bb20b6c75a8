/* Cox's proportional hazards: the chance of an event now is exp(b.x) times that of everybody. Formulas: docs/evaluation.md. */
#ifndef OQ_EVAL_COX_H
#define OQ_EVAL_COX_H

#include "eval/matrix.h"
#include "eval/survival.h"

#define OQ_COX_COLUMNS 64

/* Events at the same time: Efron's (R's default) or Breslow's approximation of the unknown order. */
typedef enum oq_cox_ties { OQ_COX_EFRON = 0, OQ_COX_BRESLOW } oq_cox_ties;

typedef struct oq_cox_coefficient {
	double b, se, z, p; /* log hazard ratio for one unit; Wald test */
} oq_cox_coefficient;

typedef struct oq_cox {
	oq_cox_coefficient coefficient[OQ_COX_COLUMNS];
	double likelihood_null, likelihood; /* log partial */
	double p;                           /* likelihood ratio test of all columns */
	int columns, iterations;
	int64_t events;
} oq_cox;

/* x [count][columns], 1 to OQ_COX_COLUMNS. OQ_E_INPUT: E_CONSTANT (a column does not vary), E_COLLINEAR (one follows from others), E_SEPARATION (a
 * combination of the columns has all events in order: the best coefficient is infinite), E_EVENTS (none). */
oq_status oq_cox_fit(const oq_survival *survival, const double *x, int columns, oq_cox_ties ties, oq_cox *out, oq_error *err);

/* With many columns: minus log likelihood (Efron) plus ridge/2 |b|^2 over columns scaled to variance 1. row[survival->count]: rows of x that the
 * cases are. b [x->columns] is where it starts (zeros, or a neighbouring ridge's answer) and becomes the answer for x as it is: a case's risk is b.x.
 * ridge > 0. The result does not depend on the number of threads. */
typedef struct oq_cox_ridge {
	const oq_matrix *x;
	const int64_t *row;
	double ridge;
	int threads;
} oq_cox_ridge;
oq_status oq_cox_ridge_fit(const oq_survival *survival, const oq_cox_ridge *ridge, double *b, oq_error *err);
/* Log partial likelihood (Efron) of risks that were found elsewhere. */
oq_status oq_cox_likelihood(const oq_survival *survival, const double *risk, double *likelihood, oq_error *err);

#endif
