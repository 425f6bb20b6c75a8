/* Area under the ROC curve and what may be said of two of them on the same cases (DeLong, DeLong and Clarke-Pearson 1988). */
#ifndef OQ_EVAL_AUC_H
#define OQ_EVAL_AUC_H

#include "eval/bootstrap.h"

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
/* The same when a patient has several cases (Obuchowski 1997): group[count], equal for cases of one patient; NULL: every case its own. */
oq_status oq_auc_compare_patients(const double *a, const double *b, const bool *label, const int64_t *group, int64_t count, oq_auc_pair *out,
	oq_error *err);
/* One-sided p of "b is worse than a by `margin` or more"; small = not inferior. */
double oq_auc_noninferiority(const oq_auc_pair *pair, double margin);
/* p of "the difference is `margin` or more, either way" (two one-sided tests); small = equivalent. */
double oq_auc_equivalence(const oq_auc_pair *pair, double margin);
/* AUC -+ z se, which may leave 0 to 1; and the same on the scale of log odds, which cannot (NaN at 0 and 1). */
oq_interval oq_auc_interval(const oq_auc *auc, double level);
oq_interval oq_auc_logit_interval(const oq_auc *auc, double level);

#endif
