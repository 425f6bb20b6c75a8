/* Results on disk: one .npy filled in any row order, its .csv with a line per row, its .json with the provenance. */
#include "job.h"
#include "names.h"

#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

oq_status oq_output_begin(oq_output *output, const int64_t *shape, int rank, oq_error *err)
{
	char header[512];
	size_t bytes;
	output->header_bytes = oq_npy_header(shape, rank, header, sizeof header);
	if (!output->header_bytes || !oq_size_product(shape, rank, sizeof(float), &bytes) || !oq_size_product(shape + 1, rank - 1, 1, &output->row_floats))
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: the result is too large", output->path);
	return oq_outfile_write_at(output->file, header, output->header_bytes, 0, err);
}

oq_status oq_output_open(oq_output *output, const char *path, const int64_t *shape, int rank, oq_error *err)
{
	*output = (oq_output){.path = path};
	OQ_TRY(oq_outfile_open(path, &output->file, err));
	return oq_output_begin(output, shape, rank, err);
}

oq_status oq_output_row(oq_output *output, int64_t row, const float *values, oq_error *err)
{
	size_t bytes = output->row_floats * sizeof *values;
	return oq_outfile_write_at(output->file, values, bytes, output->header_bytes + (uint64_t)row * bytes, err);
}

static bool sink_file(void *context, const char *bytes, size_t count)
{
	void **both = context; /* file and error */
	return oq_outfile_write(both[0], bytes, count, both[1]) == OQ_OK;
}

static bool put_field(void *context, bool first, const char *text)
{
	return (first || sink_file(context, ",", 1)) && oq_csv_field(sink_file, context, text);
}

static bool put_number(void *context, double value, const char *format)
{
	char text[32] = "";
	if (!isnan(value))
		snprintf(text, sizeof text, format, value);
	return put_field(context, false, text);
}

static const char *const added[] = {"oq_status", "oq_code", "oq_message", "oq_warnings", "oq_padding_fraction", "oq_seed_hu"};

static bool put_header(void *context, const oq_table *table)
{
	bool good = true;
	int columns = table ? oq_table_columns(table) : 1;
	for (int c = 0; c < columns && good; c++)
		good = put_field(context, c == 0, table ? oq_table_header(table, c) : "row");
	for (size_t i = 0; i < sizeof added / sizeof *added && good; i++)
		good = put_field(context, false, added[i]);
	return good && sink_file(context, "\n", 1);
}

static bool put_row(void *context, const oq_sidecar *s, int64_t index)
{
	const oq_table *table = s->rows->table;
	const oq_outcome *outcome = &s->outcomes[index - s->span.first];
	bool good = true;
	char number[32];
	snprintf(number, sizeof number, "%lld", (long long)index);
	int columns = table ? oq_table_columns(table) : 1;
	for (int c = 0; c < columns && good; c++)
		good = put_field(context, c == 0, table ? oq_table_cell(table, index, c) : number);
	return good && put_field(context, false, outcome->code[0] ? "failed" : "ok") && put_field(context, false, outcome->code)
		&& put_field(context, false, outcome->message ? outcome->message : "") && put_field(context, false, outcome->warnings ? outcome->warnings : "")
		&& put_number(context, outcome->padding_fraction, "%.6f") && put_number(context, outcome->seed_hu, "%.6g") && sink_file(context, "\n", 1);
}

static oq_status write_csv(const oq_sidecar *s, oq_outfile *file, oq_error *err)
{
	oq_error own = {0};
	void *context[2] = {file, &own};
	bool good = put_header(context, s->rows->table);
	for (int64_t i = s->span.first; i < s->span.end && good; i++)
		good = put_row(context, s, i);
	if (good)
		return oq_outfile_sync(file, err);
	if (err)
		*err = own;
	return own.status;
}

/* File names only: paths can hold names of patients or of machines. */
static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

/* A shard says which part of how many it is; oncoquant merge puts them together. */
static bool add_input(oq_json *root, const oq_sidecar *s)
{
	const oq_job *job = s->job;
	oq_json *input = oq_json_add_object(root, "input");
	bool good = oq_json_add_string(input, "kind", job->manifest ? "manifest" : "patches")
		&& oq_json_add_string(input, "file", base_name(job->manifest ? job->manifest : job->patches)) && oq_json_add_string(input, "sha256", s->input_sha256);
	if (good && job->shard_count > 1) {
		oq_json *shard = oq_json_add_object(root, "shard");
		good = oq_json_add_int(shard, "index", job->shard_index) && oq_json_add_int(shard, "count", job->shard_count)
			&& oq_json_add_int(shard, "first", s->span.first) && oq_json_add_int(shard, "of", s->rows->count);
	}
	return good;
}

