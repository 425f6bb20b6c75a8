/* Saliency of a scan's seed, of a manifest, or of ready patches: row after row, the passes of a row in parallel. */
#include "saliency_study.h"

#include "evidence.h"

#include "core/clock.h"
#include "core/mem.h"
#include "io/png.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FIELD 1.5 /* of the picture, times the patch */

/* World axis (0 x, 1 y, 2 z) behind a final axis of the patch. */
static int world_axis(const oq_patch_spec *spec, int axis)
{
	return (int)(strchr("RLAPSI", spec->axes[axis]) - "RLAPSI") / 2;
}

static oq_status check_options(const oq_saliency_study *s)
{
	const oq_saliency_options *o = s->options;
	int inputs = (o->scan != NULL) + (o->job.manifest != NULL) + (o->job.patches != NULL);
	if (o->job.package_count != 1 || !o->job.packages || !o->output || inputs != 1)
		return oq_fail(s->err, OQ_E_USAGE, "E_ARGUMENT", "saliency: a package, an output, and one of scan, manifest and patches are needed");
	if (o->mask && o->job.manifest)
		return oq_fail(s->err, OQ_E_USAGE, "E_ARGUMENT", "%s: a manifest names its masks in a column mask_path, no other mask was expected", o->mask);
	if (!(s->box_mm > 0 && s->box_mm <= 1000))
		return oq_fail(s->err, OQ_E_USAGE, "E_ARGUMENT", "saliency: a box of %g mm, expected more than 0 and at most 1000", s->box_mm);
	return OQ_OK;
}

/* One scan is a cohort of one row without a table. */
static oq_status one_row(oq_saliency_study *s)
{
	oq_rows *rows = &s->rows;
	OQ_TRY(oq_rows_plain(1, rows, s->err));
	rows->scans = oq_calloc(1, sizeof *rows->scans);
	if (rows->scans)
		rows->scans[0] = oq_strdup(s->options->scan);
	if (!rows->scans || !rows->scans[0])
		return oq_fail_memory(s->err, s->options->scan, 0);
	rows->scan_count = 1;
	rows->rows[0].scan = 0;
	memcpy(rows->rows[0].seed, s->options->seed, sizeof rows->rows[0].seed);
	return OQ_OK;
}

static oq_status read_rows(oq_saliency_study *s)
{
	const oq_saliency_options *o = s->options;
	if (o->scan)
		return one_row(s);
	if (o->job.manifest)
		return oq_rows_read_job(&o->job, &s->rows, s->err);
	OQ_TRY(oq_patches_open(o->job.patches, &s->ready, s->err));
	if (o->mask)
		OQ_TRY(oq_patches_open(o->mask, &s->ready_masks, s->err));
	return oq_rows_plain(s->ready->shape[0], &s->rows, s->err);
}

static oq_status open_network(const oq_saliency_study *s, const char *package, oq_precision precision, oq_model **model, oq_occlusion **occlusion)
{
	const oq_saliency_options *o = s->options;
	const oq_model_options options = {.precision = precision, .strict_precision = o->job.strict_precision, .convolution = o->job.convolution};
	OQ_TRY(oq_model_open(package, &options, model, s->err));
	if (!o->job.allow_uncertified)
		OQ_TRY(oq_evidence_check(*model, s->err));
	const oq_occlusion_options how = {.window = o->window_voxels, .whole = o->whole_passes, .max_memory = o->job.max_memory};
	OQ_TRY(oq_occlusion_open(*model, s->lanes, &how, occlusion, s->err));
	(*occlusion)->cancel = o->job.cancel;
	return OQ_OK;
}

/* Maps of different patches cannot be compared voxel by voxel. */
static oq_status check_other(const oq_saliency_study *s)
{
	const oq_patch_spec *a = &s->model->spec, *b = &s->other->spec;
	bool same = !strcmp(a->axes, b->axes) && !memcmp(a->size, b->size, sizeof a->size);
	const double x[7] = {a->spacing_mm[0], a->spacing_mm[1], a->spacing_mm[2], (double)a->hu_min, (double)a->hu_max, (double)a->out_min, (double)a->out_max};
	const double y[7] = {b->spacing_mm[0], b->spacing_mm[1], b->spacing_mm[2], (double)b->hu_min, (double)b->hu_max, (double)b->out_min, (double)b->out_max};
	for (int i = 0; i < 7; i++)
		same = same && fabs(x[i] - y[i]) <= 1e-9 * fmax(1, fabs(x[i]));
	return same ? OQ_OK : oq_fail(s->err, OQ_E_USAGE, "E_PACKAGE", "%s: wants another kind of patch than %s, expected a network of the same patches",
		oq_package_path(s->other->package), s->options->job.packages[0]);
}

