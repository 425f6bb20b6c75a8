/* The recipes of datasets/: they parse, have the fields that docs/datasets.md speaks of, and their counts add up. */
#include "check.h"

#include "core/json.h"

static const char *const files[] = {"luna16", "dlcs", "nsclc-radiomics", "nsclc-radiogenomics", "c4kc-kits", "colrecmet", "rider", "lndb"};

/* Sizes of a split and counts of classes are those of the rows used, wherever they are known. */
static void check_counts(const oq_json *recipe)
{
	const oq_json *rows = oq_json_get(recipe, "rows"), *split = oq_json_get(recipe, "benchmark_split");
	double used = oq_json_number(oq_json_get(rows, "used")), table = oq_json_number(oq_json_get(rows, "table"));
	double classes = oq_json_number(oq_json_get(rows, "negative")) + oq_json_number(oq_json_get(rows, "positive")), sizes = 0;
	OQ_CHECK(table > 0 && !(used > table));
	OQ_CHECK(isnan(classes) || classes == used);
	if (!oq_json_is_object(split))
		return;
	for (const oq_json *size = oq_json_first(oq_json_get(split, "sizes")); size; size = oq_json_next(size))
		sizes += oq_json_number(size);
	OQ_CHECK(sizes == used);
}

static void check_recipe(const char *file)
{
	char path[1024];
	oq_json *recipe = NULL;
	oq_error err = {0};
	int before = oq_checks_failed;
	snprintf(path, sizeof path, "%s/../../datasets/%s.json", OQ_TEST_DATA, file);
	OQ_REQUIRE(oq_json_read_file(path, &recipe, &err) == OQ_OK);
	OQ_CHECK(oq_json_is_string(oq_json_get(recipe, "name")));
	OQ_CHECK(oq_json_count(oq_json_get(recipe, "tables")) > 0);
	const oq_json *columns = oq_json_get(recipe, "columns");
	OQ_CHECK(oq_json_is_null(columns) || (oq_json_is_string(oq_json_get(columns, "image_path")) && oq_json_is_string(oq_json_get(columns, "coordZ"))));
	check_counts(recipe);
	oq_json_free(recipe);
	if (oq_checks_failed != before)
		fprintf(stderr, "  %s\n", path);
}

int main(void)
{
	for (size_t i = 0; i < sizeof files / sizeof *files; i++)
		check_recipe(files[i]);
	return oq_checks_done();
}
