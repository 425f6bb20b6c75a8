/* Cohorts: every scan is decoded once for all its rows and all packages; rows run in parallel, one lane each, also those of
 * different scans; results go to their place in the output as they come. Memory does not grow with the number of rows beyond their entries. */
#include "evidence.h"
#include "job.h"

#include "core/locale.h"
#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

typedef struct cohort {
	const oq_job *job;
	bool embedding;          /* or patches */
	int threads, lanes;
	oq_rows rows;
	oq_npy *ready;           /* patches.npy, or NULL */
	oq_model **models;
	oq_session **sessions;
	oq_output *outputs;
	float **patch;           /* room of each lane for one patch */
	float **result;          /* and one embedding */
	size_t patch_floats, result_floats;
	int64_t done;
	double start;
	oq_error *err;
} cohort;

/* A scan while its rows are computed: rows order[first..end). */
typedef struct scan_slot {
	omp_lock_t lock;     /* of reading it */
	oq_scan *scan;       /* NULL before, after, and when it cannot be read */
	bool tried;
	int64_t first, end, left;
} scan_slot;

typedef struct open_scans {
	scan_slot *slots;    /* one per scan */
} open_scans;

static double now_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static bool cancelled(const cohort *c)
{
	return c->job->cancel && *c->job->cancel;
}

