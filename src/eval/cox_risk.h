/* Cox's partial likelihood as a function of the cases' risks (linear predictors) alone: its value, gradient and curvature in O(n). What the
 * columns are, and how many, is the caller's. */
#ifndef OQ_EVAL_COX_RISK_H
#define OQ_EVAL_COX_RISK_H

#include "eval/cox.h"

typedef struct oq_cox_risk oq_cox_risk;

/* Keeps a view of `survival`. OQ_E_INPUT without events. */
oq_status oq_cox_risk_open(const oq_survival *survival, oq_cox_ties ties, oq_cox_risk **out, oq_error *err);
void oq_cox_risk_close(oq_cox_risk *risk);
int64_t oq_cox_risk_events(const oq_cox_risk *risk);
/* Log partial likelihood at eta [count]; what the others answer from then on. -INFINITY where double has no numbers for it. */
double oq_cox_risk_set(oq_cox_risk *risk, const double *eta);
void oq_cox_risk_gradient(const oq_cox_risk *risk, double *gradient);
/* product = minus second derivative times u; [count] each. */
void oq_cox_risk_curvature(oq_cox_risk *risk, const double *u, double *product);

#endif
