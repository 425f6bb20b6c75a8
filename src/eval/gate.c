#include "eval/gate.h"

#include "core/mem.h"
#include "eval/quantile.h"

#include <math.h>
#include <string.h>

#define RESAMPLES 1000
#define PROBE 15

oq_gate_limits oq_gate_defaults(bool strict)
{
	oq_gate_limits limits = {.centred_min = 0.98, .centred_p1 = 0.99, .centred_median = 0.995, .noise_ratio = 0.05, .bias_max = 0.1,
		.ccc_median = 0.99, .ccc_min = 0.95, .slope = 0.01, .recall10 = 0.95, .recall10_p5 = 0.8, .excess_loss = 0.25, .auc_margin = 0.02,
		.patches = 200, .positives = 20};
	if (strict) {
		limits.centred_min = limits.centred_p1 = limits.centred_median = 0.999;
		limits.noise_ratio = 0.001;
		limits.recall10 = 0.99;
	}
	return limits;
}

static void find(oq_gate_result *out, bool fails, const char *code, double value, double limit)
{
	if (fails && out->finding_count < OQ_GATE_FINDINGS)
		out->findings[out->finding_count++] = (oq_finding){code, value, limit};
}

static void at_least(oq_gate_result *out, const char *code, double value, double limit)
{
	find(out, !(value >= limit), code, value, limit);
}

static void at_most(oq_gate_result *out, const char *code, double value, double limit)
{
	find(out, !(value <= limit), code, value, limit);
}

static double squared_distance(const float *a, const float *b, int64_t n)
{
	double sum = 0;
	for (int64_t d = 0; d < n; d++)
		sum += ((double)a[d] - (double)b[d]) * ((double)a[d] - (double)b[d]);
	return sum;
}

static uint64_t mix(uint64_t z)
{
	z += 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return z ^ z >> 31;
}

/* sum(error) / sum(noise) over units (patients, or rows), and its upper 95 % bound when units are drawn again with replacement. */
static void ratio_bound(const double *error, const double *noise, int64_t units, double *room, double *ratio, double *upper)
{
	double errors = 0, noises = 0;
	for (int64_t u = 0; u < units; u++) {
		errors += error[u];
		noises += noise[u];
	}
	*ratio = errors / noises;
	for (int64_t b = 0; b < RESAMPLES; b++) {
		errors = noises = 0;
		for (int64_t u = 0; u < units; u++) {
			int64_t pick = (int64_t)(mix((uint64_t)(b * units + u)) % (uint64_t)units);
			errors += error[pick];
			noises += noise[pick];
		}
		room[b] = noises > 0 ? errors / noises : INFINITY;
	}
	oq_sort_doubles(room, RESAMPLES);
	*upper = oq_quantile(room, RESAMPLES, 0.95);
}

/* Which unit each row belongs to, 0, 1, ...; returns their number. */
static int64_t number_units(const oq_gate_input *in, int64_t *unit)
{
	int64_t rows = in->reference.rows, count = 0;
	for (int64_t r = 0; r < rows; r++) {
		int64_t same = -1;
		for (int64_t k = 0; k < r && in->group && same < 0; k++)
			if (in->group[k] == in->group[r])
				same = unit[k];
		unit[r] = same >= 0 ? same : count++;
	}
	return count;
}

/* Variance of a yardstick: half the squared distance of a pair of equals. `other` has a multiple of the reference's rows. */
static oq_status measure_noise(const oq_gate_input *in, const oq_matrix *other, double *ratio, double *upper, oq_error *err)
{
	int64_t rows = in->reference.rows, n = in->reference.columns, draws = other->rows / rows;
	double *error = oq_calloc((size_t)(2 * rows), sizeof *error), *noise = error + rows, *room = oq_alloc(RESAMPLES * sizeof *room);
	int64_t *unit = oq_alloc((size_t)rows * sizeof *unit);
	oq_status status = error && room && unit ? OQ_OK : oq_fail_memory(err, "gate", (size_t)rows * sizeof *error);
	if (status == OQ_OK) {
		int64_t units = number_units(in, unit);
		for (int64_t r = 0; r < rows; r++) {
			const float *x = oq_matrix_row(&in->reference, r);
			error[unit[r]] += squared_distance(oq_matrix_row(&in->candidate, r), x, n);
			for (int64_t d = 0; d < draws; d++)
				noise[unit[r]] += squared_distance(oq_matrix_row(other, d * rows + r), x, n) / 2 / (double)draws;
		}
		ratio_bound(error, noise, units, room, ratio, upper);
	}
	oq_free(error);
	oq_free(room);
	oq_free(unit);
	return status;
}

