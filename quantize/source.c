#include "source.h"

#include "checkpoint.h"
#include "core/file.h"
#include "synthetic.h"

#include <stdio.h>
#include <string.h>

#define NAMED 10 /* offenders listed in one message */

struct oq_source {
	oq_arena arena;
	oq_tensor_info *tensors; /* what the graph needs, with its names */
	int count;
	/* checkpoint */
	oq_checkpoint *checkpoint;
	int *places;             /* in the checkpoint */
	const char *file, *prefix, *nesting;
	char sha256[65];
	const char **skipped;    /* keys of the checkpoint that a rule leaves out */
	int skipped_count;
	/* synthetic */
	uint64_t seed;
	oq_init *inits;
	const char **keys;       /* full, with the official prefix */
};

/* Offenders gathered into one message. */
typedef struct offenders {
	char text[640];
	int count;
} offenders;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static void offend(offenders *o, const char *format, ...)
{
	if (o->count++ >= NAMED)
		return;
	size_t used = strlen(o->text);
	if (used) {
		snprintf(o->text + used, sizeof o->text - used, ", ");
		used = strlen(o->text);
	}
	va_list args;
	va_start(args, format);
	vsnprintf(o->text + used, sizeof o->text - used, format, args);
	va_end(args);
}

static oq_status refuse(const offenders *o, const char *where, const char *code, const char *what, oq_error *err)
{
	return oq_fail(err, OQ_E_MODEL, code, "%s: %d %s: %s%s", where, o->count, what, o->text, o->count > NAMED ? ", ..." : "");
}

static void shape_text(const oq_tensor_info *info, char text[128])
{
	size_t used = 0;
	text[0] = 0;
	for (int i = 0; i < info->rank && used < 100; i++)
		used += (size_t)snprintf(text + used, 128 - used, "%s%lld", i ? "x" : "", (long long)info->shape[i]);
}

static bool same_shape(const oq_tensor_info *a, const oq_tensor_info *b)
{
	return a->rank == b->rank && !memcmp(a->shape, b->shape, (size_t)a->rank * sizeof *a->shape);
}

/* The graph's tensors, float32 until the source knows better. */
static oq_status list_needed(oq_source *s, const oq_json *tensors, const char *where, oq_error *err)
{
	size_t count = (size_t)oq_json_count(tensors);
	s->tensors = oq_calloc(count, sizeof *s->tensors);
	s->places = oq_calloc(count, sizeof *s->places);
	s->inits = oq_calloc(count, sizeof *s->inits);
	s->keys = oq_calloc(count, sizeof *s->keys);
	if (!s->tensors || !s->places || !s->inits || !s->keys)
		return oq_fail_memory(err, where, count * sizeof *s->tensors);
	for (const oq_json *shape = oq_json_first(tensors); shape; shape = oq_json_next(shape)) {
		oq_tensor_info *info = &s->tensors[s->count++];
		info->name = oq_arena_strdup(&s->arena, oq_json_key(shape));
		if (!info->name)
			return oq_fail_memory(err, where, strlen(oq_json_key(shape)));
		info->rank = oq_json_count(shape);
		OQ_TRY(oq_json_need_ints(tensors, info->name, where, info->shape, info->rank <= OQ_MAX_RANK ? info->rank : 0, err));
		if (!oq_size_product(info->shape, info->rank, 1, &info->count))
			return oq_fail(err, OQ_E_MODEL, "E_TENSOR", "%s: tensor %s: its size overflows", where, info->name);
	}
	return OQ_OK;
}

static int find_in_checkpoint(const oq_checkpoint *c, const char *prefix, const char *name)
{
	size_t length = strlen(prefix);
	for (int i = 0; i < oq_checkpoint_count(c); i++) {
		const char *key = oq_checkpoint_at(c, i)->name;
		if (!strncmp(key, prefix, length) && !strcmp(key + length, name))
			return i;
	}
	return -1;
}

