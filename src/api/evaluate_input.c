/* What is evaluated: files of embeddings and a table of labels, joined by row or by id. Refuses labels of one class, rows that are NaN in part,
 * doubled ids; leaves out and counts rows that failed, have no label, or no partner. */
#include "evaluate.h"
#include "failed.h"
#include "gate.h"
#include "names.h"
#include "texts.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>
#include <unistd.h>

/* One file of embeddings: its rows as they stand in the file. */
typedef struct source {
	const char *path;
	oq_table *table;  /* the .csv beside it, or itself; or NULL */
	bool *failed;     /* [rows] */
	int64_t *row_of;  /* [rows of the labels]: row of the file, or -1 */
} source;

static bool ends_with(const char *text, const char *end)
{
	size_t n = strlen(text), m = strlen(end);
	return n >= m && !strcmp(text + n - m, end);
}

static oq_status need_column(const oq_table *table, const char *path, const char *name, int *column, oq_error *err)
{
	*column = oq_table_find(table, name);
	if (*column >= 0)
		return OQ_OK;
	return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\" (its first is \"%s\")", path, name, oq_table_header(table, 0));
}

/* A .csv of embeddings: every column but the id is a dimension. */
static oq_status read_numbers(const oq_table *table, const char *path, const char *id, oq_matrix *out, oq_error *err)
{
	int64_t rows = oq_table_rows(table);
	int all = oq_table_columns(table), skip = id ? oq_table_find(table, id) : -1, columns = all - (skip >= 0);
	float *data = rows > 0 && columns > 0 ? oq_alloc((size_t)rows * (size_t)columns * sizeof *data) : NULL, *to = data;
	if (rows < 1 || columns < 1)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: %lld rows of %d numbers, expected embeddings", path, (long long)rows, columns);
	if (!data)
		return oq_fail_memory(err, path, (size_t)rows * (size_t)columns * sizeof *data);
	*out = (oq_matrix){.data = data, .rows = rows, .columns = columns};
	for (int64_t r = 0; r < rows; r++)
		for (int c = 0; c < all; c++) {
			double value;
			if (c == skip)
				continue;
			if (!oq_parse_number(oq_table_cell(table, r, c), &value) || fabs(value) > 3e38)
				return oq_fail(err, OQ_E_INPUT, "E_VALUE", "%s:%lld: %s is \"%.60s\", expected a number", path, (long long)oq_table_line(table, r),
					oq_table_header(table, c), oq_table_cell(table, r, c));
			*to++ = (float)value;
		}
	return OQ_OK;
}

static oq_status read_source(const char *id, source *s, oq_matrix *matrix, oq_error *err)
{
	bool csv = ends_with(s->path, ".csv");
	char *beside = csv ? oq_strdup(s->path) : oq_companion(s->path, ".csv");
	oq_status status = beside ? OQ_OK : oq_fail_memory(err, s->path, 0);
	if (status == OQ_OK && access(beside, F_OK) == 0)
		status = oq_table_read(beside, &s->table, err);
	if (status == OQ_OK && csv && !s->table)
		status = oq_table_read(s->path, &s->table, err);
	if (status == OQ_OK)
		status = csv ? read_numbers(s->table, s->path, id, matrix, err) : oq_gate_read_matrix(s->path, matrix, err);
	if (status == OQ_OK && s->table && oq_table_rows(s->table) != matrix->rows)
		status = oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, %s has %lld: expected as many", beside, (long long)oq_table_rows(s->table), s->path,
			(long long)matrix->rows);
	oq_free(beside);
	return status;
}

/* Rows that `embed` says failed, and rows that are NaN throughout. */
static oq_status mark_failed(source *s, const oq_matrix *matrix, oq_error *err)
{
	s->failed = oq_calloc((size_t)matrix->rows, sizeof *s->failed);
	if (!s->failed)
		return oq_fail_memory(err, s->path, (size_t)matrix->rows);
	int column = s->table ? oq_table_find(s->table, "oq_status") : -1;
	for (int64_t r = 0; r < matrix->rows && column >= 0; r++)
		s->failed[r] = !strcmp(oq_table_cell(s->table, r, column), "failed");
	return oq_find_failed(matrix, s->path, matrix->rows, s->failed, err);
}

