/* Manifests: rows, seeds, and which rows share a scan. */
#include "job.h"
#include "texts.h"

#include "core/mem.h"
#include "io/mask.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* What must be there: image_path, and a seed, a box or a mask. */
static const char *const seed_columns[] = {"image_path", "coordX", "coordY", "coordZ", NULL};
static const char *const box_columns[] = {"image_path", "minX", "minY", "minZ", "maxX", "maxY", "maxZ", NULL};
#define MOST_COLUMNS 7

typedef struct source {
	const char *manifest;
	const oq_columns *wish;
	const char *needed[MOST_COLUMNS + 1];
	int columns[MOST_COLUMNS];
} source;

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

int64_t oq_rows_first_failed(const oq_rows *rows)
{
	for (int64_t i = 0; i < rows->count; i++)
		if (rows->rows[i].code[0])
			return i;
	return -1;
}

void oq_row_describe(const oq_rows *rows, int64_t row, const char *message, char text[512])
{
	if (rows->table)
		snprintf(text, 512, "row %lld (line %lld): %.440s", (long long)row, (long long)oq_table_line(rows->table, row), message ? message : "");
	else
		snprintf(text, 512, "row %lld: %.440s", (long long)row, message ? message : "");
}

void oq_rows_describe_failure(const oq_rows *rows, char text[512])
{
	int64_t bad = oq_rows_first_failed(rows);
	text[0] = 0;
	if (bad >= 0)
		oq_row_describe(rows, bad, rows->rows[bad].message, text);
}

static oq_status refuse_column(const oq_table *table, const char *manifest, const char *name, oq_error *err)
{
	char found[400] = "";
	for (int c = 0; c < oq_table_columns(table) && strlen(found) < 300; c++)
		snprintf(found + strlen(found), sizeof found - strlen(found), "%s%.60s", c ? ", " : "", oq_table_header(table, c));
	return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\"; its columns are: %s", manifest, name, found);
}

static oq_status find_columns(const oq_table *table, source *s, oq_error *err)
{
	for (int i = 0; s->needed[i]; i++) {
		s->columns[i] = oq_table_find(table, s->needed[i]);
		if (s->columns[i] < 0)
			return refuse_column(table, s->manifest, s->needed[i], err);
		for (int c = s->columns[i] + 1; c < oq_table_columns(table); c++)
			if (!strcmp(oq_table_header(table, c), s->needed[i]))
				return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has two columns \"%s\"", s->manifest, s->needed[i]);
	}
	return OQ_OK;
}

/* "OLD=NEW": a path that begins with OLD begins with NEW; then, what is relative is relative to the root, or to the manifest's folder. */
char *oq_path_resolve(const char *manifest, const oq_columns *paths, const char *path)
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

static oq_status parse_box(oq_row *row, const double numbers[6], const char *where, oq_error *err)
{
	for (int i = 0; i < 3; i++) {
		row->seed[i] = (numbers[i] + numbers[3 + i]) / 2;
		row->extent[i] = numbers[3 + i] - numbers[i];
		if (!(row->extent[i] > 0))
			return oq_fail(err, OQ_E_INPUT, "E_BOX", "%s: %s is %g and %s is %g, expected the smaller one first", where, box_columns[1 + i], numbers[i],
				box_columns[4 + i], numbers[3 + i]);
	}
	return OQ_OK;
}

static oq_status parse_cells(oq_rows *rows, int64_t index, const source *s, oq_error *err)
{
	double numbers[MOST_COLUMNS - 1] = {0};
	char where[512];
	oq_row *row = &rows->rows[index];
	snprintf(where, sizeof where, "%.480s:%lld", s->manifest, (long long)oq_table_line(rows->table, index));
	if (!oq_table_cell(rows->table, index, s->columns[0])[0])
		return oq_fail(err, OQ_E_INPUT, "E_OPEN", "%s: image_path is empty", where);
	for (int i = 1; s->needed[i]; i++) {
		const char *cell = oq_table_cell(rows->table, index, s->columns[i]);
		if (s->wish->mask && !cell[0])
			return oq_fail(err, OQ_E_INPUT, "E_OPEN", "%s: %s is empty", where, s->needed[i]);
		if (!s->wish->mask && (!oq_parse_number(cell, &numbers[i - 1]) || fabs(numbers[i - 1]) > 1e6))
			return oq_fail(err, OQ_E_INPUT, "E_COORD", "%s: %s is \"%.60s\", expected a number such as -12.5", where, s->needed[i], cell);
	}
	if (s->wish->boxes)
		return parse_box(row, numbers, where, err);
	memcpy(row->seed, numbers, sizeof row->seed);
	return OQ_OK;
}

