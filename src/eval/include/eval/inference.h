/* Small tests and the distributions behind them: Student's t and chi-squared, McNemar's exact test, Holm's correction, intervals of means over
 * repeated splits. Formulas: docs/evaluation.md. */
#ifndef OQ_EVAL_INFERENCE_H
#define OQ_EVAL_INFERENCE_H

#include "eval/bootstrap.h"

double oq_normal_cdf(double x);
double oq_normal_quantile(double p);                    /* 0 < p < 1 */
double oq_student_cdf(double t, double degrees);        /* degrees > 0, not necessarily whole */
double oq_student_quantile(double p, double degrees);   /* 0 < p < 1 */
double oq_chi_squared_tail(double x, double degrees);   /* P(X > x) */

/* Exact p, two-sided, of as many changes one way as the other (McNemar): b of b + c fair coins. 1 when there are none. */
double oq_mcnemar_exact(int64_t b, int64_t c);

/* Holm's step-down correction, in the order given: adjusted[i] >= p[i], at most 1. A p that is NaN stays NaN and counts for nothing. */
oq_status oq_holm(const double *p, int count, double *adjusted, oq_error *err);

/* p that a difference, estimated with standard error `se` on `degrees` of freedom (INFINITY: normal), is -margin or less; and that it is
 * outside of +-margin (two one-sided tests). se 0: 0 when within, else 1. */
double oq_noninferiority(double difference, double se, double degrees, double margin);
double oq_equivalence(double difference, double se, double degrees, double margin);

typedef struct oq_mean {
	double value, sd, se;
	oq_interval interval;
} oq_mean;
/* The mean of one figure over repeated random splits of the same cases, whose test sets overlap: variance (1/n + test/train) sd^2 with n - 1
 * degrees of freedom (Nadeau and Bengio 2003). `share`: test cases per training case; 0 gives the plain t interval. At least two values, else NaN. */
oq_mean oq_mean_of_splits(const double *values, int count, double share, double level);

#endif
