/* Certifying a quantised package on this machine: test patches that calibration has not seen, the same ones through both packages,
 * seeds moved by a few millimetres as the yardstick, phantoms; the gate; and the evidence into the package. */
#include "evidence.h"
#include "job.h"
#include "labels.h"
#include "saturation.h"
#include "stress.h"

#include "core/locale.h"
#include "core/mem.h"
#include "eval/quantile.h"
#include "eval/rows.h"
#include "report/evidence.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <string.h>

#define PHANTOM_FACTOR 5    /* times the 99th percentile of the patches' relative error */
#define PHANTOM_COSINE 0.95
#define RAMP_AGREEMENT 0.95
#define MAP_SPEARMAN 0.9
#define MAP_PEAK 9.0 /* voxels: one step of the occlusion */

typedef struct certification {
	const oq_certify_options *options;
	oq_model *reference, *candidate;
	oq_session *reference_session, *candidate_session;
	oq_rows rows;
	int lanes, draws;
	double millimetres;
	int64_t size;        /* of an embedding */
	size_t patch_floats;
	float *x, *q, *moved; /* [rows][size], [rows][size], [draws][rows][size] */
	float *room;         /* [lanes][patch] */
	double *centred, *relative; /* [rows] */
	oq_gate_limits limits;
	oq_gate_result result;
	double *patch_mean, *patch_sd, *padding; /* [rows] HU of the test patches, share outside the scan */
	double phantom_limit;
	oq_stress stress;
	oq_saturation *saturation; /* or NULL: not int8 */
	oq_labels labels;
	int64_t done;
	oq_error *err;
} certification;

static oq_status check_pair(const certification *c)
{
	const oq_json *quantization = oq_json_get(oq_package_json(c->candidate->package), "quantization");
	const oq_json *source = quantization ? oq_json_get(quantization, "source_package_sha256") : NULL;
	if (!source || !oq_json_string(source))
		return oq_fail(c->err, OQ_E_USAGE, "E_PACKAGE", "%s: is not a quantised package", c->options->candidate);
	if (strcmp(oq_json_string(source), oq_package_sha256(c->reference->package)))
		return oq_fail(c->err, OQ_E_USAGE, "E_PACKAGE", "%s: was not made from %s", c->options->candidate, c->options->reference);
	return OQ_OK;
}

static oq_status open_certification(certification *c)
{
	const oq_model_options exact = {.precision = OQ_PRECISION_F32};
	OQ_TRY(oq_model_open(c->options->reference, &exact, &c->reference, c->err));
	const oq_model_options asked = {.convolution = c->options->convolution, .strict_precision = c->options->strict_precision};
	OQ_TRY(oq_model_open(c->options->candidate, &asked, &c->candidate, c->err));
	OQ_TRY(check_pair(c));
	OQ_TRY(oq_session_open(c->reference, c->lanes, &c->reference_session, c->err));
	OQ_TRY(oq_session_open(c->candidate, c->lanes, &c->candidate_session, c->err));
	OQ_TRY(oq_rows_read(c->options->manifest, NULL, &c->rows, c->err));
	if (c->rows.failed)
		return oq_fail(c->err, OQ_E_INPUT, "E_ROWS", "%s: %lld rows cannot be read; a test set must be whole", c->options->manifest, (long long)c->rows.failed);
	if (c->options->labels)
		OQ_TRY(oq_labels_read(c->options->labels, c->rows.count, &c->labels, c->err));
	OQ_TRY(oq_saturation_open(c->candidate, c->lanes, &c->saturation, c->err));
	size_t rows = (size_t)c->rows.count;
	c->size = oq_model_embedding_size(c->reference);
	c->patch_floats = oq_model_patch_floats(c->reference);
	size_t row = (size_t)c->size * sizeof(float);
	c->x = oq_alloc(rows * row);
	c->q = oq_alloc(rows * row);
	c->moved = oq_alloc(rows * row * (size_t)c->draws + 1);
	c->room = oq_alloc_aligned((size_t)c->lanes * c->patch_floats * sizeof(float));
	c->centred = oq_alloc(5 * rows * sizeof *c->centred);
	if (!c->x || !c->q || !c->moved || !c->room || !c->centred)
		return oq_fail_memory(c->err, c->options->manifest, rows * row);
	c->relative = c->centred + rows;
	c->patch_mean = c->relative + rows;
	c->patch_sd = c->patch_mean + rows;
	c->padding = c->patch_sd + rows;
	return OQ_OK;
}

