/* A manifest looked at before a run: every scan is read, every seed placed, every patch cut, and nothing computed. A row fails here exactly
 * when it would fail in a run for its input. */
#include "job.h"

#include "core/locale.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>

typedef struct placed {
	bool known;
	oq_seed_place place;
} placed;

typedef struct doctor {
	const oq_job *job;
	oq_rows rows;
	oq_model **models;
	placed *seeds;        /* one per row */
	double *padding;      /* [row][package]; NaN where there is no patch */
	oq_json **scans;      /* what is said about each scan */
	int64_t *first, *end; /* of each scan's rows in rows.order */
	size_t patch_floats;
	oq_error *err;
} doctor;

static oq_status open_doctor(doctor *d)
{
	size_t packages = (size_t)d->job->package_count;
	if (!d->job->manifest)
		return oq_fail(d->err, OQ_E_USAGE, "E_ARGUMENT", "inspect: a manifest is needed");
	OQ_TRY(oq_rows_read_job(d->job, &d->rows, d->err));
	size_t rows = (size_t)d->rows.count, scans = (size_t)d->rows.scan_count;
	d->models = oq_calloc(packages + 1, sizeof *d->models);
	d->seeds = oq_calloc(rows, sizeof *d->seeds);
	d->padding = oq_calloc(rows * (packages + 1), sizeof *d->padding);
	d->scans = oq_calloc(scans, sizeof *d->scans);
	d->first = oq_calloc(scans, sizeof *d->first);
	d->end = oq_calloc(scans, sizeof *d->end);
	if (!d->models || !d->seeds || !d->padding || !d->scans || !d->first || !d->end)
		return oq_fail_memory(d->err, d->job->manifest, rows * sizeof *d->seeds);
	for (size_t m = 0; m < packages; m++) {
		OQ_TRY(oq_model_open_preprocessing(d->job->packages[m], &d->models[m], d->err));
		size_t floats = oq_model_patch_floats(d->models[m]);
		d->patch_floats = floats > d->patch_floats ? floats : d->patch_floats;
	}
	for (int64_t i = 0; i < d->rows.count; i++) {
		int scan = d->rows.rows[d->rows.order[i]].scan;
		d->first[scan] = d->end[scan] ? d->first[scan] : i;
		d->end[scan] = i + 1;
	}
	for (size_t i = 0; i < rows * packages; i++)
		d->padding[i] = (double)NAN;
	return OQ_OK;
}

static oq_status look_at_row(doctor *d, int64_t row, const oq_scan *scan, float *patch, oq_error *err)
{
	double lps[3];
	placed *p = &d->seeds[row];
	oq_patch_info info;
	char **warnings = &d->rows.rows[row].warnings;
	OQ_TRY(oq_row_seed(d->job, &d->rows, row, scan, lps, err));
	oq_seed_locate(scan->volume, lps, &p->place);
	p->known = true;
	oq_patch_report report = {.seed_hu = (double)p->place.hu};
	if (!d->job->package_count) { /* no patch: the row is judged by all of its scan */
		const int64_t all[2] = {0, scan->volume->dims[2]};
		OQ_TRY(oq_volume_judge(scan->volume, all[0], all[1], NULL, err));
		OQ_TRY(oq_warn_values(warnings, scan, all, err));
		return oq_row_judge(d->job, warnings, &report, err);
	}
	for (int m = 0; m < d->job->package_count; m++) {
		oq_crop crop = {0};
		oq_status status = oq_scan_patch_shared(scan, d->models[m], lps, d->job->resampling, &crop, patch, &info, err);
		oq_crop_free(&crop);
		OQ_TRY(status);
		report = oq_patch_report_of(&info);
		d->padding[row * d->job->package_count + m] = report.padding_fraction;
		OQ_TRY(oq_warn_values(warnings, scan, info.slices, err));
		OQ_TRY(oq_row_judge(d->job, warnings, &report, err));
	}
	return OQ_OK;
}

static void fail_row(doctor *d, int64_t row, const oq_error *err)
{
#pragma omp critical(oq_doctor)
	oq_row_fail(&d->rows, row, err);
}

/* Of a scan that was opened: all of its values; a row is judged by those near its patch. NULL when out of memory, which the report then says. */
static oq_json *describe(oq_volume *volume, oq_error *reason)
{
	oq_json *json = oq_json_object();
	bool refused = !volume || oq_volume_judge(volume, 0, volume->dims[2], &volume->notes, reason) != OQ_OK, good = true;
	if (volume)
		good = oq_add_volume(json, volume);
	if (refused)
		good = good && oq_json_add_string(json, "code", reason->code) && oq_json_add_string(json, "message", reason->message);
	if (good)
		return json;
	oq_json_free(json);
	return NULL;
}

