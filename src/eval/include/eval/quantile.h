/* Quantiles by linear interpolation between order statistics (numpy's default). */
#ifndef OQ_EVAL_QUANTILE_H
#define OQ_EVAL_QUANTILE_H

#include <stdint.h>

void oq_sort_doubles(double *values, int64_t count);
/* `sorted` ascending, count at least 1, share of 0 to 1. */
double oq_quantile(const double *sorted, int64_t count, double share);

#endif