static oq_status check_job(const cohort *c)
{
	const oq_job *job = c->job;
	if (job->package_count < 1 || !job->packages || !job->outputs)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "job: a package and an output are needed");
	if (!job->manifest == !job->patches)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "job: either a manifest or patches are needed");
	const char *input = job->manifest ? job->manifest : job->patches;
	struct stat a, b;
	for (int i = 0; i < job->package_count; i++)
		if (stat(input, &a) == 0 && stat(job->outputs[i], &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
			return oq_fail(c->err, OQ_E_USAGE, "E_OUTPUT", "%s: is the input as well as the output", job->outputs[i]);
	return OQ_OK;
}

static oq_status read_rows(cohort *c)
{
	if (c->job->manifest)
		return oq_rows_read_job(c->job, &c->rows, c->err);
	OQ_TRY(oq_npy_open(c->job->patches, &c->ready, c->err));
	if (c->ready->rank < 4 || c->ready->rank > 5 || c->ready->shape[0] < 1)
		return oq_fail(c->err, OQ_E_INPUT, "E_SHAPE", "%s: has %d axes, expected [N,1,D,H,W] or [N,D,H,W]", c->job->patches, c->ready->rank);
	return oq_rows_plain(c->ready->shape[0], &c->rows, c->err);
}

static oq_status check_ready(const cohort *c, const oq_model *model)
{
	int64_t shape[4];
	if (!c->ready)
		return OQ_OK;
	oq_model_patch_shape(model, shape);
	const int64_t *have = c->ready->shape + c->ready->rank - 3;
	bool fits = !memcmp(have, shape + 1, 3 * sizeof *have) && (c->ready->rank == 4 || c->ready->shape[1] == shape[0]);
	return fits ? OQ_OK : oq_fail(c->err, OQ_E_INPUT, "E_SHAPE", "%s: patches are %lld x %lld x %lld, %s wants %lld x %lld x %lld", c->job->patches,
		(long long)have[0], (long long)have[1], (long long)have[2], oq_package_path(model->package), (long long)shape[1], (long long)shape[2], (long long)shape[3]);
}

/* With fewer rows than threads, the threads share each patch; the bits are the same either way. */
static oq_status open_models(cohort *c)
{
	int count = c->job->package_count;
	bool shared = c->embedding && c->rows.count < c->threads;
	const oq_model_options options = {.threads_per_patch = shared ? c->threads : 1, .precision = c->job->precision,
		.strict_precision = c->job->strict_precision, .convolution = c->job->convolution};
	c->lanes = shared ? 1 : c->threads;
	c->models = oq_calloc((size_t)count, sizeof *c->models);
	c->sessions = oq_calloc((size_t)count, sizeof *c->sessions);
	c->outputs = oq_calloc((size_t)count, sizeof *c->outputs);
	if (!c->models || !c->sessions || !c->outputs)
		return oq_fail_memory(c->err, "job", (size_t)count * sizeof *c->outputs);
	for (int i = 0; i < count; i++) {
		OQ_TRY(c->embedding ? oq_model_open(c->job->packages[i], &options, &c->models[i], c->err)
			: oq_model_open_preprocessing(c->job->packages[i], &c->models[i], c->err));
		OQ_TRY(check_ready(c, c->models[i]));
		if (c->embedding && !c->job->allow_uncertified)
			OQ_TRY(oq_evidence_check(c->models[i]->package, c->err));
		if (c->embedding)
			OQ_TRY(oq_session_open(c->models[i], c->lanes, &c->sessions[i], c->err));
		size_t patch = oq_model_patch_floats(c->models[i]), result = c->embedding ? oq_nn_model_output_count(c->models[i]->nn) : 0;
		c->patch_floats = patch > c->patch_floats ? patch : c->patch_floats;
		c->result_floats = result > c->result_floats ? result : c->result_floats;
	}
	return OQ_OK;
}

static int output_shape(const cohort *c, int model, int64_t shape[5])
{
	shape[0] = c->rows.count;
	if (c->embedding) {
		shape[1] = oq_model_embedding_size(c->models[model]);
		return 2;
	}
	oq_model_patch_shape(c->models[model], shape + 1);
	return 5;
}

static oq_status open_outputs(cohort *c)
{
	c->patch = oq_calloc((size_t)c->lanes, sizeof *c->patch);
	c->result = oq_calloc((size_t)c->lanes, sizeof *c->result);
	if (!c->patch || !c->result)
		return oq_fail_memory(c->err, "job", (size_t)c->lanes * sizeof *c->patch);
	for (int i = 0; i < c->lanes; i++) {
		c->patch[i] = oq_alloc_aligned(c->patch_floats * sizeof(float));
		c->result[i] = oq_alloc_aligned(c->result_floats * sizeof(float));
		if (!c->patch[i] || !c->result[i])
			return oq_fail_memory(c->err, "job", c->patch_floats * sizeof(float));
	}
	for (int i = 0; i < c->job->package_count; i++) {
		int64_t shape[5];
		int rank = output_shape(c, i, shape);
		OQ_TRY(oq_output_open(&c->outputs[i], c->job->outputs[i], shape, rank, c->err));
	}
	return OQ_OK;
}

/* The patch of one row for one model, from its scan or from the file of ready patches. */
static oq_status get_patch(cohort *c, int64_t index, int model, const oq_scan *scan, float *patch, oq_error *err)
{
	oq_row *row = &c->rows.rows[index];
	size_t floats = oq_model_patch_floats(c->models[model]);
	if (c->ready) {
		OQ_TRY(oq_npy_read_f32(c->ready, (size_t)index * floats, floats, patch, err));
		for (size_t i = 0; i < floats; i++)
			if (!isfinite(patch[i]))
				return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "%s: patch %lld: value %zu is not finite", c->job->patches, (long long)index, i);
		return OQ_OK;
	}
	oq_patch_report report;
	double seed[3];
	OQ_TRY(oq_row_seed(c->job, &c->rows, index, scan, seed, err));
	OQ_TRY(oq_scan_patch(scan, c->models[model], seed, c->job->resampling, patch, &report, err));
	if (model == 0) {
		row->padding_fraction = report.padding_fraction;
		row->seed_hu = report.seed_hu;
	}
	return oq_row_judge(c->job, &c->rows, index, &report, err);
}

static oq_status check_result(const float *values, size_t count, oq_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "embedding: element %zu is not finite", i);
	return OQ_OK;
}

/* All models of one row in one lane. A failure is the row's (reported, NaN) unless it is ours (returned). */
static oq_status run_row(cohort *c, int64_t index, const oq_scan *scan, int lane)
{
	oq_error err = {0};
	for (int m = 0; m < c->job->package_count; m++) {
		float *values = c->embedding ? c->result[lane] : c->patch[lane];
		size_t count = c->outputs[m].row_floats;
		oq_status status = c->rows.rows[index].message ? OQ_E_INPUT : get_patch(c, index, m, scan, c->patch[lane], &err);
		if (status == OQ_OK && c->embedding)
			status = oq_session_lane(c->sessions[m], lane, c->patch[lane], values, &err);
		if (status == OQ_OK)
			status = check_result(values, count, &err);
		oq_status written = OQ_OK;
		oq_error write_err = {0};
#pragma omp critical(oq_cohort)
		{
			if (status != OQ_OK) {
				oq_row_fail(&c->rows, index, &err);
				for (size_t i = 0; i < count; i++)
					values[i] = NAN;
			}
			written = oq_output_row(&c->outputs[m], index, values, &write_err);
			if (written != OQ_OK && c->err)
				*c->err = write_err;
		}
		if (written != OQ_OK)
			return written;
	}
#pragma omp critical(oq_cohort)
	{
		c->done++;
		if (c->job->progress)
			c->job->progress(c->job->context, c->done, c->rows.count);
	}
	return OQ_OK;
}