/* One scan and its rows. */
static void look_at_scan(doctor *d, int index)
{
	oq_error err = {0}, reason;
	oq_scan *scan = NULL;
	oq_scan_options options = d->job->scan;
	float *patch = oq_alloc(d->patch_floats * sizeof *patch);
	if (!d->job->log_paths)
		options.name = "scan";
	oq_status status = patch ? oq_scan_open_lazily(d->rows.scans[index], &options, &scan, &err) : oq_fail_memory(&err, "patch", d->patch_floats * sizeof *patch);
	if (status == OQ_OK)
		status = oq_scan_load(scan, &err);
	const bool loaded = status == OQ_OK;
	for (int64_t i = d->first[index]; i < d->end[index]; i++) {
		int64_t row = d->rows.order[i];
		for (int n = 0; status == OQ_OK && n < scan->volume->notes.count; n++)
			status = oq_warn(&d->rows.rows[row].warnings, scan->volume->notes.items[n].code, &err);
		if (d->rows.rows[row].message)
			continue;
		if (status != OQ_OK || look_at_row(d, row, scan, patch, &reason) != OQ_OK)
			fail_row(d, row, status != OQ_OK ? &err : &reason);
	}
	d->scans[index] = describe(loaded ? scan->volume : NULL, &err);
	oq_scan_close(scan);
	oq_free(patch);
}

static bool add_warnings(oq_json *object, const char *codes)
{
	oq_json *array = oq_json_add_array(object, "warnings");
	char code[32];
	bool good = array != NULL;
	for (int used; good && codes && sscanf(codes, "%31s%n", code, &used) == 1; codes += used)
		good = oq_json_add_string(array, NULL, code);
	return good;
}

static bool add_row(const doctor *d, oq_json *list, int64_t index)
{
	const oq_row *row = &d->rows.rows[index];
	const placed *p = &d->seeds[index];
	oq_json *json = oq_json_add_object(list, NULL);
	bool good = oq_json_add_int(json, "row", index) && oq_json_add_int(json, "line", oq_table_line(d->rows.table, index))
		&& oq_json_add_int(json, "scan", row->scan) && oq_json_add_string(json, "status", row->code[0] ? "failed" : "ok");
	if (row->code[0])
		good = good && oq_json_add_string(json, "code", row->code) && oq_json_add_string(json, "message", row->message);
	if (p->known)
		good = good && oq_add_seed(json, row->lps, &p->place);
	oq_json *padding = good ? oq_json_add_object(json, "padding") : NULL;
	for (int m = 0; m < d->job->package_count && good; m++) {
		const oq_json *model = oq_json_get(oq_package_json(d->models[m]->package), "model");
		double share = d->padding[index * d->job->package_count + m];
		if (!isnan(share))
			good = oq_json_add_number(padding, oq_json_string(oq_json_get(model, "name")), share);
	}
	return good && add_warnings(json, row->warnings);
}

static oq_status report(doctor *d, char **out)
{
	oq_json *root = oq_json_object();
	bool good = oq_json_add_int(root, "rows", d->rows.count) && oq_json_add_int(root, "failed", d->rows.failed);
	oq_json *scans = good ? oq_json_add_array(root, "scans") : NULL;
	for (int s = 0; s < d->rows.scan_count && good; s++) {
		if (d->job->log_paths)
			good = oq_json_add_string(d->scans[s], "image_path", d->rows.scans[s]);
		good = oq_json_add(scans, NULL, d->scans[s]) && good;
		d->scans[s] = NULL;
	}
	oq_json *results = good ? oq_json_add_array(root, "results") : NULL;
	for (int64_t i = 0; i < d->rows.count && good; i++)
		good = add_row(d, results, i);
	return oq_finish_json(root, good, out, d->err);
}

static oq_status judge(const doctor *d)
{
	char first[512];
	int64_t bad = oq_rows_first_failed(&d->rows);
	if (bad < 0)
		return OQ_OK;
	oq_rows_describe_failure(&d->rows, first);
	return oq_fail(d->err, d->rows.failed == d->rows.count ? OQ_E_INPUT : OQ_E_SOME_ROWS, d->rows.rows[bad].code, "%lld of %lld rows would fail; the first: %s",
		(long long)d->rows.failed, (long long)d->rows.count, first);
}

static void close_doctor(doctor *d)
{
	for (int m = 0; d->models && m < d->job->package_count; m++)
		oq_model_close(d->models[m]);
	for (int s = 0; d->scans && s < d->rows.scan_count; s++)
		oq_json_free(d->scans[s]);
	oq_free((void *)d->models);
	oq_free((void *)d->scans);
	oq_free(d->seeds);
	oq_free(d->padding);
	oq_free(d->first);
	oq_free(d->end);
	oq_rows_free(&d->rows);
}

oq_status oq_inspect_manifest(const oq_job *job, oq_job_summary *summary, char **json, oq_error *err)
{
	oq_cpu cpu;
	oq_error own = {0};
	doctor d = {.job = job, .err = err ? err : &own};
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	oq_status status = open_doctor(&d);
	if (status == OQ_OK) {
#pragma omp parallel for schedule(dynamic) num_threads(job->threads > 0 ? job->threads : cpu.processors)
		for (int s = 0; s < d.rows.scan_count; s++)
			if (!job->cancel || !*job->cancel)
				look_at_scan(&d, s);
		if (job->cancel && *job->cancel)
			status = oq_fail(d.err, OQ_E_RESOURCE, "E_CANCELLED", "stopped; nothing is reported");
	}
	if (status == OQ_OK && json)
		status = report(&d, json);
	if (status == OQ_OK)
		status = judge(&d);
	if (summary) {
		*summary = (oq_job_summary){.rows = d.rows.count, .failed = d.rows.failed};
		oq_rows_describe_failure(&d.rows, summary->first_failure);
	}
	close_doctor(&d);
	oq_locale_leave(locale);
	return status;
}