static bool add_model(oq_json *root, const oq_model *model)
{
	const oq_json *document = oq_package_json(model->package), *described = oq_json_get(document, "model");
	oq_json *json = oq_json_add_object(root, "model");
	return oq_json_add_string(json, "package_sha256", oq_package_sha256(model->package))
		&& oq_json_add_string(json, "name", oq_json_string(oq_json_get(described, "name")))
		&& oq_json_add(json, "provenance", oq_json_get(document, "provenance") ? oq_json_copy(oq_json_get(document, "provenance")) : oq_json_object())
		&& oq_add_spec(root, "preprocessing", &model->spec) && (!model->nn || (oq_add_precision(root, model) && oq_add_convolutions(root, model)));
}

/* How rows became seeds, and scans volumes, as far as it was asked for. */
static bool add_reading(oq_json *root, const oq_job *job)
{
	static const char *const coords[] = {[OQ_COORDS_LPS] = "lps", [OQ_COORDS_RAS] = "ras", [OQ_COORDS_VOXEL] = "voxel"};
	static const char *const geometries[] = {[OQ_GEOMETRY_AS_ITK] = "itk", [OQ_GEOMETRY_AS_NIBABEL] = "nibabel", [OQ_GEOMETRY_AS_STRICT] = "strict"};
	const char *point = job->mask_point == OQ_MASK_BOX_CENTRE ? "box" : "centroid";
	bool good = oq_json_add_string(root, "seeds", job->mask_column ? "masks" : job->boxes ? "boxes" : "points")
		&& (job->mask_column ? oq_json_add_string(root, "mask_point", point) && oq_json_add_int(root, "mask_label", job->mask_label)
			: oq_json_add_string(root, "coords", coords[job->coords]));
	const oq_scan_options *scan = &job->scan;
	good = good && oq_json_add_string(root, "resampling", oq_resampling_name(job->resampling))
		&& oq_json_add_string(root, "geometry", geometries[scan->geometry]) && oq_json_add_bool(root, "strict", job->strict);
	if (scan->volume)
		good = good && oq_json_add_int(root, "volume", scan->volume);
	if (scan->nonfinite_as_air)
		good = good && oq_json_add_string(root, "nonfinite", "air");
	if (scan->assume_orientation)
		good = good && oq_json_add_bool(root, "assume_orientation", true);
	if (scan->dicom)
		good = good && oq_json_add_bool(root, "dicom", true);
	if (scan->allow_shear)
		good = good && oq_json_add_bool(root, "allow_shear", true);
	return good;
}

static oq_status write_json(const oq_sidecar *s, oq_outfile *file, oq_error *err)
{
	oq_json *root = oq_json_object();
	bool good = oq_json_add_string(root, "kind", s->kind) && oq_json_add_string(root, "data", base_name(s->output))
		&& oq_json_add_ints(root, "shape", s->shape, s->rank) && oq_json_add_int(root, "rows", s->span.end - s->span.first)
		&& oq_json_add_int(root, "failed", s->failed) && oq_json_add_string(root, "failed_rows_hold", "NaN") && add_input(root, s)
		&& add_model(root, s->model) && (!s->job->manifest || add_reading(root, s->job)) && oq_add_environment(root, 0);
	char *text = NULL;
	OQ_TRY(oq_finish_json(root, good, &text, err));
	oq_status status = oq_outfile_write(file, text, strlen(text), err);
	oq_string_free(text);
	return status == OQ_OK ? oq_outfile_sync(file, err) : status;
}

oq_json *oq_sidecar_identity(const oq_sidecar *s, oq_model *const *models, int count)
{
	const oq_job *job = s->job;
	oq_json *root = oq_json_object();
	bool good = oq_json_add_string(root, "kind", s->kind) && oq_json_add_int(root, "rows", s->rows->count)
		&& oq_json_add_int(root, "shards", job->shard_count > 1 ? job->shard_count : 1) && add_input(root, s)
		&& oq_json_add_string(root, "root", job->root) && oq_json_add_string(root, "path_map", job->path_map)
		&& oq_json_add_string(root, "mask_column", job->mask_column) && oq_json_add_bool(root, "log_paths", job->log_paths) && add_reading(root, job);
	oq_json *array = good ? oq_json_add_array(root, "packages") : NULL;
	for (int i = 0; i < count && good; i++)
		good = add_model(oq_json_add_object(array, NULL), models[i]);
	oq_json *environment = good ? oq_json_add_object(root, "environment") : NULL;
	if (good && oq_add_environment(environment, 0))
		return root;
	oq_json_free(root);
	return NULL;
}

oq_status oq_sidecar_write(const oq_sidecar *s, oq_outfile **csv, oq_outfile **json, oq_error *err)
{
	char *csv_path = oq_companion(s->output, ".csv"), *json_path = oq_companion(s->output, ".json");
	oq_status status = csv_path && json_path ? OQ_OK : oq_fail_memory(err, s->output, strlen(s->output));
	if (status == OQ_OK)
		status = oq_outfile_open(csv_path, csv, err);
	if (status == OQ_OK)
		status = write_csv(s, *csv, err);
	if (status == OQ_OK)
		status = oq_outfile_open(json_path, json, err);
	if (status == OQ_OK)
		status = write_json(s, *json, err);
	oq_free(csv_path);
	oq_free(json_path);
	return status;
}