static oq_status check_ready(const oq_saliency_study *s, const oq_npy *array, const char *path)
{
	const int64_t *have = array->shape + array->rank - 3, *want = s->model->spec.size;
	return !memcmp(have, want, 3 * sizeof *have) && array->shape[0] == s->rows.count ? OQ_OK
		: oq_fail(s->err, OQ_E_INPUT, "E_SHAPE", "%s: holds %lld of %lld x %lld x %lld voxels, expected %lld of %lld x %lld x %lld", path, (long long)array->shape[0],
			(long long)have[0], (long long)have[1], (long long)have[2], (long long)s->rows.count, (long long)want[0], (long long)want[1], (long long)want[2]);
}

static void tell_progress(void *context, int64_t done, int64_t total)
{
	const oq_saliency_study *s = context;
	const oq_job *job = &s->options->job;
	int64_t windows = s->occlusion->plan->windows;
	job->progress(job->context, s->begun * windows + done * windows / total, s->rows.count * windows);
}

static oq_status open_study(oq_saliency_study *s)
{
	const oq_saliency_options *o = s->options;
	OQ_TRY(check_options(s));
	OQ_TRY(read_rows(s));
	OQ_TRY(open_network(s, o->job.packages[0], o->job.precision, &s->model, &s->occlusion));
	if (o->compare || o->compare_precision != OQ_PRECISION_PACKAGE) {
		OQ_TRY(open_network(s, o->compare ? o->compare : o->job.packages[0], o->compare_precision, &s->other, &s->other_occlusion));
		OQ_TRY(check_other(s));
	}
	if (s->ready)
		OQ_TRY(check_ready(s, s->ready, o->job.patches));
	if (s->ready_masks)
		OQ_TRY(check_ready(s, s->ready_masks, o->mask));
	if (o->job.progress) {
		s->occlusion->progress = tell_progress;
		s->occlusion->context = s;
	}
	size_t voxels = (size_t)s->occlusion->voxels;
	s->results = oq_calloc((size_t)s->rows.count, sizeof *s->results);
	s->patch = oq_alloc_aligned(voxels * sizeof *s->patch);
	s->map = oq_alloc(2 * voxels * sizeof *s->map);
	s->inside = oq_alloc(voxels * sizeof *s->inside);
	if (!s->results || !s->patch || !s->map || !s->inside)
		return oq_fail_memory(s->err, "saliency", voxels * sizeof *s->map);
	s->other_map = s->map + voxels;
	char path[4096];
	int64_t shape[5] = {s->rows.count};
	oq_model_patch_shape(s->model, shape + 1);
	OQ_TRY(oq_saliency_path(s, "maps.npy", path));
	return oq_output_open(&s->maps, path, shape, 5, s->err);
}

/* Where a row's seed lies in the patch: at the centre's voxel, up to the rounding of the crop. */
static void seed_in_patch(const oq_saliency_study *s, const oq_overlay *overlay, const oq_scan *scan, const double seed_lps[3], double at[3])
{
	double ijk[3];
	const double ras[3] = {-seed_lps[0], -seed_lps[1], seed_lps[2]};
	if (scan)
		oq_volume_from_ras(scan->volume, ras, ijk);
	for (int i = 0; i < 3; i++)
		at[i] = scan ? overlay->to_patch[i][0] * ijk[0] + overlay->to_patch[i][1] * ijk[1] + overlay->to_patch[i][2] * ijk[2] + overlay->to_patch[i][3]
			: (double)(s->model->spec.size[i] / 2);
}

static double distance_mm(const oq_patch_spec *spec, const double a[3], const double b[3], bool largest)
{
	double square = 0, most = 0;
	for (int i = 0; i < 3; i++) {
		double d = (a[i] - b[i]) * spec->spacing_mm[world_axis(spec, i)];
		square += d * d;
		most = fmax(most, fabs(d));
	}
	return largest ? most : sqrt(square);
}

