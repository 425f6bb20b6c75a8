/* oncoquant evaluate survival: time to an event. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define MOST 16

static void print_interval(const cJSON *object, const char *key, const char *format)
{
	const cJSON *pair = cJSON_GetObjectItemCaseSensitive(object, key);
	if (cJSON_IsNumber(cJSON_GetArrayItem(pair, 0)))
		printf(format, cJSON_GetArrayItem(pair, 0)->valuedouble, cJSON_GetArrayItem(pair, 1)->valuedouble);
}

static void print_scores(const cJSON *report)
{
	const cJSON *score;
	printf("\n%-24s %-26s %-26s %s\n", "", "Harrell's C, 95 %", "Uno's C, 95 %", "hazard ratio per SD, 95 %");
	cJSON_ArrayForEach(score, cJSON_GetObjectItemCaseSensitive(report, "scores")) {
		static const char *const kinds[] = {"harrell", "uno"};
		const cJSON *cox = cJSON_GetObjectItemCaseSensitive(score, "cox"), *difference = cJSON_GetObjectItemCaseSensitive(score, "against_first");
		printf("%-24.24s", oq_cli_text(score, "name"));
		for (int k = 0; k < 2; k++) {
			const cJSON *c = cJSON_GetObjectItemCaseSensitive(score, kinds[k]);
			printf(" %.4f", oq_cli_number(c, "c"));
			print_interval(c, "bootstrap95", " (%.4f to %.4f) ");
		}
		if (cJSON_HasObjectItem(cox, "hazard_ratio_per_sd")) {
			printf(" %.3f", oq_cli_number(cox, "hazard_ratio_per_sd"));
			print_interval(cox, "wald95", " (%.3f to %.3f)");
			printf(" p %.2g\n", oq_cli_number(cox, "p"));
		} else {
			printf(" not fitted: %s\n", oq_cli_text(cox, "not_fitted"));
		}
		if (difference) {
			printf("%-24s %+.4f", "  against the first", oq_cli_number(difference, "harrell"));
			print_interval(difference, "bootstrap95", " (%+.4f to %+.4f)\n");
		}
	}
}

static void print_groups(const cJSON *report)
{
	const cJSON *groups = cJSON_GetObjectItemCaseSensitive(report, "groups"), *group, *test = cJSON_GetObjectItemCaseSensitive(groups, "log_rank");
	printf("\ngroups: %s\n", oq_cli_text(groups, "by"));
	cJSON_ArrayForEach(group, cJSON_GetObjectItemCaseSensitive(groups, "list")) {
		const cJSON *median = cJSON_GetObjectItemCaseSensitive(group, "median_time");
		printf("  %-22.22s %.0f rows, %.0f events", oq_cli_text(group, "name"), oq_cli_number(group, "rows"), oq_cli_number(group, "events"));
		if (test)
			printf(" (%.1f expected)", oq_cli_number(group, "expected_events"));
		if (cJSON_IsNumber(median))
			printf(", median %g\n", median->valuedouble);
		else
			printf(", median not reached\n");
	}
	if (test)
		printf("  log-rank %.3f, %.0f degree%s of freedom, p %.3g\n", oq_cli_number(test, "chi_squared"), oq_cli_number(test, "degrees"),
			oq_cli_number(test, "degrees") > 1 ? "s" : "", oq_cli_number(test, "p"));
}

static void print_report(const cJSON *report)
{
	const cJSON *endpoint = cJSON_GetObjectItemCaseSensitive(report, "endpoint"), *note, *left;
	printf("%.0f rows, %.0f events", oq_cli_number(endpoint, "rows"), oq_cli_number(endpoint, "events"));
	if (cJSON_IsNumber(cJSON_GetObjectItemCaseSensitive(endpoint, "patients")))
		printf(", %.0f patients", oq_cli_number(endpoint, "patients"));
	printf("\n");
	cJSON_ArrayForEach(left, cJSON_GetObjectItemCaseSensitive(endpoint, "left_out"))
		if (left->valuedouble > 0)
			printf("left out, %s: %.0f rows\n", left->string, left->valuedouble);
	print_scores(report);
	print_groups(report);
	printf("\n");
	cJSON_ArrayForEach(note, cJSON_GetObjectItemCaseSensitive(report, "notes"))
		printf("note: %s\n", note->valuestring);
}

/* Commas separate columns; the text is cut up in place. */
static int split_columns(char *text, const char **columns)
{
	int count = 0;
	for (char *at = *text ? text : NULL; at; count++) {
		char *comma = strchr(at, ',');
		if (count < MOST)
			columns[count] = at;
		if (comma)
			*comma = 0;
		at = comma ? comma + 1 : NULL;
	}
	return count;
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	const char *files[MOST], *columns[MOST], *scores = NULL;
	char cut[4096] = "";
	oq_survival_options job = {.embeddings = files, .scores = columns, .time = "time", .event = "event"};
	int64_t threads = 0, folds = 0, repeats = 0, seed = 1, resamples = 0;
	const oq_option options[] = {
		{.name = "--labels", .kind = OQ_OPTION_TEXT, .target = &job.labels, .value_name = "FILE.csv", .help = "one row per row of the embeddings"},
		{.name = "--time", .kind = OQ_OPTION_TEXT, .target = &job.time, .value_name = "COLUMN", .help = "to the event or the end of follow-up; default time"},
		{.name = "--event", .kind = OQ_OPTION_TEXT, .target = &job.event, .value_name = "COLUMN", .help = "1, or 0 for censored; default event"},
		{.name = "--score", .kind = OQ_OPTION_TEXT, .target = &scores, .value_name = "A[,B...]", .help = "columns: the higher, the earlier the event; each is compared with the first"},
		{.name = "--patient", .kind = OQ_OPTION_TEXT, .target = &job.patient, .value_name = "COLUMN", .help = "rows of one patient stay together"},
		{.name = "--group", .kind = OQ_OPTION_TEXT, .target = &job.group, .value_name = "COLUMN", .help = "curves of these groups instead of the first score's halves"},
		{.name = "--horizon", .kind = OQ_OPTION_NUMBER, .target = &job.horizon, .value_name = "TIME", .low = 0, .high = INT32_MAX, .help = "Uno's C up to this time; default: all"},
		{.name = "--folds", .kind = OQ_OPTION_INT, .target = &folds, .value_name = "N", .low = 3, .high = 100, .help = "of the probe of embeddings; default 5"},
		{.name = "--repeats", .kind = OQ_OPTION_INT, .target = &repeats, .value_name = "N", .low = 1, .high = 100, .help = "default 5"},
		{.name = "--resamples", .kind = OQ_OPTION_INT, .target = &resamples, .value_name = "N", .low = 100, .high = 1000000, .help = "of patients; default 1000"},
		{.name = "--seed", .kind = OQ_OPTION_INT, .target = &seed, .value_name = "S", .low = 0, .high = UINT32_MAX, .help = "default 1"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "DIR", .help = "existing folder for survival.json, .csv and .svg"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_evaluate_survival, options, &common, argc, argv, files, MOST, &job.embedding_count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (scores && snprintf(cut, sizeof cut, "%s", scores) >= (int)sizeof cut)
		return oq_cli_usage("evaluate survival: --score is too long");
	job.score_count = split_columns(cut, columns);
	if (job.score_count + job.embedding_count < 1 || job.score_count + job.embedding_count > MOST)
		return oq_cli_usage("evaluate survival: 1 to %d scores (--score) or files of embeddings are needed", MOST);
	if (!job.labels)
		return oq_cli_usage("evaluate survival: --labels is needed");
	job.threads = (int)threads;
	job.folds = (int)folds;
	job.repeats = (int)repeats;
	job.resamples = (int)resamples;
	job.seed = (uint64_t)seed;
	oq_error err = {0};
	char *text = NULL;
	if (oq_evaluate_survival(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_tell(&common, text, print_report);
}

const oq_command oq_command_evaluate_survival = {"evaluate survival", "[EMBEDDINGS.npy...] --labels FILE.csv [--score COLUMN]", "",
	"Time to an event: Harrell's and Uno's concordance with intervals by patient, Cox, Kaplan-Meier curves and log-rank. A file of\n"
	"embeddings is first made a score by Cox with a ridge, on folds that keep patients together; every row is scored by probes that\n"
	"did not see it. docs/evaluation.md has the formulas.",
	"  oncoquant evaluate survival --labels cohort.csv --score risk,age --patient patient -o out\n"
	"  oncoquant evaluate survival f32.npy int8.npy --labels cohort.csv --time days --event died --patient patient\n", run};