/* The accepted prefix under which most of the needed tensors are found (the earlier one on a tie). */
static const char *choose_prefix(const oq_source *s, const oq_recipe_checkpoint *rules)
{
	int best = -1;
	const char *prefix = rules->prefixes[0];
	for (int p = 0; p < rules->prefix_count; p++) {
		int found = 0;
		for (int i = 0; i < s->count; i++)
			found += find_in_checkpoint(s->checkpoint, rules->prefixes[p], s->tensors[i].name) >= 0;
		if (found > best) {
			best = found;
			prefix = rules->prefixes[p];
		}
	}
	return prefix;
}

static bool ignored(const oq_recipe_checkpoint *rules, const char *key)
{
	for (const oq_json *pattern = oq_json_first(rules->ignore); pattern; pattern = oq_json_next(pattern))
		if (oq_json_is_string(pattern) && oq_pattern_match(oq_json_string(pattern), key))
			return true;
	return false;
}

static oq_status match_needed(oq_source *s, const char *path, bool *used, oq_error *err)
{
	offenders missing = {0}, misshaped = {0};
	for (int i = 0; i < s->count; i++) {
		int place = s->places[i] = find_in_checkpoint(s->checkpoint, s->prefix, s->tensors[i].name);
		if (place < 0) {
			offend(&missing, "%s%s", s->prefix, s->tensors[i].name);
			continue;
		}
		const oq_tensor_info *there = oq_checkpoint_at(s->checkpoint, place);
		bool is_float = there->dtype == OQ_F32 || there->dtype == OQ_F16 || there->dtype == OQ_BF16 || there->dtype == OQ_F64;
		char is[128], expected[128];
		shape_text(there, is);
		shape_text(&s->tensors[i], expected);
		if (!same_shape(there, &s->tensors[i]) || (!is_float && there->dtype != OQ_I64))
			offend(&misshaped, "%s is %s %s, expected %s", there->name, oq_dtype_name(there->dtype), is, expected);
		s->tensors[i].dtype = there->dtype;
		s->tensors[i].bytes = there->bytes;
		used[place] = true;
	}
	if (missing.count)
		return refuse(&missing, path, "E_TENSOR_MISSING", "tensors are missing", err);
	return misshaped.count ? refuse(&misshaped, path, "E_TENSOR_SHAPE", "tensors have another shape or type", err) : OQ_OK;
}

/* Every key that the graph does not use must be left out by a rule: either it lies outside the prefix (another part of the
 * model) or a pattern of the recipe names it. */
static oq_status match_rest(oq_source *s, const oq_recipe_checkpoint *rules, const char *path, const bool *used, oq_error *err)
{
	offenders extra = {0};
	size_t length = strlen(s->prefix);
	int total = oq_checkpoint_count(s->checkpoint);
	s->skipped = oq_calloc((size_t)total, sizeof *s->skipped);
	if (!s->skipped)
		return oq_fail_memory(err, path, (size_t)total * sizeof *s->skipped);
	for (int i = 0; i < total; i++) {
		const char *key = oq_checkpoint_at(s->checkpoint, i)->name;
		if (used[i])
			continue;
		bool outside = length > 0 && strncmp(key, s->prefix, length);
		if (outside || ignored(rules, key + (outside ? 0 : length)))
			s->skipped[s->skipped_count++] = key;
		else
			offend(&extra, "%s", key);
	}
	return extra.count ? refuse(&extra, path, "E_TENSOR_EXTRA", "tensors are not part of this model and no rule of the recipe skips them", err) : OQ_OK;
}