/* A scan's warnings go to each of its rows, order[first..end). */
static void note_warnings(cohort *c, int64_t first, int64_t end, const oq_scan *scan)
{
	const oq_notes *notes = &scan->volume->notes;
	for (int64_t i = first; i < end; i++)
		for (int n = 0; n < notes->count; n++)
			oq_row_warn(&c->rows, c->rows.order[i], notes->items[n].code);
}

/* Opens the scan of rows order[first..end) unless all of them have failed already. A scan that cannot be read fails its rows. */
static void open_scan(cohort *c, open_scans *all, int index)
{
	oq_error err = {0};
	scan_slot *slot = &all->slots[index];
	oq_scan_options options = c->job->scan;
	bool alive = false;
	for (int64_t i = slot->first; i < slot->end; i++)
		alive = alive || !c->rows.rows[c->rows.order[i]].message;
	if (!c->job->log_paths)
		options.name = "scan"; /* which one, the row says */
	slot->tried = true;
	if (!alive)
		return;
	oq_status status = oq_scan_open(c->rows.scans[index], &options, &slot->scan, &err);
	if (status == OQ_OK)
		note_warnings(c, slot->first, slot->end, slot->scan);
#pragma omp critical(oq_cohort)
	for (int64_t i = slot->first; i < slot->end && status != OQ_OK; i++)
		oq_row_fail(&c->rows, c->rows.order[i], &err);
}

/* One row through its scan: the first lane that needs a scan reads it, the last one closes it. Rows of a scan follow each other, so no more
 * scans are open than there are lanes, and while one lane computes another reads the next scan. */
static oq_status run_in_scan(cohort *c, open_scans *all, int64_t index, int lane)
{
	int which = c->rows.rows[index].scan;
	scan_slot *slot = &all->slots[which];
	omp_set_lock(&slot->lock);
	if (!slot->tried)
		open_scan(c, all, which);
	omp_unset_lock(&slot->lock);
	oq_status status = run_row(c, index, slot->scan, lane);
	oq_scan *finished = NULL;
#pragma omp critical(oq_cohort)
	if (--slot->left == 0) {
		finished = slot->scan;
		slot->scan = NULL;
	}
	oq_scan_close(finished);
	return status;
}

/* All rows, in the order of their scans (ready patches: in their own), lane by lane. */
static oq_status run_rows(cohort *c, open_scans *all)
{
	oq_status status = OQ_OK;
	int lanes = c->rows.count < c->lanes ? (int)c->rows.count : c->lanes, taken = 0;
#pragma omp parallel num_threads(lanes) if (lanes > 1)
	{
		int lane;
#pragma omp critical(oq_cohort)
		lane = taken++;
#pragma omp for schedule(dynamic)
		for (int64_t i = 0; i < c->rows.count; i++) {
			if (status != OQ_OK || cancelled(c))
				continue;
			oq_status one = c->ready ? run_row(c, i, NULL, lane) : run_in_scan(c, all, c->rows.order[i], lane);
			if (one != OQ_OK) {
#pragma omp critical(oq_cohort)
				status = one;
			}
		}
	}
	return status;
}

static oq_status run_all(cohort *c)
{
	open_scans all = {.slots = oq_calloc((size_t)c->rows.scan_count + 1, sizeof *all.slots)};
	if (!all.slots)
		return oq_fail_memory(c->err, "job", (size_t)c->rows.scan_count * sizeof *all.slots);
	for (int s = 0; s < c->rows.scan_count; s++) {
		omp_init_lock(&all.slots[s].lock);
		all.slots[s].first = -1;
	}
	for (int64_t i = 0; i < c->rows.count && !c->ready; i++) {
		scan_slot *slot = &all.slots[c->rows.rows[c->rows.order[i]].scan];
		slot->first = slot->first < 0 ? i : slot->first;
		slot->end = i + 1;
		slot->left++;
	}
	oq_status status = run_rows(c, &all);
	for (int s = 0; s < c->rows.scan_count; s++) {
		oq_scan_close(all.slots[s].scan); /* of a run that was cut short */
		omp_destroy_lock(&all.slots[s].lock);
	}
	oq_free(all.slots);
	return status;
}

