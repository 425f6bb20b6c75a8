/* From a data set's published tables to one manifest, as its recipe (datasets/NAME.json) says: columns renamed, the endpoint as oq_label, the
 * patient as oq_group, a fold that no patient straddles as oq_fold. Refuses an endpoint that it does not understand; drops only what the recipe
 * says, and counts it. */
#include "job.h"

#include "core/locale.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define TABLES_MOST 16
#define DROP 2 /* a label: the row has none */

typedef enum kind { NO_ENDPOINT = 0, TEXT, BINARY, ABOVE, HORIZON, KINDS } kind;
static const char *const kinds[KINDS] = {"none", "text", "binary", "above", "horizon"};

typedef struct dataset {
	const oq_dataset_options *options;
	oq_json *recipe;
	oq_table *tables[TABLES_MOST];
	const char **headers;          /* as they are written, renamed */
	int columns, image, endpoint, time, event, group;
	kind kind;
	double limit;                  /* "above" or "horizon" */
	int64_t rows, written, absent, censored, negative, positive;
	oq_outfile *file;
	oq_error *err;
} dataset;

static bool sink(void *context, const char *bytes, size_t count)
{
	dataset *d = context;
	return oq_outfile_write(d->file, bytes, count, d->err) == OQ_OK;
}

static bool put(dataset *d, bool first, const char *text)
{
	return (first || sink(d, ",", 1)) && oq_csv_field(sink, d, text);
}

static const char *text_at(const oq_json *object, const char *key)
{
	return object ? oq_json_string(oq_json_get(object, key)) : NULL;
}

static oq_status need(dataset *d, const char *name, int *column)
{
	*column = -1;
	if (!name)
		return OQ_OK;
	*column = oq_table_find(d->tables[0], name);
	return *column >= 0 ? OQ_OK : oq_fail(d->err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\", which the recipe names", d->options->tables[0], name);
}

/* The tables are parts of one: the same columns in the same order. */
static oq_status read_tables(dataset *d)
{
	const oq_dataset_options *o = d->options;
	if (o->table_count < 1 || o->table_count > TABLES_MOST)
		return oq_fail(d->err, OQ_E_USAGE, "E_ARGUMENT", "dataset: %d tables, expected 1 to %d", o->table_count, TABLES_MOST);
	for (int t = 0; t < o->table_count; t++) {
		OQ_TRY(oq_table_read(o->tables[t], &d->tables[t], d->err));
		bool same = oq_table_columns(d->tables[t]) == oq_table_columns(d->tables[0]);
		for (int c = 0; same && c < oq_table_columns(d->tables[0]); c++)
			same = !strcmp(oq_table_header(d->tables[t], c), oq_table_header(d->tables[0], c));
		if (!same)
			return oq_fail(d->err, OQ_E_INPUT, "E_COLUMN", "%s: has other columns than %s", o->tables[t], o->tables[0]);
		d->rows += oq_table_rows(d->tables[t]);
	}
	d->columns = oq_table_columns(d->tables[0]);
	return OQ_OK;
}

/* Columns under the names of a manifest. A recipe that does not know its table's names expects these. */
static oq_status name_columns(dataset *d)
{
	static const char *const wanted[] = {"image_path", "coordX", "coordY", "coordZ"};
	const oq_json *map = oq_json_get(d->recipe, "columns");
	d->headers = oq_calloc((size_t)d->columns, sizeof *d->headers);
	if (!d->headers)
		return oq_fail_memory(d->err, d->options->recipe, (size_t)d->columns * sizeof *d->headers);
	for (int c = 0; c < d->columns; c++)
		d->headers[c] = oq_table_header(d->tables[0], c);
	for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++) {
		int column;
		const char *theirs = text_at(map, wanted[i]);
		OQ_TRY(need(d, theirs ? theirs : wanted[i], &column));
		d->headers[column] = wanted[i];
		d->image = i ? d->image : column;
	}
	return OQ_OK;
}

static oq_status read_endpoint(dataset *d)
{
	const oq_json *endpoint = oq_json_get(d->recipe, "endpoint"), *survival = oq_json_get(d->recipe, "time_to_event"), *group = oq_json_get(d->recipe, "group");
	const char *name = text_at(endpoint, "kind");
	for (int k = 1; name && k < KINDS; k++)
		d->kind = strcmp(name, kinds[k]) ? d->kind : (kind)k;
	if (name && !d->kind)
		return oq_fail(d->err, OQ_E_USAGE, "E_FIELD", "%s: endpoint is of the kind \"%s\", expected text, binary, above or horizon", d->options->recipe, name);
	OQ_TRY(need(d, text_at(endpoint, "column"), &d->endpoint));
	OQ_TRY(need(d, text_at(survival, "time"), &d->time));
	OQ_TRY(need(d, text_at(survival, "event"), &d->event));
	OQ_TRY(need(d, text_at(group, "column"), &d->group));
	d->limit = oq_json_number(oq_json_get(endpoint, d->kind == ABOVE ? "above" : "horizon"));
	bool whole = (d->kind != ABOVE && d->kind != HORIZON) || isfinite(d->limit);
	if (!whole || (d->kind && d->endpoint < 0) || (d->kind == HORIZON && d->time < 0))
		return oq_fail(d->err, OQ_E_USAGE, "E_FIELD", "%s: its endpoint lacks a column or a limit", d->options->recipe);
	return OQ_OK;
}

