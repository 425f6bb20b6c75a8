/* Ranks, and what is computed from them. */
#ifndef OQ_EVAL_RANK_H
#define OQ_EVAL_RANK_H

#include "core/error.h"

#include <stdint.h>

typedef struct oq_ranked {
	double value;
	int64_t index; /* where its rank goes */
} oq_ranked;

/* rank[index] = rank among the `count` entries of room, from 1; equal values share the mean of theirs. Sorts room. Values are finite. */
void oq_midranks(oq_ranked *room, int64_t count, double *rank);
/* Each value becomes its rank, from 1; equal values share the mean of theirs. Values are finite. */
oq_status oq_rank(double *values, int64_t count, oq_error *err);
/* Pearson's; NaN when one side does not vary. */
double oq_correlation(const double *a, const double *b, int64_t count);
/* Spearman's, of finite values; NaN when one side does not vary. */
oq_status oq_spearman(const float *a, const float *b, int64_t count, double *out, oq_error *err);

#endif
