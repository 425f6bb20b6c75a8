/* Cohorts: opens packages, rows and outputs, lets the lanes compute, and puts the results in place together. Memory does not grow with the
 * number of rows beyond their entries. */
#include "cohort.h"

#include "budget.h"
#include "evidence.h"
#include "names.h"

#include "core/clock.h"
#include "core/locale.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

bool oq_cohort_cancelled(const oq_cohort *c)
{
	return c->job->cancel && *c->job->cancel;
}

/* The files of a run must not be each other: neither the input itself nor a companion of an output that has its name. */
static oq_status check_output(const oq_job *job, const char *output, oq_error *err)
{
	static const char *const suffixes[] = {".csv", ".json"};
	const char *input = job->manifest ? job->manifest : job->patches;
	if (oq_file_same(input, output))
		return oq_fail(err, OQ_E_USAGE, "E_OUTPUT", "%s: is the input as well as the output", output);
	for (int i = 0; i < 2; i++) {
		char *path = oq_companion(output, suffixes[i]);
		if (!path)
			return oq_fail_memory(err, output, strlen(output));
		bool same = oq_file_same(input, path);
		oq_free(path);
		if (same)
			return oq_fail(err, OQ_E_USAGE, "E_OUTPUT", "%s: would be overwritten by the companion of %s", input, output);
	}
	return OQ_OK;
}

static oq_status check_job(const oq_cohort *c)
{
	const oq_job *job = c->job;
	if (job->package_count < 1 || job->package_count > OQ_MAX_PACKAGES || !job->packages || !job->outputs)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "job: 1 to %d packages, and an output for each, are needed", OQ_MAX_PACKAGES);
	if (!job->manifest == !job->patches)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "job: either a manifest or patches are needed");
	if (job->shard_count < 0 || (job->shard_count > 0 && (job->shard_index < 1 || job->shard_index > job->shard_count)))
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "job: shard %lld of %lld, expected 1 to the number of shards", (long long)job->shard_index,
			(long long)job->shard_count);
	for (int i = 0; i < job->package_count; i++)
		OQ_TRY(check_output(job, job->outputs[i], c->err));
	if (job->scan.index_dir && !oq_is_folder(job->scan.index_dir))
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "%s: is no folder, expected the one that index wrote to", job->scan.index_dir);
	return OQ_OK;
}

/* Shards are runs of rows, so that results are put together end to end. */
static oq_status choose_span(oq_cohort *c)
{
	int64_t count = c->rows.count, shards = c->job->shard_count > 1 ? c->job->shard_count : 1, index = shards > 1 ? c->job->shard_index : 1;
	if (shards > count)
		return oq_fail(c->err, OQ_E_USAGE, "E_SHARDS", "%s: has %lld rows, too few for %lld shards", c->job->manifest ? c->job->manifest : c->job->patches,
			(long long)count, (long long)shards);
	c->span = (oq_span){.first = count / shards * (index - 1) + count % shards * (index - 1) / shards,
		.end = count / shards * index + count % shards * index / shards};
	c->todo = oq_alloc((size_t)(c->span.end - c->span.first) * sizeof *c->todo);
	return c->todo ? OQ_OK : oq_fail_memory(c->err, "rows", (size_t)count * sizeof *c->todo);
}

static oq_status read_rows(oq_cohort *c)
{
	const char *input = c->job->manifest ? c->job->manifest : c->job->patches;
	if (c->job->manifest) {
		OQ_TRY(oq_rows_read_job(c->job, &c->rows, c->err));
	} else {
		OQ_TRY(oq_patches_open(input, &c->ready, c->err));
		OQ_TRY(oq_rows_plain(c->ready->shape[0], &c->rows, c->err));
	}
	OQ_TRY(choose_span(c));
	return oq_file_sha256(input, OQ_E_INPUT, c->input_sha256, c->err);
}

static oq_status check_ready(const oq_cohort *c, const oq_model *model)
{
	int64_t shape[4];
	if (!c->ready)
		return OQ_OK;
	oq_model_patch_shape(model, shape);
	const int64_t *have = c->ready->shape + c->ready->rank - 3;
	return !memcmp(have, shape + 1, 3 * sizeof *have) ? OQ_OK : oq_fail(c->err, OQ_E_INPUT, "E_SHAPE", "%s: patches are %lld x %lld x %lld, %s wants %lld x %lld x %lld", c->job->patches,
		(long long)have[0], (long long)have[1], (long long)have[2], oq_package_path(model->package), (long long)shape[1], (long long)shape[2], (long long)shape[3]);
}

