/* Do embeddings of the same lesions come out the same again: in a second scan, from a moved seed, under a perturbation? Formulas:
 * docs/robustness.md. The results do not depend on the number of threads. */
#ifndef OQ_EVAL_RELIABILITY_H
#define OQ_EVAL_RELIABILITY_H

#include "eval/matrix.h"

typedef struct oq_icc {
	double agreement;   /* ICC(2,1): two-way random effects, absolute agreement, one measurement */
	double consistency; /* ICC(3,1): two-way mixed effects, consistency, one measurement */
} oq_icc;
/* values [subjects][sessions], both at least 2; NaN when nothing varies. */
oq_icc oq_icc_measure(const double *values, int64_t subjects, int64_t sessions);

/* One dimension of the embedding. Pairs are (test, retest); with several retests, all of them. */
typedef struct oq_reliability_dimension {
	oq_icc icc;
	double ccc;             /* Lin's concordance, moments with 1/n */
	double bias, sd;        /* Bland-Altman: of retest - test, n-1 */
	double low, high;       /* limits of agreement, bias -+ 1.96 sd */
	double sem, repeatability; /* sqrt(mean d^2/2), and 1.96 sqrt(2) of that */
} oq_reliability_dimension;

/* A mean over subjects with the 95 % interval of a bootstrap over subjects. */
typedef struct oq_estimate {
	double value, low, high;
} oq_estimate;

typedef struct oq_distribution {
	double mean, median, p5, p95;
} oq_distribution;

typedef struct oq_reliability {
	int64_t subjects, retests, constant_dimensions;
	oq_estimate cosine, centred_cosine;  /* of test and retest; centred: minus the mean of all rows of both */
	double cosine_min, centred_cosine_min;
	oq_estimate identification;          /* share of subjects whose own retest is the nearest (Euclidean; a tie counts as its share) */
	oq_estimate discriminability;        /* chance that the own retest is nearer than another subject's; ties half */
	oq_distribution icc_agreement, icc_consistency, ccc; /* over dimensions that vary */
	double share_good, share_excellent;  /* of those dimensions: ICC(2,1) of at least 0.75, 0.9 (Koo and Li 2016) */
} oq_reliability;

/* `retest` has as many rows as `test`, or a multiple: retest after retest. At least 3 subjects, finite values. dimensions [columns]. */
oq_status oq_reliability_measure(const oq_matrix *test, const oq_matrix *retest, int threads, oq_reliability_dimension *dimensions, oq_reliability *out,
	oq_error *err);

#endif
