/* Changed patches from patches: .npy in, .npy out, one patch in memory, and a record of what was done beside the result. */
#include "job.h"

#include "core/mem.h"
#include "eval/perturb.h"
#include "eval/random.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct change {
	const oq_perturb_options *options;
	oq_npy *patches, *mask;
	oq_json *sidecar;       /* of the patches; NULL when values are in the patches' own units */
	int64_t size[3], count; /* of a patch */
	double gain;            /* patch units per HU */
	double range[2];        /* of a patch */
	float *patch;
	bool *inside;
	oq_error *err;
} change;

static oq_status check_options(const change *c)
{
	const oq_perturb_options *o = c->options;
	bool control = o->control != OQ_NEGATIVE_NONE, changes = o->noise_sd != 0 || o->offset != 0 || o->blur_voxels != 0 || o->resample_factor != 0;
	if (!control && !changes)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "perturb: expected at least one change");
	if (control != (o->mask || o->radius_voxels > 0) || (o->mask && o->radius_voxels > 0))
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "perturb: a negative control needs either a mask or a radius, and nothing else does");
	if (!(o->noise_sd >= 0 && o->noise_sd <= 1e4) || !(fabs(o->offset) <= 1e4))
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "perturb: noise %g, offset %g, expected at most 10000", o->noise_sd, o->offset);
	if (oq_file_same(o->patches, o->output) || (o->mask && oq_file_same(o->mask, o->output)))
		return oq_fail(c->err, OQ_E_USAGE, "E_OUTPUT", "%s: is an input as well as the output", o->output);
	return OQ_OK;
}

static oq_status open_array(const char *path, oq_npy **out, int64_t size[3], oq_error *err)
{
	OQ_TRY(oq_patches_open(path, out, err));
	memcpy(size, (*out)->shape + (*out)->rank - 3, 3 * sizeof *size);
	return OQ_OK;
}

/* X.npy -> X.json; false when it is too long. */
static bool sidecar_path(const char *path, char out[4096])
{
	size_t length = strlen(path), stem = length > 4 && !strcmp(path + length - 4, ".npy") ? length - 4 : length;
	return snprintf(out, 4096, "%.*s.json", (int)stem, path) < 4096;
}