static bool in_list(const oq_json *list, const char *text)
{
	for (const oq_json *e = list ? oq_json_first(list) : NULL; e; e = oq_json_next(e))
		if (oq_json_string(e) && !strcmp(oq_json_string(e), text))
			return true;
	return false;
}

static oq_status refuse_cell(const dataset *d, int t, int64_t row, int column, const char *expected)
{
	return oq_fail(d->err, OQ_E_INPUT, "E_LABEL", "%s:%lld: %s is \"%.60s\", expected %s", d->options->tables[t], (long long)oq_table_line(d->tables[t], row),
		oq_table_header(d->tables[t], column), oq_table_cell(d->tables[t], row, column), expected);
}

/* 0 or 1, or a word that the recipe lists. */
static oq_status yes_or_no(const dataset *d, int t, int64_t row, int column, int *out)
{
	const oq_json *endpoint = oq_json_get(d->recipe, "endpoint");
	const char *cell = oq_table_cell(d->tables[t], row, column);
	double number = (double)NAN;
	bool numeric = oq_parse_number(cell, &number);
	bool yes = in_list(oq_json_get(endpoint, "positive"), cell) || (numeric && number == 1);
	bool no = in_list(oq_json_get(endpoint, "negative"), cell) || (numeric && number == 0);
	*out = yes;
	return yes != no ? OQ_OK : refuse_cell(d, t, row, column, "0 or 1");
}

static oq_status number_at(const dataset *d, int t, int64_t row, int column, double *out)
{
	return oq_parse_number(oq_table_cell(d->tables[t], row, column), out) ? OQ_OK : refuse_cell(d, t, row, column, "a number");
}

static oq_status label_of(const dataset *d, int t, int64_t row, int *label)
{
	double value;
	*label = 0;
	switch (d->kind) {
	case BINARY: return yes_or_no(d, t, row, d->endpoint, label);
	case ABOVE:
		OQ_TRY(number_at(d, t, row, d->endpoint, &value));
		*label = value > d->limit;
		return OQ_OK;
	case HORIZON:
		OQ_TRY(number_at(d, t, row, d->time, &value));
		OQ_TRY(yes_or_no(d, t, row, d->endpoint, label));
		/* Who was seen at the horizon lived that long; who was lost before is unknown. */
		*label = value >= d->limit ? 0 : *label ? 1 : DROP;
		return OQ_OK;
	default: return OQ_OK;
	}
}

/* The patient (or scan) without the endings that the recipe strips. */
static void group_of(const dataset *d, int t, int64_t row, char out[512])
{
	const oq_json *strip = oq_json_get(oq_json_get(d->recipe, "group"), "strip");
	snprintf(out, 512, "%s", oq_table_cell(d->tables[t], row, d->group >= 0 ? d->group : d->image));
	for (const oq_json *e = strip ? oq_json_first(strip) : NULL; e; e = oq_json_next(e)) {
		size_t n = strlen(out), m = oq_json_string(e) ? strlen(oq_json_string(e)) : 0;
		if (m && n > m && !strcmp(out + n - m, oq_json_string(e)))
			out[n - m] = 0;
	}
}

/* The same fold for a group in every table, order and subset. */
static int fold_of(const char *group, int folds)
{
	unsigned char digest[32];
	uint64_t value = 0;
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, group, strlen(group));
	oq_sha256_final(&hash, digest);
	for (int i = 0; i < 8; i++)
		value = value << 8 | digest[i];
	return (int)(value % (uint64_t)folds);
}

static bool is_there(const dataset *d, const char *cell)
{
	struct stat info;
	const oq_columns paths = {.root = d->options->root, .map = d->options->path_map};
	char *path = oq_path_resolve(d->options->output, &paths, cell);
	bool there = path && stat(path, &info) == 0;
	oq_free(path);
	return there;
}

