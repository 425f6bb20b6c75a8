/* Order statistics. */
#include "eval/quantile.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

void oq_sort_doubles(double *values, int64_t count)
{
	qsort(values, (size_t)count, sizeof *values, ascending);
}

double oq_quantile(const double *sorted, int64_t count, double share)
{
	double at = share * (double)(count - 1);
	int64_t low = (int64_t)floor(at);
	int64_t high = low + 1 < count ? low + 1 : low;
	return sorted[low] + (at - (double)low) * (sorted[high] - sorted[low]);
}
