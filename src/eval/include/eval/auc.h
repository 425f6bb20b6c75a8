/* Area under the ROC curve and what may be said of two of them on the same cases (DeLong, DeLong and Clarke-Pearson 1988). */
#ifndef OQ_EVAL_AUC_H
#define OQ_EVAL_AUC_H

#include "core/error.h"

#include <stdint.h>

typedef struct oq_auc {
	double auc, variance;  /* ties count half */
	int64_t positive, negative;
} oq_auc;

/* label[i] is positive or not; needs one of each, two for a variance. OQ_E_INPUT otherwise. */
oq_status oq_auc_measure(const double *score, const bool *label, int64_t count, oq_auc *out, oq_error *err);

typedef struct oq_auc_pair {
	oq_auc a, b;
	double covariance;
	double difference, se;  /* b - a */
	double z, p;            /* of no difference, two-sided */
} oq_auc_pair;

/* Two scores of the same cases. */
oq_status oq_auc_compare(const double *a, const double *b, const bool *label, int64_t count, oq_auc_pair *out, oq_error *err);
/* One-sided p of "b is worse than a by `margin` or more"; small = not inferior. */
double oq_auc_noninferiority(const oq_auc_pair *pair, double margin);
double oq_normal_cdf(double x);

#endif
