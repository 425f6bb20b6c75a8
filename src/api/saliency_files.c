/* What a saliency run leaves beside its maps: saliency.json with everything, saliency.csv with a line per row. */
#include "saliency_study.h"

#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

oq_status oq_saliency_path(const oq_saliency_study *s, const char *name, char path[4096])
{
	if (snprintf(path, 4096, "%s/%s", s->options->output, name) >= 4096)
		return oq_fail(s->err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", s->options->output);
	return OQ_OK;
}

static bool add_numbers(oq_json *object, const char *key, const double *values, int count)
{
	oq_json *array = oq_json_add_array(object, key);
	bool good = array != NULL;
	for (int i = 0; i < count && good; i++)
		good = oq_json_add_number(array, NULL, values[i]);
	return good;
}

/* Whether passes took what an occlusion leaves as it was from the patch's own; the share of their multiplications that was made. */
static bool add_reuse(oq_json *object, const oq_occlusion *occlusion)
{
	oq_json *reuse = oq_json_add_object(object, "reuse");
	bool used = !occlusion->why[0];
	return reuse && oq_json_add_bool(reuse, "used", used) && oq_json_add_number(reuse, "multiplications", occlusion->share)
		&& (used || oq_json_add_string(reuse, "why", occlusion->why));
}

static bool add_network(oq_json *root, const char *key, const oq_model *model, const oq_occlusion *occlusion)
{
	oq_json *object = oq_json_add_object(root, key);
	return object && oq_json_add_string(object, "name", oq_json_string(oq_json_get(oq_json_get(oq_package_json(model->package), "model"), "name")))
		&& oq_json_add_string(object, "package_sha256", oq_package_sha256(model->package)) && oq_add_precision(object, model)
		&& oq_add_convolutions(object, model) && add_reuse(object, occlusion);
}

static bool add_deletion(oq_json *row, const oq_deletion *d)
{
	oq_json *object = oq_json_add_object(row, "deletion");
	return object && add_numbers(object, "greatest_first", d->greatest, OQ_DELETION_STEPS) && add_numbers(object, "least_first", d->least, OQ_DELETION_STEPS)
		&& oq_json_add_number(object, "greatest_first_area", d->greatest_area) && oq_json_add_number(object, "least_first_area", d->least_area)
		&& oq_json_add_number(object, "gain", d->greatest_area - d->least_area);
}

static bool add_files(oq_json *row, int64_t index)
{
	char name[32];
	snprintf(name, sizeof name, "%04lld.nii.gz", (long long)index);
	bool good = oq_json_add_string(row, "nifti", name);
	snprintf(name, sizeof name, "%04lld.png", (long long)index);
	return good && oq_json_add_string(row, "overlay", name);
}

static bool add_row(const oq_saliency_study *s, oq_json *rows, int64_t index)
{
	const oq_row *entry = &s->rows.rows[index];
	const oq_saliency_row *r = &s->results[index];
	oq_json *row = oq_json_add_object(rows, NULL);
	bool good = row && oq_json_add_int(row, "row", index) && oq_json_add_string(row, "status", entry->code[0] ? "failed" : "ok");
	if (entry->code[0])
		return good && oq_json_add_string(row, "code", entry->code) && oq_json_add_string(row, "message", entry->message);
	good = good && oq_json_add_number(row, "padding_fraction", r->padding_fraction) && oq_json_add_number(row, "seed_hu", r->seed_hu)
		&& oq_json_add_string(row, "warnings", entry->warnings ? entry->warnings : "")
		&& oq_json_add_int(row, "passes", r->passes) && oq_json_add_int(row, "windows_spared", r->spared) && oq_json_add_number(row, "seconds", r->seconds)
		&& oq_json_add_number(row, "greatest", r->greatest) && oq_json_add_number(row, "mean", r->mean) && oq_json_add_ints(row, "peak_index", r->peak, 3)
		&& oq_json_add_number(row, "peak_to_seed_mm", r->peak_to_seed_mm);
	if (good && !s->ready)
		good = add_numbers(row, "peak_lps_mm", r->peak_lps, 3) && add_files(row, index);
	oq_json *focus = good ? oq_json_add_object(row, "focus") : NULL;
	good = focus && oq_json_add_string(focus, "region", r->masked ? "mask" : "box") && oq_json_add_number(focus, "mass", r->focus.mass)
		&& oq_json_add_number(focus, "volume", r->focus.volume) && oq_json_add_number(focus, "gain", r->focus.mass / r->focus.volume)
		&& oq_json_add_bool(focus, "peak_inside", r->focus.hit) && add_deletion(row, &r->deletion);
	oq_json *agreement = good && s->other ? oq_json_add_object(row, "agreement") : NULL;
	if (!good || !s->other)
		return good;
	return agreement && oq_json_add_number(agreement, "spearman", r->agreement.spearman)
		&& oq_json_add_number(agreement, "peak_distance_voxels", r->agreement.peak_distance)
		&& oq_json_add_ints(agreement, "other_peak_index", r->agreement.other_peak, 3);
}

static bool describe(const oq_saliency_study *s, oq_json *root)
{
	bool good = root && oq_json_add_string(root, "format", "oncoquant-saliency") && oq_json_add_int(root, "schema", 1) && add_network(root, "model", s->model, s->occlusion)
		&& (!s->other || add_network(root, "compared", s->other, s->other_occlusion))
		&& oq_json_add_string(root, "variant", s->options->variant == OQ_SALIENCY_VARIANT_REFERENCE ? "reference" : "mean-of-cosines")
		&& oq_json_add_int(root, "window_voxels", s->occlusion->plan->window) && oq_json_add_number(root, "overlap", OQ_SALIENCY_OVERLAP)
		&& oq_json_add_int(root, "windows", s->occlusion->plan->windows) && oq_json_add_number(root, "box_mm", s->box_mm)
		&& add_numbers(root, "deletion_shares", oq_deletion_shares, OQ_DELETION_STEPS) && oq_add_spec(root, "preprocessing", &s->model->spec)
		&& oq_json_add_string(root, "resampling", oq_resampling_name(s->options->job.resampling)) && oq_add_environment(root, s->threads)
		&& oq_json_add_number(root, "seconds", s->seconds) && oq_json_add_int(root, "failed", s->rows.failed);
	oq_json *rows = good ? oq_json_add_array(root, "rows") : NULL;
	good = rows != NULL;
	for (int64_t i = 0; i < s->rows.count && good; i++)
		good = add_row(s, rows, i);
	return good;
}

/* A file that remembers its first error. */
typedef struct sink_file {
	oq_outfile *file;
	oq_error err;
} sink_file;

static bool sink(void *context, const char *bytes, size_t count)
{
	sink_file *f = context;
	return oq_outfile_write(f->file, bytes, count, &f->err) == OQ_OK;
}

static bool put(sink_file *f, bool first, const char *text)
{
	return (first || sink(f, ",", 1)) && oq_csv_field(sink, f, text);
}

static bool put_number(sink_file *f, double value)
{
	char text[32] = "";
	if (!isnan(value))
		snprintf(text, sizeof text, "%.9g", value);
	return put(f, false, text);
}

static const char *const figures[] = {"oq_status", "oq_code", "oq_message", "oq_warnings", "oq_region", "oq_mass", "oq_volume", "oq_peak_inside", "oq_peak_to_seed_mm", "oq_peak_x",
	"oq_peak_y", "oq_peak_z", "oq_greatest", "oq_mean", "oq_deletion_greatest_first", "oq_deletion_least_first", "oq_spearman", "oq_peak_distance_voxels"};

static bool put_header(const oq_saliency_study *s, sink_file *f)
{
	bool good = put(f, true, "oq_row");
	for (int c = 0; s->rows.table && c < oq_table_columns(s->rows.table) && good; c++)
		good = put(f, false, oq_table_header(s->rows.table, c));
	for (size_t i = 0; i < sizeof figures / sizeof *figures && good; i++)
		good = put(f, false, figures[i]);
	return good && sink(f, "\n", 1);
}

static bool put_row(const oq_saliency_study *s, sink_file *f, int64_t index)
{
	const oq_row *entry = &s->rows.rows[index];
	const oq_saliency_row *r = &s->results[index];
	char number[32];
	snprintf(number, sizeof number, "%lld", (long long)index);
	bool failed = entry->code[0], good = put(f, true, number);
	for (int c = 0; s->rows.table && c < oq_table_columns(s->rows.table) && good; c++)
		good = put(f, false, oq_table_cell(s->rows.table, index, c));
	good = good && put(f, false, failed ? "failed" : "ok") && put(f, false, entry->code) && put(f, false, entry->message ? entry->message : "")
		&& put(f, false, entry->warnings ? entry->warnings : "") && put(f, false, failed ? "" : r->masked ? "mask" : "box");
	const double values[13] = {r->focus.mass, r->focus.volume, r->focus.hit, r->peak_to_seed_mm, r->peak_lps[0], r->peak_lps[1], r->peak_lps[2],
		r->greatest, r->mean, r->deletion.greatest_area, r->deletion.least_area, s->other ? r->agreement.spearman : NAN,
		s->other ? r->agreement.peak_distance : NAN};
	for (int i = 0; i < 13 && good; i++)
		good = put_number(f, failed ? NAN : values[i]);
	return good && sink(f, "\n", 1);
}

static oq_status write_csv(const oq_saliency_study *s)
{
	char path[4096];
	sink_file f = {0};
	OQ_TRY(oq_saliency_path(s, "saliency.csv", path));
	OQ_TRY(oq_outfile_open(path, &f.file, s->err));
	bool good = put_header(s, &f);
	for (int64_t i = 0; i < s->rows.count && good; i++)
		good = put_row(s, &f, i);
	if (good)
		return oq_outfile_commit(f.file, s->err);
	oq_outfile_abort(f.file);
	if (s->err)
		*s->err = f.err;
	return f.err.status;
}

oq_status oq_saliency_write(const oq_saliency_study *s, char **json)
{
	char path[4096], *text = NULL;
	oq_json *root = oq_json_object();
	OQ_TRY(oq_finish_json(root, describe(s, root), &text, s->err));
	oq_status status = oq_saliency_path(s, "saliency.json", path);
	if (status == OQ_OK)
		status = oq_file_write_all(path, text, strlen(text), s->err);
	if (status == OQ_OK)
		status = write_csv(s);
	if (status == OQ_OK && json) {
		*json = text;
		text = NULL;
	}
	oq_string_free(text);
	return status;
}
