/* Splits of an evaluation: by the protocol, a column of the labels, or a file; and that file. Rows in it are rows of the labels, from 0. */
#include "evaluate.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>

#define PAPER_SPLITS 10
#define MOST_SPLITS 10000

static oq_status open_splits(oq_evaluation *e, int count, const char *kind, oq_error *err)
{
	e->splits = oq_calloc((size_t)count, sizeof *e->splits);
	e->split_names = oq_calloc((size_t)count, sizeof *e->split_names);
	e->split_kind = kind;
	if (!e->splits || !e->split_names)
		return oq_fail_memory(err, "splits", (size_t)count * sizeof *e->splits);
	e->split_count = count;
	return OQ_OK;
}

static oq_status split_paper(oq_evaluation *e, uint32_t seed, oq_error *err)
{
	const oq_endpoint *p = &e->endpoint;
	OQ_TRY(open_splits(e, PAPER_SPLITS, "reference: stratified, 0.5 / 0.2 / 0.3, by seed", err));
	for (int i = 0; i < PAPER_SPLITS; i++) {
		snprintf(e->split_names[i], sizeof *e->split_names, "%u", seed + (uint32_t)i);
		OQ_TRY(oq_split_reference(p->class, p->rows, p->classes, seed + (uint32_t)i, &e->splits[i], err));
	}
	return OQ_OK;
}

static oq_status split_grouped(oq_evaluation *e, oq_error *err)
{
	const oq_endpoint *p = &e->endpoint;
	int folds = e->options->folds ? e->options->folds : 5, repeats = e->options->repeats ? e->options->repeats : 5;
	if (folds < 3 || repeats < 1 || folds > MOST_SPLITS / repeats)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "evaluate: %d folds, %d repeats, expected at least 3 and 1, and at most %d splits", folds, repeats,
			MOST_SPLITS);
	OQ_TRY(open_splits(e, folds * repeats, "grouped folds, stratified: one tests, the next chooses, the others train", err));
	for (int r = 0; r < repeats; r++)
		OQ_TRY(oq_split_grouped(p->class, p->group, p->rows, folds, e->options->seed, r, e->splits + r * folds, err));
	for (int i = 0; i < folds * repeats; i++)
		snprintf(e->split_names[i], sizeof *e->split_names, "%d.%d", i / folds + 1, i % folds + 1);
	return OQ_OK;
}

static oq_status split_column(oq_evaluation *e, oq_error *err)
{
	OQ_TRY(open_splits(e, 1, "column of the labels", err));
	snprintf(e->split_names[0], sizeof *e->split_names, "given");
	return oq_split_given(e->endpoint.part, e->endpoint.rows, &e->splits[0], err);
}

/* What rows of a file are here. */
typedef struct row_register {
	int64_t rows;  /* of the labels */
	int64_t *kept; /* [rows]: index among the kept rows, or -1 */
	bool *seen;    /* by index, in the split at hand */
	char where[1024];
} row_register;

/* A list of rows of the labels; those that were left out are skipped. */
static oq_status read_part(const oq_json *list, row_register *g, int64_t *rows, int64_t *count, oq_error *err)
{
	*count = 0;
	for (const oq_json *element = oq_json_first(list); element; element = oq_json_next(element)) {
		double row = oq_json_number(element);
		if (!(row >= 0 && row < (double)g->rows) || row > (double)(int64_t)row)
			return oq_fail(err, OQ_E_INPUT, "E_SPLIT", "%s: row %g, expected a whole number from 0 to %lld", g->where, row, (long long)g->rows - 1);
		int64_t index = g->kept[(int64_t)row];
		if (index < 0)
			continue;
		if (g->seen[index])
			return oq_fail(err, OQ_E_INPUT, "E_SPLIT", "%s: row %g stands twice, expected once", g->where, row);
		g->seen[index] = true;
		rows[(*count)++] = index;
	}
	return OQ_OK;
}

