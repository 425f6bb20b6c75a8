/* The gate on the five variants whose true state is known: bf16 and int8 are good, bad, shift and outlier are not, and why. */
#include "tables.h"

#include "eval/gate.h"

static bool has(const oq_gate_result *result, const char *code)
{
	for (int i = 0; i < result->finding_count; i++)
		if (!strcmp(result->findings[i].code, code))
			return true;
	return false;
}

static oq_gate_result run(const char *candidate, bool strict)
{
	oq_gate_input input = {.reference = read_matrix("A_m2"), .candidate = read_matrix(candidate), .threads = 2};
	/* A yardstick: the reference with what a moved seed does to it; here the "bad" variant, which is as far away. */
	input.jitter = read_matrix("A_m2_bad");
	const oq_gate_limits limits = oq_gate_defaults(strict);
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, candidate, &result, &err) == OQ_OK);
	printf("  %s: %s, error/jitter variance %.5f (below %.5f)\n", candidate, oq_verdict_name(result.verdict), result.jitter_ratio, result.jitter_upper);
	for (int i = 0; i < result.finding_count; i++)
		printf("    %s %g, limit %g\n", result.findings[i].code, result.findings[i].value, result.findings[i].limit);
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
	free_matrix(&input.jitter);
	return result;
}

static void check_yardsticks(void)
{
	oq_gate_input input = {.reference = read_matrix("A_m2"), .candidate = read_matrix("A_m2_int8"), .threads = 1};
	oq_gate_limits limits = oq_gate_defaults(false);
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK && result.verdict == OQ_VERDICT_NO_YARDSTICK);
	limits.patches = 1000;
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK && result.verdict == OQ_VERDICT_UNDERPOWERED);
	OQ_CHECK(result.shortage_count == 1 && !strcmp(result.shortages[0].code, "U_PATCHES"));
	oq_matrix jitter = input.reference;
	jitter.rows--;
	input.jitter = jitter;
	OQ_CHECK(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SHAPE"));
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
}

static oq_gate_result run_labelled(const char *candidate, const oq_gate_endpoint *endpoints, int count, const int64_t *group)
{
	oq_gate_input input = {.reference = read_matrix("A_m2"), .candidate = read_matrix(candidate), .endpoints = endpoints, .endpoint_count = count,
		.group = group, .threads = 2};
	const oq_gate_limits limits = oq_gate_defaults(false);
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, candidate, &result, &err) == OQ_OK);
	printf("  %s: %s, detectable %.4f\n", candidate, oq_verdict_name(result.verdict), result.detectable_margin);
	for (int e = 0; e < result.endpoint_count; e++) {
		const oq_gate_endpoint_result *one = &result.endpoints[e];
		for (int i = 0; i < one->probe_count; i++)
			printf("    %s %s %s: %.4f, %+.4f, se %.4f, p %.3g\n", one->name, one->probes[i].kind, one->probes[i].retrained ? "new" : "old", one->probes[i].reference,
				one->probes[i].difference, one->probes[i].se, one->probes[i].p_adjusted);
		printf("    flips %.4f (%lld up, %lld down, p %.3g), slope %.4f\n", one->flip_share, (long long)one->flips_up, (long long)one->flips_down, one->mcnemar_p,
			one->calibration_slope);
	}
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
	return result;
}

/* A margin a little wider than the worst difference: within it, but not shown to be. */
static void check_unshown(const oq_matrix *x, const oq_gate_endpoint *endpoint, const int64_t *group, const oq_gate_endpoint_result *seen)
{
	const oq_gate_probe *worst = &seen->probes[0];
	for (int i = 1; i < seen->probe_count; i++)
		worst = seen->probes[i].difference < worst->difference ? &seen->probes[i] : worst;
	oq_gate_limits limits = oq_gate_defaults(false);
	limits.auc_margin = 0.5 * worst->se - worst->difference;
	limits.positives = 1;
	oq_matrix bad = read_matrix("A_m2_bad");
	oq_gate_input input = {.reference = *x, .candidate = bad, .endpoints = endpoint, .endpoint_count = 1, .group = group, .threads = 1};
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK);
	const char *code = worst->kind[0] == 'l' ? (worst->retrained ? "F6_LOGISTIC_NEW" : "F6_LOGISTIC_OLD") : worst->retrained ? "F6_KNN_NEW" : "F6_KNN_OLD";
	char unshown[32];
	snprintf(unshown, sizeof unshown, "%s_P", code);
	OQ_CHECK(has(&result, unshown) && !has(&result, code));
	limits.auc_margin = -0.5 * worst->difference;
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK);
	OQ_CHECK(has(&result, code) && !has(&result, unshown));
	free_matrix(&bad);
}

