/* Loading and checking recipes. Unknown fields are refused: a typing error must not silently change a model. */
#include "recipe.h"

#include "core/file.h"
#include "core/sha256.h"

#include <string.h>

#define MAX_RECIPE ((size_t)16 << 20)

bool oq_pattern_match(const char *pattern, const char *text)
{
	const char *star = NULL, *retry = NULL;
	while (*text) {
		if (*pattern == '*') {
			star = pattern++;
			retry = text;
		} else if (*pattern == *text) {
			pattern++;
			text++;
		} else if (star) {
			pattern = star + 1;
			text = ++retry;
		} else {
			return false;
		}
	}
	while (*pattern == '*')
		pattern++;
	return !*pattern;
}

static oq_status check_preprocessing(const oq_recipe *recipe, oq_error *err)
{
	static const char *const known[] = {"axes", "size", "spacing_mm", "hu_range", "out_range", "slices", NULL};
	const oq_json *preprocessing;
	const char *axes;
	int64_t size[3];
	double spacing[3], range[2];
	OQ_TRY(oq_json_need_object(recipe->json, "preprocessing", recipe->where, &preprocessing, err));
	OQ_TRY(oq_json_only_keys(preprocessing, known, "preprocessing", err));
	OQ_TRY(oq_json_need_string(preprocessing, "axes", "preprocessing", &axes, err));
	OQ_TRY(oq_json_need_ints(preprocessing, "size", "preprocessing", size, 3, err));
	OQ_TRY(oq_json_need_numbers(preprocessing, "spacing_mm", "preprocessing", spacing, 3, err));
	OQ_TRY(oq_json_need_numbers(preprocessing, "hu_range", "preprocessing", range, 2, err));
	return oq_json_need_numbers(preprocessing, "out_range", "preprocessing", range, 2, err);
}

static oq_status parse_prefixes(oq_recipe *recipe, const oq_json *checkpoint, oq_error *err)
{
	const oq_json *prefixes;
	OQ_TRY(oq_json_need_array(checkpoint, "prefixes", "checkpoint", &prefixes, err));
	for (const oq_json *prefix = oq_json_first(prefixes); prefix; prefix = oq_json_next(prefix)) {
		if (!oq_json_is_string(prefix) || recipe->checkpoint.prefix_count == OQ_RECIPE_MAX_PREFIXES)
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: checkpoint.prefixes: expected up to %d strings", recipe->where, OQ_RECIPE_MAX_PREFIXES);
		recipe->checkpoint.prefixes[recipe->checkpoint.prefix_count++] = oq_json_string(prefix);
	}
	return recipe->checkpoint.prefix_count ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: checkpoint.prefixes: is empty", recipe->where);
}

static oq_status parse_checkpoint(oq_recipe *recipe, oq_error *err)
{
	static const char *const known[] = {"file", "container", "nesting", "nesting_optional", "prefixes", "ignore", "sha256", "source", NULL};
	const oq_json *checkpoint;
	const char *file, *container;
	oq_recipe_checkpoint *c = &recipe->checkpoint;
	OQ_TRY(oq_json_need_object(recipe->json, "checkpoint", recipe->where, &checkpoint, err));
	OQ_TRY(oq_json_only_keys(checkpoint, known, "checkpoint", err));
	OQ_TRY(oq_json_need_string(checkpoint, "file", "checkpoint", &file, err));
	OQ_TRY(oq_json_need_string(checkpoint, "container", "checkpoint", &container, err));
	if (!oq_json_is_null(oq_json_get(checkpoint, "nesting")))
		OQ_TRY(oq_json_want_string(checkpoint, "nesting", "checkpoint", &c->nesting, err));
	OQ_TRY(oq_json_want_bool(checkpoint, "nesting_optional", "checkpoint", &c->nesting_optional, err));
	OQ_TRY(oq_json_want_string(checkpoint, "sha256", "checkpoint", &c->sha256, err));
	OQ_TRY(oq_json_need_array(checkpoint, "ignore", "checkpoint", &c->ignore, err));
	return parse_prefixes(recipe, checkpoint, err);
}

