/* The gate on the five variants whose true state is known: bf16 and int8 are good, bad, shift and outlier are not, and why. */
#include "matrices.h"

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
	oq_matrix jitter = input.reference;
	jitter.rows--;
	input.jitter = jitter;
	OQ_CHECK(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SHAPE"));
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
}

static void check_endpoint(void)
{
	/* Labels that the first dimension tells: losing the order of the rows loses the endpoint. */
	oq_gate_input input = {.reference = read_matrix("A_m2"), .candidate = read_matrix("A_m2_int8"), .threads = 1};
	bool *label = oq_calloc((size_t)input.reference.rows, sizeof *label);
	OQ_REQUIRE(label);
	for (int64_t r = 0; r < input.reference.rows; r++)
		label[r] = oq_matrix_row(&input.reference, r)[0] > 0;
	input.label = label;
	const oq_gate_limits limits = oq_gate_defaults(false);
	oq_gate_result result;
	oq_error err = {0};
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK);
	OQ_CHECK(result.endpoint && fabs(result.old_probe.difference) < 0.02);
	printf("  endpoint: AUC %.3f, difference %.4f, detectable %.4f: %s\n", result.old_probe.a.auc, result.old_probe.difference, result.detectable_margin,
		oq_verdict_name(result.verdict));
	OQ_CHECK(result.verdict == (result.detectable_margin > limits.auc_margin ? OQ_VERDICT_UNDERPOWERED : OQ_VERDICT_NO_YARDSTICK));
	free_matrix(&input.candidate);
	input.candidate = read_matrix("A_m2_bad");
	OQ_REQUIRE(oq_gate_run(&input, &limits, "t", &result, &err) == OQ_OK && result.verdict == OQ_VERDICT_FAIL);
	oq_free(label);
	free_matrix(&input.reference);
	free_matrix(&input.candidate);
}

int main(void)
{
	oq_gate_result bf16 = run("A_m2_bf16", true), int8 = run("A_m2_int8", false), bad = run("A_m2_bad", false), shift = run("A_m2_shift", false),
		outlier = run("A_m2_outlier", false);
	OQ_CHECK(bf16.verdict == OQ_VERDICT_PASS && int8.verdict == OQ_VERDICT_PASS);
	OQ_CHECK(bad.verdict == OQ_VERDICT_FAIL && has(&bad, "F1_CENTRED_MIN") && has(&bad, "F4_RECALL10") && has(&bad, "F2_JITTER"));
	/* What no correlation can see: the embeddings moved as a whole. */
	OQ_CHECK(shift.verdict == OQ_VERDICT_FAIL && has(&shift, "F3_BIAS") && has(&shift, "F4_CROSS10"));
	/* What no mean can see: a few rows destroyed. */
	OQ_CHECK(outlier.verdict == OQ_VERDICT_FAIL && has(&outlier, "F1_CENTRED_MIN") && !has(&outlier, "F1_CENTRED_MEDIAN"));
	check_yardsticks();
	check_endpoint();
	return oq_checks_done();
}
