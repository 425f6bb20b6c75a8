/* The verdict: every figure beside its limit. */
#include "gate_parts.h"

#include "core/mem.h"
#include "eval/bootstrap.h"
#include "eval/groups.h"

#include <math.h>
#include <string.h>

#define RESAMPLES 1000

oq_gate_limits oq_gate_defaults(bool strict)
{
	oq_gate_limits limits = {.centred_min = 0.98, .centred_p1 = 0.99, .centred_median = 0.995, .noise_ratio = 0.05,
		.dimension_ratio = 0.25, .dimension_share = 0.01, .icc_drop_median = 0.005, .icc_drop_max = 0.03, .bias_max = 0.1, .ccc_median = 0.99, .ccc_min = 0.95,
		.slope = 0.01, .bias_equivalence = 0.05, .recall10 = 0.95, .recall10_p5 = 0.8, .excess_loss = 0.25, .cka = 0.999, .rsa = 0.995, .rotation = 0.03,
		.auc_margin = 0.02, .flips = 0.02, .calibration = 0.05, .patches = 200, .positives = 20};
	if (strict) {
		limits.centred_min = limits.centred_p1 = limits.centred_median = 0.999;
		limits.noise_ratio = 0.001;
		limits.recall10 = 0.99;
	}
	return limits;
}

void oq_gate_find(oq_gate_result *out, const char *code, double value, double limit)
{
	if (out->finding_count < OQ_GATE_FINDINGS)
		out->findings[out->finding_count++] = (oq_finding){code, value, limit};
	out->verdict = OQ_VERDICT_FAIL;
}

static void at_least(oq_gate_result *out, const char *code, double value, double limit)
{
	if (!(value >= limit))
		oq_gate_find(out, code, value, limit);
}

static void at_most(oq_gate_result *out, const char *code, double value, double limit)
{
	if (!(value <= limit))
		oq_gate_find(out, code, value, limit);
}

static double squared_distance(const float *a, const float *b, int64_t n)
{
	double sum = 0;
	for (int64_t d = 0; d < n; d++)
		sum += ((double)a[d] - (double)b[d]) * ((double)a[d] - (double)b[d]);
	return sum;
}

/* sum(error) / sum(noise) of each unit (patient, or row) that was drawn. */
typedef struct unit_sums {
	const double *error, *noise;
} unit_sums;

static oq_status ratio_of_units(void *context, const int64_t *unit, int64_t count, double *values, oq_error *err)
{
	const unit_sums *sums = context;
	double errors = 0, noises = 0;
	(void)err;
	for (int64_t i = 0; i < count; i++) {
		errors += sums->error[unit[i]];
		noises += sums->noise[unit[i]];
	}
	values[0] = noises > 0 ? errors / noises : NAN;
	return OQ_OK;
}

int64_t oq_gate_units(const oq_gate_input *in, int64_t *unit)
{
	int64_t rows = in->reference.rows;
	for (int64_t r = 0; r < rows && !in->group; r++)
		unit[r] = r;
	return in->group ? oq_groups_number(in->group, rows, unit + rows, unit) : rows;
}

/* Variance of a yardstick: half the squared distance of a pair of equals. `other` has a multiple of the reference's rows. The bound is the upper
 * 95 % one of the bootstrap over units. */
