/* The bootstrap: rows, rows by label, or patients with all their rows drawn again with replacement. A resample is a pure function of the seed
 * and its number, so that neither threads nor the order matter. The draws are those of docs/evaluation.md. */
#ifndef OQ_EVAL_BOOTSTRAP_H
#define OQ_EVAL_BOOTSTRAP_H

#include "core/error.h"

#include <stdint.h>

typedef struct oq_bootstrap {
	int64_t rows;
	const bool *label;     /* [rows]: positives, then negatives, as many of each as there are; or NULL */
	const int64_t *group;  /* [rows]: patients instead of rows, in ascending order of this number; or NULL. Not both. */
	uint64_t seed;
	int resamples;
	int threads;           /* at least 1 */
} oq_bootstrap;

/* Figures of the drawn rows (with repetition) into values[figures]. NaN as the first value: not defined for this resample (one class only, no
 * event): another one is drawn. Called from several threads. */
typedef oq_status (*oq_statistic)(void *context, const int64_t *row, int64_t count, double *values, oq_error *err);

/* draws [figures][resamples]; *redraws (may be NULL): how many resamples had to be drawn again. OQ_E_INPUT when a statistic is hardly ever defined. */
oq_status oq_bootstrap_run(const oq_bootstrap *plan, oq_statistic statistic, void *context, int figures, double *draws, int64_t *redraws, oq_error *err);

typedef struct oq_interval {
	double low, high;
} oq_interval;
/* Percentile interval of one figure's draws, e.g. level 0.95; sorts them. */
oq_interval oq_bootstrap_interval(double *draws, int resamples, double level);

#endif