static oq_status open_model(oq_cohort *c, int m, const oq_model_options *options)
{
	OQ_TRY(c->embedding ? oq_model_open_within(c->job->packages[m], options, oq_budget_weights(c->job, c->models), &c->models[m], c->err)
		: oq_model_open_preprocessing(c->job->packages[m], &c->models[m], c->err));
	OQ_TRY(check_ready(c, c->models[m]));
	if (c->embedding && !c->job->allow_uncertified)
		OQ_TRY(oq_evidence_check(c->models[m], c->err));
	size_t patch = oq_model_patch_floats(c->models[m]), result = c->embedding ? oq_nn_model_output_count(c->models[m]->nn) : 0;
	c->patch_floats = patch > c->patch_floats ? patch : c->patch_floats;
	c->result_floats = result > c->result_floats ? result : c->result_floats;
	return OQ_OK;
}

/* With fewer rows than threads, the threads share each patch; the bits are the same either way. */
static oq_status open_models(oq_cohort *c)
{
	size_t count = (size_t)c->job->package_count, rows = (size_t)(c->span.end - c->span.first);
	OQ_TRY(oq_budget_packages(c->job, c->embedding, &c->threads, c->err));
	bool shared = c->embedding && c->span.end - c->span.first < c->threads;
	const oq_model_options options = {.threads_per_patch = shared ? c->threads : 1, .precision = c->job->precision,
		.strict_precision = c->job->strict_precision, .convolution = c->job->convolution};
	c->lane_count = shared ? 1 : c->threads;
	c->models = oq_calloc(count, sizeof *c->models);
	c->family = oq_calloc(count, sizeof *c->family);
	c->sessions = oq_calloc(count, sizeof *c->sessions);
	c->outputs = oq_calloc(count, sizeof *c->outputs);
	c->outcomes = oq_calloc(count, sizeof *c->outcomes);
	if (!c->models || !c->family || !c->sessions || !c->outputs || !c->outcomes)
		return oq_fail_memory(c->err, "job", count * sizeof *c->outputs);
	for (int m = 0; m < c->job->package_count; m++) {
		OQ_TRY(open_model(c, m, &options));
		c->outcomes[m] = oq_calloc(rows, sizeof **c->outcomes);
		if (!c->outcomes[m])
			return oq_fail_memory(c->err, "rows", rows * sizeof **c->outcomes);
		for (size_t i = 0; i < rows; i++)
			c->outcomes[m][i].padding_fraction = c->outcomes[m][i].seed_hu = (double)NAN;
	}
	return OQ_OK;
}

static oq_status open_lanes(oq_cohort *c)
{
	oq_budget budget;
	oq_budget_of(c->job, &c->rows, c->models, oq_lanes_floats(c), &budget);
	OQ_TRY(oq_budget_lanes(&budget, c->job, &c->lane_count, c->err));
	for (int m = 0; m < c->job->package_count && c->embedding; m++)
		OQ_TRY(oq_session_open(c->models[m], c->lane_count, &c->sessions[m], c->err));
	return oq_lanes_open(c);
}

void oq_cohort_sidecar(const oq_cohort *c, int m, int64_t shape[5], oq_sidecar *out)
{
	shape[0] = c->span.end - c->span.first;
	if (c->embedding)
		shape[1] = oq_model_embedding_size(c->models[m]);
	else
		oq_model_patch_shape(c->models[m], shape + 1);
	*out = (oq_sidecar){.job = c->job, .rows = &c->rows, .span = c->span, .outcomes = c->outcomes[m], .model = c->models[m],
		.kind = c->embedding ? "embeddings" : "patches", .input_sha256 = c->input_sha256, .output = c->job->outputs[m], .shape = shape,
		.rank = c->embedding ? 2 : 5};
	for (int64_t i = 0; i < shape[0]; i++)
		out->failed += c->outcomes[m][i].code[0] != 0;
}

typedef struct failures {
	int64_t count;     /* rows that failed with any package */
	char code[32];     /* of the first of them, and "row 3 (line 5): ..." */
	char message[512];
} failures;

static failures find_failures(const oq_cohort *c)
{
	failures f = {0};
	for (int64_t i = c->span.first; i < c->span.end && c->outcomes; i++)
		for (int m = 0; m < c->job->package_count; m++) {
			const oq_outcome *outcome = c->outcomes[m] ? oq_cohort_outcome(c, m, i) : NULL;
			if (!outcome || !outcome->code[0])
				continue;
			if (f.count++ == 0) {
				snprintf(f.code, sizeof f.code, "%s", outcome->code);
				oq_row_describe(&c->rows, i, outcome->message, f.message);
			}
			break;
		}
	return f;
}