/* By id: the file's ids, then the labels' ones, in one list of texts. */
static oq_status join_by_id(const oq_table *labels, const char *labels_path, const char *id, source *s, oq_error *err)
{
	int in_file, in_labels;
	if (!s->table)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no .csv beside it, expected one with the column \"%s\"", s->path, id);
	OQ_TRY(need_column(s->table, s->path, id, &in_file, err));
	OQ_TRY(need_column(labels, labels_path, id, &in_labels, err));
	int64_t own = oq_table_rows(s->table), others = oq_table_rows(labels), matched = 0;
	const char **texts = oq_alloc((size_t)(own + others) * sizeof *texts);
	int64_t *first = oq_alloc((size_t)(own + others) * sizeof *first);
	oq_status status = texts && first ? OQ_OK : oq_fail_memory(err, s->path, (size_t)(own + others) * sizeof *first);
	for (int64_t r = 0; r < own + others && status == OQ_OK; r++)
		texts[r] = r < own ? oq_table_cell(s->table, r, in_file) : oq_table_cell(labels, r - own, in_labels);
	if (status == OQ_OK)
		status = oq_first_same(texts, own + others, first, err);
	for (int64_t r = 0; r < own && status == OQ_OK; r++)
		if (first[r] != r)
			status = oq_fail(err, OQ_E_INPUT, "E_IDS", "%s: %s \"%.60s\" stands twice, expected once", s->path, id, texts[r]);
	for (int64_t r = 0; r < others && status == OQ_OK; r++) {
		int64_t at = first[own + r];
		bool twice = at >= own ? at != own + r : first[at] < 0;
		if (twice)
			status = oq_fail(err, OQ_E_INPUT, "E_IDS", "%s:%lld: %s \"%.60s\" stands twice, expected once", labels_path,
				(long long)oq_table_line(labels, r), id, texts[own + r]);
		s->row_of[r] = at < own ? at : -1;
		matched += at < own;
		if (at < own)
			first[at] = -1; /* taken */
	}
	if (status == OQ_OK && !matched)
		status = oq_fail(err, OQ_E_INPUT, "E_IDS", "%s: no %s is one of %s: \"%.60s\" there, \"%.60s\" here", labels_path, id, s->path, own ? texts[0] : "",
			others ? texts[own] : "");
	oq_free(texts);
	oq_free(first);
	return status;
}

static oq_status join(const oq_evaluation *e, const char *labels_path, source *s, int64_t rows, oq_error *err)
{
	const oq_table *labels = e->endpoint.table;
	int64_t count = oq_table_rows(labels);
	s->row_of = oq_alloc((size_t)count * sizeof *s->row_of);
	if (!s->row_of)
		return oq_fail_memory(err, s->path, (size_t)count * sizeof *s->row_of);
	if (e->options->id)
		return join_by_id(labels, labels_path, e->options->id, s, err);
	if (rows != count)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, %s has %lld: expected as many, or a column that joins them (id)", labels_path,
			(long long)count, s->path, (long long)rows);
	for (int64_t r = 0; r < count; r++)
		s->row_of[r] = r;
	return OQ_OK;
}

/* Numbers by value, so that 1 and 1.0 are one class; else as text. */
static int compare_classes(const char *a, const char *b)
{
	double x, y;
	return oq_parse_number(a, &x) && oq_parse_number(b, &y) ? (x > y) - (x < y) : strcmp(a, b);
}