static oq_status read_split(const oq_json *one, int64_t room, row_register *g, oq_split *split, oq_error *err)
{
	static const char *const keys[3] = {"train", "val", "test"};
	int64_t *const counts[3] = {&split->train, &split->val, &split->test}, *rows = oq_alloc((size_t)room * sizeof *rows);
	split->rows = rows;
	if (!rows)
		return oq_fail_memory(err, g->where, (size_t)room * sizeof *rows);
	memset(g->seen, 0, (size_t)room * sizeof *g->seen);
	for (int part = 0; part < 3; rows += *counts[part], part++) {
		const oq_json *list;
		OQ_TRY(oq_json_need_array(one, keys[part], g->where, &list, err));
		OQ_TRY(read_part(list, g, rows, counts[part], err));
	}
	return OQ_OK;
}

static oq_status take_splits(oq_evaluation *e, const oq_json *document, const char *path, row_register *g, oq_error *err)
{
	const oq_json *list;
	int64_t stated;
	OQ_TRY(oq_json_need_array(document, "splits", path, &list, err));
	OQ_TRY(oq_json_need_int(document, "rows", path, &stated, err));
	int count = oq_json_count(list), at = 0;
	if (stated != g->rows || count < 1 || count > MOST_SPLITS)
		return oq_fail(err, OQ_E_INPUT, "E_SPLIT", "%s: %d splits of %lld rows, expected 1 to %d of %lld", path, count, (long long)stated, MOST_SPLITS,
			(long long)g->rows);
	OQ_TRY(open_splits(e, count, "file", err));
	for (const oq_json *one = oq_json_first(list); one; one = oq_json_next(one), at++) {
		const char *name = oq_json_string(oq_json_get(one, "name"));
		snprintf(g->where, sizeof g->where, "%.900s: split %d", path, at + 1);
		snprintf(e->split_names[at], sizeof *e->split_names, "%d", at + 1);
		if (name)
			snprintf(e->split_names[at], sizeof *e->split_names, "%.31s", name);
		OQ_TRY(read_split(one, e->endpoint.rows, g, &e->splits[at], err));
	}
	return OQ_OK;
}

static oq_status split_file(oq_evaluation *e, const char *path, oq_error *err)
{
	oq_json *document = NULL;
	row_register g = {.rows = oq_table_rows(e->endpoint.table)};
	g.kept = oq_alloc((size_t)g.rows * sizeof *g.kept);
	g.seen = oq_alloc((size_t)e->endpoint.rows * sizeof *g.seen);
	oq_status status = g.kept && g.seen ? oq_json_read_file(path, &document, err) : oq_fail_memory(err, path, (size_t)g.rows * sizeof *g.kept);
	for (int64_t r = 0; r < g.rows && status == OQ_OK; r++)
		g.kept[r] = -1;
	for (int64_t i = 0; i < e->endpoint.rows && status == OQ_OK; i++)
		g.kept[e->endpoint.line[i]] = i;
	if (status == OQ_OK)
		status = take_splits(e, document, path, &g, err);
	if (status == OQ_E_MODEL) { /* the JSON reader's status: here it is an input */
		status = OQ_E_INPUT;
		if (err)
			err->status = status;
	}
	oq_free(g.kept);
	oq_free(g.seen);
	oq_json_free(document);
	return status;
}

static int64_t rarest(const oq_evaluation *e, const int64_t *rows, int64_t count)
{
	int64_t counts[OQ_CLASSES] = {0}, least = count;
	for (int64_t i = 0; i < count; i++)
		counts[e->endpoint.class[rows[i]]]++;
	for (int c = 0; c < e->endpoint.classes; c++)
		least = counts[c] < least ? counts[c] : least;
	return least;
}