static bool was_calibrated(const certification *c, const float *patch)
{
	char hex[65];
	const oq_json *quantization = oq_json_get(oq_package_json(c->candidate->package), "quantization");
	const oq_json *calibration = oq_json_get(quantization, "calibration"), *hashes = calibration ? oq_json_get(calibration, "sha256") : NULL;
	if (!hashes)
		return false;
	oq_patch_sha256(patch, c->patch_floats, hex);
	for (const oq_json *hash = oq_json_first(hashes); hash; hash = oq_json_next(hash))
		if (oq_json_string(hash) && !strcmp(oq_json_string(hash), hex))
			return true;
	return false;
}

/* A point drawn evenly from the ball around the seed, the same at every run. */
static void move_seed(const certification *c, int64_t row, int draw, double seed[3])
{
	uint64_t z = (uint64_t)(row * 64 + draw) * 0x2545F4914F6CDD1Du + 0x9E3779B97F4A7C15u;
	double step[3], square;
	do {
		square = 0;
		for (int axis = 0; axis < 3; axis++) {
			z += 0x9E3779B97F4A7C15u;
			uint64_t v = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
			v = (v ^ v >> 27) * 0x94D049BB133111EBu;
			step[axis] = (double)((v ^ v >> 31) >> 11) * 0x1p-52 - 1;
			square += step[axis] * step[axis];
		}
	} while (square > 1);
	for (int axis = 0; axis < 3; axis++)
		seed[axis] += step[axis] * c->millimetres;
}

/* HU that the patch was made of, as far as the clip left them. */
static void describe_patch(const certification *c, const float *patch, int64_t row)
{
	const oq_patch_spec *spec = &c->reference->spec;
	double gain = ((double)spec->hu_max - (double)spec->hu_min) / ((double)spec->out_max - (double)spec->out_min), mean = 0, square = 0;
	double n = (double)c->patch_floats;
	for (size_t i = 0; i < c->patch_floats; i++)
		mean += (double)patch[i] / n;
	for (size_t i = 0; i < c->patch_floats; i++)
		square += ((double)patch[i] - mean) * ((double)patch[i] - mean) / n;
	c->patch_mean[row] = (mean - (double)spec->out_min) * gain + (double)spec->hu_min;
	c->patch_sd[row] = sqrt(square) * gain;
}

static oq_status run_row(certification *c, const oq_scan *scan, int64_t row, int lane, oq_error *err)
{
	float *patch = c->room + (size_t)lane * c->patch_floats;
	const double *seed = c->rows.rows[row].seed;
	oq_patch_report report;
	OQ_TRY(oq_scan_patch(scan, c->reference, seed, OQ_RESAMPLING_REFERENCE, patch, &report, err));
	describe_patch(c, patch, row);
	c->padding[row] = report.padding_fraction;
	if (was_calibrated(c, patch))
		return oq_fail(err, OQ_E_INPUT, "E_CALIBRATION", "%s: row %lld was used for calibration: a test on it proves nothing", c->options->manifest,
			(long long)row + 1);
	OQ_TRY(oq_session_lane(c->reference_session, lane, patch, c->x + row * c->size, err));
	OQ_TRY(oq_session_lane(c->candidate_session, lane, patch, c->q + row * c->size, err));
	if (c->saturation)
		OQ_TRY(oq_saturation_count(c->saturation, lane, patch, false, err));
	for (int draw = 0; draw < c->draws; draw++) {
		double moved[3] = {seed[0], seed[1], seed[2]};
		move_seed(c, row, draw, moved);
		OQ_TRY(oq_scan_patch(scan, c->reference, moved, OQ_RESAMPLING_REFERENCE, patch, NULL, err));
		OQ_TRY(oq_session_lane(c->reference_session, lane, patch, c->moved + (draw * c->rows.count + row) * c->size, err));
	}
	return OQ_OK;
}