static void mark_box(const oq_saliency_study *s, const double seed[3])
{
	for (int64_t v = 0; v < s->occlusion->voxels; v++) {
		int64_t at[3];
		oq_voxel_index(s->model->spec.size, v, at);
		s->inside[v] = distance_mm(&s->model->spec, (const double[3]){(double)at[0], (double)at[1], (double)at[2]}, seed, true) <= s->box_mm / 2;
	}
}

static oq_status mark_mask(const oq_saliency_study *s, const oq_overlay *overlay, const oq_scan *scan, const char *path, const char *name, oq_error *err)
{
	const oq_scan_options *how = &s->options->job.scan;
	const oq_volume_options options = {.geometry = (oq_geometry_rule)how->geometry, .allow_shear = how->allow_shear, .assume_orientation = how->assume_orientation,
		.name = name};
	oq_volume *mask = NULL;
	OQ_TRY(oq_volume_read(path, &options, &mask, err));
	oq_overlay_mask(overlay, scan->volume, mask, s->options->job.mask_label, s->inside);
	oq_volume_free(mask);
	return OQ_OK;
}

static oq_status need_region(const oq_saliency_study *s, const char *path, oq_error *err)
{
	for (int64_t v = 0; v < s->occlusion->voxels; v++)
		if (s->inside[v])
			return OQ_OK;
	return oq_fail(err, OQ_E_INPUT, "E_MASK", "%s: has no voxel above 0 in the patch", path);
}

static oq_status mark_ready_mask(const oq_saliency_study *s, int64_t row, oq_error *err)
{
	size_t voxels = (size_t)s->occlusion->voxels;
	OQ_TRY(oq_npy_read_f32(s->ready_masks, (size_t)row * voxels, voxels, s->map, err));
	for (size_t v = 0; v < voxels; v++)
		s->inside[v] = s->map[v] > 0;
	return need_region(s, s->options->mask, err);
}

/* The lesion: a mask where there is one, else the box. */
static oq_status mark_region(const oq_saliency_study *s, int64_t row, const oq_overlay *overlay, const oq_scan *scan, const double seed[3], oq_error *err)
{
	const oq_saliency_options *o = s->options;
	int column = s->rows.table ? oq_table_find(s->rows.table, o->job.mask_column ? o->job.mask_column : "mask_path") : -1;
	const char *cell = column >= 0 ? oq_table_cell(s->rows.table, row, column) : "";
	s->results[row].masked = o->mask || cell[0];
	if (s->ready_masks)
		return mark_ready_mask(s, row, err);
	if (!s->results[row].masked) {
		mark_box(s, seed);
		return OQ_OK;
	}
	char *path = o->mask ? oq_strdup(o->mask) : oq_path_resolve(o->job.manifest, &(oq_columns){.root = o->job.root, .map = o->job.path_map}, cell);
	const char *name = o->mask || o->job.log_paths ? path : "mask";
	oq_status status = path ? mark_mask(s, overlay, scan, path, name, err) : oq_fail_memory(err, "mask", 0);
	if (status == OQ_OK)
		status = need_region(s, name, err);
	oq_free(path);
	return status;
}

