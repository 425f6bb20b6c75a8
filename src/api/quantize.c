/* Quantising a package: calibration patches from a manifest or ready, then the room quantize does the work. */
#include "job.h"

#include "core/mem.h"
#include "core/sha256.h"
#include "io/npy.h"
#include "quantize/quantize.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SLICES 3 /* of every calibration patch, for a network on slices: at a quarter, a half and three quarters */

typedef struct source {
	const oq_quantize_options *options;
	oq_model *model;     /* preprocessing only */
	oq_npy *patches;
	size_t floats;       /* of a patch */
	char *temporary;     /* patches cut from the manifest, without suffix; or NULL */
	oq_json *described;
} source;

static oq_status read_input(void *context, int64_t index, float *input, oq_error *err)
{
	const source *s = context;
	if (!s->model->sliced)
		return oq_npy_read_f32(s->patches, (size_t)index * s->floats, s->floats, input, err);
	float *patch = oq_alloc(s->floats * sizeof *patch);
	if (!patch)
		return oq_fail_memory(err, "calibration", s->floats * sizeof *patch);
	oq_status status = oq_npy_read_f32(s->patches, (size_t)(index / SLICES) * s->floats, s->floats, patch, err);
	if (status == OQ_OK)
		status = oq_model_slice(s->model, patch, s->model->spec.size[1] * (index % SLICES + 1) / (SLICES + 1), input, err);
	oq_free(patch);
	return status;
}

/* A name beside the output folder, whether or not that was given with a slash at its end. */
static char *beside(const char *output, const char *suffix)
{
	size_t length = strlen(output), room = length + strlen(suffix) + 1;
	while (length > 1 && output[length - 1] == '/')
		length--;
	char *name = oq_alloc(room);
	if (name)
		snprintf(name, room, "%.*s%s", (int)length, output, suffix);
	return name;
}

/* The patches of a manifest go to a file beside the output, not to memory: there may be many. */
static oq_status cut_patches(source *s, oq_error *err)
{
	s->temporary = beside(s->options->output, ".calibration");
	char *path = beside(s->options->output, ".calibration.npy");
	oq_status status = s->temporary && path ? OQ_OK : oq_fail_memory(err, s->options->output, strlen(s->options->output));
	if (status == OQ_OK) {
		const char *const packages[] = {s->options->package}, *const outputs[] = {path};
		const oq_job job = {.manifest = s->options->manifest, .packages = packages, .outputs = outputs, .package_count = 1, .threads = s->options->threads,
			.resume = true /* what a killed run left */, .cancel = s->options->cancel};
		oq_job_summary summary;
		status = oq_extract(&job, &summary, err);
		if (status == OQ_E_SOME_ROWS)
			status = oq_fail(err, OQ_E_INPUT, "E_ROWS", "%s: %lld of %lld calibration rows failed: %s", s->options->manifest, (long long)summary.failed,
				(long long)summary.rows, summary.first_failure);
	}
	if (status == OQ_OK)
		status = oq_npy_open(path, &s->patches, err);
	oq_free(path);
	return status;
}

static oq_status check_patches(const source *s, oq_error *err)
{
	const oq_npy *npy = s->patches;
	const int64_t *have = npy->shape + npy->rank - 3;
	bool fits = (npy->rank == 4 || (npy->rank == 5 && npy->shape[1] == 1)) && npy->shape[0] > 0 && !memcmp(have, s->model->spec.size, 3 * sizeof *have);
	return fits ? OQ_OK : oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: expected patches [N,1,%lld,%lld,%lld] for %s",
		s->options->patches ? s->options->patches : s->options->manifest, (long long)s->model->spec.size[0], (long long)s->model->spec.size[1],
		(long long)s->model->spec.size[2], s->options->package);
}

