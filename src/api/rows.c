/* Manifests: rows, seeds, and which rows share a scan. */
#include "job.h"

#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const needed[] = {"image_path", "coordX", "coordY", "coordZ"};

void oq_row_fail(oq_rows *rows, int64_t index, const oq_error *err)
{
	oq_row *row = &rows->rows[index];
	if (row->message)
		return;
	snprintf(row->code, sizeof row->code, "%s", err->code);
	/* Out of memory for the message still leaves the code. */
	row->message = oq_strdup(err->message);
	rows->failed++;
}

static oq_status find_columns(const oq_table *table, const char *manifest, int columns[4], oq_error *err)
{
	for (int i = 0; i < 4; i++) {
		columns[i] = oq_table_find(table, needed[i]);
		if (columns[i] >= 0)
			continue;
		char found[400] = "";
		for (int c = 0; c < oq_table_columns(table) && strlen(found) < 300; c++)
			snprintf(found + strlen(found), sizeof found - strlen(found), "%s%.60s", c ? ", " : "", oq_table_header(table, c));
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\"; its columns are: %s", manifest, needed[i], found);
	}
	return OQ_OK;
}

/* "OLD=NEW": a path that begins with OLD begins with NEW; then, what is relative is relative to the root, or to the manifest's folder. */
static char *resolve(const char *manifest, const oq_paths *paths, const char *path)
{
	const char *slash = strrchr(manifest, '/'), *equals = paths && paths->map ? strchr(paths->map, '=') : NULL, *prefix = "";
	size_t old = equals ? (size_t)(equals - paths->map) : 0, folder = slash ? (size_t)(slash - manifest) + 1 : 0;
	if (equals && !strncmp(path, paths->map, old)) {
		prefix = equals + 1;
		path += old;
	}
	bool absolute = (prefix[0] ? prefix : path)[0] == '/';
	const char *base = absolute ? "" : paths && paths->root ? paths->root : manifest;
	size_t length = absolute ? 0 : paths && paths->root ? strlen(paths->root) : folder, room = length + strlen(prefix) + strlen(path) + 2;
	char *out = oq_alloc(room);
	if (out)
		snprintf(out, room, "%.*s%s%s%s", (int)length, base, length && base[length - 1] != '/' ? "/" : "", prefix, path);
	return out;
}

typedef struct path_row {
	const char *path;
	int64_t row;
} path_row;

static int compare_paths(const void *a, const void *b)
{
	const path_row *x = a, *y = b;
	int by_path = strcmp(x->path, y->path);
	return by_path ? by_path : (x->row > y->row) - (x->row < y->row);
}

static void parse_row(oq_rows *rows, int64_t index, const char *manifest, const int columns[4])
{
	oq_error err;
	oq_row *row = &rows->rows[index];
	for (int i = 0; i < 3; i++) {
		const char *cell = oq_table_cell(rows->table, index, columns[1 + i]);
		if (!oq_parse_number(cell, &row->seed[i]) || fabs(row->seed[i]) > 1e6) {
			oq_fail(&err, OQ_E_INPUT, "E_COORD", "%s:%lld: %s is \"%.60s\", expected millimetres such as -12.5", manifest,
				(long long)oq_table_line(rows->table, index), needed[1 + i], cell);
			oq_row_fail(rows, index, &err);
			return;
		}
	}
	if (!oq_table_cell(rows->table, index, columns[0])[0]) {
		oq_fail(&err, OQ_E_INPUT, "E_OPEN", "%s:%lld: image_path is empty", manifest, (long long)oq_table_line(rows->table, index));
		oq_row_fail(rows, index, &err);
	}
}

