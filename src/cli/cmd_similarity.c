/* oncoquant similarity: how alike models see the same patches. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define MOST 64

static void print_matrix(const cJSON *report, const char *key, const char *title)
{
	const cJSON *names = cJSON_GetObjectItemCaseSensitive(report, "names"), *rows = cJSON_GetObjectItemCaseSensitive(report, key), *row, *value;
	int i = 0;
	printf("%s\n", title);
	cJSON_ArrayForEach(row, rows) {
		printf("  %-20.20s", cJSON_GetArrayItem(names, i++)->valuestring);
		cJSON_ArrayForEach(value, row)
			if (cJSON_IsNumber(value))
				printf(" %7.4f", value->valuedouble);
			else
				printf("       -");
		printf("\n");
	}
}

static void print_report(const cJSON *report)
{
	printf("%.0f rows", oq_cli_number(report, "rows"));
	if (oq_cli_number(report, "rows_left_out") > 0)
		printf("; %.0f that failed in some file are left out", oq_cli_number(report, "rows_left_out"));
	printf("\n");
	print_matrix(report, "mutual_knn10", "Shared among the 10 nearest neighbours");
	print_matrix(report, "debiased_cka", "Debiased CKA");
	print_matrix(report, "rsa_spearman", "RSA (Spearman of cosine distances)");
	print_matrix(report, "procrustes_angle", "Procrustes angle (radians)");
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	const char *arguments[MOST];
	oq_similarity_options job = {.embeddings = arguments};
	int64_t threads = 0;
	const oq_option options[] = {
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "DIR", .help = "existing folder for similarity.json and a .csv and .svg per measure"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_similarity, options, &common, argc, argv, arguments, MOST, &job.count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (job.count < 2)
		return oq_cli_usage("similarity: two or more files of embeddings are needed");
	job.threads = (int)threads;
	oq_error err = {0};
	char *text = NULL;
	if (oq_similarity_files(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_tell(&common, text, print_report);
}

const oq_command oq_command_similarity = {"similarity", "A.npy B.npy [C.npy...] [-o DIR]", "how alike models see the same patches",
	"Embeddings of the same patches by several models or precisions, row by row; dimensions may differ. Mutual neighbours, linear and\n"
	"debiased CKA, RSA and the Procrustes angle of every pair, as tables, CSV and drawings. docs/similarity.md has the formulas.",
	"  oncoquant similarity ct-fm.npy merlin.npy voco.npy -o out\n", run};