static oq_status check_yardstick(const oq_gate_input *in, const oq_matrix *other, const char *what, bool once, const char *where, oq_error *err)
{
	bool fits = other->columns == in->reference.columns && other->rows > 0 && other->rows % in->reference.rows == 0
		&& (!once || other->rows == in->reference.rows);
	return fits ? OQ_OK : oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: the %s is %lld x %lld, expected %s%lld rows of %lld", where, what, (long long)other->rows,
		(long long)other->columns, once ? "" : "a multiple of ", (long long)in->reference.rows, (long long)in->reference.columns);
}

/* Overall slope of the candidate on the reference, both minus their mean rows. */
static double slope_of(const oq_matrix *x, const oq_matrix *q)
{
	double xx = 0, xq = 0;
	for (int64_t d = 0; d < x->columns; d++) {
		double mx = 0, mq = 0;
		for (int64_t r = 0; r < x->rows; r++) {
			mx += (double)oq_matrix_row(x, r)[d] / (double)x->rows;
			mq += (double)oq_matrix_row(q, r)[d] / (double)x->rows;
		}
		for (int64_t r = 0; r < x->rows; r++) {
			double a = (double)oq_matrix_row(x, r)[d] - mx;
			xx += a * a;
			xq += a * ((double)oq_matrix_row(q, r)[d] - mq);
		}
	}
	return xx > 0 ? xq / xx : NAN;
}

/* Share of positive labels among the nearest rows of other patients. */
static void probe(const oq_gate_input *in, const int32_t *nearest, int64_t k, double *score)
{
	for (int64_t r = 0; r < in->reference.rows; r++) {
		int64_t used = 0, positive = 0;
		for (int64_t i = 0; i < k && used < PROBE; i++) {
			int32_t other = nearest[r * k + i];
			if (in->group && in->group[other] == in->group[r])
				continue;
			positive += in->label[other];
			used++;
		}
		score[r] = used ? (double)positive / (double)used : 0.5;
	}
}

static oq_status measure_endpoint(const oq_gate_input *in, oq_gate_result *out, oq_error *err)
{
	int64_t rows = in->reference.rows, k = rows - 1 < 4 * PROBE ? rows - 1 : 4 * PROBE; /* more than the probe uses: its own patient's rows fall out */
	int32_t *nearest = oq_alloc((size_t)(rows * k) * sizeof *nearest);
	double *scores = oq_alloc((size_t)(3 * rows) * sizeof *scores);
	oq_status status = nearest && scores ? OQ_OK : oq_fail_memory(err, "gate", (size_t)(rows * k) * sizeof *nearest);
	const struct { const oq_matrix *queries, *gallery; } runs[] = {{&in->reference, &in->reference}, {&in->candidate, &in->reference},
		{&in->candidate, &in->candidate}};
	for (int i = 0; i < 3 && status == OQ_OK; i++) {
		status = oq_nearest(runs[i].queries, runs[i].gallery, k, in->threads, nearest, err);
		if (status == OQ_OK)
			probe(in, nearest, k, scores + i * rows);
	}
	if (status == OQ_OK)
		status = oq_auc_compare(scores, scores + rows, in->label, rows, &out->old_probe, err);
	if (status == OQ_OK)
		status = oq_auc_compare(scores, scores + 2 * rows, in->label, rows, &out->new_probe, err);
	out->endpoint = status == OQ_OK;
	double se = out->old_probe.se > out->new_probe.se ? out->old_probe.se : out->new_probe.se;
	out->detectable_margin = 2.49 * se; /* 80 % power at a one-sided 5 %: 1.645 + 0.842 */
	oq_free(nearest);
	oq_free(scores);
	return status;
}

static oq_status measure_retest_recall(const oq_gate_input *in, const char *where, oq_gate_result *out, oq_error *err)
{
	oq_fidelity again;
	OQ_TRY(oq_fidelity_measure(&in->reference, &in->retest, where, in->threads, &again, err));
	out->retest_recall10 = again.recall_mean[2];
	return OQ_OK;
}