/* Rows order[first..last) of one scan. */
static oq_status run_scan(certification *c, int64_t first, int64_t last)
{
	oq_scan *scan = NULL;
	OQ_TRY(oq_rows_open_scan(&c->rows, c->rows.order[first], &scan, c->err));
	oq_status status = OQ_OK;
#pragma omp parallel for num_threads(c->lanes) schedule(static, 1)
	for (int64_t i = first; i < last; i++) {
		oq_error own = {0};
		oq_status mine = status == OQ_OK ? run_row(c, scan, c->rows.order[i], omp_get_thread_num(), &own) : OQ_OK;
#pragma omp critical(oq_certify)
		{
			c->done++;
			if (mine != OQ_OK && status == OQ_OK) {
				status = mine;
				if (c->err)
					*c->err = own;
			}
			if (c->options->progress)
				c->options->progress(c->options->context, "embedding", c->done, c->rows.count);
		}
	}
	oq_scan_close(scan);
	return status;
}

static oq_status run_rows(certification *c)
{
	for (int64_t first = 0; first < c->rows.count;) {
		int64_t last = first;
		while (last < c->rows.count && c->rows.rows[c->rows.order[last]].scan == c->rows.rows[c->rows.order[first]].scan)
			last++;
		if (c->options->cancel && *c->options->cancel)
			return oq_fail(c->err, OQ_E_RESOURCE, "E_CANCELLED", "%s: certification was interrupted", c->options->manifest);
		OQ_TRY(run_scan(c, first, last));
		first = last;
	}
	return OQ_OK;
}

/* F7: the worst phantom against what patients' patches do. */
static oq_status judge_phantoms(certification *c)
{
	double worst = 0, least = 1, *sorted = oq_alloc((size_t)c->rows.count * sizeof *sorted);
	if (!sorted)
		return oq_fail_memory(c->err, "phantoms", (size_t)c->rows.count * sizeof *sorted);
	memcpy(sorted, c->relative, (size_t)c->rows.count * sizeof *sorted);
	oq_sort_doubles(sorted, c->rows.count);
	c->phantom_limit = PHANTOM_FACTOR * oq_quantile(sorted, c->rows.count, 0.99);
	oq_free(sorted);
	for (int i = 0; i < OQ_PHANTOMS; i++) {
		const oq_phantom_result *p = &c->stress.phantoms[i];
		if (!p->finite)
			oq_gate_find(&c->result, "F7_FINITE", i, OQ_PHANTOMS);
		worst = p->relative > worst || isnan(p->relative) ? p->relative : worst;
		least = p->cosine < least || isnan(p->cosine) ? p->cosine : least;
	}
	if (!(worst <= c->phantom_limit))
		oq_gate_find(&c->result, "F7_RELATIVE", worst, c->phantom_limit);
	if (!(least >= PHANTOM_COSINE))
		oq_gate_find(&c->result, "F7_CENTRED", least, PHANTOM_COSINE);
	if (!(c->stress.ramp.agreement >= RAMP_AGREEMENT)) /* NaN: the reference itself does not see the contrast, so nothing is shown */
		oq_gate_find(&c->result, "F7_RAMP", c->stress.ramp.agreement, RAMP_AGREEMENT);
	if (!c->stress.refuses_nonfinite)
		oq_gate_find(&c->result, "F7_NONFINITE", 0, 1);
	return OQ_OK;
}

/* Clipped codes are an error of their own kind, but what they do to the embedding the other figures measure: a remark. */
static void judge_saturation(certification *c)
{
	static const char *const codes[] = {"F7_SATURATION", "F7_SATURATION_PHANTOMS"};
	for (int phantoms = 0; c->saturation && phantoms < 2; phantoms++) {
		double worst = oq_saturation_worst(c->saturation, phantoms);
		if (worst > OQ_SATURATION_LIMIT)
			oq_gate_remark(&c->result, codes[phantoms], worst, OQ_SATURATION_LIMIT);
	}
}

/* F8 */
static void judge_maps(certification *c)
{
	const oq_map_result *m = &c->stress.maps;
	if (m->maps && !(m->spearman_min >= MAP_SPEARMAN))
		oq_gate_find(&c->result, "F8_SPEARMAN", m->spearman_min, MAP_SPEARMAN);
	if (m->maps && m->peak_max > MAP_PEAK)
		oq_gate_find(&c->result, "F8_PEAK", m->peak_max, MAP_PEAK);
}