/* First everything is written and synced, then put in place: companions before the array, whose .part name says that a run is unfinished. */
static oq_status place_results(oq_cohort *c)
{
	int count = c->job->package_count;
	oq_outfile **companions = oq_calloc(2 * (size_t)count, sizeof *companions);
	oq_status status = companions ? OQ_OK : oq_fail_memory(c->err, "results", 0);
	for (int m = 0; m < count && status == OQ_OK; m++) {
		int64_t shape[5];
		oq_sidecar sidecar;
		oq_cohort_sidecar(c, m, shape, &sidecar);
		status = oq_sidecar_write(&sidecar, &companions[2 * m], &companions[2 * m + 1], c->err);
		if (status == OQ_OK)
			status = oq_outfile_sync(c->outputs[m].file, c->err);
	}
	for (int i = 0; i < 2 * count && status == OQ_OK; i++)
		status = oq_outfile_place(companions[i], c->err);
	for (int m = 0; m < count && status == OQ_OK; m++)
		status = oq_outfile_place(c->outputs[m].file, c->err);
	for (int i = 0; i < 2 * count && companions; i++)
		oq_outfile_abort(companions[i]);
	oq_free((void *)companions);
	return status;
}

/* A shard in which every row failed is written all the same: the others may be fine. */
static oq_status finish(oq_cohort *c)
{
	int64_t count = c->span.end - c->span.first;
	const failures f = find_failures(c);
	if (c->done < count)
		return oq_fail(c->err, OQ_E_RESOURCE, "E_CANCELLED", "stopped after %lld of %lld rows%s", (long long)c->done, (long long)count,
			c->done ? "; --resume continues" : "");
	bool empty = f.count == count && c->job->shard_count < 2;
	for (int m = 0; m < c->job->package_count && empty; m++)
		for (int64_t i = 0; i < count; i++)
			empty = empty && c->outcomes[m][i].code[0];
	if (!empty)
		OQ_TRY(place_results(c));
	oq_progress_close(c, true);
	if (empty)
		return oq_fail(c->err, OQ_E_INPUT, f.code, "all %lld rows failed; the first: %s", (long long)count, f.message);
	if (f.count)
		return oq_fail(c->err, OQ_E_SOME_ROWS, f.code, "%lld of %lld rows failed; the first: %s", (long long)f.count, (long long)count, f.message);
	return OQ_OK;
}

static void close_cohort(oq_cohort *c)
{
	for (int m = 0; m < c->job->package_count; m++) {
		for (int64_t i = 0; c->outcomes && c->outcomes[m] && i < c->span.end - c->span.first; i++) {
			oq_free(c->outcomes[m][i].message);
			oq_free(c->outcomes[m][i].warnings);
		}
		oq_free(c->outcomes ? c->outcomes[m] : NULL);
		oq_session_close(c->sessions ? c->sessions[m] : NULL);
		oq_model_close(c->models ? c->models[m] : NULL);
	}
	oq_free((void *)c->models);
	oq_free((void *)c->sessions);
	oq_free((void *)c->outcomes);
	oq_free(c->outputs);
	oq_free(c->family);
	oq_free(c->todo);
	oq_npy_close(c->ready);
	oq_rows_free(&c->rows);
}

static oq_status run_cohort(oq_cohort *c)
{
	OQ_TRY(check_job(c));
	OQ_TRY(read_rows(c));
	OQ_TRY(open_models(c));
	OQ_TRY(open_lanes(c));
	OQ_TRY(oq_progress_open(c));
	OQ_TRY(oq_lanes_run(c));
	return finish(c);
}

static void summarise(const oq_cohort *c, oq_job_summary *summary)
{
	const failures f = find_failures(c);
	*summary = (oq_job_summary){.rows = c->span.end - c->span.first, .failed = f.count, .resumed = c->resumed, .indexed = c->indexed,
		.unfit = c->unfit, .lanes = c->lane_count, .seconds = oq_seconds() - c->start};
	memcpy(summary->first_failure, f.message, sizeof f.message);
}

static oq_status run(const oq_job *job, bool embedding, oq_job_summary *summary, oq_error *err)
{
	oq_cpu cpu;
	oq_error own;
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	oq_cohort c = {.job = job, .embedding = embedding, .threads = job->threads > 0 ? job->threads : cpu.processors, .start = oq_seconds(),
		.err = err ? err : &own};
	*c.err = (oq_error){0};
	oq_status status = run_cohort(&c);
	if (summary)
		summarise(&c, summary);
	oq_progress_close(&c, false);
	oq_lanes_close(&c);
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
