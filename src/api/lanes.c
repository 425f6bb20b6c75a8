/* Rows in lanes: every scan is opened once for all its rows and all packages, and what their patches need of it is read once; rows run in
 * parallel, one lane each, also those of different scans; results go to their place in the output as they come. */
#include "cohort.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

/* A scan while its rows are computed: rows todo[first..end). */
typedef struct scan_slot {
	omp_lock_t lock;     /* of reading it */
	oq_scan *scan;       /* NULL before, after, and when it cannot be read */
	bool tried;
	int64_t first, end, left;
} scan_slot;

typedef struct work {
	oq_cohort *c;
	scan_slot *slots;    /* one per scan; NULL with ready patches */
	oq_status status;    /* of the run: the first failure that is not a row's */
} work;

/* Memory that ran out says nothing about the row: the run ends, and can be continued. */
static bool is_ours(oq_status status, const oq_error *err)
{
	return status == OQ_E_INTERNAL || (status == OQ_E_RESOURCE && !strcmp(err->code, "E_MEMORY"));
}

/* Packages of the same spacing form a family when one region that holds all their patches is not more work than each patch alone. */
static void find_families(oq_cohort *c, int64_t (*reach)[3])
{
	for (int m = 0; m < c->job->package_count; m++) {
		c->family[m] = m;
		for (int f = 0; f < m && c->family[m] == m; f++) {
			int64_t hull[3], apart = 0, *r = reach[f];
			if (c->family[f] != f || memcmp(c->models[f]->spec.spacing_mm, c->models[m]->spec.spacing_mm, sizeof c->models[m]->spec.spacing_mm))
				continue;
			memcpy(hull, r, sizeof hull);
			oq_patch_reach(&c->models[m]->spec, hull);
			for (int k = 0; k < m; k++)
				apart += c->family[k] == f ? (int64_t)oq_model_patch_floats(c->models[k]) : 0;
			if (hull[0] * hull[1] * hull[2] > apart + (int64_t)oq_model_patch_floats(c->models[m]))
				continue;
			memcpy(r, hull, sizeof hull);
			c->family[m] = f;
		}
		if (c->family[m] == m)
			oq_patch_reach(&c->models[m]->spec, reach[m]);
	}
}

size_t oq_lanes_floats(const oq_cohort *c)
{
	/* Regions are at most as large as their families' patches together. */
	size_t floats = c->patch_floats + c->result_floats;
	for (int m = 0; m < c->job->package_count; m++)
		floats += oq_model_patch_floats(c->models[m]);
	return floats;
}

oq_status oq_lanes_open(oq_cohort *c)
{
	int count = c->job->package_count;
	int64_t(*reach)[3] = oq_calloc((size_t)count, sizeof *reach);
	c->lanes = oq_calloc((size_t)c->lane_count, sizeof *c->lanes);
	oq_status status = reach && c->lanes ? OQ_OK : oq_fail_memory(c->err, "job", (size_t)count * sizeof *reach);
	if (status == OQ_OK)
		find_families(c, reach);
	for (int i = 0; i < c->lane_count && status == OQ_OK; i++) {
		oq_lane *lane = &c->lanes[i];
		lane->patch = oq_alloc_aligned((c->patch_floats > c->result_floats ? c->patch_floats : c->result_floats) * sizeof(float));
		lane->result = oq_alloc_aligned(c->result_floats * sizeof(float));
		lane->crops = oq_calloc((size_t)count, sizeof *lane->crops);
		if (!lane->patch || !lane->result || !lane->crops)
			status = oq_fail_memory(c->err, "job", c->patch_floats * sizeof(float));
		for (int m = 0; m < count && status == OQ_OK; m++)
			memcpy(lane->crops[m].reach, reach[m], sizeof reach[m]);
	}
	oq_free(reach);
	return status;
}