static oq_status run_stress(certification *c, const oq_matrix *reference)
{
	const oq_certify_options *o = c->options;
	const oq_fidelity *f = &c->result.fidelity;
	double *mean = oq_alloc((size_t)c->size * sizeof *mean);
	if (!mean)
		return oq_fail_memory(c->err, "phantoms", (size_t)c->size * sizeof *mean);
	oq_rows_mean(reference, mean);
	c->stress = (oq_stress){.reference = c->reference_session, .candidate = c->candidate_session, .spec = &c->reference->spec, .rows = &c->rows, .mean = mean,
		.size = c->size, .patch_floats = c->patch_floats, .lanes = c->lanes, .cancel = o->cancel, .saturation = c->saturation};
	oq_status status = oq_stress_phantoms(&c->stress, c->err);
	if (status == OQ_OK && o->search > 0)
		status = oq_stress_search(&c->stress, c->reference, f->worst, f->worst_count, o->search, c->err);
	if (status == OQ_OK && o->saliency > 0)
		status = oq_stress_maps(&c->stress, c->reference, o->saliency, c->err);
	if (status == OQ_OK)
		status = judge_phantoms(c);
	if (status == OQ_OK) {
		judge_saturation(c);
		judge_maps(c);
	}
	oq_free(mean);
	c->stress.mean = NULL;
	return status;
}

static oq_status judge(certification *c)
{
	int64_t *group = NULL; /* patients of the manifest, where the labels name none */
	int patient = oq_table_find(c->rows.table, "patient");
	if (patient >= 0)
		OQ_TRY(oq_gate_patients(c->rows.table, patient, &group, c->err));
	const oq_gate_input input = {.reference = {c->x, c->rows.count, c->size}, .candidate = {c->q, c->rows.count, c->size},
		.jitter = {c->draws ? c->moved : NULL, c->rows.count * c->draws, c->size}, .endpoints = c->labels.endpoints,
		.endpoint_count = c->labels.endpoint_count, .group = c->labels.group ? c->labels.group : group, .threads = c->lanes};
	oq_status status = oq_gate_run(&input, &c->limits, c->options->candidate, &c->result, c->err);
	if (status == OQ_OK) {
		oq_fidelity_rows(&input.reference, &input.candidate, c->centred, c->relative);
		status = run_stress(c, &input.reference);
	}
	oq_free(group);
	return status;
}

static bool add_doubles(oq_json *root, const char *key, const double *values, int64_t count)
{
	oq_json *array = oq_json_add_array(root, key);
	bool good = array != NULL;
	for (int64_t i = 0; i < count && good; i++)
		good = oq_json_add_number(array, NULL, values[i]);
	return good;
}

/* Of every patch: |q - x| and the root mean square of what moving its seed does. */
static bool describe_noise(const certification *c, oq_json *root)
{
	oq_json *errors = oq_json_add_array(root, "error_norm"), *noises = oq_json_add_array(root, "jitter_norm");
	bool good = errors && noises;
	for (int64_t r = 0; r < c->rows.count && good; r++) {
		double error = 0, noise = 0;
		for (int64_t d = 0; d < c->size; d++) {
			double x = (double)c->x[r * c->size + d], e = (double)c->q[r * c->size + d] - x;
			error += e * e;
			for (int k = 0; k < c->draws; k++) {
				double n = (double)c->moved[(k * c->rows.count + r) * c->size + d] - x;
				noise += n * n / c->draws;
			}
		}
		good = oq_json_add_number(errors, NULL, sqrt(error)) && oq_json_add_number(noises, NULL, sqrt(noise));
	}
	return good;
}

static bool describe_worst(const certification *c, oq_json *root)
{
	oq_json *list = oq_json_add_array(root, "worst");
	bool good = list != NULL;
	for (int i = 0; i < c->result.fidelity.worst_count && good; i++) {
		int64_t r = c->result.fidelity.worst[i];
		oq_json *one = oq_json_add_object(list, NULL), *seed = oq_json_add_array(one, "seed");
		good = seed && oq_json_add_int(one, "row", r) && oq_json_add_number(one, "centred_cosine", c->centred[r])
			&& oq_json_add_number(one, "relative_error", c->relative[r]) && oq_json_add_number(one, "hu_mean", c->patch_mean[r])
			&& oq_json_add_number(one, "hu_sd", c->patch_sd[r]) && oq_json_add_number(one, "padding_fraction", c->padding[r]);
		for (int axis = 0; axis < 3 && good; axis++)
			good = oq_json_add_number(seed, NULL, c->rows.rows[r].seed[axis]);
	}
	return good;
}