/* Returns whether the power is enough. */
static bool judge_endpoint(const oq_gate_limits *limits, oq_gate_result *out)
{
	double margin = limits->auc_margin;
	const oq_auc_pair *pairs[] = {&out->old_probe, &out->new_probe};
	bool powered = out->old_probe.a.positive >= limits->positives && out->detectable_margin <= margin;
	for (int i = 0; i < 2; i++) {
		double p = oq_auc_noninferiority(pairs[i], margin) * 2; /* Holm's first step over the two probes */
		/* A difference that is itself beyond the margin fails; one that cannot be told from it is underpowered. */
		find(out, pairs[i]->difference < -margin || (powered && p > 0.05), i ? "F6_NEW_PROBE" : "F6_OLD_PROBE", pairs[i]->difference, -margin);
	}
	return powered;
}

static void judge(const oq_gate_input *in, const oq_gate_limits *limits, oq_gate_result *out)
{
	const oq_fidelity *f = &out->fidelity;
	at_least(out, "F1_CENTRED_MIN", f->centred_min, limits->centred_min);
	at_least(out, "F1_CENTRED_P1", f->centred_p1, limits->centred_p1);
	at_least(out, "F1_CENTRED_MEDIAN", f->centred_median, limits->centred_median);
	if (in->retest.data)
		at_most(out, "F2_RETEST", out->retest_upper, limits->noise_ratio);
	if (in->jitter.data)
		at_most(out, "F2_JITTER", out->jitter_upper, limits->noise_ratio);
	at_most(out, "F3_BIAS", f->bias_z_max, limits->bias_max);
	at_least(out, "F3_CCC_MEDIAN", f->ccc_median, limits->ccc_median);
	at_least(out, "F3_CCC_MIN", f->ccc_min, limits->ccc_min);
	at_most(out, "F3_SLOPE", fabs(out->slope - 1), limits->slope);
	if (!isnan(f->recall_mean[2])) {
		at_least(out, "F4_RECALL10", f->recall_mean[2], limits->recall10);
		at_least(out, "F4_RECALL10_P5", f->recall10_p5, limits->recall10_p5);
		at_least(out, "F4_CROSS10", f->cross_mean[2], limits->recall10);
	}
	if (in->retest.data && !isnan(out->retest_recall10))
		at_most(out, "F4_EXCESS", 1 - f->recall_mean[2], limits->excess_loss * (1 - out->retest_recall10));
	bool powered = in->reference.rows >= limits->patches;
	if (out->endpoint)
		powered = judge_endpoint(limits, out) && powered;
	bool yardstick = in->retest.data || in->jitter.data;
	out->verdict = out->finding_count ? OQ_VERDICT_FAIL : !powered ? OQ_VERDICT_UNDERPOWERED : !yardstick ? OQ_VERDICT_NO_YARDSTICK : OQ_VERDICT_PASS;
}

oq_status oq_gate_run(const oq_gate_input *in, const oq_gate_limits *limits, const char *where, oq_gate_result *out, oq_error *err)
{
	*out = (oq_gate_result){.retest_ratio = NAN, .retest_upper = NAN, .jitter_ratio = NAN, .jitter_upper = NAN, .retest_recall10 = NAN};
	OQ_TRY(oq_fidelity_measure(&in->reference, &in->candidate, where, in->threads, &out->fidelity, err));
	if (in->reference.rows >= 4)
		OQ_TRY(oq_similarity_measure(&in->reference, &in->candidate, in->threads, &out->geometry, err));
	out->slope = slope_of(&in->reference, &in->candidate);
	if (in->retest.data) {
		OQ_TRY(check_yardstick(in, &in->retest, "retest", true, where, err));
		OQ_TRY(measure_noise(in, &in->retest, &out->retest_ratio, &out->retest_upper, err));
		OQ_TRY(measure_retest_recall(in, where, out, err));
	}
	if (in->jitter.data) {
		OQ_TRY(check_yardstick(in, &in->jitter, "jitter", false, where, err));
		OQ_TRY(measure_noise(in, &in->jitter, &out->jitter_ratio, &out->jitter_upper, err));
	}
	if (in->label)
		OQ_TRY(measure_endpoint(in, out, err));
	judge(in, limits, out);
	return OQ_OK;
}

const char *oq_verdict_name(oq_verdict verdict)
{
	static const char *const names[] = {"PASS", "PASS (no yardstick)", "UNDERPOWERED", "FAIL"};
	return names[verdict];
}