void oq_lanes_close(oq_cohort *c)
{
	for (int i = 0; c->lanes && i < c->lane_count; i++) {
		for (int m = 0; c->lanes[i].crops && m < c->job->package_count; m++)
			oq_crop_free(&c->lanes[i].crops[m]);
		oq_free(c->lanes[i].crops);
		oq_free_aligned(c->lanes[i].patch);
		oq_free_aligned(c->lanes[i].result);
	}
	oq_free(c->lanes);
	c->lanes = NULL;
}

static oq_status get_ready(const oq_cohort *c, int64_t index, size_t floats, float *patch, oq_error *err)
{
	OQ_TRY(oq_npy_read_f32(c->ready, (size_t)index * floats, floats, patch, err));
	for (size_t i = 0; i < floats; i++)
		if (!isfinite(patch[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "%s: patch %lld: value %zu is not finite", c->job->patches, (long long)index, i);
	return OQ_OK;
}

/* Those of the scan and of the seed are the row's; each package adds its own. */
static oq_status copy_warnings(const oq_cohort *c, int64_t index, oq_outcome *outcome, oq_error *err)
{
	const char *warnings = c->rows.rows[index].warnings;
	if (!warnings || outcome->warnings)
		return OQ_OK;
	outcome->warnings = oq_strdup(warnings);
	return outcome->warnings ? OQ_OK : oq_fail_memory(err, "warnings", strlen(warnings));
}

/* The patch of one row for one package, from its scan or from the file of ready patches. */
static oq_status get_patch(oq_cohort *c, int64_t index, int m, const oq_scan *scan, oq_lane *lane, oq_error *err)
{
	const oq_model *model = c->models[m];
	oq_outcome *outcome = oq_cohort_outcome(c, m, index);
	if (c->ready)
		return get_ready(c, index, oq_model_patch_floats(model), lane->patch, err);
	oq_patch_info info;
	double seed[3];
	OQ_TRY(oq_row_seed(c->job, &c->rows, index, scan, seed, err));
	OQ_TRY(oq_scan_patch_shared(scan, model, seed, c->job->resampling, &lane->crops[c->family[m]], lane->patch, &info, err));
	const oq_patch_report report = oq_patch_report_of(&info);
	outcome->padding_fraction = report.padding_fraction;
	outcome->seed_hu = report.seed_hu;
	OQ_TRY(copy_warnings(c, index, outcome, err));
	OQ_TRY(oq_warn_values(&outcome->warnings, scan, info.slices, err));
	return oq_row_judge(c->job, &outcome->warnings, &report, err);
}

static oq_status check_result(const float *values, size_t count, oq_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "embedding: element %zu is not finite", i);
	return OQ_OK;
}

/* One package's values of a row. */
static oq_status compute(oq_cohort *c, int64_t index, int m, const oq_scan *scan, int lane, float *values, oq_error *err)
{
	const oq_row *row = &c->rows.rows[index];
	if (row->code[0])
		return oq_fail(err, OQ_E_INPUT, row->code, "%s", row->message ? row->message : "");
	OQ_TRY(get_patch(c, index, m, scan, &c->lanes[lane], err));
	if (c->embedding)
		OQ_TRY(oq_session_lane(c->sessions[m], lane, c->lanes[lane].patch, values, err));
	return check_result(values, c->outputs[m].row_floats, err);
}

/* A failure becomes the row's outcome and its values NaN, unless it is ours. */
static oq_status settle(oq_cohort *c, int64_t index, int m, oq_status status, float *values, oq_error *err)
{
	oq_outcome *outcome = oq_cohort_outcome(c, m, index);
	oq_error own;
	if (is_ours(status, err))
		return status;
	if (status == OQ_OK)
		return OQ_OK;
	if (copy_warnings(c, index, outcome, &own) != OQ_OK) {
		*err = own;
		return own.status;
	}
	outcome->message = oq_strdup(err->message);
	if (!outcome->message)
		return oq_fail_memory(err, "row", strlen(err->message));
	snprintf(outcome->code, sizeof outcome->code, "%s", err->code);
	for (size_t i = 0; i < c->outputs[m].row_floats; i++)
		values[i] = NAN;
	return OQ_OK;
}

static oq_status run_package(oq_cohort *c, int64_t index, int m, const oq_scan *scan, int lane, char sum[17], oq_error *err)
{
	float *values = c->embedding ? c->lanes[lane].result : c->lanes[lane].patch;
	oq_status status = compute(c, index, m, scan, lane, values, err);
	OQ_TRY(settle(c, index, m, status, values, err));
	oq_progress_sum(values, c->outputs[m].row_floats, sum);
#pragma omp critical(oq_cohort)
	status = oq_output_row(&c->outputs[m], index - c->span.first, values, err);
	return status;
}

/* All packages of one row in one lane. */
static oq_status run_row(oq_cohort *c, int64_t index, const oq_scan *scan, int lane, oq_error *err)
{
	char sums[OQ_MAX_PACKAGES][17];
	oq_status status = OQ_OK;
	for (int m = 0; m < c->job->package_count && status == OQ_OK; m++)
		status = run_package(c, index, m, scan, lane, sums[m], err);
	for (int m = 0; m < c->job->package_count; m++)
		oq_crop_forget(&c->lanes[lane].crops[m]);
	OQ_TRY(status);
#pragma omp critical(oq_cohort)
	{
		status = oq_progress_row(c, index, sums, err);
		if (status == OQ_OK && c->job->progress)
			c->job->progress(c->job->context, c->done, c->span.end - c->span.first);
	}
	return status;
}

/* A scan's warnings go to each of its rows. */
static oq_status note_warnings(oq_cohort *c, const scan_slot *slot, oq_error *err)
{
	const oq_notes *notes = &slot->scan->volume->notes;
	for (int64_t i = slot->first; i < slot->end; i++)
		for (int n = 0; n < notes->count; n++)
			OQ_TRY(oq_warn(&c->rows.rows[c->todo[i]].warnings, notes->items[n].code, err));
	return OQ_OK;
}

/* What the rows of a scan will need of it, so that a packed one is decoded once and no more of it is kept. Where the seed is a point of a mask, which is
 * read row by row, that may be anything. A row that cannot be placed says so when its turn comes. */
static oq_status read_scan(oq_cohort *c, const scan_slot *slot, oq_error *err)
{
	const oq_volume *volume = slot->scan->volume;
	if (c->rows.mask_column >= 0)
		oq_volume_want(volume, 0, volume->dims[2]);
	for (int64_t i = slot->first; i < slot->end && c->rows.mask_column < 0; i++) {
		double seed[3];
		if (c->rows.rows[c->todo[i]].code[0] || oq_row_seed(c->job, &c->rows, c->todo[i], slot->scan, seed, NULL) != OQ_OK)
			continue;
		for (int m = 0; m < c->job->package_count; m++)
			oq_scan_want(slot->scan, c->models[m], seed, c->job->resampling, &c->lanes[0].crops[c->family[m]]);
	}
	return oq_volume_unpack(slot->scan->volume, err);
}

/* Opens the scan of a slot unless all its rows have failed already. A scan that cannot be read fails its rows. */
static oq_status open_scan(oq_cohort *c, scan_slot *slot, const char *path, oq_error *err)
{
	oq_scan_options options = c->job->scan;
	bool alive = false;
	if (!c->job->log_paths)
		options.name = "scan"; /* which one, the row says */
	for (int64_t i = slot->first; i < slot->end; i++)
		alive = alive || !c->rows.rows[c->todo[i]].code[0];
	if (!alive)
		return OQ_OK;
	oq_status status = oq_scan_open_lazily(path, &options, &slot->scan, err);
	if (status == OQ_OK) {
		status = read_scan(c, slot, err);
		if (status == OQ_OK)
			status = note_warnings(c, slot, err);
		if (status == OQ_OK)
			return OQ_OK;
		oq_scan_close(slot->scan); /* another lane may try again */
		slot->scan = NULL;
	}
	if (is_ours(status, err))
		return status;
#pragma omp critical(oq_cohort)
	for (int64_t i = slot->first; i < slot->end; i++)
		oq_row_fail(&c->rows, c->todo[i], err);
	return OQ_OK;
}

/* One row through its scan: the first lane that needs a scan reads it, the last one closes it. Rows of a scan follow each other, so no more
 * scans are open than there are lanes, and while one lane computes another reads the next scan. */
static oq_status run_in_scan(work *w, int64_t index, int lane, oq_error *err)
{
	int which = w->c->rows.rows[index].scan;
	scan_slot *slot = &w->slots[which];
	oq_status status = OQ_OK;
	omp_set_lock(&slot->lock);
	if (!slot->tried) {
		status = open_scan(w->c, slot, w->c->rows.scans[which], err);
		slot->tried = status == OQ_OK;
	}
	omp_unset_lock(&slot->lock);
	if (status == OQ_OK)
		status = run_row(w->c, index, slot->scan, lane, err);
	oq_scan *finished = NULL;
#pragma omp critical(oq_cohort)
	if (--slot->left == 0) {
		oq_index_use use = slot->scan ? oq_volume_index_use(slot->scan->volume) : OQ_INDEX_UNUSED;
		w->c->indexed += use == OQ_INDEX_USED;
		w->c->unfit += use == OQ_INDEX_UNFIT;
		finished = slot->scan;
		slot->scan = NULL;
	}
	oq_scan_close(finished);
	return status;
}

/* The rows to do, in the order of their scans (ready patches: in their own), lane by lane. */
static void run_rows(work *w)
{
	oq_cohort *c = w->c;
	int lanes = c->todo_count < c->lane_count ? (int)c->todo_count : c->lane_count, taken = 0;
#pragma omp parallel num_threads(lanes) if (lanes > 1)
	{
		int lane;
#pragma omp critical(oq_cohort)
		lane = taken++;
#pragma omp for schedule(dynamic)
		for (int64_t i = 0; i < c->todo_count; i++) {
			oq_error err = {0};
			bool stop;
#pragma omp critical(oq_cohort)
			stop = w->status != OQ_OK || oq_cohort_cancelled(c);
			if (stop)
				continue;
			oq_status one = w->slots ? run_in_scan(w, c->todo[i], lane, &err) : run_row(c, c->todo[i], NULL, lane, &err);
			if (one == OQ_OK)
				continue;
#pragma omp critical(oq_cohort)
			if (w->status == OQ_OK) {
				w->status = one;
				*c->err = err;
			}
		}
	}
}

static oq_status open_slots(work *w)
{
	const oq_cohort *c = w->c;
	w->slots = oq_calloc((size_t)c->rows.scan_count + 1, sizeof *w->slots);
	if (!w->slots)
		return oq_fail_memory(c->err, "job", (size_t)c->rows.scan_count * sizeof *w->slots);
	for (int s = 0; s < c->rows.scan_count; s++) {
		omp_init_lock(&w->slots[s].lock);
		w->slots[s].first = -1;
	}
	for (int64_t i = 0; i < c->todo_count; i++) {
		scan_slot *slot = &w->slots[c->rows.rows[c->todo[i]].scan];
		slot->first = slot->first < 0 ? i : slot->first;
		slot->end = i + 1;
		slot->left++;
	}
	return OQ_OK;
}

oq_status oq_lanes_run(oq_cohort *c)
{
	work w = {.c = c};
	if (!c->ready)
		OQ_TRY(open_slots(&w));
	if (c->todo_count > 0)
		run_rows(&w);
	for (int s = 0; w.slots && s < c->rows.scan_count; s++) {
		oq_scan_close(w.slots[s].scan); /* of a run that was cut short */
		omp_destroy_lock(&w.slots[s].lock);
	}
	oq_free(w.slots);
	return w.status;
}
