/* oncoquant robustness: do embeddings come out the same again? Also makes what is needed to ask: moved seeds, changed patches. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double figure(const cJSON *report, const char *group, const char *key, const char *part)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, group), key), part);
	return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

static void print_cell(double value, bool defined)
{
	if (defined)
		printf("  %8.4f", value);
	else
		printf("         -");
}

static void print_line(const cJSON *report, const char *group, const char *key, const char *title, const char *const parts[4])
{
	printf("  %-32s", title);
	for (int i = 0; i < 4 && parts[i]; i++) {
		double value = figure(report, group, key, parts[i]);
		print_cell(value, value - value == 0);
	}
	printf("\n");
}

static void print_report(const cJSON *report)
{
	static const char *const estimate[4] = {"mean", "low95", "high95", "least"}, *const share[4] = {"mean", "low95", "high95", NULL},
		*const distribution[4] = {"mean", "median", "p5", "p95"};
	const cJSON *dimensions = cJSON_GetObjectItemCaseSensitive(report, "by_dimension");
	printf("%.0f rows, %.0f retest%s, %.0f dimensions", oq_cli_number(report, "rows"), oq_cli_number(report, "retests"),
		oq_cli_number(report, "retests") > 1 ? "s" : "", oq_cli_number(report, "size"));
	if (oq_cli_number(report, "rows_left_out") > 0)
		printf("; %.0f failed rows left out", oq_cli_number(report, "rows_left_out"));
	printf("\n\n  %-32s  %8s  %8s  %8s  %8s\n", "by row", "mean", "95 % low", "high", "least");
	print_line(report, "by_row", "cosine", "cosine", estimate);
	print_line(report, "by_row", "centred_cosine", "centred cosine", estimate);
	print_line(report, "by_row", "identification", "identification (own is nearest)", share);
	print_line(report, "by_row", "discriminability", "discriminability", share);
	printf("\n  %-32s  %8s  %8s  %8s  %8s\n", "by dimension", "mean", "median", "5 %", "95 %");
	print_line(report, "by_dimension", "icc_2_1", "ICC(2,1), agreement", distribution);
	print_line(report, "by_dimension", "icc_3_1", "ICC(3,1), consistency", distribution);
	print_line(report, "by_dimension", "ccc", "concordance (CCC)", distribution);
	printf("\n  ICC(2,1) of at least 0.75 in %.1f %% of the dimensions, 0.9 in %.1f %%; constant: %.0f\n",
		100 * oq_cli_number(dimensions, "share_icc_2_1_from_0_75"), 100 * oq_cli_number(dimensions, "share_icc_2_1_from_0_9"),
		oq_cli_number(dimensions, "constant"));
}

static int run_measure(int argc, char **argv)
{
	oq_common common = {0};
	oq_robustness_options job = {0};
	int64_t threads = 0;
	int count;
	const oq_option options[] = {
		{.name = "--test", .kind = OQ_OPTION_TEXT, .target = &job.test, .value_name = "FILE.npy", .help = "embeddings [rows, size]"},
		{.name = "--retest", .kind = OQ_OPTION_TEXT, .target = &job.retest, .value_name = "FILE.npy", .help = "the same rows again, or several times, block after block"},
		{.name = "--csv", .kind = OQ_OPTION_TEXT, .target = &job.csv, .value_name = "FILE.csv", .help = "every dimension's figures, Bland-Altman's too"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_robustness, options, &common, argc, argv, NULL, 0, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!job.test || !job.retest)
		return oq_cli_usage("robustness: --test and --retest are needed, or one of: jitter, perturb");
	job.threads = (int)threads;
	oq_error err = {0};
	char *text = NULL;
	if (oq_robustness(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	if (common.json) {
		puts(text);
	} else if (!common.quiet) {
		cJSON *report = cJSON_Parse(text);
		print_report(report);
		cJSON_Delete(report);
	}
	oq_string_free(text);
	return oq_cli_flush();
}

static int run(int argc, char **argv)
{
	return run_measure(argc, argv);
}

const oq_command oq_command_robustness = {"robustness", "--test A.npy --retest B.npy | jitter MANIFEST.csv ... | perturb PATCHES.npy ...",
	"do embeddings come out the same again?",
	"Embeddings of the same lesions twice: another scan, a moved seed, a perturbed patch. Cosines, identification and discriminability\n"
	"by row with bootstrap intervals; ICC(2,1), ICC(3,1), concordance and Bland-Altman limits by dimension. docs/robustness.md has the\n"
	"formulas. 'robustness jitter --help' and 'robustness perturb --help': how to make the second set.",
	"  oncoquant robustness --test test.npy --retest retest.npy --csv dimensions.csv\n"
	"  oncoquant robustness jitter seeds.csv --jitter 3 --draws 10 --seed 1 -o moved.csv\n", run};