static void parse_row(oq_rows *rows, int64_t index, const source *s)
{
	oq_error err;
	if (parse_cells(rows, index, s, &err) != OQ_OK)
		oq_row_fail(rows, index, &err);
}

/* Scans in the order of their first row, so that progress follows the manifest. */
static oq_status group_rows(oq_rows *rows, const char *manifest, const oq_columns *paths, int path_column, oq_error *err)
{
	size_t count = (size_t)rows->count;
	const char **texts = oq_calloc(count, sizeof *texts);
	int64_t *first = oq_calloc(count, sizeof *first); /* first[row]: the first row that has the same path */
	rows->scans = oq_calloc(count, sizeof *rows->scans);
	oq_status status = texts && first && rows->scans ? OQ_OK : oq_fail_memory(err, manifest, count * sizeof *texts);
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++)
		texts[i] = oq_table_cell(rows->table, i, path_column);
	if (status == OQ_OK)
		status = oq_first_same(texts, rows->count, first, err);
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++) {
		if (first[i] == i) {
			rows->rows[i].scan = rows->scan_count;
			rows->scans[rows->scan_count] = oq_path_resolve(manifest, paths, oq_table_cell(rows->table, i, path_column));
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
	oq_free((void *)texts);
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

oq_status oq_patches_open(const char *path, oq_npy **out, oq_error *err)
{
	OQ_TRY(oq_npy_open(path, out, err));
	const oq_npy *a = *out;
	if (a->rank < 4 || a->rank > 5 || (a->rank == 5 && a->shape[1] != 1) || a->count == 0)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %d axes, expected [N,1,D,H,W] or [N,D,H,W]", path, a->rank);
	return OQ_OK;
}

oq_status oq_rows_read(const char *manifest, const oq_columns *columns, oq_rows *rows, oq_error *err)
{
	static const oq_columns plain;
	source s = {.manifest = manifest, .wish = columns ? columns : &plain, .needed = {"image_path"}};
	oq_table *table = NULL;
	*rows = (oq_rows){0};
	if (s.wish->map && (s.wish->map[0] == '=' || !strchr(s.wish->map, '=')))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "path map: is \"%s\", expected OLD=NEW", s.wish->map);
	if (s.wish->mask && s.wish->boxes)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "manifest: seeds are either points of masks or centres of boxes, not both");
	if (s.wish->mask)
		s.needed[1] = s.wish->mask;
	else if (!s.wish->scans_only)
		memcpy(s.needed, s.wish->boxes ? box_columns : seed_columns, s.wish->boxes ? sizeof box_columns : sizeof seed_columns);
	OQ_TRY(oq_table_read(manifest, &table, err));
	oq_status status = find_columns(table, &s, err);
	if (status == OQ_OK && oq_table_rows(table) == 0)
		status = oq_fail(err, OQ_E_INPUT, "E_EMPTY", "%s: has 0 rows", manifest);
	if (status == OQ_OK)
		status = oq_rows_plain(oq_table_rows(table), rows, err);
	rows->table = table;
	rows->mask_column = s.wish->mask ? s.columns[1] : -1;
	if (status == OQ_OK)
		status = group_rows(rows, manifest, s.wish, s.columns[0], err);
	for (int64_t i = 0; i < rows->count && status == OQ_OK; i++)
		parse_row(rows, i, &s);
	return status;
}

static oq_columns columns_of(const oq_job *job)
{
	return (oq_columns){.root = job->root, .map = job->path_map, .mask = job->mask_column, .boxes = job->boxes};
}

oq_status oq_rows_read_job(const oq_job *job, oq_rows *rows, oq_error *err)
{
	const oq_columns columns = columns_of(job);
	return oq_rows_read(job->manifest, &columns, rows, err);
}

