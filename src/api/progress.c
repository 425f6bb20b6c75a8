/* What is finished of a cohort run and survives it: rows lie in OUTPUT.npy.part, the journal says which. A row of the journal counts only
 * when the values in the .part files have the sums that the journal gives, so the order in which a machine that lost power had written
 * its files does not matter. */
#include "cohort.h"

#include "core/clock.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define SYNC_SECONDS 2.0

void oq_progress_sum(const float *values, size_t count, char sum[17])
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, values, count * sizeof *values);
	oq_sha256_hex(&hash, hex);
	snprintf(sum, 17, "%.16s", hex);
}

/* NULL stays NULL. */
static bool copy_text(const oq_json *object, const char *key, char **out)
{
	const char *text = oq_json_string(oq_json_get(object, key));
	*out = text ? oq_strdup(text) : NULL;
	return !text || *out;
}

static bool written(const oq_output *output, int64_t place, const char *sum, float *room)
{
	char now[17];
	size_t bytes = output->row_floats * sizeof *room;
	if (!oq_outfile_has(output->file, room, bytes, output->header_bytes + (uint64_t)place * bytes))
		return false;
	oq_progress_sum(room, output->row_floats, now);
	return sum && !strcmp(now, sum);
}

static oq_status take_outcome(const oq_json *json, oq_outcome *outcome, oq_error *err)
{
	const char *code = oq_json_string(oq_json_get(json, "code"));
	snprintf(outcome->code, sizeof outcome->code, "%s", code ? code : "");
	outcome->padding_fraction = oq_json_number(oq_json_get(json, "padding"));
	outcome->seed_hu = oq_json_number(oq_json_get(json, "hu"));
	outcome->done = true;
	return copy_text(json, "message", &outcome->message) && copy_text(json, "warnings", &outcome->warnings) ? OQ_OK : oq_fail_memory(err, "journal", 0);
}

/* A record that does not fit this run or its files is as good as none: its row is computed again. */
static oq_status take_record(void *context, const oq_json *record, oq_error *err)
{
	oq_cohort *c = context;
	double number = oq_json_number(oq_json_get(record, "row"));
	const oq_json *packages = oq_json_get(record, "packages"), *each = oq_json_first(packages);
	if (!(number >= (double)c->span.first && number < (double)c->span.end) || oq_json_count(packages) != c->job->package_count)
		return OQ_OK;
	int64_t row = (int64_t)number;
	if (oq_cohort_outcome(c, 0, row)->done)
		return OQ_OK;
	for (int m = 0; m < c->job->package_count; m++, each = oq_json_next(each))
		if (!written(&c->outputs[m], row - c->span.first, oq_json_string(oq_json_get(each, "sum")), c->lanes[0].patch))
			return OQ_OK;
	each = oq_json_first(packages);
	for (int m = 0; m < c->job->package_count; m++, each = oq_json_next(each))
		OQ_TRY(take_outcome(each, oq_cohort_outcome(c, m, row), err));
	c->resumed++;
	return OQ_OK;
}

static oq_status open_outputs(oq_cohort *c, bool fresh)
{
	for (int m = 0; m < c->job->package_count; m++) {
		int64_t shape[5];
		oq_sidecar s;
		oq_cohort_sidecar(c, m, shape, &s);
		if (fresh)
			OQ_TRY(oq_outfile_clear(c->outputs[m].file, c->err));
		OQ_TRY(oq_output_begin(&c->outputs[m], shape, s.rank, c->err));
	}
	return OQ_OK;
}

static oq_status open_journal(oq_cohort *c, bool *resumed)
{
	int64_t shape[5];
	oq_sidecar s;
	oq_cohort_sidecar(c, 0, shape, &s);
	oq_json *identity = oq_sidecar_identity(&s, c->models, c->job->package_count);
	oq_status status = identity ? oq_journal_open(c->job->outputs[0], identity, c->job->resume, &c->journal, resumed, c->err)
		: oq_fail_memory(c->err, "journal", 0);
	oq_json_free(identity);
	return status;
}

static void list_rows(oq_cohort *c)
{
	for (int64_t i = 0; i < c->rows.count; i++) {
		int64_t row = c->rows.order[i];
		if (row >= c->span.first && row < c->span.end && !oq_cohort_outcome(c, 0, row)->done)
			c->todo[c->todo_count++] = row;
	}
}

oq_status oq_progress_open(oq_cohort *c)
{
	bool resumed;
	for (int m = 0; m < c->job->package_count; m++) {
		c->outputs[m].path = c->job->outputs[m];
		OQ_TRY(oq_outfile_open_kept(c->job->outputs[m], &c->outputs[m].file, c->err));
	}
	OQ_TRY(open_journal(c, &resumed));
	OQ_TRY(open_outputs(c, !resumed));
	if (resumed)
		OQ_TRY(oq_journal_read(c->journal, take_record, c, c->err));
	c->done = c->resumed;
	c->synced = oq_seconds();
	list_rows(c);
	return OQ_OK;
}

static bool add_outcome(oq_json *array, const oq_outcome *o, const char *sum)
{
	oq_json *json = oq_json_add_object(array, NULL);
	bool good = oq_json_add_string(json, "sum", sum) && oq_json_add_number(json, "padding", o->padding_fraction) && oq_json_add_number(json, "hu", o->seed_hu);
	if (good && o->code[0])
		good = oq_json_add_string(json, "code", o->code) && oq_json_add_string(json, "message", o->message);
	return good && (!o->warnings || oq_json_add_string(json, "warnings", o->warnings));
}

oq_status oq_progress_row(oq_cohort *c, int64_t row, char (*sums)[17], oq_error *err)
{
	oq_json *record = oq_json_object(), *array;
	bool good = oq_json_add_int(record, "row", row) && (array = oq_json_add_array(record, "packages"));
	for (int m = 0; m < c->job->package_count && good; m++)
		good = add_outcome(array, oq_cohort_outcome(c, m, row), sums[m]);
	OQ_TRY(oq_journal_append(c->journal, record, good, err));
	for (int m = 0; m < c->job->package_count; m++)
		oq_cohort_outcome(c, m, row)->done = true;
	c->done++;
	double now = oq_seconds();
	if (now - c->synced < SYNC_SECONDS)
		return OQ_OK;
	c->synced = now;
	for (int m = 0; m < c->job->package_count; m++)
		OQ_TRY(oq_outfile_sync(c->outputs[m].file, err));
	return oq_journal_sync(c->journal, err);
}

void oq_progress_close(oq_cohort *c, bool finished)
{
	/* Without a journal of this run what lies beside it is another's; without a finished row there is nothing to keep. */
	bool keep = !finished && (!c->journal || c->done > 0);
	/* The journal first, while the lock is held: the next run makes one of the same name. */
	oq_journal_close(c->journal, !keep);
	c->journal = NULL;
	for (int m = 0; c->outputs && m < c->job->package_count; m++) {
		(keep ? oq_outfile_leave : oq_outfile_abort)(c->outputs[m].file);
		c->outputs[m].file = NULL;
	}
}
