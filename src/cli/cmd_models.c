/* oncoquant models: the built-in recipes. */
#include "cli.h"

#include <stdio.h>

static int print_table(const char *text)
{
	cJSON *recipes = cJSON_Parse(text);
	const cJSON *r;
	printf("%-15s %-11s %9s  %-11s %-16s %-4s %s\n", "name", "family", "embedding", "patch", "spacing mm", "axes", "paper");
	cJSON_ArrayForEach(r, recipes) {
		const cJSON *pre = cJSON_GetObjectItemCaseSensitive(r, "preprocessing"), *size = cJSON_GetObjectItemCaseSensitive(pre, "size");
		const cJSON *spacing = cJSON_GetObjectItemCaseSensitive(pre, "spacing_mm");
		char patch[64], mm[64];
		snprintf(patch, sizeof patch, "%dx%dx%d", cJSON_GetArrayItem(size, 0)->valueint, cJSON_GetArrayItem(size, 1)->valueint,
			cJSON_GetArrayItem(size, 2)->valueint);
		snprintf(mm, sizeof mm, "%g x %g x %g", cJSON_GetArrayItem(spacing, 0)->valuedouble, cJSON_GetArrayItem(spacing, 1)->valuedouble,
			cJSON_GetArrayItem(spacing, 2)->valuedouble);
		printf("%-15s %-11s %9.0f  %-11s %-16s %-4s %s\n", oq_cli_text(r, "name"), oq_cli_text(r, "family"),
			oq_cli_number(cJSON_GetObjectItemCaseSensitive(r, "embedding"), "size"), patch, mm, oq_cli_text(pre, "axes"), oq_cli_text(r, "paper"));
	}
	printf("\nofficial files:\n");
	cJSON_ArrayForEach(r, recipes) {
		const cJSON *checkpoint = cJSON_GetObjectItemCaseSensitive(r, "checkpoint");
		printf("%-15s %s\n%-15s from %s\n%-15s weights: %s\n", oq_cli_text(r, "name"), oq_cli_text(checkpoint, "file"), "", oq_cli_text(checkpoint, "source"),
			"", oq_cli_text(r, "weights_license"));
	}
	cJSON_Delete(recipes);
	return oq_cli_flush();
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	const oq_option options[] = {OQ_COMMON_OPTIONS(common)};
	int count, code = oq_options_parse(&oq_command_models, options, &common, argc, argv, NULL, 0, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	char *text = NULL;
	oq_error err;
	if (oq_recipes_json(&text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	code = common.json ? oq_cli_print(text) : print_table(text);
	oq_string_free(text);
	return code;
}

const oq_command oq_command_models = {"models", "[--json]", "list the models that can be converted",
	"Lists the built-in recipes: name, family, embedding size, patch, spacing, official file, licence of the weights.",
	"  oncoquant models\n  oncoquant models --json\n", run};