static bool describe(const certification *c, oq_json *root)
{
	char hex[65] = "", labels[65] = "";
	const oq_json *document = oq_package_json(c->candidate->package), *quantization = oq_json_get(document, "quantization");
	oq_error ignored;
	(void)oq_file_sha256(c->options->manifest, OQ_E_INPUT, hex, &ignored); /* it was read a moment ago; without it the record is shorter */
	if (c->options->labels)
		(void)oq_file_sha256(c->options->labels, OQ_E_INPUT, labels, &ignored);
	bool good = oq_json_add_string(root, "format", "oncoquant-fidelity") && oq_json_add_int(root, "schema", OQ_GATE_SCHEMA)
		&& oq_json_add_string(root, "model", oq_json_string(oq_json_get(oq_json_get(document, "model"), "name")))
		&& oq_json_add_string(root, "precision", oq_json_string(oq_json_get(quantization, "precision")))
		&& oq_json_add_string(root, "package_sha256", oq_package_sha256(c->candidate->package))
		&& oq_json_add_string(root, "reference_sha256", oq_package_sha256(c->reference->package)) && oq_evidence_add_arithmetic(root, c->candidate)
		&& oq_json_add_string(root, "manifest_sha256", hex) && (!labels[0] || oq_json_add_string(root, "labels_sha256", labels))
		&& oq_add_environment(root, 1) && oq_json_add_int(root, "rows", c->rows.count)
		&& oq_json_add_int(root, "size", c->size) && oq_gate_describe(&c->result, &c->limits, root);
	oq_json *jitter = good ? oq_json_add_object(root, "jitter") : NULL;
	good = good && oq_json_add_number(jitter, "millimetres", c->millimetres) && oq_json_add_int(jitter, "draws", c->draws)
		&& add_doubles(root, "centred_cosine", c->centred, c->rows.count) && add_doubles(root, "relative_error", c->relative, c->rows.count);
	return good && describe_noise(c, root) && describe_worst(c, root) && oq_stress_describe(&c->stress, root)
		&& oq_json_add_number(root, "phantom_limit", c->phantom_limit) && (!c->saturation || oq_saturation_describe(c->saturation, root));
}

static oq_status write_file(const certification *c, const char *name, const char *text)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s", c->options->candidate, name) >= (int)sizeof path)
		return oq_fail(c->err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", c->options->candidate);
	return oq_file_write_all(path, text, strlen(text), c->err);
}

static oq_status write_evidence(const certification *c, char **json)
{
	oq_json *root = oq_json_object();
	char *html = NULL, *text = NULL;
	oq_status status = root && describe(c, root) ? oq_report_evidence(root, &html, c->err) : oq_fail_memory(c->err, c->options->candidate, 0);
	if (status == OQ_OK)
		status = oq_json_print(root, true, &text, c->err);
	if (status == OQ_OK)
		status = write_file(c, "evidence.html", html);
	if (status == OQ_OK)
		status = write_file(c, "evidence.json", text);
	if (status == OQ_OK && json) {
		*json = text;
		text = NULL;
	}
	oq_free(html);
	oq_free(text);
	oq_json_free(root);
	return status;
}

oq_status oq_certify(const oq_certify_options *options, char **json, oq_error *err)
{
	certification c = {.options = options, .err = err, .draws = options->draws > 0 ? options->draws : 2,
		.millimetres = options->jitter_mm > 0 ? options->jitter_mm : 3};
	oq_cpu cpu;
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	c.lanes = options->threads > 0 ? options->threads : cpu.processors;
	oq_status status = open_certification(&c);
	if (status == OQ_OK) {
		oq_precision asked;
		const char *why;
		c.limits = oq_gate_defaults(oq_nn_model_precision(c.candidate->nn, &asked, &why) != OQ_PRECISION_INT8);
		status = oq_gate_read_limits(options->gate, &c.limits, err);
	}
	if (status == OQ_OK)
		status = run_rows(&c);
	if (status == OQ_OK)
		status = judge(&c);
	if (status == OQ_OK)
		status = write_evidence(&c, json);
	if (status == OQ_OK)
		status = oq_gate_status(&c.result, options->candidate, err);
	oq_saturation_close(c.saturation);
	oq_labels_free(&c.labels);
	oq_session_close(c.reference_session);
	oq_session_close(c.candidate_session);
	oq_model_close(c.reference);
	oq_model_close(c.candidate);
	oq_rows_free(&c.rows);
	oq_free(c.x);
	oq_free(c.q);
	oq_free(c.moved);
	oq_free_aligned(c.room);
	oq_free(c.centred);
	oq_locale_leave(locale);
	return status;
}
