/* Indexes for a cohort's packed scans, side by side. A scan that cannot be read is reported and the others go on; an index that cannot be written ends
 * the run, as the next one could not either. */
#include "job.h"

#include "core/locale.h"
#include "core/mem.h"
#include "io/index.h"

#include <stdio.h>

typedef struct result {
	bool done;
	oq_index_made made;
	uint64_t bytes;
	oq_error *failure; /* or NULL */
} result;

typedef struct work {
	const oq_job *job;
	oq_rows rows;                /* of the manifest */
	const char *const *scans;
	int64_t count, done;
	int64_t *row;                /* of each scan of a manifest: its first; NULL without one */
	result *results;
	oq_status status;
	oq_error *err;
} work;

static oq_status open_work(work *w)
{
	const oq_job *job = w->job;
	if (!job->manifest == !w->count)
		return oq_fail(w->err, OQ_E_USAGE, "E_ARGUMENT", "index: either a manifest or scans are needed");
	if (job->scan.index_dir && !oq_is_folder(job->scan.index_dir))
		return oq_fail(w->err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is no folder", job->scan.index_dir);
	if (job->manifest) {
		const oq_columns columns = {.root = job->root, .map = job->path_map, .scans_only = true};
		OQ_TRY(oq_rows_read(job->manifest, &columns, &w->rows, w->err));
		w->scans = (const char *const *)w->rows.scans;
		w->count = w->rows.scan_count;
		w->row = oq_calloc((size_t)w->count, sizeof *w->row);
		for (int64_t i = w->rows.count - 1; i >= 0 && w->row; i--)
			w->row[w->rows.rows[i].scan] = i;
	}
	w->results = oq_calloc((size_t)w->count, sizeof *w->results);
	return w->results && (w->row || !job->manifest) ? OQ_OK : oq_fail_memory(w->err, "index", (size_t)w->count * sizeof *w->results);
}

static oq_status index_one(const work *w, int64_t index, oq_error *err)
{
	oq_scan *scan = NULL;
	oq_scan_options options = w->job->scan;
	result *r = &w->results[index];
	const oq_row *row = w->row ? &w->rows.rows[w->row[index]] : NULL;
	options.name = w->row && !w->job->log_paths ? "scan" : NULL;
	if (row && row->code[0])
		return oq_fail(err, OQ_E_INPUT, row->code, "%s", row->message ? row->message : "");
	if (options.dicom && oq_is_folder(w->scans[index])) {
		r->made = OQ_INDEX_RAW; /* is converted anew each time, and not packed then */
		return OQ_OK;
	}
	OQ_TRY(oq_scan_open_lazily(w->scans[index], &options, &scan, err));
	oq_status status = oq_index_make(scan->volume, options.index_dir, OQ_INDEX_SPAN, &r->made, &r->bytes, err);
	oq_scan_close(scan);
	return status;
}

/* A failure of the scan is kept with it; any other ends the run. */
static oq_status settle(result *r, oq_status status, oq_error *err)
{
	r->done = true;
	if (status != OQ_E_INPUT && status != OQ_E_UNSUPPORTED)
		return status;
	r->failure = oq_alloc(sizeof *r->failure);
	if (!r->failure)
		return oq_fail_memory(err, "index", sizeof *r->failure);
	*r->failure = *err;
	return OQ_OK;
}

static void run(work *w, int threads)
{
#pragma omp parallel for schedule(dynamic) num_threads(threads)
	for (int64_t i = 0; i < w->count; i++) {
		oq_error err = {0};
		bool stop;
#pragma omp critical(oq_index)
		stop = w->status != OQ_OK || (w->job->cancel && *w->job->cancel);
		if (stop)
			continue;
		oq_status status = index_one(w, i, &err);
#pragma omp critical(oq_index)
		{
			status = settle(&w->results[i], status, &err);
			if (status != OQ_OK && w->status == OQ_OK) {
				w->status = status;
				*w->err = err;
			}
			w->done++;
			if (w->job->progress)
				w->job->progress(w->job->context, w->done, w->count);
		}
	}
}

/* "row 3 (line 5): ..." of a manifest's scan. */
static void describe(const work *w, int64_t index, char text[512])
{
	const char *message = w->results[index].failure->message;
	if (w->row)
		oq_row_describe(&w->rows, w->row[index], message, text);
	else
		snprintf(text, 512, "%.511s", message);
}

static oq_status report(const work *w, char **json)
{
	static const char *const names[] = {[OQ_INDEX_WRITTEN] = "written", [OQ_INDEX_FRESH] = "fresh", [OQ_INDEX_RAW] = "raw", [OQ_INDEX_SMALL] = "small"};
	int64_t counts[sizeof names / sizeof *names] = {0}, failed = 0;
	uint64_t bytes = 0;
	oq_json *root = oq_json_object(), *failures = oq_json_add_array(root, "failures");
	bool good = failures != NULL;
	for (int64_t i = 0; i < w->count && good; i++) {
		char text[512];
		const result *r = &w->results[i];
		counts[r->made] += !r->failure;
		bytes += r->failure ? 0 : r->bytes;
		if (!r->failure)
			continue;
		oq_json *one = oq_json_add_object(failures, NULL);
		describe(w, i, text);
		good = oq_json_add_int(one, "scan", i) && oq_json_add_string(one, "code", r->failure->code) && oq_json_add_string(one, "message", text);
		failed++;
	}
	good = good && oq_json_add_int(root, "scans", w->count) && oq_json_add_int(root, "failed", failed) && oq_json_add_int(root, "bytes", (int64_t)bytes);
	for (size_t i = 0; i < sizeof names / sizeof *names && good; i++)
		good = oq_json_add_int(root, names[i], counts[i]);
	return oq_finish_json(root, good, json, w->err);
}

static oq_status judge(const work *w)
{
	char text[512];
	int64_t failed = 0, first = -1;
	for (int64_t i = w->count - 1; i >= 0; i--)
		if (w->results[i].failure) {
			failed++;
			first = i;
		}
	if (!failed)
		return OQ_OK;
	describe(w, first, text);
	return oq_fail(w->err, failed == w->count ? OQ_E_INPUT : OQ_E_SOME_ROWS, w->results[first].failure->code, "%lld of %lld scans failed; the first: %s",
		(long long)failed, (long long)w->count, text);
}

oq_status oq_index_scans(const oq_job *job, const char *const *scans, int64_t count, char **json, oq_error *err)
{
	oq_cpu cpu;
	oq_error own;
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	work w = {.job = job, .scans = scans, .count = count, .err = err ? err : &own};
	*w.err = (oq_error){0};
	oq_status status = open_work(&w);
	if (status == OQ_OK) {
		run(&w, job->threads > 0 ? job->threads : cpu.processors);
		status = w.status;
	}
	if (status == OQ_OK && w.done < w.count)
		status = oq_fail(w.err, OQ_E_RESOURCE, "E_CANCELLED", "stopped after %lld of %lld scans; what is written stays", (long long)w.done, (long long)w.count);
	if (status == OQ_OK && json)
		status = report(&w, json);
	if (status == OQ_OK)
		status = judge(&w);
	for (int64_t i = 0; w.results && i < w.count; i++)
		oq_free(w.results[i].failure);
	oq_free(w.results);
	oq_free(w.row);
	oq_rows_free(&w.rows);
	oq_locale_leave(locale);
	return status;
}