/* Scans in the order of their first row, so that progress follows the manifest. */
static oq_status group_rows(oq_rows *rows, const char *manifest, const oq_paths *paths, int path_column, oq_error *err)
{
	size_t count = (size_t)rows->count;
	path_row *sorted = oq_calloc(count, sizeof *sorted);
	int64_t *first = oq_calloc(count, sizeof *first);
	rows->scans = oq_calloc(count, sizeof *rows->scans);
	if (!sorted || !first || !rows->scans) {
		oq_free(sorted);
		oq_free(first);
		return oq_fail_memory(err, manifest, count * sizeof *sorted);
	}
	for (int64_t i = 0; i < rows->count; i++)
		sorted[i] = (path_row){oq_table_cell(rows->table, i, path_column), i};
	qsort(sorted, count, sizeof *sorted, compare_paths);
	/* first[row]: the first row that has the same path */
	for (int64_t i = 0; i < rows->count; i++)
		first[sorted[i].row] = i && !strcmp(sorted[i].path, sorted[i - 1].path) ? first[sorted[i - 1].row] : sorted[i].row;
	oq_status status = OQ_OK;
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++) {
		if (first[i] == i) {
			rows->rows[i].scan = rows->scan_count;
			rows->scans[rows->scan_count] = resolve(manifest, paths, oq_table_cell(rows->table, i, path_column));
			if (!rows->scans[rows->scan_count++])
				status = oq_fail_memory(err, manifest, 0);
		} else {
			rows->rows[i].scan = rows->rows[first[i]].scan;
		}
	}
	/* A counting sort keeps the row order inside each scan. */
	int64_t *start = oq_calloc((size_t)rows->scan_count + 1, sizeof *start);
	if (!start && status == OQ_OK)
		status = oq_fail_memory(err, manifest, count * sizeof *start);
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++)
		start[rows->rows[i].scan + 1]++;
	for (int s = 0; s < rows->scan_count && status == OQ_OK; s++)
		start[s + 1] += start[s];
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++)
		rows->order[start[rows->rows[i].scan]++] = i;
	oq_free(start);
	oq_free(sorted);
	oq_free(first);
	return status;
}

oq_status oq_rows_plain(int64_t count, oq_rows *rows, oq_error *err)
{
	*rows = (oq_rows){.count = count};
	rows->rows = oq_calloc((size_t)count, sizeof *rows->rows);
	rows->order = oq_alloc((size_t)count * sizeof *rows->order);
	if (!rows->rows || !rows->order)
		return oq_fail_memory(err, "rows", (size_t)count * sizeof *rows->rows);
	for (int64_t i = 0; i < count; i++) {
		rows->rows[i].scan = -1;
		rows->order[i] = i;
	}
	return OQ_OK;
}

oq_status oq_rows_read(const char *manifest, const oq_paths *paths, oq_rows *rows, oq_error *err)
{
	int columns[4];
	oq_table *table = NULL;
	*rows = (oq_rows){0};
	if (paths && paths->map && (paths->map[0] == '=' || !strchr(paths->map, '=')))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "path map: is \"%s\", expected OLD=NEW", paths->map);
	OQ_TRY(oq_table_read(manifest, &table, err));
	oq_status status = find_columns(table, manifest, columns, err);
	if (status == OQ_OK && oq_table_rows(table) == 0)
		status = oq_fail(err, OQ_E_INPUT, "E_EMPTY", "%s: has 0 rows", manifest);
	if (status == OQ_OK)
		status = oq_rows_plain(oq_table_rows(table), rows, err);
	rows->table = table;
	if (status == OQ_OK)
		status = group_rows(rows, manifest, paths, columns[0], err);
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++)
		parse_row(rows, i, manifest, columns);
	return status;
}

void oq_rows_free(oq_rows *rows)
{
	for (int64_t i = 0; rows->rows && i < rows->count; i++) {
		oq_free(rows->rows[i].message);
		oq_free(rows->rows[i].warnings);
	}
	for (int i = 0; rows->scans && i < rows->scan_count; i++)
		oq_free(rows->scans[i]);
	oq_free((void *)rows->scans);
	oq_free(rows->rows);
	oq_free(rows->order);
	oq_table_free(rows->table);
	*rows = (oq_rows){0};
}

void oq_seed_to_lps(const oq_scan *scan, oq_coords coords, const double seed[3], double lps[3])
{
	memcpy(lps, seed, 3 * sizeof *lps);
	if (coords == OQ_COORDS_VOXEL)
		oq_volume_to_ras(scan->volume, seed, lps);
	if (coords != OQ_COORDS_LPS) {
		lps[0] = -lps[0];
		lps[1] = -lps[1];
	}
}
