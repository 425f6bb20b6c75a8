/* oncoquant compare: may these embeddings stand in for those? */
#include "cli.h"

#include <stdio.h>
#include <string.h>

static double figure(const cJSON *report, const char *group, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, group), key);
	return cJSON_IsNumber(value) ? value->valuedouble : -1;
}

static bool has(const cJSON *report, const char *group, const char *key)
{
	return cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, group), key));
}

static void print_endpoint(const cJSON *endpoint)
{
	const cJSON *probe;
	bool survival = !strcmp(oq_cli_text(endpoint, "kind"), "survival");
	cJSON_ArrayForEach(probe, cJSON_GetObjectItemCaseSensitive(endpoint, "probes"))
		printf("  endpoint          %s: %s %s %.4f, candidate asked %s %+.4f (p %.2g)\n", oq_cli_text(endpoint, "name"), oq_cli_text(probe, "probe"),
			survival ? "C" : "AUC", oq_cli_number(probe, "reference"), strcmp(oq_cli_text(probe, "trained_on"), "candidate") ? "by the old probe" : "by a new one",
			oq_cli_number(probe, "difference"), oq_cli_number(probe, "p_holm"));
	if (!survival)
		printf("  decisions         %s: %.2f %% flip, slope of log odds %.4f\n", oq_cli_text(endpoint, "name"), 100 * figure(endpoint, "decisions", "flip_share"),
			figure(endpoint, "decisions", "calibration_slope"));
}

static void print_findings(const cJSON *report, const char *key, const char *what)
{
	const cJSON *finding;
	cJSON_ArrayForEach(finding, cJSON_GetObjectItemCaseSensitive(report, key))
		printf("  %s: %-20s %.6g (limit %.6g)\n", what, oq_cli_text(finding, "code"), oq_cli_number(finding, "value"), oq_cli_number(finding, "limit"));
}

void oq_cli_print_gate(const cJSON *report)
{
	printf("%s (%.0f patches, %.0f dimensions)\n", oq_cli_text(report, "verdict"), oq_cli_number(report, "rows"), oq_cli_number(report, "size"));
	printf("  centred cosine    median %.5f, 1st percentile %.5f, least %.5f\n", figure(report, "patches", "centred_cosine_median"),
		figure(report, "patches", "centred_cosine_p1"), figure(report, "patches", "centred_cosine_min"));
	printf("  relative error    mean %.4f, largest %.4f\n", figure(report, "patches", "relative_error_mean"), figure(report, "patches", "relative_error_max"));
	printf("  bias              at most %.4f standard deviations; concordance median %.5f, least %.5f; slope %.4f\n", figure(report, "dimensions", "bias_max"),
		figure(report, "dimensions", "ccc_median"), figure(report, "dimensions", "ccc_min"), figure(report, "dimensions", "slope"));
	if (has(report, "neighbours", "recall10"))
		printf("  neighbours        recall@10 %.3f, asked in the reference's index %.3f\n", figure(report, "neighbours", "recall10"),
			figure(report, "neighbours", "cross_recall10"));
	if (has(report, "yardstick", "error_to_retest_variance"))
		printf("  against a retest  %.4f of its variance (upper bound %.4f)\n", figure(report, "yardstick", "error_to_retest_variance"),
			figure(report, "yardstick", "error_to_retest_variance_upper95"));
	if (has(report, "yardstick", "error_to_jitter_variance"))
		printf("  against jitter    %.4f of its variance (upper bound %.4f)\n", figure(report, "yardstick", "error_to_jitter_variance"),
			figure(report, "yardstick", "error_to_jitter_variance_upper95"));
	if (has(report, "yardstick", "icc_drop_max"))
		printf("  by dimension      ICC(2,1) drops by %.5f (median), %.5f (worst); bias shown to be small in %.1f %%\n", figure(report, "yardstick", "icc_drop_median"),
			figure(report, "yardstick", "icc_drop_max"), 100 * figure(report, "dimensions", "bias_equivalent_share"));
	printf("  geometry          CKA %.5f, RSA %.5f, rotation %.4f rad\n", figure(report, "geometry", "debiased_cka"), figure(report, "geometry", "rsa_spearman"),
		figure(report, "geometry", "procrustes_angle"));
	if (has(report, "saturation", "patches"))
		printf("  clipped codes     at most %.2g of a layer's on test patches, %.2g on phantoms\n", figure(report, "saturation", "patches"), figure(report, "saturation", "phantoms"));
	const cJSON *endpoint;
	cJSON_ArrayForEach(endpoint, cJSON_GetObjectItemCaseSensitive(report, "endpoints"))
		print_endpoint(endpoint);
	if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(report, "detectable_margin")))
		printf("  detectable        a difference of %.4f or more\n", oq_cli_number(report, "detectable_margin"));
	print_findings(report, "findings", "beyond its limit");
	print_findings(report, "shortages", "too little known");
	print_findings(report, "remarks", "remark");
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	oq_compare_options job = {0};
	const char *arguments[2];
	int64_t threads = 0;
	int count;
	const oq_option options[] = {
		{.name = "--retest", .kind = OQ_OPTION_TEXT, .target = &job.retest, .value_name = "FILE.npy", .help = "reference embeddings of a second scan of the same rows"},
		{.name = "--jitter", .kind = OQ_OPTION_TEXT, .target = &job.jitter, .value_name = "FILE.npy", .help = "reference embeddings of moved seeds, draw after draw"},
		{.name = "--labels", .kind = OQ_OPTION_TEXT, .target = &job.labels, .value_name = "FILE.csv", .help = "columns y, y_... (0/1), time with event; patient; in the rows' order"},
		{.name = "--gate", .kind = OQ_OPTION_TEXT, .target = &job.gate, .value_name = "FILE.json", .help = "limits instead of the built-in ones"},
		{.name = "--strict", .kind = OQ_OPTION_FLAG, .target = &job.strict, .help = "the limits for bf16 and f16"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_compare, options, &common, argc, argv, arguments, 2, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count != 2)
		return oq_cli_usage("compare: two files are needed: reference and candidate embeddings");
	job.reference = arguments[0];
	job.candidate = arguments[1];
	job.threads = (int)threads;
	oq_error err = {0};
	char *text = NULL;
	oq_status status = oq_compare(&job, &text, &err);
	if (text && common.json) {
		puts(text);
	} else if (text && !common.quiet) {
		cJSON *report = cJSON_Parse(text);
		oq_cli_print_gate(report);
		cJSON_Delete(report);
	}
	oq_string_free(text);
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(&err);
}

const oq_command oq_command_compare = {"compare", "REFERENCE.npy CANDIDATE.npy [--jitter FILE.npy] [--labels FILE.csv]", "check embeddings against full precision",
	"Embeddings of the same patches, row by row: errors patch by patch and dimension by dimension, neighbours, geometry, an\n"
	"endpoint. Ends with 0 when the candidate may stand in for the reference, with 6 when it may not or nobody can tell.\n"
	"docs/fidelity.md has every figure and limit.",
	"  oncoquant compare f32.npy int8.npy\n  oncoquant compare f32.npy int8.npy --jitter moved.npy --labels endpoint.csv --json\n", run};
