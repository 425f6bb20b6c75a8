/* Mean ranks by one sort, and Spearman's correlation as Pearson's of them. */
#include "eval/rank.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	double x = ((const oq_ranked *)a)->value, y = ((const oq_ranked *)b)->value;
	return (x > y) - (x < y);
}

void oq_midranks(oq_ranked *room, int64_t count, double *rank)
{
	qsort(room, (size_t)count, sizeof *room, ascending);
	for (int64_t first = 0; first < count;) {
		int64_t last = first + 1;
		while (last < count && !(room[last].value > room[first].value))
			last++;
		for (int64_t i = first; i < last; i++)
			rank[room[i].index] = 0.5 * (double)(first + last + 1);
		first = last;
	}
}

oq_status oq_rank(double *values, int64_t count, oq_error *err)
{
	oq_ranked *room = oq_alloc((size_t)count * sizeof *room);
	if (!room)
		return oq_fail_memory(err, "ranks", (size_t)count * sizeof *room);
	for (int64_t i = 0; i < count; i++)
		room[i] = (oq_ranked){values[i], i};
	oq_midranks(room, count, values);
	oq_free(room);
	return OQ_OK;
}

double oq_correlation(const double *a, const double *b, int64_t count)
{
	double ma = 0, mb = 0, aa = 0, bb = 0, ab = 0;
	for (int64_t i = 0; i < count; i++) {
		ma += a[i] / (double)count;
		mb += b[i] / (double)count;
	}
	for (int64_t i = 0; i < count; i++) {
		aa += (a[i] - ma) * (a[i] - ma);
		bb += (b[i] - mb) * (b[i] - mb);
		ab += (a[i] - ma) * (b[i] - mb);
	}
	return aa > 0 && bb > 0 ? ab / sqrt(aa * bb) : NAN;
}

oq_status oq_spearman(const float *a, const float *b, int64_t count, double *out, oq_error *err)
{
	double *x = oq_alloc(2 * (size_t)count * sizeof *x), *y = x + count;
	if (!x)
		return oq_fail_memory(err, "ranks", 2 * (size_t)count * sizeof *x);
	for (int64_t i = 0; i < count; i++) {
		x[i] = (double)a[i];
		y[i] = (double)b[i];
	}
	oq_status status = oq_rank(x, count, err);
	if (status == OQ_OK)
		status = oq_rank(y, count, err);
	if (status == OQ_OK)
		*out = oq_correlation(x, y, count);
	oq_free(x);
	return status;
}