/* From the record that `oncoquant patches` writes: how many patch units a HU is. */
static oq_status read_units(change *c)
{
	char path[4096];
	double hu[2], out[2];
	const oq_json *preprocessing;
	c->gain = 1;
	c->range[0] = -INFINITY;
	c->range[1] = INFINITY;
	if (c->options->own_units)
		return OQ_OK;
	if (!sidecar_path(c->options->patches, path))
		return oq_fail(c->err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", c->options->patches);
	if (oq_json_read_file(path, &c->sidecar, c->err) != OQ_OK)
		return oq_fail(c->err, OQ_E_INPUT, "E_OPEN", "%s: cannot be read, expected the record that `oncoquant patches` writes; or give values in the patches' own units", path);
	OQ_TRY(oq_json_need_object(c->sidecar, "preprocessing", path, &preprocessing, c->err));
	OQ_TRY(oq_json_need_numbers(preprocessing, "hu_range", path, hu, 2, c->err));
	OQ_TRY(oq_json_need_numbers(preprocessing, "out_range", path, out, 2, c->err));
	if (!(hu[1] > hu[0] && out[1] > out[0]))
		return oq_fail(c->err, OQ_E_INPUT, "E_FIELD", "%s: hu_range or out_range is empty", path);
	c->gain = (out[1] - out[0]) / (hu[1] - hu[0]);
	c->range[0] = out[0];
	c->range[1] = out[1];
	return OQ_OK;
}

static oq_status open_change(change *c)
{
	int64_t size[3];
	const oq_perturb_options *o = c->options;
	OQ_TRY(check_options(c));
	OQ_TRY(open_array(o->patches, &c->patches, c->size, c->err));
	if (o->mask) {
		OQ_TRY(open_array(o->mask, &c->mask, size, c->err));
		if (c->mask->count != c->patches->count || memcmp(size, c->size, sizeof size) != 0)
			return oq_fail(c->err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld masks of %lld x %lld x %lld, expected one of a patch's size for each of %lld patches", o->mask,
				(long long)c->mask->shape[0], (long long)size[0], (long long)size[1], (long long)size[2], (long long)c->patches->shape[0]);
	}
	OQ_TRY(read_units(c));
	c->count = c->size[0] * c->size[1] * c->size[2];
	c->patch = oq_alloc((size_t)c->count * sizeof *c->patch);
	c->inside = oq_alloc((size_t)c->count * sizeof *c->inside);
	return c->patch && c->inside ? OQ_OK : oq_fail_memory(c->err, o->patches, (size_t)c->count * sizeof *c->patch);
}

/* Voxels of the lesion: where the mask is above 0, or the ball around the patch's centre, where the seed is. */
static oq_status find_inside(const change *c, int64_t row)
{
	if (c->mask) {
		OQ_TRY(oq_npy_read_f32(c->mask, (size_t)(row * c->count), (size_t)c->count, c->patch, c->err));
		for (int64_t i = 0; i < c->count; i++)
			c->inside[i] = c->patch[i] > 0;
		return OQ_OK;
	}
	for (int64_t i = 0; i < c->count; i++) {
		const int64_t at[3] = {i / (c->size[1] * c->size[2]), i / c->size[2] % c->size[1], i % c->size[2]};
		double square = 0;
		for (int a = 0; a < 3; a++)
			square += pow((double)at[a] - 0.5 * (double)(c->size[a] - 1), 2);
		c->inside[i] = square <= c->options->radius_voxels * c->options->radius_voxels;
	}
	return OQ_OK;
}

/* In the order in which a scanner does it: grid, kernel, noise, calibration; then the clipping that every patch has seen. */
static oq_status change_patch(const change *c, int64_t row)
{
	const oq_perturb_options *o = c->options;
	if (o->control != OQ_NEGATIVE_NONE)
		OQ_TRY(find_inside(c, row));
	OQ_TRY(oq_npy_read_f32(c->patches, (size_t)(row * c->count), (size_t)c->count, c->patch, c->err));
	if (o->control != OQ_NEGATIVE_NONE) /* the same seed for every patch, as the reference has it */
		OQ_TRY(oq_control_apply(o->control == OQ_NEGATIVE_SHUFFLED ? OQ_CONTROL_SHUFFLED : OQ_CONTROL_SAMPLED, o->outside, c->inside,
			c->patch, c->count, (uint32_t)o->seed, c->err));
	if (o->resample_factor != 0)
		OQ_TRY(oq_perturb_resample(c->patch, c->size, o->resample_factor, c->err));
	if (o->blur_voxels != 0)
		OQ_TRY(oq_perturb_blur(c->patch, c->size, o->blur_voxels, c->err));
	if (o->noise_sd > 0)
		oq_perturb_noise(c->patch, c->count, o->noise_sd * c->gain, oq_random_key(o->seed, (uint64_t)row, 0));
	oq_perturb_offset(c->patch, c->count, o->offset * c->gain);
	oq_perturb_clip(c->patch, c->count, c->range[0], c->range[1]);
	return OQ_OK;
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

static bool describe_change(const change *c, oq_json *root)
{
	static const char *const controls[] = {"none", "shuffled", "sampled"};
	const oq_perturb_options *o = c->options;
	const oq_json *before = c->sidecar ? oq_json_get(c->sidecar, "perturbations") : NULL;
	if (!oq_json_add(root, "perturbations", before && oq_json_is_array(before) ? oq_json_copy(before) : oq_json_array()))
		return false;
	/* The list was added a line ago and belongs to root; only adding to it is left. */
	union { const oq_json *in; oq_json *out; } list = {oq_json_get(root, "perturbations")};
	oq_json *one = oq_json_add_object(list.out, NULL);
	bool good = one && oq_json_add_string(one, "units", o->own_units ? "patch" : "HU") && oq_json_add_number(one, "noise_sd", o->noise_sd)
		&& oq_json_add_number(one, "offset", o->offset) && oq_json_add_number(one, "blur_voxels", o->blur_voxels)
		&& oq_json_add_number(one, "resample_factor", o->resample_factor) && oq_json_add_string(one, "control", controls[o->control])
		&& oq_json_add_int(one, "seed", (int64_t)o->seed);
	if (good && o->control != OQ_NEGATIVE_NONE)
		good = oq_json_add_string(one, "region", o->outside ? "outside" : "inside")
			&& (o->mask ? oq_json_add_string(one, "mask", base_name(o->mask)) : oq_json_add_number(one, "radius_voxels", o->radius_voxels));
	return good;
}

static oq_status write_record(const change *c)
{
	char path[4096], hex[65];
	const oq_json *preprocessing = c->sidecar ? oq_json_get(c->sidecar, "preprocessing") : NULL;
	if (!sidecar_path(c->options->output, path))
		return oq_fail(c->err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", c->options->output);
	OQ_TRY(oq_file_sha256(c->options->patches, OQ_E_INPUT, hex, c->err));
	oq_json *root = oq_json_object(), *input = NULL;
	bool good = root && oq_json_add_string(root, "kind", "patches") && oq_json_add_string(root, "data", base_name(c->options->output))
		&& oq_json_add_ints(root, "shape", c->patches->shape, c->patches->rank) && oq_json_add_int(root, "rows", c->patches->shape[0]);
	if (good)
		input = oq_json_add_object(root, "input");
	good = input && oq_json_add_string(input, "file", base_name(c->options->patches)) && oq_json_add_string(input, "sha256", hex) && describe_change(c, root)
		&& (!preprocessing || oq_json_add(root, "preprocessing", oq_json_copy(preprocessing))) && oq_add_environment(root, 1);
	char *text = NULL;
	oq_status status = oq_finish_json(root, good, &text, c->err);
	if (status == OQ_OK)
		status = oq_file_write_all(path, text, strlen(text), c->err);
	oq_string_free(text);
	return status;
}

oq_status oq_perturb(const oq_perturb_options *options, oq_error *err)
{
	change c = {.options = options, .err = err};
	oq_output output = {0};
	oq_status status = open_change(&c);
	if (status == OQ_OK)
		status = oq_output_open(&output, options->output, c.patches->shape, c.patches->rank, err);
	for (int64_t row = 0; status == OQ_OK && row < c.patches->shape[0]; row++) {
		status = change_patch(&c, row);
		if (status == OQ_OK)
			status = oq_output_row(&output, row, c.patch, err);
	}
	if (status == OQ_OK)
		status = oq_outfile_commit(output.file, err);
	else
		oq_outfile_abort(output.file);
	if (status == OQ_OK)
		status = write_record(&c);
	oq_npy_close(c.patches);
	oq_npy_close(c.mask);
	oq_json_free(c.sidecar);
	oq_free(c.patch);
	oq_free(c.inside);
	return status;
}