static oq_status find_classes(oq_endpoint *p, const char *path, oq_error *err)
{
	for (int64_t i = 0; i < p->rows; i++) {
		const char *cell = oq_table_cell(p->table, p->line[i], p->label);
		int at = 0;
		while (at < p->classes && compare_classes(p->class_names[at], cell) < 0)
			at++;
		if (at < p->classes && compare_classes(p->class_names[at], cell) == 0)
			continue;
		if (p->classes == OQ_CLASSES)
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%s: column \"%s\" has more than %d different values, expected classes", path,
				oq_table_header(p->table, p->label), OQ_CLASSES);
		memmove(p->class_names + at + 1, p->class_names + at, (size_t)(p->classes - at) * sizeof *p->class_names);
		p->class_names[at] = cell;
		p->classes++;
	}
	if (p->classes < 2)
		return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%s: column \"%s\" has %d class in %lld rows, expected at least 2", path,
			oq_table_header(p->table, p->label), p->classes, (long long)p->rows);
	for (int64_t i = 0; i < p->rows; i++) {
		const char *cell = oq_table_cell(p->table, p->line[i], p->label);
		while (compare_classes(p->class_names[p->class[i]], cell) != 0)
			p->class[i]++;
		p->counts[p->class[i]]++;
	}
	return OQ_OK;
}

/* Patients are numbered by their first row. A row without a patient is one of its own. */
static oq_status find_patients(oq_endpoint *p, oq_error *err)
{
	const char **texts = p->patient >= 0 ? oq_alloc((size_t)p->rows * sizeof *texts) : NULL;
	if (p->patient >= 0 && !texts)
		return oq_fail_memory(err, "patients", (size_t)p->rows * sizeof *texts);
	for (int64_t i = 0; i < p->rows; i++) {
		p->group[i] = i;
		if (texts)
			texts[i] = oq_table_cell(p->table, p->line[i], p->patient);
	}
	oq_status status = texts ? oq_first_same(texts, p->rows, p->group, err) : OQ_OK;
	for (int64_t i = 0; i < p->rows && status == OQ_OK; i++) {
		if (texts && !texts[i][0])
			p->group[i] = i;
		p->patients += p->group[i] == i;
	}
	oq_free(texts);
	return status;
}

static oq_status find_parts(oq_endpoint *p, const char *path, oq_error *err)
{
	static const char *const words[] = {"train", "val", "test", "training", "validation", "testing", "tune", "dev"};
	static const uint8_t parts[] = {0, 1, 2, 0, 1, 2, 1, 1};
	if (p->split < 0)
		return OQ_OK;
	p->part = oq_alloc((size_t)p->rows);
	if (!p->part)
		return oq_fail_memory(err, path, (size_t)p->rows);
	for (int64_t i = 0; i < p->rows; i++) {
		const char *cell = oq_table_cell(p->table, p->line[i], p->split);
		size_t w = 0;
		while (w < sizeof parts && strcmp(cell, words[w]))
			w++;
		if (w == sizeof parts && cell[0])
			return oq_fail(err, OQ_E_INPUT, "E_SPLIT", "%s:%lld: %s is \"%.60s\", expected train, val, test or nothing", path,
				(long long)oq_table_line(p->table, p->line[i]), oq_table_header(p->table, p->split), cell);
		p->part[i] = w < sizeof parts ? parts[w] : 255;
	}
	return OQ_OK;
}

/* Which rows of the labels stay, and why the others do not. */
static void choose_rows(oq_evaluation *e, const source *sources)
{
	oq_endpoint *p = &e->endpoint;
	for (int64_t r = 0; r < oq_table_rows(p->table); r++) {
		bool matched = true, failed = false;
		for (int m = 0; m < e->options->count; m++) {
			int64_t at = sources[m].row_of[r];
			matched = matched && at >= 0;
			failed = failed || (at >= 0 && sources[m].failed[at]);
		}
		if (!matched)
			p->unmatched++;
		else if (failed)
			p->failed++;
		else if (oq_cell_is_missing(oq_table_cell(p->table, r, p->label)))
			p->unlabelled++;
		else
			p->line[p->rows++] = r;
	}
}