/* A class that one dimension tells, and the golden cohort's time to an event. */
static void check_endpoints(void)
{
	oq_table *table = read_table("A_labels");
	oq_matrix x = read_matrix("A_m2");
	double *time = read_column(table, "time"), *patient = read_column(table, "patient");
	bool *event = read_labels(table, "event"), *label = oq_calloc((size_t)x.rows, sizeof *label);
	int64_t *group = oq_alloc((size_t)x.rows * sizeof *group);
	OQ_REQUIRE(label && group);
	for (int64_t r = 0; r < x.rows; r++) {
		label[r] = oq_matrix_row(&x, r)[0] > 0;
		group[r] = (int64_t)patient[r];
	}
	const oq_gate_endpoint endpoints[] = {{.name = "y", .label = label}, {.name = "time", .time = time, .event = event}};
	oq_gate_result int8 = run_labelled("A_m2_int8", endpoints, 2, group), bad = run_labelled("A_m2_bad", endpoints, 2, group),
		shift = run_labelled("A_m2_shift", endpoints, 1, group);
	OQ_CHECK(int8.endpoint_count == 2 && int8.endpoints[0].probe_count == 4 && int8.endpoints[1].probe_count == 2);
	OQ_CHECK(int8.finding_count == 0 && int8.verdict == (int8.shortage_count ? OQ_VERDICT_UNDERPOWERED : OQ_VERDICT_NO_YARDSTICK));
	OQ_CHECK(int8.endpoints[0].flip_share <= 0.02 && fabs(int8.endpoints[0].calibration_slope - 1) < 0.01 && isnan(int8.endpoints[1].calibration_slope));
	/* Holm never makes a p smaller, and the same candidate asked of itself differs by nothing. */
	for (int i = 0; i < 4; i++)
		OQ_CHECK(int8.endpoints[0].probes[i].p_adjusted >= int8.endpoints[0].probes[i].p);
	OQ_CHECK(bad.verdict == OQ_VERDICT_FAIL && has(&bad, "F6_FLIPS") && has(&bad, "F6_CALIBRATION"));
	OQ_CHECK(shift.verdict == OQ_VERDICT_FAIL);
	check_unshown(&x, endpoints, group, &bad.endpoints[0]);
	oq_gate_result same = run_labelled("A_m2", endpoints, 2, NULL);
	OQ_CHECK(same.detectable_margin <= 0 && same.endpoints[0].flips_up + same.endpoints[0].flips_down == 0 && same.finding_count == 0 && same.shortage_count == 0);
	for (int64_t r = 3; r < x.rows; r++)
		label[r] = false;
	oq_gate_input few = {.reference = x, .candidate = x, .endpoints = endpoints, .endpoint_count = 1, .threads = 1};
	const oq_gate_limits limits = oq_gate_defaults(false);
	oq_gate_result result;
	oq_error err = {0};
	OQ_CHECK(oq_gate_run(&few, &limits, "t", &result, &err) == OQ_E_INPUT && !strcmp(err.code, "E_LABELS"));
	oq_free(time);
	oq_free(patient);
	oq_free(event);
	oq_free(label);
	oq_free(group);
	oq_table_free(table);
	free_matrix(&x);
}

/* One dimension of 256 that is noise is above every limit by dimension, and below those of means. */
static void check_dimensions(void)
{
	oq_gate_input input = {.reference = read_matrix("A_m2"), .candidate = read_matrix("A_m2_int8"), .jitter = read_matrix("A_m2_bad"), .threads = 1};
	union { const float *in; float *out; } data = {input.candidate.data};
	for (int64_t d = 0; d < 4; d++)
		for (int64_t r = 0; r < input.candidate.rows; r++)
			data.out[r * input.candidate.columns + d] = oq_matrix_row(&input.reference, (r + 1) % input.candidate.rows)[d];
	const oq_gate_limits limits = oq_gate_defaults(false);
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK);
	OQ_CHECK_NEAR(result.jitter_dimensions, 4.0 / 256, 1e-12);
	OQ_CHECK(has(&result, "F2_JITTER_DIMENSIONS") && has(&result, "F2_ICC_MAX") && !has(&result, "F2_ICC_MEDIAN") && !has(&result, "F3_BIAS"));
	OQ_CHECK(result.bias_equivalent < 1 && result.bias_equivalent >= 1 - 4.0 / 256);
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
	free_matrix(&input.jitter);
}

int main(void)
{
	oq_gate_result bf16 = run("A_m2_bf16", true), int8 = run("A_m2_int8", false), bad = run("A_m2_bad", false), shift = run("A_m2_shift", false),
		outlier = run("A_m2_outlier", false);
	OQ_CHECK(bf16.bias_equivalent >= 1 && int8.bias_equivalent >= 1 && int8.icc_drop_max < 0.03 && has(&bad, "F2_JITTER_DIMENSIONS"));
	OQ_CHECK(bf16.verdict == OQ_VERDICT_PASS && int8.verdict == OQ_VERDICT_PASS);
	OQ_CHECK(bad.verdict == OQ_VERDICT_FAIL && has(&bad, "F1_CENTRED_MIN") && has(&bad, "F4_RECALL10") && has(&bad, "F2_JITTER"));
	/* What no correlation can see: the embeddings moved as a whole. */
	OQ_CHECK(shift.verdict == OQ_VERDICT_FAIL && has(&shift, "F3_BIAS") && has(&shift, "F4_CROSS10"));
	/* What no mean can see: a few rows destroyed. */
	OQ_CHECK(outlier.verdict == OQ_VERDICT_FAIL && has(&outlier, "F1_CENTRED_MIN") && !has(&outlier, "F1_CENTRED_MEDIAN"));
	check_yardsticks();
	check_endpoints();
	check_dimensions();
	return oq_checks_done();
}
