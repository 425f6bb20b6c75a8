/* A manifest of moved seeds: every row's seed, `draws` times, each to a point drawn evenly from a ball. Draw after draw, so that the
 * embeddings line up with those of the original manifest, block after block. */
#define _XOPEN_SOURCE 700 /* realpath */
#include "job.h"

#include "core/locale.h"
#include "core/mem.h"
#include "eval/random.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_MM 100.0
#define MAX_DRAWS 10000

static const char *const added[] = {"oq_row", "oq_draw", "oq_shift_mm"};

typedef struct jitter {
	const oq_jitter_options *options;
	oq_rows rows;
	oq_outfile *file;
	char folder[PATH_MAX]; /* put before relative paths: the new manifest may lie elsewhere; "" when it does not */
	oq_error *err;
} jitter;

static bool sink(void *context, const char *bytes, size_t count)
{
	jitter *j = context;
	return oq_outfile_write(j->file, bytes, count, j->err) == OQ_OK;
}

static bool put(jitter *j, bool first, const char *text)
{
	return (first || sink(j, ",", 1)) && oq_csv_field(sink, j, text);
}

static size_t folder_length(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? (size_t)(slash - path) + 1 : 0;
}

static oq_status find_folder(jitter *j)
{
	const char *from = j->options->manifest, *to = j->options->output;
	size_t length = folder_length(from);
	char folder[PATH_MAX], real[PATH_MAX];
	if (length == folder_length(to) && !strncmp(from, to, length))
		return OQ_OK;
	snprintf(folder, sizeof folder, "%.*s", (int)length, from);
	if (length >= sizeof folder || !realpath(length ? folder : ".", real) || snprintf(j->folder, sizeof j->folder, "%s/", real) >= (int)sizeof j->folder)
		return oq_fail(j->err, OQ_E_INPUT, "E_PATH", "%s: its folder cannot be resolved", from);
	return OQ_OK;
}

static oq_status check(jitter *j)
{
	const oq_jitter_options *o = j->options;
	if (!(o->radius_mm > 0 && o->radius_mm <= MAX_MM))
		return oq_fail(j->err, OQ_E_USAGE, "E_ARGUMENT", "jitter: %g mm, expected more than 0, at most %g", o->radius_mm, MAX_MM);
	if (o->draws < 1 || o->draws > MAX_DRAWS)
		return oq_fail(j->err, OQ_E_USAGE, "E_ARGUMENT", "jitter: %d draws, expected 1 to %d", o->draws, MAX_DRAWS);
	if (oq_file_same(o->manifest, o->output))
		return oq_fail(j->err, OQ_E_USAGE, "E_OUTPUT", "%s: is the input as well as the output", o->output);
	OQ_TRY(oq_rows_read(o->manifest, NULL, &j->rows, j->err));
	for (int64_t r = 0; r < j->rows.count; r++)
		if (j->rows.rows[r].code[0]) /* left out, it would shift all blocks */
			return oq_fail(j->err, OQ_E_INPUT, j->rows.rows[r].code, "%s", j->rows.rows[r].message ? j->rows.rows[r].message : o->manifest);
	for (size_t i = 0; i < sizeof added / sizeof *added; i++)
		if (oq_table_find(j->rows.table, added[i]) >= 0)
			return oq_fail(j->err, OQ_E_USAGE, "E_COLUMN", "%s: has a column \"%s\", as if its seeds had been moved already; expected the original manifest",
				o->manifest, added[i]);
	return find_folder(j);
}

static bool put_header(jitter *j)
{
	bool good = true;
	for (int c = 0; c < oq_table_columns(j->rows.table) && good; c++)
		good = put(j, c == 0, oq_table_header(j->rows.table, c));
	for (size_t i = 0; i < sizeof added / sizeof *added && good; i++)
		good = put(j, false, added[i]);
	return good && sink(j, "\n", 1);
}

static bool put_row(jitter *j, int64_t row, int draw, const int columns[4])
{
	const oq_table *table = j->rows.table;
	double step[3], square = 0;
	char text[4][32], path[2 * PATH_MAX];
	oq_random_ball(oq_random_key(j->options->seed, (uint64_t)row, (uint64_t)draw), step);
	for (int axis = 0; axis < 3; axis++) {
		step[axis] *= j->options->radius_mm;
		square += step[axis] * step[axis];
		snprintf(text[axis], sizeof text[axis], "%.6f", j->rows.rows[row].seed[axis] + step[axis]); /* nanometres: no reader is finer */
	}
	bool good = true;
	for (int c = 0; c < oq_table_columns(table) && good; c++) {
		const char *cell = oq_table_cell(table, row, c);
		if (c == columns[0] && cell[0] != '/' && snprintf(path, sizeof path, "%s%s", j->folder, cell) < (int)sizeof path)
			cell = path;
		for (int axis = 0; axis < 3; axis++)
			if (c == columns[1 + axis])
				cell = text[axis];
		good = put(j, c == 0, cell);
	}
	snprintf(text[0], sizeof text[0], "%lld", (long long)row);
	snprintf(text[1], sizeof text[1], "%d", draw + 1);
	snprintf(text[2], sizeof text[2], "%.6f", sqrt(square));
	return good && put(j, false, text[0]) && put(j, false, text[1]) && put(j, false, text[2]) && sink(j, "\n", 1);
}

oq_status oq_jitter(const oq_jitter_options *options, oq_error *err)
{
	oq_error own;
	jitter *j = oq_calloc(1, sizeof *j);
	if (!j)
		return oq_fail_memory(err, options->manifest, sizeof *j);
	oq_locale locale = oq_locale_enter();
	j->options = options;
	j->err = err ? err : &own;
	oq_status status = check(j);
	if (status == OQ_OK)
		status = oq_outfile_open(options->output, &j->file, j->err);
	if (status == OQ_OK) {
		const int columns[4] = {oq_table_find(j->rows.table, "image_path"), oq_table_find(j->rows.table, "coordX"), oq_table_find(j->rows.table, "coordY"),
			oq_table_find(j->rows.table, "coordZ")};
		bool good = put_header(j);
		for (int draw = 0; draw < options->draws && good; draw++)
			for (int64_t r = 0; r < j->rows.count && good; r++)
				good = put_row(j, r, draw, columns);
		status = good ? OQ_OK : j->err->status;
		if (status == OQ_OK)
			status = oq_outfile_commit(j->file, j->err);
		else
			oq_outfile_abort(j->file);
	}
	oq_locale_leave(locale);
	oq_rows_free(&j->rows);
	oq_free(j);
	return status;
}