/* The matrix in the order of the kept rows; in place where that only leaves some out. */
static oq_status gather(const oq_endpoint *p, const source *s, oq_matrix *matrix, oq_error *err)
{
	union { const float *in; float *out; } data = {matrix->data};
	size_t bytes = (size_t)matrix->columns * sizeof(float);
	bool ascending = true;
	for (int64_t i = 1; i < p->rows; i++)
		ascending = ascending && s->row_of[p->line[i]] > s->row_of[p->line[i - 1]];
	float *to = ascending ? data.out : oq_alloc((size_t)p->rows * bytes);
	if (!to)
		return oq_fail_memory(err, s->path, (size_t)p->rows * bytes);
	for (int64_t i = 0; i < p->rows; i++)
		memmove(to + i * matrix->columns, oq_matrix_row(matrix, s->row_of[p->line[i]]), bytes);
	if (!ascending)
		oq_free(data.out);
	*matrix = (oq_matrix){.data = to, .rows = p->rows, .columns = matrix->columns};
	return OQ_OK;
}

static oq_status read_endpoint(oq_evaluation *e, const char *path, oq_error *err)
{
	const oq_evaluate_options *o = e->options;
	oq_endpoint *p = &e->endpoint;
	p->patient = p->split = p->id = -1;
	OQ_TRY(oq_table_read(path, &p->table, err));
	size_t rows = (size_t)oq_table_rows(p->table);
	OQ_TRY(need_column(p->table, path, o->label ? o->label : "y", &p->label, err));
	if (o->patient)
		OQ_TRY(need_column(p->table, path, o->patient, &p->patient, err));
	if (o->split)
		OQ_TRY(need_column(p->table, path, o->split, &p->split, err));
	if (o->id)
		OQ_TRY(need_column(p->table, path, o->id, &p->id, err));
	p->line = oq_alloc(rows * sizeof *p->line);
	p->class = oq_calloc(rows, sizeof *p->class);
	p->group = oq_alloc(rows * sizeof *p->group);
	return p->line && p->class && p->group ? OQ_OK : oq_fail_memory(err, path, rows * sizeof *p->line);
}

static oq_status read_all(oq_evaluation *e, const char *labels, source *sources, oq_error *err)
{
	const oq_evaluate_options *o = e->options;
	OQ_TRY(read_endpoint(e, labels, err));
	for (int m = 0; m < o->count; m++) {
		sources[m].path = o->embeddings[m];
		OQ_TRY(read_source(o->id, &sources[m], &e->matrices[m], err));
		OQ_TRY(mark_failed(&sources[m], &e->matrices[m], err));
		OQ_TRY(join(e, labels, &sources[m], e->matrices[m].rows, err));
	}
	choose_rows(e, sources);
	for (int m = 0; m < o->count; m++)
		OQ_TRY(gather(&e->endpoint, &sources[m], &e->matrices[m], err));
	OQ_TRY(find_classes(&e->endpoint, labels, err));
	OQ_TRY(find_patients(&e->endpoint, err));
	return find_parts(&e->endpoint, labels, err);
}

oq_status oq_evaluate_read(oq_evaluation *e, oq_error *err)
{
	source sources[OQ_EVALUATE_MODELS] = {{0}};
	const oq_evaluate_options *o = e->options;
	if (o->count < 1 || o->count > OQ_EVALUATE_MODELS)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "evaluate: %d files of embeddings, expected 1 to %d", o->count, OQ_EVALUATE_MODELS);
	OQ_TRY(oq_name_files(o->embeddings, o->count, e->names, err));
	char *beside = o->labels ? oq_strdup(o->labels) : oq_companion(o->embeddings[0], ".csv");
	oq_status status = beside ? read_all(e, beside, sources, err) : oq_fail_memory(err, o->embeddings[0], 0);
	for (int m = 0; m < o->count; m++) {
		oq_table_free(sources[m].table);
		oq_free(sources[m].failed);
		oq_free(sources[m].row_of);
	}
	oq_free(beside);
	return status;
}