static oq_status read_patch(oq_saliency_study *s, int64_t row, const oq_scan *scan, const double seed_lps[3], oq_error *err)
{
	oq_saliency_row *r = &s->results[row];
	size_t voxels = (size_t)s->occlusion->voxels;
	r->padding_fraction = r->seed_hu = NAN;
	if (scan) {
		oq_patch_report report;
		OQ_TRY(oq_scan_patch(scan, s->model, seed_lps, s->options->job.resampling, s->patch, &report, err));
		r->padding_fraction = report.padding_fraction;
		r->seed_hu = report.seed_hu;
		return oq_row_judge(&s->options->job, &s->rows.rows[row].warnings, &report, err);
	}
	OQ_TRY(oq_npy_read_f32(s->ready, (size_t)row * voxels, voxels, s->patch, err));
	for (size_t i = 0; i < voxels; i++)
		if (!isfinite(s->patch[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "%s: patch %lld: value %zu is not finite", s->options->job.patches, (long long)row, i);
	return OQ_OK;
}

static oq_status measure_row(oq_saliency_study *s, int64_t row, const double seed[3], oq_error *err)
{
	oq_saliency_row *r = &s->results[row];
	const oq_saliency_kind kind = s->options->variant == OQ_SALIENCY_VARIANT_REFERENCE ? OQ_SALIENCY_OF_MEAN : OQ_SALIENCY_MEAN_OF;
	double start = oq_seconds(), peak[3];
	OQ_TRY(oq_occlusion_map(s->occlusion, s->patch, kind, s->map, err));
	r->seconds = oq_seconds() - start;
	r->passes = s->occlusion->passes;
	r->spared = s->occlusion->spared;
	oq_saliency_focus_measure(s->map, s->inside, s->occlusion->voxels, &r->focus);
	int64_t best = oq_saliency_argmax(s->map, s->occlusion->voxels);
	oq_voxel_index(s->model->spec.size, best, r->peak);
	for (int i = 0; i < 3; i++)
		peak[i] = (double)r->peak[i];
	r->peak_to_seed_mm = distance_mm(&s->model->spec, peak, seed, false);
	r->greatest = (double)s->map[best];
	for (int64_t v = 0; v < s->occlusion->voxels; v++)
		r->mean += (double)s->map[v] / (double)s->occlusion->voxels;
	OQ_TRY(oq_occlusion_delete(s->occlusion, s->patch, s->map, &r->deletion, err));
	if (!s->other)
		return OQ_OK;
	OQ_TRY(oq_occlusion_map(s->other_occlusion, s->patch, kind, s->other_map, err));
	return oq_saliency_agree(s->model->spec.size, s->map, s->other_map, &r->agreement, err);
}

/* The map in the scan's own space, and a picture of it. */
static oq_status write_pictures(oq_saliency_study *s, int64_t row, const oq_scan *scan, oq_overlay *overlay, const double seed_lps[3])
{
	oq_saliency_row *r = &s->results[row];
	const double peak[3] = {(double)r->peak[0], (double)r->peak[1], (double)r->peak[2]};
	char name[32], path[4096];
	double ras[3];
	oq_overlay_to_ras(overlay, scan->volume, peak, ras);
	r->peak_lps[0] = -ras[0];
	r->peak_lps[1] = -ras[1];
	r->peak_lps[2] = ras[2];
	const oq_patch_spec *spec = &s->model->spec; /* grey as the network sees it */
	oq_view_options view = {.overlay = overlay, .overlay_high = r->greatest, .level_hu = 0.5 * ((double)spec->hu_min + (double)spec->hu_max),
		.width_hu = (double)spec->hu_max - (double)spec->hu_min};
	for (int i = 0; i < 3; i++) {
		int axis = world_axis(spec, i);
		view.box_mm[axis] = (double)spec->size[i] * spec->spacing_mm[axis];
		view.field_mm[axis] = FIELD * view.box_mm[axis];
	}
	snprintf(name, sizeof name, "%04lld.nii.gz", (long long)row);
	OQ_TRY(oq_saliency_path(s, name, path));
	OQ_TRY(oq_overlay_write(overlay, scan->volume, path, s->err));
	snprintf(name, sizeof name, "%04lld.png", (long long)row);
	OQ_TRY(oq_saliency_path(s, name, path));
	return oq_view_write_png(scan->volume, seed_lps, &view, path, s->err);
}

/* Everything of a row that may fail because of the row. */
static oq_status run_row(oq_saliency_study *s, int64_t row, const oq_scan *scan, double seed_lps[3], oq_overlay *overlay, oq_error *err)
{
	oq_patch_spec spec = s->model->spec;
	double seed[3];
	if (scan)
		OQ_TRY(oq_row_seed(&s->options->job, &s->rows, row, scan, seed_lps, err));
	oq_spec_resampling(&spec, s->options->job.resampling);
	OQ_TRY(read_patch(s, row, scan, seed_lps, err));
	if (scan)
		OQ_TRY(oq_overlay_place(scan->volume, &spec, seed_lps, s->map, overlay, err));
	seed_in_patch(s, overlay, scan, seed_lps, seed);
	OQ_TRY(mark_region(s, row, overlay, scan, seed, err));
	return measure_row(s, row, seed, err);
}

/* A failure is the row's (reported, NaN) unless it is ours or the user's (returned). */
static oq_status finish_row(oq_saliency_study *s, int64_t row, const oq_scan *scan)
{
	oq_error err = {0};
	oq_overlay overlay = {0};
	double seed_lps[3] = {0};
	oq_row *entry = &s->rows.rows[row];
	for (int i = 0; i < 3; i++)
		s->results[row].peak_lps[i] = NAN;
	oq_status status = entry->message ? OQ_E_INPUT : run_row(s, row, scan, seed_lps, &overlay, &err);
	if (status != OQ_OK && status != OQ_E_INPUT) {
		if (s->err)
			*s->err = err;
		return status;
	}
	if (status != OQ_OK) {
		oq_row_fail(&s->rows, row, &err);
		for (int64_t v = 0; v < s->occlusion->voxels; v++)
			s->map[v] = NAN;
	}
	OQ_TRY(oq_output_row(&s->maps, row, s->map, s->err));
	return status == OQ_OK && scan ? write_pictures(s, row, scan, &overlay, seed_lps) : OQ_OK;
}

/* The scan of rows order[first...). One that cannot be read fails its rows; its warnings go to each of them. */
static oq_status open_scan(oq_saliency_study *s, int64_t first, oq_scan **out)
{
	const oq_saliency_options *o = s->options;
	oq_scan_options options = o->job.scan;
	oq_error err = {0};
	int wanted = s->rows.rows[s->rows.order[first]].scan;
	if (!o->job.log_paths && !o->scan)
		options.name = "scan"; /* which one, the row says */
	bool good = oq_scan_open(s->rows.scans[wanted], &options, out, &err) == OQ_OK;
	for (int64_t k = first; k < s->rows.count && s->rows.rows[s->rows.order[k]].scan == wanted; k++) {
		if (!good)
			oq_row_fail(&s->rows, s->rows.order[k], &err);
		for (int n = 0; good && n < (*out)->volume->notes.count; n++)
			OQ_TRY(oq_warn(&s->rows.rows[s->rows.order[k]].warnings, (*out)->volume->notes.items[n].code, s->err));
	}
	return OQ_OK;
}

/* Rows in the order of their scans, each scan read once. */
static oq_status run_rows(oq_saliency_study *s)
{
	oq_scan *scan = NULL;
	oq_status status = OQ_OK;
	for (int64_t i = 0; i < s->rows.count && status == OQ_OK; i++) {
		int64_t row = s->rows.order[i];
		s->begun = i;
		if (!s->ready && (i == 0 || s->rows.rows[row].scan != s->rows.rows[s->rows.order[i - 1]].scan)) {
			oq_scan_close(scan);
			scan = NULL;
			status = open_scan(s, i, &scan);
		}
		if (status == OQ_OK)
			status = finish_row(s, row, scan);
	}
	oq_scan_close(scan);
	return status;
}

static oq_status finish_study(oq_saliency_study *s, char **json)
{
	int64_t bad = oq_rows_first_failed(&s->rows);
	const char *message = bad >= 0 && s->rows.rows[bad].message ? s->rows.rows[bad].message : "";
	if (s->rows.failed == s->rows.count)
		return oq_fail(s->err, OQ_E_INPUT, s->rows.rows[bad].code, "%s", message);
	oq_outfile *file = s->maps.file;
	s->maps.file = NULL;
	OQ_TRY(oq_outfile_commit(file, s->err));
	OQ_TRY(oq_saliency_write(s, json));
	if (s->rows.failed)
		return oq_fail(s->err, OQ_E_SOME_ROWS, s->rows.rows[bad].code, "%lld of %lld rows failed; the first: %s", (long long)s->rows.failed,
			(long long)s->rows.count, message);
	return OQ_OK;
}

static void close_study(oq_saliency_study *s)
{
	oq_outfile_abort(s->maps.file);
	oq_occlusion_close(s->occlusion);
	oq_occlusion_close(s->other_occlusion);
	oq_model_close(s->model);
	oq_model_close(s->other);
	oq_npy_close(s->ready);
	oq_npy_close(s->ready_masks);
	oq_free(s->results);
	oq_free_aligned(s->patch);
	oq_free(s->map);
	oq_free(s->inside);
	oq_rows_free(&s->rows);
}

oq_status oq_saliency(const oq_saliency_options *options, char **json, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	oq_saliency_study s = {.options = options, .err = err, .box_mm = options->box_mm != 0 ? options->box_mm : OQ_SALIENCY_BOX_MM,
		.threads = options->job.threads > 0 ? options->job.threads : cpu.processors};
	double start = oq_seconds();
	s.lanes = s.threads;
	oq_status status = open_study(&s);
	if (status == OQ_OK)
		status = run_rows(&s);
	s.seconds = oq_seconds() - start;
	if (status == OQ_OK)
		status = finish_study(&s, json);
	close_study(&s);
	return status;
}
