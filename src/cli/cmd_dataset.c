/* oncoquant dataset: a manifest from a data set's published tables. */
#include "cli.h"

#include <stdio.h>

#define MOST 17 /* a recipe and its tables */

static void print_report(const char *text, const char *output)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *benchmark = cJSON_GetObjectItemCaseSensitive(root, "benchmark"), *used = cJSON_GetObjectItemCaseSensitive(benchmark, "used");
	printf("wrote %s: %s, %.0f of %.0f rows", output, oq_cli_text(root, "name"), oq_cli_number(root, "written"), oq_cli_number(root, "rows"));
	printf(" (%.0f censored, %.0f without a file), %.0f negative, %.0f positive, grouped by %s\n", oq_cli_number(root, "censored"),
		oq_cli_number(root, "absent"), oq_cli_number(root, "negative"), oq_cli_number(root, "positive"), oq_cli_text(root, "group"));
	if (cJSON_IsNumber(used) && used->valuedouble != oq_cli_number(root, "written"))
		printf("note: the benchmark used %.0f rows\n", used->valuedouble);
	cJSON_Delete(root);
}

static int run_dataset(int argc, char **argv)
{
	oq_common common = {0};
	const char *arguments[MOST];
	oq_dataset_options o = {0};
	int64_t folds = 5;
	const oq_option options[] = {
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &o.output, .value_name = "FILE.csv", .help = "the manifest"},
		{.name = "--folds", .kind = OQ_OPTION_INT, .target = &folds, .value_name = "N", .low = 2, .high = 100, .help = "of oq_fold (5)"},
		{.name = "--present", .kind = OQ_OPTION_FLAG, .target = &o.only_present, .help = "leave out rows whose scan is not there"},
		{.name = "--root", .kind = OQ_OPTION_TEXT, .target = &o.root, .value_name = "DIR", .help = "where --present looks for relative paths"},
		{.name = "--path-map", .kind = OQ_OPTION_TEXT, .target = &o.path_map, .value_name = "OLD=NEW", .help = "paths that begin with OLD begin with NEW for --present"},
		OQ_COMMON_OPTIONS(common)};
	int count, code = oq_options_parse(&oq_command_dataset, options, &common, argc, argv, arguments, MOST, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count < 2 || !o.output)
		return oq_cli_usage("dataset: a recipe, its tables and --output are needed");
	o.recipe = arguments[0];
	o.tables = arguments + 1;
	o.table_count = count - 1;
	o.folds = (int)folds;
	char *text = NULL;
	oq_error err = {0};
	if (oq_dataset(&o, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	if (common.json)
		code = oq_cli_print(text);
	else if (!common.quiet)
		print_report(text, o.output);
	oq_string_free(text);
	return code ? code : oq_cli_flush();
}

const oq_command oq_command_dataset = {"dataset", "RECIPE.json TABLE.csv [TABLE.csv...] -o MANIFEST.csv", "make a manifest from published tables",
	"Puts a data set's tables together as its recipe in datasets/ says: columns renamed for embed, the endpoint as oq_label, the\n"
	"patient as oq_group, and oq_fold, in which no group lies on both sides. All other columns are kept.",
	"  oncoquant dataset datasets/luna16.json train.csv val.csv test.csv -o luna16.csv\n"
	"  oncoquant dataset datasets/dlcs.json data.csv --present --root /scans -o dlcs.csv\n", run_dataset};