static oq_status open_checkpoint(oq_source *s, const oq_recipe *recipe, const oq_json *tensors, const char *path, oq_error *err)
{
	const oq_recipe_checkpoint *rules = &recipe->checkpoint;
	OQ_TRY(list_needed(s, tensors, recipe->where, err));
	OQ_TRY(oq_file_sha256(path, OQ_E_MODEL, s->sha256, err));
	if (rules->sha256 && strcmp(rules->sha256, s->sha256))
		return oq_fail(err, OQ_E_MODEL, "E_CHECKSUM", "%s: its SHA-256 is %s, this model is pinned to %s", path, s->sha256, rules->sha256);
	OQ_TRY(oq_checkpoint_open(path, rules->nesting, rules->nesting_optional, &s->checkpoint, err));
	s->nesting = rules->nesting ? oq_arena_strdup(&s->arena, rules->nesting) : NULL;
	s->prefix = oq_arena_strdup(&s->arena, choose_prefix(s, rules));
	s->file = oq_arena_strdup(&s->arena, strrchr(path, '/') ? strrchr(path, '/') + 1 : path);
	bool *used = oq_calloc((size_t)oq_checkpoint_count(s->checkpoint), sizeof *used);
	if (!s->prefix || !s->file || !used) {
		oq_free(used);
		return oq_fail_memory(err, path, strlen(path));
	}
	oq_status status = match_needed(s, path, used, err);
	if (status == OQ_OK)
		status = match_rest(s, rules, path, used, err);
	oq_free(used);
	return status;
}

static oq_status parse_init(const oq_json *json, const char *where, oq_init *init, oq_error *err)
{
	const char *kind;
	double low = 0, span = 0, bound = 0;
	OQ_TRY(oq_json_need_string(json, "kind", where, &kind, err));
	OQ_TRY(oq_json_want_number(json, "lo", where, &low, err));
	OQ_TRY(oq_json_want_number(json, "span", where, &span, err));
	OQ_TRY(oq_json_want_number(json, "bound", where, &bound, err));
	OQ_TRY(oq_json_want_number(json, "value", where, &init->value, err));
	OQ_TRY(oq_json_want_int(json, "channels", where, &init->channels, err));
	OQ_TRY(oq_json_want_bool(json, "spread", where, &init->spread, err));
	OQ_TRY(oq_json_want_bool(json, "antisym", where, &init->antisym, err));
	init->low = (float)low;
	init->span = (float)span;
	init->bound = (float)bound;
	static const char *const kinds[] = {[OQ_INIT_RANGE] = "range", [OQ_INIT_WEIGHT] = "weight", [OQ_INIT_CONST] = "const",
		[OQ_INIT_REL_POS_INDEX] = "rel_pos_index"};
	for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
		if (!strcmp(kinds[i], kind)) {
			init->kind = (oq_init_kind)i;
			return init->kind == OQ_INIT_REL_POS_INDEX ? oq_json_need_ints(json, "window", where, init->window, 3, err) : OQ_OK;
		}
	return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: init kind \"%s\" is unknown", where, kind);
}

/* One row of the table: [name, shape, init] or [name, shape, init, dtype]. */
static oq_status apply_row(oq_source *s, const oq_json *row, const char *prefix, const char *where, oq_error *err)
{
	const oq_json *shape = oq_json_next(oq_json_first(row)), *init = oq_json_next(shape), *dtype = oq_json_next(init);
	const char *name = oq_json_string(oq_json_first(row));
	if (!name || !oq_json_is_array(shape) || !oq_json_is_object(init))
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: a row of the table of synthetic weights is damaged", where);
	for (int i = 0; i < s->count; i++) {
		oq_tensor_info *info = &s->tensors[i];
		if (strcmp(info->name, name))
			continue;
		char *key = oq_arena_alloc(&s->arena, strlen(prefix) + strlen(name) + 1);
		if (!key)
			return oq_fail_memory(err, where, strlen(name));
		strcpy(key, prefix);
		strcat(key, name);
		s->keys[i] = key;
		info->dtype = dtype && !strcmp(oq_json_string(dtype), "I64") ? OQ_I64 : OQ_F32;
		info->bytes = info->count * oq_dtype_size(info->dtype);
		return parse_init(init, where, &s->inits[i], err);
	}
	return OQ_OK; /* part of the official file that the graph does not use */
}