static oq_status parse(oq_recipe *recipe, oq_error *err)
{
	static const char *const known[] = {"name", "title", "family", "parameters", "embedding", "preprocessing", "checkpoint", "paper", "code",
		"code_license", "weights_license", "notes", NULL};
	const char *text;
	const oq_json *embedding;
	int64_t size;
	OQ_TRY(oq_json_only_keys(recipe->json, known, recipe->where, err));
	OQ_TRY(oq_json_need_string(recipe->json, "name", recipe->where, &recipe->name, err));
	OQ_TRY(oq_json_need_string(recipe->json, "title", recipe->where, &text, err));
	OQ_TRY(oq_json_need_string(recipe->json, "family", recipe->where, &recipe->family, err));
	OQ_TRY(oq_json_need_object(recipe->json, "parameters", recipe->where, &recipe->parameters, err));
	OQ_TRY(oq_json_need_object(recipe->json, "embedding", recipe->where, &embedding, err));
	OQ_TRY(oq_json_need_int(embedding, "size", "embedding", &size, err));
	OQ_TRY(check_preprocessing(recipe, err));
	return parse_checkpoint(recipe, err);
}

static oq_status load_text(oq_recipe *recipe, const char *text, const char *tensors, oq_error *err)
{
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, text, strlen(text));
	oq_sha256_hex(&hash, recipe->sha256);
	OQ_TRY(oq_json_parse(text, strlen(text), recipe->where, &recipe->json, err));
	if (tensors)
		OQ_TRY(oq_json_parse(tensors, strlen(tensors), recipe->where, &recipe->synthetic, err));
	return parse(recipe, err);
}

static oq_status load_builtin(oq_recipe *recipe, const char *name, oq_error *err)
{
	for (const oq_builtin_recipe *b = oq_builtin_recipes; b->name; b++)
		if (!strcmp(b->name, name))
			return load_text(recipe, b->text, b->tensors, err);
	return oq_fail(err, OQ_E_USAGE, "E_RECIPE", "%s: no built-in model has this name, and it is no path to a recipe; see `oncoquant models`", name);
}

static oq_status load_file(oq_recipe *recipe, const char *path, oq_error *err)
{
	char *text = NULL;
	size_t length;
	OQ_TRY(oq_file_read_all(path, MAX_RECIPE, OQ_E_MODEL, &text, &length, err));
	oq_status status = strlen(text) == length ? load_text(recipe, text, NULL, err) : oq_fail(err, OQ_E_MODEL, "E_JSON", "%s: holds a NUL byte", path);
	oq_free(text);
	return status;
}

static bool is_path(const char *name)
{
	size_t length = strlen(name);
	return strchr(name, '/') || (length > 5 && !strcmp(name + length - 5, ".json"));
}

oq_status oq_recipe_load(const char *name_or_path, oq_recipe **out, oq_error *err)
{
	oq_recipe *recipe = oq_calloc(1, sizeof *recipe);
	if (!recipe)
		return oq_fail_memory(err, name_or_path, sizeof *recipe);
	recipe->where = oq_arena_strdup(&recipe->arena, name_or_path);
	oq_status status = !recipe->where ? oq_fail_memory(err, name_or_path, strlen(name_or_path))
		: is_path(name_or_path) ? load_file(recipe, name_or_path, err) : load_builtin(recipe, name_or_path, err);
	if (status == OQ_OK)
		*out = recipe;
	else
		oq_recipe_free(recipe);
	return status;
}

void oq_recipe_free(oq_recipe *recipe)
{
	if (!recipe)
		return;
	oq_json_free(recipe->json);
	oq_json_free(recipe->synthetic);
	oq_arena_free(&recipe->arena);
	oq_free(recipe);
}

const oq_json *oq_recipe_json(const oq_recipe *recipe)
{
	return recipe->json;
}

const char *oq_recipe_name(const oq_recipe *recipe)
{
	return recipe->name;
}

const char *oq_recipe_sha256(const oq_recipe *recipe)
{
	return recipe->sha256;
}

const oq_json *oq_recipe_synthetic(const oq_recipe *recipe)
{
	return recipe->synthetic;
}