static bool put_header(dataset *d)
{
	bool good = true;
	for (int c = 0; c < d->columns && good; c++)
		good = put(d, c == 0, d->headers[c]);
	good = good && (!d->kind || put(d, false, "oq_label")) && put(d, false, "oq_group") && put(d, false, "oq_fold");
	return good && sink(d, "\n", 1);
}

static oq_status put_row(dataset *d, int t, int64_t row)
{
	int label;
	char group[512], number[16];
	OQ_TRY(label_of(d, t, row, &label));
	if (d->options->only_present && !is_there(d, oq_table_cell(d->tables[t], row, d->image))) {
		d->absent++;
		return OQ_OK;
	}
	if (label == DROP) {
		d->censored++;
		return OQ_OK;
	}
	bool good = true;
	for (int c = 0; c < d->columns && good; c++)
		good = put(d, c == 0, oq_table_cell(d->tables[t], row, c));
	group_of(d, t, row, group);
	if (d->kind == TEXT)
		good = good && put(d, false, oq_table_cell(d->tables[t], row, d->endpoint));
	else if (d->kind)
		good = good && put(d, false, label ? "1" : "0");
	snprintf(number, sizeof number, "%d", fold_of(group, d->options->folds > 0 ? d->options->folds : 5));
	d->written++;
	d->positive += label == 1;
	d->negative += label == 0 && d->kind > TEXT;
	return good && put(d, false, group) && put(d, false, number) && sink(d, "\n", 1) ? OQ_OK : d->err->status;
}

static oq_status write_rows(dataset *d)
{
	OQ_TRY(oq_outfile_open(d->options->output, &d->file, d->err));
	oq_status status = put_header(d) ? OQ_OK : d->err->status;
	for (int t = 0; t < d->options->table_count && status == OQ_OK; t++)
		for (int64_t r = 0; r < oq_table_rows(d->tables[t]) && status == OQ_OK; r++)
			status = put_row(d, t, r);
	if (status == OQ_OK && !d->written)
		status = oq_fail(d->err, OQ_E_INPUT, "E_EMPTY", "%s: no row of %lld is left; nothing was written", d->options->output, (long long)d->rows);
	oq_outfile *file = d->file;
	d->file = NULL;
	if (status == OQ_OK)
		return oq_outfile_commit(file, d->err);
	oq_outfile_abort(file);
	return status;
}

/* What was found beside what the recipe says that the benchmark had. */
static oq_status report(const dataset *d, char **json)
{
	const oq_json *rows = oq_json_get(d->recipe, "rows");
	oq_json *root = oq_json_object();
	bool good = oq_json_add_string(root, "name", text_at(d->recipe, "name")) && oq_json_add_int(root, "rows", d->rows)
		&& oq_json_add_int(root, "written", d->written) && oq_json_add_int(root, "censored", d->censored) && oq_json_add_int(root, "absent", d->absent)
		&& oq_json_add_int(root, "negative", d->negative) && oq_json_add_int(root, "positive", d->positive)
		&& oq_json_add_string(root, "group", d->group >= 0 ? oq_table_header(d->tables[0], d->group) : "image_path");
	oq_json *recipe = good ? oq_json_add_object(root, "benchmark") : NULL;
	good = good && oq_json_add_number(recipe, "rows", oq_json_number(oq_json_get(rows, "table")))
		&& oq_json_add_number(recipe, "used", oq_json_number(oq_json_get(rows, "used")))
		&& oq_json_add_number(recipe, "negative", oq_json_number(oq_json_get(rows, "negative")))
		&& oq_json_add_number(recipe, "positive", oq_json_number(oq_json_get(rows, "positive")));
	return oq_finish_json(root, good, json, d->err);
}

static oq_status build(dataset *d, char **json)
{
	for (int t = 0; t < d->options->table_count; t++)
		if (oq_file_same(d->options->tables[t], d->options->output))
			return oq_fail(d->err, OQ_E_USAGE, "E_OUTPUT", "%s: is the input as well as the output", d->options->output);
	OQ_TRY(oq_json_read_file(d->options->recipe, &d->recipe, d->err));
	OQ_TRY(read_tables(d));
	OQ_TRY(name_columns(d));
	OQ_TRY(read_endpoint(d));
	OQ_TRY(write_rows(d));
	return json ? report(d, json) : OQ_OK;
}

oq_status oq_dataset(const oq_dataset_options *options, char **json, oq_error *err)
{
	oq_error own = {0};
	dataset d = {.options = options, .err = err ? err : &own};
	oq_locale locale = oq_locale_enter();
	oq_status status = build(&d, json);
	for (int t = 0; t < TABLES_MOST; t++)
		oq_table_free(d.tables[t]);
	oq_json_free(d.recipe);
	oq_free((void *)d.headers);
	oq_locale_leave(locale);
	return status;
}