static oq_status open_synthetic(oq_source *s, const oq_recipe *recipe, const oq_json *tensors, oq_error *err)
{
	const oq_json *table = oq_recipe_synthetic(recipe), *rows;
	const char *prefix;
	if (!table)
		return oq_fail(err, OQ_E_USAGE, "E_SYNTHETIC", "%s: this model has no table of synthetic weights; give --checkpoint", recipe->where);
	OQ_TRY(list_needed(s, tensors, recipe->where, err));
	OQ_TRY(oq_json_need_string(table, "prefix", recipe->where, &prefix, err));
	OQ_TRY(oq_json_need_array(table, "tensors", recipe->where, &rows, err));
	for (const oq_json *row = oq_json_first(rows); row; row = oq_json_next(row))
		OQ_TRY(apply_row(s, row, prefix, recipe->where, err));
	offenders missing = {0};
	for (int i = 0; i < s->count; i++)
		if (!s->keys[i])
			offend(&missing, "%s", s->tensors[i].name);
	return missing.count ? refuse(&missing, recipe->where, "E_TENSOR_MISSING", "tensors have no synthetic rule", err) : OQ_OK;
}

static oq_status finish(oq_status status, oq_source *s, oq_source **out)
{
	if (status == OQ_OK)
		*out = s;
	else
		oq_source_close(s);
	return status;
}

oq_status oq_source_open_checkpoint(const oq_recipe *recipe, const oq_json *tensors, const char *path, oq_source **out, oq_error *err)
{
	oq_source *s = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, path, sizeof *s);
	return finish(open_checkpoint(s, recipe, tensors, path, err), s, out);
}

oq_status oq_source_open_synthetic(const oq_recipe *recipe, const oq_json *tensors, uint64_t seed, oq_source **out, oq_error *err)
{
	oq_source *s = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, recipe->where, sizeof *s);
	s->seed = seed;
	return finish(open_synthetic(s, recipe, tensors, err), s, out);
}

void oq_source_close(oq_source *s)
{
	if (!s)
		return;
	oq_checkpoint_close(s->checkpoint);
	oq_free(s->tensors);
	oq_free(s->places);
	oq_free(s->inits);
	oq_free(s->keys);
	oq_free(s->skipped);
	oq_arena_free(&s->arena);
	oq_free(s);
}

int oq_source_count(const oq_source *s)
{
	return s->count;
}

const oq_tensor_info *oq_source_at(const oq_source *s, int index)
{
	return &s->tensors[index];
}

oq_status oq_source_read(const oq_source *s, int index, void *buffer, oq_error *err)
{
	if (s->checkpoint)
		return oq_checkpoint_read(s->checkpoint, s->places[index], buffer, err);
	oq_synthetic_fill(s->seed, s->keys[index], &s->inits[index], s->tensors[index].dtype, s->tensors[index].count, buffer);
	return OQ_OK;
}

bool oq_source_describe(const oq_source *s, oq_json *provenance)
{
	if (!s->checkpoint) {
		char seed[32];
		snprintf(seed, sizeof seed, "%llu", (unsigned long long)s->seed);
		return oq_json_add_string(provenance, "kind", "synthetic") && oq_json_add_string(provenance, "seed", seed);
	}
	bool good = oq_json_add_string(provenance, "kind", "checkpoint") && oq_json_add_string(provenance, "file", s->file)
		&& oq_json_add_string(provenance, "sha256", s->sha256) && oq_json_add_string(provenance, "nesting", s->nesting)
		&& oq_json_add_string(provenance, "prefix", s->prefix);
	oq_json *skipped = good ? oq_json_add_array(provenance, "skipped") : NULL;
	good = skipped != NULL;
	for (int i = 0; i < s->skipped_count && good; i++)
		good = oq_json_add_string(skipped, NULL, s->skipped[i]);
	for (int i = 0; good && oq_checkpoint_skipped(s->checkpoint, i); i++)
		good = oq_json_add_string(skipped, NULL, oq_checkpoint_skipped(s->checkpoint, i));
	return good;
}