/* Every fold needs every class, or there is no AUC; a patient on both sides is refused by the strict protocol and counted by the other. */
static oq_status check_splits(oq_evaluation *e, oq_error *err)
{
	e->fewest_test = e->fewest_val = e->endpoint.rows;
	for (int i = 0; i < e->split_count; i++) {
		const oq_split *s = &e->splits[i];
		int64_t train = rarest(e, s->rows, s->train), val = rarest(e, oq_split_val(s), s->val), test = rarest(e, oq_split_test(s), s->test), leaks;
		if (train < 1 || val < 1 || test < 1)
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "split %s: %lld, %lld and %lld rows of the rarest class in train, val and test, expected at least 1 "
				"in each", e->split_names[i], (long long)train, (long long)val, (long long)test);
		/* strict: choices are made on the validation rows, and stacking is fitted to them; they count as trained on */
		const oq_split seen = oq_is_paper(e) ? *s : (oq_split){.rows = s->rows, .train = s->train + s->val, .test = s->test};
		OQ_TRY(oq_split_leaks(&seen, e->endpoint.group, e->endpoint.rows, &leaks, err));
		if (leaks && !oq_is_paper(e))
			return oq_fail(err, OQ_E_INPUT, "E_LEAK", "split %s: %lld of %lld test rows are of patients that are trained or chosen on, expected none (strict protocol)",
				e->split_names[i], (long long)leaks, (long long)s->test);
		e->leaks += leaks;
		e->fewest_test = test < e->fewest_test ? test : e->fewest_test;
		e->fewest_val = val < e->fewest_val ? val : e->fewest_val;
		for (int64_t t = 0; t < s->test; t++)
			e->tested[oq_split_test(s)[t]]++;
	}
	return OQ_OK;
}

oq_status oq_evaluate_split(oq_evaluation *e, oq_error *err)
{
	const oq_evaluate_options *o = e->options;
	e->tested = oq_calloc((size_t)e->endpoint.rows, sizeof *e->tested);
	if (!e->tested)
		return oq_fail_memory(err, "splits", (size_t)e->endpoint.rows * sizeof *e->tested);
	if (o->splits)
		OQ_TRY(split_file(e, o->splits, err));
	else if (e->endpoint.part)
		OQ_TRY(split_column(e, err));
	else if (oq_is_paper(e))
		OQ_TRY(split_paper(e, o->probe == OQ_PROBE_STACKING ? 110 : 10, err)); /* to 119, 19 */
	else
		OQ_TRY(split_grouped(e, err));
	return check_splits(e, err);
}

static bool add_rows(const oq_evaluation *e, oq_json *one, const char *key, const int64_t *rows, int64_t count)
{
	oq_json *list = oq_json_add_array(one, key);
	bool good = list != NULL;
	for (int64_t i = 0; i < count && good; i++)
		good = oq_json_add_int(list, NULL, e->endpoint.line[rows[i]]);
	return good;
}

oq_status oq_evaluate_write_splits(const oq_evaluation *e, const char *path, oq_error *err)
{
	oq_json *root = oq_json_object();
	bool good = root && oq_json_add_string(root, "schema", "oncoquant-splits") && oq_json_add_int(root, "version", 1)
		&& oq_json_add_string(root, "kind", e->split_kind) && oq_json_add_int(root, "rows", oq_table_rows(e->endpoint.table));
	oq_json *list = good ? oq_json_add_array(root, "splits") : NULL;
	for (int i = 0; i < e->split_count && good && list; i++) {
		const oq_split *s = &e->splits[i];
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "name", e->split_names[i]) && add_rows(e, one, "train", s->rows, s->train)
			&& add_rows(e, one, "val", oq_split_val(s), s->val) && add_rows(e, one, "test", oq_split_test(s), s->test);
	}
	char *text = NULL;
	oq_status status = good && list ? oq_json_print(root, false, &text, err) : oq_fail_memory(err, path, 0);
	if (status == OQ_OK)
		status = oq_file_write_all(path, text, strlen(text), err);
	oq_free(text);
	oq_json_free(root);
	return status;
}