oq_status oq_rows_open_scan(const oq_rows *rows, int64_t row, oq_scan **out, oq_error *err)
{
	char name[80];
	snprintf(name, sizeof name, "scan of row %lld (line %lld)", (long long)row, (long long)oq_table_line(rows->table, row));
	return oq_scan_open(rows->scans[rows->rows[row].scan], &(oq_scan_options){.name = name}, out, err);
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

oq_status oq_warn(char **warnings, const char *code, oq_error *err)
{
	size_t have = *warnings ? strlen(*warnings) : 0, n = strlen(code);
	/* A code is once in the list; no code is a part of another. */
	if (*warnings && strstr(*warnings, code))
		return OQ_OK;
	char *longer = oq_realloc(*warnings, have + n + 2);
	if (!longer)
		return oq_fail_memory(err, "warnings", have + n + 2);
	snprintf(longer + have, n + 2, "%s%s", have ? " " : "", code);
	*warnings = longer;
	return OQ_OK;
}

oq_status oq_warn_values(char **warnings, const oq_scan *scan, const int64_t slices[2], oq_error *err)
{
	oq_notes notes = {0};
	oq_status status = oq_volume_judge(scan->volume, slices[0], slices[1], &notes, err);
	for (int i = 0; i < notes.count && status == OQ_OK; i++)
		status = oq_warn(warnings, notes.items[i].code, err);
	oq_notes_free(&notes);
	return status;
}

/* A box may not be larger than its scan, whichever way it is turned. */
static oq_status check_box(const oq_job *job, const oq_row *row, const oq_scan *scan, oq_error *err)
{
	const oq_volume *v = scan->volume;
	double low[3], high[3];
	for (int corner = 0; corner < 8; corner++) {
		double point[3], lps[3], ijk[3];
		for (int i = 0; i < 3; i++)
			point[i] = row->seed[i] + (corner >> i & 1 ? 0.5 : -0.5) * row->extent[i];
		oq_seed_to_lps(scan, job->coords, point, lps);
		const double ras[3] = {-lps[0], -lps[1], lps[2]};
		oq_volume_from_ras(v, ras, ijk);
		for (int i = 0; i < 3; i++) {
			low[i] = corner ? fmin(low[i], ijk[i]) : ijk[i];
			high[i] = corner ? fmax(high[i], ijk[i]) : ijk[i];
		}
	}
	for (int i = 0; i < 3; i++)
		if (high[i] - low[i] > (double)v->dims[i])
			return oq_fail(err, OQ_E_INPUT, "E_BOX", "box: is %.1f voxels along axis %d, the scan has %lld", high[i] - low[i], i, (long long)v->dims[i]);
	return OQ_OK;
}

static oq_status seed_of_mask(const oq_job *job, oq_rows *rows, int64_t index, const oq_scan *scan, double lps[3], oq_error *err)
{
	const oq_columns columns = columns_of(job);
	char *path = oq_path_resolve(job->manifest, &columns, oq_table_cell(rows->table, index, rows->mask_column));
	const char *name = job->log_paths ? path : "mask";
	const oq_volume_options options = {.geometry = (oq_geometry_rule)job->scan.geometry, .allow_shear = job->scan.allow_shear,
		.assume_orientation = job->scan.assume_orientation, .name = job->log_paths ? NULL : name};
	oq_volume *mask = NULL;
	oq_mask_found found;
	if (!path)
		return oq_fail_memory(err, "mask", 0);
	oq_status status = oq_volume_read(path, &options, &mask, err);
	if (status == OQ_OK)
		status = oq_mask_find(mask, scan->volume, name, job->mask_label, job->mask_point == OQ_MASK_BOX_CENTRE, &found, err);
	if (status == OQ_OK) {
		oq_seed_to_lps(scan, OQ_COORDS_VOXEL, found.ijk, lps);
		if (found.touches_border)
			status = oq_warn(&rows->rows[index].warnings, "W_MASK_BORDER", err);
	}
	oq_volume_free(mask);
	oq_free(path);
	return status;
}

oq_status oq_row_seed(const oq_job *job, oq_rows *rows, int64_t index, const oq_scan *scan, double lps[3], oq_error *err)
{
	oq_row *row = &rows->rows[index];
	if (!row->located) { /* once for all packages */
		if (job->boxes)
			OQ_TRY(check_box(job, row, scan, err));
		if (rows->mask_column >= 0 && rows->table)
			OQ_TRY(seed_of_mask(job, rows, index, scan, row->lps, err));
		else
			oq_seed_to_lps(scan, job->coords, row->seed, row->lps);
		row->located = true;
	}
	memcpy(lps, row->lps, sizeof row->lps);
	return OQ_OK;
}

#define PADDING_NOTED 0.5 /* more than half of the patch is not of the scan */
#define AIR_HU -950.0     /* emphysema, perhaps; more often a seed that was meant for somewhere else */

oq_status oq_row_judge(const oq_job *job, char **warnings, const oq_patch_report *report, oq_error *err)
{
	if (report->padding_fraction > PADDING_NOTED)
		OQ_TRY(oq_warn(warnings, "W_PADDING", err));
	if (isnan(report->seed_hu))
		OQ_TRY(oq_warn(warnings, "W_SEED_OUTSIDE", err));
	if (report->seed_hu < AIR_HU)
		OQ_TRY(oq_warn(warnings, "W_SEED_AIR", err));
	if (job->strict && *warnings)
		return oq_fail(err, OQ_E_INPUT, "E_STRICT", "row: has warnings, and was asked to have none: %s", *warnings);
	return OQ_OK;
}
