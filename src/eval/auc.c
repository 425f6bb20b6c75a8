#include "eval/auc.h"

#include "core/mem.h"
#include "eval/groups.h"
#include "eval/inference.h"
#include "eval/rank.h"

#include <math.h>
#include <stdlib.h>

/* The structural components: part[i] is, of a positive case, the share of negatives below it, of a negative one that of positives above
 * it. all, own: [count] */
static void components(const double *score, const bool *label, int64_t count, oq_ranked *room, double *all, double *own, double *part)
{
	int64_t positive = 0;
	for (int64_t i = 0; i < count; i++) {
		room[i] = (oq_ranked){score[i], i};
		positive += label[i];
	}
	oq_midranks(room, count, all);
	for (int which = 0; which < 2; which++) {
		int64_t n = 0;
		for (int64_t i = 0; i < count; i++)
			if (label[i] == (which == 1))
				room[n++] = (oq_ranked){score[i], i};
		oq_midranks(room, n, own);
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
	oq_ranked *room;
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

/* Sums of a score's components over each patient, minus what is expected of as many cases: own[which][patients]. */
static void sum_patients(const double *part, const bool *label, const int64_t *patient, int64_t count, const oq_auc *auc, int64_t patients, double *own)
{
	for (int64_t p = 0; p < 2 * patients; p++)
		own[p] = 0;
	for (int64_t i = 0; i < count; i++)
		own[label[i] * patients + patient[i]] += part[i] - auc->auc;
}

/* Covariance of two AUCs whose cases come in patients (Obuchowski 1997); have [2][patients]: cases of each label. */
static double patient_covariance(const double *a, const double *b, const int64_t *have, int64_t patients, const oq_auc *auc)
{
	double total[2] = {0}, cross = 0, with[2] = {0};
	const double cases[2] = {(double)auc->negative, (double)auc->positive};
	for (int64_t p = 0; p < patients; p++) {
		for (int which = 0; which < 2; which++) {
			int64_t at = which * patients + p;
			with[which] += have[at] > 0;
			total[which] += a[at] * b[at];
		}
		cross += a[p] * b[patients + p] + a[patients + p] * b[p];
	}
	double all = (double)patients, sum = cross * all / (all - 1) / cases[0] / cases[1];
	for (int which = 0; which < 2; which++)
		sum += total[which] * with[which] / (with[which] - 1) / cases[which] / cases[which];
	return with[0] > 1 && with[1] > 1 ? sum : NAN;
}

/* patient[count], 0, 1, ...: each one's number. own [4][patients], have [2][patients]. */
static void compare_patients(const workspace *w, const bool *label, const int64_t *patient, int64_t count, int64_t patients, double *own, int64_t *have,
	oq_auc_pair *out)
{
	double *a = own, *b = own + 2 * patients;
	for (int64_t p = 0; p < 2 * patients; p++)
		have[p] = 0;
	for (int64_t i = 0; i < count; i++)
		have[label[i] * patients + patient[i]]++;
	sum_patients(w->a, label, patient, count, &out->a, patients, a);
	sum_patients(w->b, label, patient, count, &out->b, patients, b);
	out->a.variance = patient_covariance(a, a, have, patients, &out->a);
	out->b.variance = patient_covariance(b, b, have, patients, &out->a);
	out->covariance = patient_covariance(a, b, have, patients, &out->a);
}

static void finish_pair(oq_auc_pair *out)
{
	double variance = out->a.variance + out->b.variance - 2 * out->covariance;
	out->difference = out->b.auc - out->a.auc;
	out->se = isnan(variance) ? NAN : variance > 0 ? sqrt(variance) : 0; /* NaN: all cases of a class are one case, or one patient's */
	out->z = out->se > 0 ? out->difference / out->se : isnan(out->se) ? NAN : 0;
	out->p = 2 * oq_normal_cdf(-fabs(out->z));
}

static oq_status group_pair(const workspace *w, const bool *label, const int64_t *group, int64_t count, oq_auc_pair *out, oq_error *err)
{
	size_t n = (size_t)count;
	int64_t *number = oq_alloc(3 * n * sizeof *number);
	double *own = oq_alloc(4 * n * sizeof *own);
	bool good = number && own;
	if (good) {
		int64_t patients = oq_groups_number(group, count, number + n, number);
		compare_patients(w, label, number, count, patients, own, number + n, out);
	}
	oq_free(number);
	oq_free(own);
	return good ? OQ_OK : oq_fail_memory(err, "AUC", 4 * n * sizeof *own);
}

oq_status oq_auc_compare_patients(const double *a, const double *b, const bool *label, const int64_t *group, int64_t count, oq_auc_pair *out,
	oq_error *err)
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
		if (group)
			status = group_pair(&w, label, group, count, out, err);
	}
	if (status == OQ_OK)
		finish_pair(out);
	close_workspace(&w);
	return status;
}

oq_status oq_auc_compare(const double *a, const double *b, const bool *label, int64_t count, oq_auc_pair *out, oq_error *err)
{
	return oq_auc_compare_patients(a, b, label, NULL, count, out, err);
}

double oq_auc_noninferiority(const oq_auc_pair *pair, double margin)
{
	return oq_noninferiority(pair->difference, pair->se, INFINITY, margin);
}

double oq_auc_equivalence(const oq_auc_pair *pair, double margin)
{
	return oq_equivalence(pair->difference, pair->se, INFINITY, margin);
}

oq_interval oq_auc_interval(const oq_auc *auc, double level)
{
	double reach = oq_normal_quantile((1 + level) / 2) * sqrt(auc->variance);
	return (oq_interval){auc->auc - reach, auc->auc + reach};
}

oq_interval oq_auc_logit_interval(const oq_auc *auc, double level)
{
	double odds = log(auc->auc / (1 - auc->auc)), reach = oq_normal_quantile((1 + level) / 2) * sqrt(auc->variance) / (auc->auc * (1 - auc->auc));
	return (oq_interval){1 / (1 + exp(reach - odds)), 1 / (1 + exp(-reach - odds))};
}
