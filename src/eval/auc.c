#include "eval/auc.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>

typedef struct ranked {
	double value;
	int64_t index;
} ranked;

static int ascending(const void *a, const void *b)
{
	double x = ((const ranked *)a)->value, y = ((const ranked *)b)->value;
	return (x > y) - (x < y);
}

/* rank[index] = midrank among the `count` entries of room. */
static void midranks(ranked *room, int64_t count, double *rank)
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

/* The structural components: part[i] is, of a positive case, the share of negatives below it, of a negative one that of positives above
 * it. all, own: [count] */
static void components(const double *score, const bool *label, int64_t count, ranked *room, double *all, double *own, double *part)
{
	int64_t positive = 0;
	for (int64_t i = 0; i < count; i++) {
		room[i] = (ranked){score[i], i};
		positive += label[i];
	}
	midranks(room, count, all);
	for (int which = 0; which < 2; which++) {
		int64_t n = 0;
		for (int64_t i = 0; i < count; i++)
			if (label[i] == (which == 1))
				room[n++] = (ranked){score[i], i};
		midranks(room, n, own);
	}
	int64_t negative = count - positive;
	for (int64_t i = 0; i < count; i++) {
		double others = all[i] - own[i];
		part[i] = label[i] ? others / (double)negative : 1 - others / (double)positive;
	}
}

static double mean_of(const double *part, const bool *label, int64_t count, bool which)
{
	double sum = 0;
	int64_t n = 0;
	for (int64_t i = 0; i < count; i++)
		if (label[i] == which) {
			sum += part[i];
			n++;
		}
	return sum / (double)n;
}

static double covariance_of(const double *a, const double *b, const bool *label, int64_t count, bool which)
{
	double ma = mean_of(a, label, count, which), mb = mean_of(b, label, count, which), sum = 0;
	int64_t n = 0;
	for (int64_t i = 0; i < count; i++)
		if (label[i] == which) {
			sum += (a[i] - ma) * (b[i] - mb);
			n++;
		}
	return n > 1 ? sum / (double)(n - 1) / (double)n : NAN;
}

static oq_status check(const double *score, const bool *label, int64_t count, oq_auc *out, oq_error *err)
{
	*out = (oq_auc){0};
	for (int64_t i = 0; i < count; i++) {
		if (!isfinite(score[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "AUC: score %lld is %g, expected a finite number", (long long)i, score[i]);
		out->positive += label[i];
		out->negative += !label[i];
	}
	if (!out->positive || !out->negative)
		return oq_fail(err, OQ_E_INPUT, "E_LABELS", "AUC: %lld positive and %lld negative cases, expected some of each", (long long)out->positive,
			(long long)out->negative);
	return OQ_OK;
}

/* room for components of one score */
typedef struct workspace {
	ranked *room;
	double *all, *own, *a, *b;
} workspace;

static oq_status open_workspace(int64_t count, workspace *w, oq_error *err)
{
	size_t n = (size_t)count;
	*w = (workspace){.room = oq_alloc(n * sizeof *w->room), .all = oq_alloc(4 * n * sizeof *w->all)};
	if (!w->room || !w->all)
		return oq_fail_memory(err, "AUC", n * sizeof *w->room);
	w->own = w->all + n;
	w->a = w->own + n;
	w->b = w->a + n;
	return OQ_OK;
}

static void close_workspace(workspace *w)
{
	oq_free(w->room);
	oq_free(w->all);
}

static void finish(const double *part, const bool *label, int64_t count, oq_auc *out)
{
	out->auc = mean_of(part, label, count, true);
	out->variance = covariance_of(part, part, label, count, true) + covariance_of(part, part, label, count, false);
}

oq_status oq_auc_measure(const double *score, const bool *label, int64_t count, oq_auc *out, oq_error *err)
{
	workspace w;
	OQ_TRY(check(score, label, count, out, err));
	oq_status status = open_workspace(count, &w, err);
	if (status == OQ_OK) {
		components(score, label, count, w.room, w.all, w.own, w.a);
		finish(w.a, label, count, out);
	}
	close_workspace(&w);
	return status;
}

oq_status oq_auc_compare(const double *a, const double *b, const bool *label, int64_t count, oq_auc_pair *out, oq_error *err)
{
	workspace w;
	OQ_TRY(check(a, label, count, &out->a, err));
	OQ_TRY(check(b, label, count, &out->b, err));
	oq_status status = open_workspace(count, &w, err);
	if (status == OQ_OK) {
		components(a, label, count, w.room, w.all, w.own, w.a);
		components(b, label, count, w.room, w.all, w.own, w.b);
		finish(w.a, label, count, &out->a);
		finish(w.b, label, count, &out->b);
		out->covariance = covariance_of(w.a, w.b, label, count, true) + covariance_of(w.a, w.b, label, count, false);
		double variance = out->a.variance + out->b.variance - 2 * out->covariance;
		out->difference = out->b.auc - out->a.auc;
		out->se = variance > 0 ? sqrt(variance) : 0;
		out->z = out->se > 0 ? out->difference / out->se : 0;
		out->p = 2 * oq_normal_cdf(-fabs(out->z));
	}
	close_workspace(&w);
	return status;
}

double oq_auc_noninferiority(const oq_auc_pair *pair, double margin)
{
	if (pair->se > 0)
		return oq_normal_cdf(-(pair->difference + margin) / pair->se);
	return pair->difference > -margin ? 0 : 1;
}

double oq_normal_cdf(double x)
{
	return 0.5 * erfc(-x / sqrt(2));
}