static oq_status measure_noise(const oq_gate_input *in, const oq_matrix *other, double *ratio, double *upper, oq_error *err)
{
	int64_t rows = in->reference.rows, n = in->reference.columns, draws = other->rows / rows;
	double *error = oq_calloc((size_t)(2 * rows), sizeof *error), *noise = error + rows, *room = oq_alloc(RESAMPLES * sizeof *room);
	int64_t *unit = oq_alloc((size_t)(2 * rows) * sizeof *unit), units = 0;
	oq_status status = error && room && unit ? OQ_OK : oq_fail_memory(err, "gate", (size_t)rows * sizeof *error);
	if (status == OQ_OK) {
		units = oq_gate_units(in, unit);
		for (int64_t r = 0; r < rows; r++) {
			const float *x = oq_matrix_row(&in->reference, r);
			error[unit[r]] += squared_distance(oq_matrix_row(&in->candidate, r), x, n);
			for (int64_t d = 0; d < draws; d++)
				noise[unit[r]] += squared_distance(oq_matrix_row(other, d * rows + r), x, n) / 2 / (double)draws;
		}
		double errors = 0, noises = 0;
		for (int64_t u = 0; u < units; u++) {
			errors += error[u];
			noises += noise[u];
		}
		*ratio = *upper = errors / noises; /* infinite, or NaN, when nothing varies by itself: no limit holds then */
		unit_sums sums = {error, noise};
		const oq_bootstrap plan = {.rows = units, .resamples = RESAMPLES, .threads = in->threads};
		if (noises > 0)
			status = oq_bootstrap_run(&plan, ratio_of_units, &sums, 1, room, NULL, err);
		if (noises > 0 && status == OQ_OK)
			*upper = oq_bootstrap_interval(room, RESAMPLES, 0.9).high;
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

static oq_status measure_retest_recall(const oq_gate_input *in, const char *where, oq_gate_result *out, oq_error *err)
{
	oq_fidelity again;
	OQ_TRY(oq_fidelity_measure(&in->reference, &in->retest, where, in->threads, &again, err));
	out->retest_recall10 = again.recall_mean[2];
	return OQ_OK;
}

static void lack(oq_gate_result *out, const char *code, double value, double limit)
{
	out->shortages[out->shortage_count++] = (oq_finding){code, value, limit};
}

void oq_gate_remark(oq_gate_result *out, const char *code, double value, double limit)
{
	out->remarks[out->remark_count++] = (oq_finding){code, value, limit};
}

static void judge_probe(const oq_gate_limits *limits, const oq_gate_endpoint_result *e, const oq_gate_probe *probe, bool powered, oq_gate_result *out)
{
	static const char *const codes[3][2] = {{"F6_KNN_OLD", "F6_KNN_NEW"}, {"F6_LOGISTIC_OLD", "F6_LOGISTIC_NEW"}, {"F6_COX_OLD", "F6_COX_NEW"}};
	static const char *const unshown[3][2] = {{"F6_KNN_OLD_P", "F6_KNN_NEW_P"}, {"F6_LOGISTIC_OLD_P", "F6_LOGISTIC_NEW_P"}, {"F6_COX_OLD_P", "F6_COX_NEW_P"}};
	int kind = e->survival ? 2 : probe->kind[0] == 'l';
	/* A difference that is itself beyond the margin fails; so does one that enough cases do not show to be within; of too few cases nothing is said. */
	if (probe->difference < -limits->auc_margin)
		oq_gate_find(out, codes[kind][probe->retrained], probe->difference, -limits->auc_margin);
	else if (powered)
		at_most(out, unshown[kind][probe->retrained], probe->p_adjusted, 0.05);
}

static void judge_endpoints(const oq_gate_limits *limits, oq_gate_result *out)
{
	int64_t fewest = INT64_MAX;
	for (int e = 0; e < out->endpoint_count; e++)
		fewest = out->endpoints[e].positives < fewest ? out->endpoints[e].positives : fewest;
	bool many = out->endpoint_count == 0 || fewest >= limits->positives, fine = out->detectable_margin <= limits->auc_margin;
	for (int e = 0; e < out->endpoint_count; e++) {
		const oq_gate_endpoint_result *one = &out->endpoints[e];
		for (int i = 0; i < one->probe_count; i++)
			judge_probe(limits, one, &one->probes[i], many && fine, out);
		if (one->survival)
			continue;
		at_most(out, "F6_FLIPS", one->flip_share, limits->flips);
		at_most(out, "F6_CALIBRATION", fabs(one->calibration_slope - 1), limits->calibration);
	}
	if (!many)
		lack(out, "U_POSITIVES", (double)fewest, (double)limits->positives);
	if (!fine)
		lack(out, "U_MARGIN", out->detectable_margin, limits->auc_margin);
}

/* F5 sees less than F1 to F4, so it never decides. Nor does what too few patches cannot show of the biases: F3_BIAS fails what is too large. */
static void judge_remarks(const oq_gate_limits *limits, oq_gate_result *out)
{
	const oq_similarity *g = &out->geometry;
	if (g->debiased_cka < limits->cka)
		oq_gate_remark(out, "F5_CKA", g->debiased_cka, limits->cka);
	if (g->rsa_spearman < limits->rsa)
		oq_gate_remark(out, "F5_RSA", g->rsa_spearman, limits->rsa);
	if (g->procrustes_angle > limits->rotation)
		oq_gate_remark(out, "F5_ROTATION", g->procrustes_angle, limits->rotation);
	if (out->bias_equivalent < 1)
		oq_gate_remark(out, "F3_EQUIVALENCE", out->bias_equivalent, 1);
}

static void judge(const oq_gate_input *in, const oq_gate_limits *limits, oq_gate_result *out)
{
	const oq_fidelity *f = &out->fidelity;
	at_least(out, "F1_CENTRED_MIN", f->centred_min, limits->centred_min);
	at_least(out, "F1_CENTRED_P1", f->centred_p1, limits->centred_p1);
	at_least(out, "F1_CENTRED_MEDIAN", f->centred_median, limits->centred_median);
	if (in->retest.data) {
		at_most(out, "F2_RETEST", out->retest_upper, limits->noise_ratio);
		at_most(out, "F2_RETEST_DIMENSIONS", out->retest_dimensions, limits->dimension_share);
	}
	if (in->jitter.data) {
		at_most(out, "F2_JITTER", out->jitter_upper, limits->noise_ratio);
		at_most(out, "F2_JITTER_DIMENSIONS", out->jitter_dimensions, limits->dimension_share);
	}
	bool yardstick = in->retest.data || in->jitter.data;
	if (yardstick && !isnan(out->icc_drop_max)) {
		at_most(out, "F2_ICC_MEDIAN", out->icc_drop_median, limits->icc_drop_median);
		at_most(out, "F2_ICC_MAX", out->icc_drop_max, limits->icc_drop_max);
	}
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
	judge_remarks(limits, out);
	judge_endpoints(limits, out);
	if (in->reference.rows < limits->patches)
		lack(out, "U_PATCHES", (double)in->reference.rows, (double)limits->patches);
	out->verdict = out->finding_count ? OQ_VERDICT_FAIL : out->shortage_count ? OQ_VERDICT_UNDERPOWERED : !yardstick ? OQ_VERDICT_NO_YARDSTICK : OQ_VERDICT_PASS;
}

oq_status oq_gate_run(const oq_gate_input *in, const oq_gate_limits *limits, const char *where, oq_gate_result *out, oq_error *err)
{
	*out = (oq_gate_result){.retest_ratio = NAN, .retest_upper = NAN, .jitter_ratio = NAN, .jitter_upper = NAN, .retest_dimensions = NAN,
		.jitter_dimensions = NAN, .icc_drop_median = NAN, .icc_drop_max = NAN, .retest_recall10 = NAN};
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
	OQ_TRY(oq_gate_dimensions(in, limits, out, err));
	OQ_TRY(oq_gate_endpoints(in, limits, out, err));
	judge(in, limits, out);
	return OQ_OK;
}

const char *oq_verdict_name(oq_verdict verdict)
{
	static const char *const names[] = {"PASS", "PASS (no yardstick)", "UNDERPOWERED", "FAIL"};
	return names[verdict];
}