/* The voxels' hash of every patch, so that a later test can refuse them. */
static oq_status describe(source *s, oq_error *err)
{
	s->described = oq_json_object();
	float *patch = oq_alloc(s->floats * sizeof *patch);
	oq_json *hashes = NULL;
	bool good = s->described && patch && oq_json_add_int(s->described, "patches", s->patches->shape[0])
		&& (hashes = oq_json_add_array(s->described, "sha256"));
	oq_status status = good ? OQ_OK : oq_fail_memory(err, "calibration", 0);
	for (int64_t i = 0; i < s->patches->shape[0] && status == OQ_OK; i++) {
		char hex[65];
		status = oq_npy_read_f32(s->patches, (size_t)i * s->floats, s->floats, patch, err);
		if (status != OQ_OK)
			break;
		oq_patch_sha256(patch, s->floats, hex);
		if (!oq_json_add_string(hashes, NULL, hex))
			status = oq_fail_memory(err, "calibration", 0);
	}
	oq_free(patch);
	return status;
}

static oq_status open_source(source *s, oq_error *err)
{
	OQ_TRY(oq_model_open_preprocessing(s->options->package, &s->model, err));
	s->floats = oq_model_patch_floats(s->model);
	if (s->options->patches)
		OQ_TRY(oq_npy_open(s->options->patches, &s->patches, err));
	else
		OQ_TRY(cut_patches(s, err));
	OQ_TRY(check_patches(s, err));
	return describe(s, err);
}

static void close_source(source *s)
{
	static const char *const suffixes[] = {".npy", ".csv", ".json", ".npy.part", ".npy.journal"};
	oq_npy_close(s->patches);
	for (size_t i = 0; s->temporary && i < sizeof suffixes / sizeof *suffixes; i++) {
		char path[4096];
		snprintf(path, sizeof path, "%s%s", s->temporary, suffixes[i]);
		unlink(path);
	}
	oq_free(s->temporary);
	oq_model_close(s->model);
	oq_json_free(s->described);
}

void oq_patch_sha256(const float *patch, size_t floats, char hex[65])
{
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, patch, floats * sizeof *patch);
	oq_sha256_hex(&hash, hex);
}

/* The work of a run that has the output to itself. */
static oq_status quantize(const oq_quantize_options *options, char **report, oq_error *err)
{
	source s = {.options = options};
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	bool calibrated = options->manifest || options->patches;
	oq_quantize_request request = {.package = options->package, .output = options->output, .precision = options->precision,
		.weight_bits = options->weight_bits ? options->weight_bits : 8, .threads = options->threads > 0 ? options->threads : cpu.processors,
		.speed_share = options->speed_share, .plain_rounding = options->nearest, .equalise = options->equalise, .migrate = options->migrate,
		.wide_codebook = options->wide_codebook,
		.progress = options->progress, .progress_context = options->context,
		.cancel = options->cancel};
	oq_json *told = NULL;
	oq_status status = calibrated ? open_source(&s, err) : OQ_OK;
	if (status == OQ_OK && calibrated) {
		request.calibration = (oq_calibration){.count = s.patches->shape[0] * (s.model->sliced ? SLICES : 1), .read = read_input, .context = &s};
		request.described = s.described;
	}
	if (status == OQ_OK)
		status = oq_quantize_package(&request, report && calibrated ? &told : NULL, err);
	if (status == OQ_OK && report)
		status = oq_finish_json(told ? told : oq_json_object(), true, report, err);
	else
		oq_json_free(told);
	close_source(&s);
	return status;
}

/* Two runs on one output would mix their temporary patches, their searches and their packages: OUTPUT.lock keeps them apart. */
oq_status oq_quantize(const oq_quantize_options *options, char **report, oq_error *err)
{
	bool int8 = options->precision == OQ_PRECISION_INT8, calibrated = options->manifest || options->patches;
	if (!options->package || !options->output || (int8 && !calibrated) || (options->manifest && options->patches)
		|| (calibrated && options->precision == OQ_PRECISION_F16))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "quantize: a package, an output and, for int8, either a manifest or patches are needed (not for f16)");
	int fd;
	char *lock = beside(options->output, ".lock");
	if (!lock)
		return oq_fail_memory(err, options->output, strlen(options->output));
	oq_status status = oq_file_open_locked(lock, options->output, &fd, err);
	if (status == OQ_OK) {
		status = quantize(options, report, err);
		unlink(lock);
		close(fd);
	}
	oq_free(lock);
	return status;
}
