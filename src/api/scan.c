/* Scans: reading, describing, patches, pictures. */
#include "dicom.h"
#include "internal.h"

#include "core/mem.h"
#include "io/png.h"

#include <math.h>
#include <sys/stat.h>

bool oq_is_folder(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

oq_status oq_scan_open_lazily(const char *path, const oq_scan_options *options, oq_scan **out, oq_error *err)
{
	static const oq_geometry_rule rules[] = {[OQ_GEOMETRY_AS_ITK] = OQ_GEOMETRY_ITK, [OQ_GEOMETRY_AS_NIBABEL] = OQ_GEOMETRY_NIBABEL,
		[OQ_GEOMETRY_AS_STRICT] = OQ_GEOMETRY_STRICT};
	oq_volume_options volume_options = {.geometry = rules[options ? options->geometry : OQ_GEOMETRY_AS_ITK]};
	if (options) {
		volume_options.volume = options->volume;
		volume_options.nonfinite_as_air = options->nonfinite_as_air;
		volume_options.assume_orientation = options->assume_orientation;
		volume_options.allow_shear = options->allow_shear;
		volume_options.name = options->name;
		volume_options.index_folder = options->index_dir;
	}
	oq_scan *scan = oq_calloc(1, sizeof *scan);
	if (!scan)
		return oq_fail_memory(err, path, sizeof *scan);
	bool series = options && options->dicom && oq_is_folder(path);
	const oq_float_state state = oq_float_enter();
	oq_status status = (series ? oq_dicom_read : oq_volume_open)(path, &volume_options, &scan->volume, err);
	oq_float_leave(state);
	if (status == OQ_OK)
		*out = scan;
	else
		oq_scan_close(scan);
	return status;
}

oq_status oq_scan_load(const oq_scan *scan, oq_error *err)
{
	const oq_float_state state = oq_float_enter();
	oq_status status = oq_volume_load(scan->volume, err);
	oq_float_leave(state);
	return status;
}

oq_status oq_scan_open(const char *path, const oq_scan_options *options, oq_scan **out, oq_error *err)
{
	oq_scan *scan = NULL;
	OQ_TRY(oq_scan_open_lazily(path, options, &scan, err));
	oq_status status = oq_scan_load(scan, err);
	if (status == OQ_OK)
		status = oq_volume_judge(scan->volume, 0, scan->volume->dims[2], &scan->volume->notes, err);
	if (status == OQ_OK)
		*out = scan;
	else
		oq_scan_close(scan);
	return status;
}

void oq_scan_close(oq_scan *scan)
{
	if (!scan)
		return;
	oq_volume_free(scan->volume);
	oq_free(scan);
}

const char *oq_resampling_name(oq_resampling resampling)
{
	static const char *const names[] = {[OQ_RESAMPLING_REFERENCE] = "reference", [OQ_RESAMPLING_EXACT] = "exact", [OQ_RESAMPLING_CENTRED] = "centred"};
	return names[resampling];
}

static bool add_numbers(oq_json *object, const char *key, const double *values, int count)
{
	oq_json *array = oq_json_add_array(object, key);
	bool good = array != NULL;
	for (int i = 0; i < count && good; i++)
		good = oq_json_add_number(array, NULL, values[i]);
	return good;
}

/* Letters that the file's axes grow towards, nearest world axis each. */
static void orientation(const oq_volume *v, char letters[4])
{
	for (int k = 0; k < 3; k++) {
		int best = 0;
		for (int i = 1; i < 3; i++)
			if (fabs(v->affine[i][k]) > fabs(v->affine[best][k]))
				best = i;
		letters[k] = v->affine[best][k] > 0 ? "RAS"[best] : "LPI"[best];
	}
	letters[3] = 0;
}

bool oq_add_seed(oq_json *object, const double lps[3], const oq_seed_place *place)
{
	bool good = add_numbers(object, "lps_mm", lps, 3) && add_numbers(object, "voxel", place->ijk, 3) && oq_json_add_bool(object, "inside", place->inside)
		&& oq_json_add_number(object, "hu", (double)place->hu);
	if (!place->inside)
		good = good && oq_json_add_number(object, "outside_mm", place->outside_mm) && oq_json_add_string(object, "hint", place->hint);
	return good;
}

bool oq_add_volume(oq_json *root, const oq_volume *v)
{
	char letters[4];
	orientation(v, letters);
	bool good = oq_json_add_ints(root, "size", v->dims, 3) && add_numbers(root, "spacing_mm", v->spacing_mm, 3)
		&& oq_json_add_string(root, "orientation", letters) && oq_json_add_string(root, "type", oq_dtype_name(v->dtype));
	oq_json *affine = good ? oq_json_add_array(root, "affine_ras") : NULL;
	for (int i = 0; i < 3 && good; i++)
		good = add_numbers(affine, NULL, v->affine[i], 4);
	double range[2];
	oq_volume_range(v, 0, v->dims[2], range);
	good = good && add_numbers(root, "hu_range", range, 2);
	oq_json *warnings = good ? oq_json_add_array(root, "warnings") : NULL;
	for (int i = 0; i < v->notes.count && good; i++) {
		oq_json *note = oq_json_add_object(warnings, NULL);
		good = oq_json_add_string(note, "code", v->notes.items[i].code) && oq_json_add_string(note, "text", v->notes.items[i].text);
	}
	return good;
}

oq_status oq_scan_json(const oq_scan *scan, const double seed_lps_mm[3], char **json, oq_error *err)
{
	oq_json *root = oq_json_object();
	bool good = oq_add_volume(root, scan->volume);
	if (seed_lps_mm) {
		oq_seed_place place;
		oq_seed_locate(scan->volume, seed_lps_mm, &place);
		good = good && oq_add_seed(oq_json_add_object(root, "seed"), seed_lps_mm, &place);
	}
	return oq_finish_json(root, good, json, err);
}

void oq_scan_want(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, const oq_crop *crop)
{
	oq_patch_spec spec = model->spec;
	oq_spec_resampling(&spec, resampling);
	const oq_float_state state = oq_float_enter();
	oq_patch_want(scan->volume, &spec, seed_lps_mm, crop->reach);
	oq_float_leave(state);
}

oq_status oq_scan_patch_shared(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, oq_crop *crop,
	float *patch, oq_patch_info *info, oq_error *err)
{
	oq_patch_spec spec = model->spec;
	oq_spec_resampling(&spec, resampling);
	const oq_float_state state = oq_float_enter();
	oq_status status = oq_patch_extract_shared(scan->volume, &spec, seed_lps_mm, crop, patch, info, err);
	oq_float_leave(state);
	return status;
}

oq_patch_report oq_patch_report_of(const oq_patch_info *info)
{
	return (oq_patch_report){.padding_fraction = info->padding_fraction, .seed_hu = (double)info->seed_hu,
		.grid_index = {info->center[0], info->center[1], info->center[2]}};
}

oq_status oq_scan_patch(const oq_scan *scan, const oq_model *model, const double seed_lps_mm[3], oq_resampling resampling, float *patch,
	oq_patch_report *report, oq_error *err)
{
	oq_crop crop = {0};
	oq_patch_info info;
	oq_status status = oq_scan_patch_shared(scan, model, seed_lps_mm, resampling, &crop, patch, &info, err);
	oq_crop_free(&crop);
	if (status == OQ_OK && report)
		*report = oq_patch_report_of(&info);
	return status;
}

oq_status oq_scan_png(const oq_scan *scan, const double seed_lps_mm[3], const double box_mm[3], const char *path, oq_error *err)
{
	oq_view_options options = {0};
	for (int i = 0; i < 3 && box_mm; i++)
		options.box_mm[i] = box_mm[i];
	return oq_view_write_png(scan->volume, seed_lps_mm, &options, path, err);
}

void oq_spec_resampling(oq_patch_spec *spec, oq_resampling resampling)
{
	spec->resample = resampling == OQ_RESAMPLING_REFERENCE ? OQ_RESAMPLE_REFERENCE : OQ_RESAMPLE_EXACT;
	spec->centred = resampling == OQ_RESAMPLING_CENTRED;
}

bool oq_add_spec(oq_json *object, const char *key, const oq_patch_spec *spec)
{
	oq_json *json = oq_json_add_object(object, key);
	const double hu[2] = {(double)spec->hu_min, (double)spec->hu_max}, out[2] = {(double)spec->out_min, (double)spec->out_max};
	return oq_json_add_string(json, "axes", spec->axes) && oq_json_add_ints(json, "size", spec->size, 3)
		&& add_numbers(json, "spacing_mm", spec->spacing_mm, 3) && add_numbers(json, "hu_range", hu, 2) && add_numbers(json, "out_range", out, 2);
}