static oq_status finish(cohort *c)
{
	int64_t bad = oq_rows_first_failed(&c->rows);
	char message[512];
	oq_rows_describe_failure(&c->rows, message);
	if (cancelled(c))
		return oq_fail(c->err, OQ_E_RESOURCE, "E_CANCELLED", "stopped after %lld of %lld rows; nothing was written", (long long)c->done, (long long)c->rows.count);
	if (c->rows.failed == c->rows.count)
		return oq_fail(c->err, OQ_E_INPUT, c->rows.rows[bad].code, "all %lld rows failed; the first: %s", (long long)c->rows.count, message);
	for (int i = 0; i < c->job->package_count; i++) {
		int64_t shape[5];
		int rank = output_shape(c, i, shape);
		oq_outfile *file = c->outputs[i].file;
		const oq_sidecar sidecar = {.rows = &c->rows, .job = c->job, .model = c->models[i], .kind = c->embedding ? "embeddings" : "patches",
			.output = c->job->outputs[i], .shape = shape, .rank = rank, .threads = c->threads, .seconds = now_seconds() - c->start};
		c->outputs[i].file = NULL;
		OQ_TRY(oq_outfile_commit(file, c->err));
		OQ_TRY(oq_sidecar_write(&sidecar, c->err));
	}
	if (c->rows.failed)
		return oq_fail(c->err, OQ_E_SOME_ROWS, c->rows.rows[bad].code, "%lld of %lld rows failed; the first: %s", (long long)c->rows.failed,
			(long long)c->rows.count, message);
	return OQ_OK;
}

static void close_cohort(cohort *c)
{
	for (int i = 0; i < c->lanes; i++) {
		oq_free_aligned(c->patch ? c->patch[i] : NULL);
		oq_free_aligned(c->result ? c->result[i] : NULL);
	}
	for (int i = 0; i < c->job->package_count; i++) {
		oq_outfile_abort(c->outputs ? c->outputs[i].file : NULL);
		oq_session_close(c->sessions ? c->sessions[i] : NULL);
		oq_model_close(c->models ? c->models[i] : NULL);
	}
	oq_free((void *)c->patch);
	oq_free((void *)c->result);
	oq_free((void *)c->models);
	oq_free((void *)c->sessions);
	oq_free(c->outputs);
	oq_npy_close(c->ready);
	oq_rows_free(&c->rows);
}

static oq_status run(const oq_job *job, bool embedding, oq_job_summary *summary, oq_error *err)
{
	oq_cpu cpu;
	oq_error own;
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	cohort c = {.job = job, .embedding = embedding, .threads = job->threads > 0 ? job->threads : cpu.processors, .start = now_seconds(), .err = err ? err : &own};
	*c.err = (oq_error){0};
	oq_status status = check_job(&c);
	if (status == OQ_OK)
		status = read_rows(&c);
	if (status == OQ_OK)
		status = open_models(&c);
	if (status == OQ_OK)
		status = open_outputs(&c);
	if (status == OQ_OK)
		status = run_all(&c);
	if (status == OQ_OK)
		status = finish(&c);
	if (summary) {
		*summary = (oq_job_summary){.rows = c.rows.count, .failed = c.rows.failed, .seconds = now_seconds() - c.start};
		oq_rows_describe_failure(&c.rows, summary->first_failure);
	}
	if (job->package_count > 0)
		close_cohort(&c);
	oq_locale_leave(locale);
	return status;
}

oq_status oq_embed(const oq_job *job, oq_job_summary *summary, oq_error *err)
{
	return run(job, true, summary, err);
}

oq_status oq_extract(const oq_job *job, oq_job_summary *summary, oq_error *err)
{
	if (!job->manifest)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "patches: a manifest is needed");
	return run(job, false, summary, err);
}
