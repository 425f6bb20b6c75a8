/* Certifying a quantised package on this machine: test patches that calibration has not seen, the same ones through both packages,
 * seeds moved by a few millimetres as the yardstick, phantoms; the gate; and the evidence into the package. */
#include "evidence.h"
#include "gate.h"
#include "job.h"
#include "phantoms.h"

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
	double phantom_relative[OQ_PHANTOMS], phantom_cosine[OQ_PHANTOMS];
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
	OQ_TRY(oq_model_open(c->options->candidate, NULL, &c->candidate, c->err));
	OQ_TRY(check_pair(c));
	OQ_TRY(oq_session_open(c->reference, c->lanes, &c->reference_session, c->err));
	OQ_TRY(oq_session_open(c->candidate, c->lanes, &c->candidate_session, c->err));
	OQ_TRY(oq_rows_read(c->options->manifest, NULL, &c->rows, c->err));
	if (c->rows.failed)
		return oq_fail(c->err, OQ_E_INPUT, "E_ROWS", "%s: %lld rows cannot be read; a test set must be whole", c->options->manifest, (long long)c->rows.failed);
	size_t rows = (size_t)c->rows.count;
	c->size = oq_model_embedding_size(c->reference);
	c->patch_floats = oq_model_patch_floats(c->reference);
	size_t row = (size_t)c->size * sizeof(float);
	c->x = oq_alloc(rows * row);
	c->q = oq_alloc(rows * row);
	c->moved = oq_alloc(rows * row * (size_t)c->draws + 1);
	c->room = oq_alloc_aligned((size_t)c->lanes * c->patch_floats * sizeof(float));
	c->centred = oq_alloc(2 * rows * sizeof *c->centred);
	if (!c->x || !c->q || !c->moved || !c->room || !c->centred)
		return oq_fail_memory(c->err, c->options->manifest, rows * row);
	c->relative = c->centred + rows;
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

static oq_status run_row(certification *c, const oq_scan *scan, int64_t row, int lane, oq_error *err)
{
	float *patch = c->room + (size_t)lane * c->patch_floats;
	const double *seed = c->rows.rows[row].seed;
	OQ_TRY(oq_scan_patch(scan, c->reference, seed, OQ_RESAMPLING_REFERENCE, patch, NULL, err));
	if (was_calibrated(c, patch))
		return oq_fail(err, OQ_E_INPUT, "E_CALIBRATION", "%s: row %lld was used for calibration: a test on it proves nothing", c->options->manifest,
			(long long)row + 1);
	OQ_TRY(oq_session_lane(c->reference_session, lane, patch, c->x + row * c->size, err));
	OQ_TRY(oq_session_lane(c->candidate_session, lane, patch, c->q + row * c->size, err));
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
	OQ_TRY(oq_scan_open(c->rows.scans[c->rows.rows[c->rows.order[first]].scan], NULL, &scan, c->err));
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

static oq_status run_phantoms(certification *c, const oq_matrix *reference)
{
	double *mean = oq_alloc((size_t)c->size * sizeof *mean);
	float *x = oq_alloc(2 * (size_t)c->size * sizeof *x), *q = x + c->size;
	oq_status status = mean && x ? OQ_OK : oq_fail_memory(c->err, "phantoms", (size_t)c->size * sizeof *mean);
	if (status == OQ_OK)
		oq_rows_mean(reference, mean);
	for (int i = 0; i < OQ_PHANTOMS && status == OQ_OK; i++) {
		oq_phantom_make(i, &c->reference->spec, c->room);
		status = oq_session_lane(c->reference_session, 0, c->room, x, c->err);
		if (status == OQ_OK)
			status = oq_session_lane(c->candidate_session, 0, c->room, q, c->err);
		c->phantom_relative[i] = oq_rows_relative_error(x, q, c->size);
		c->phantom_cosine[i] = oq_rows_cosine(x, q, mean, c->size);
	}
	oq_free(mean);
	oq_free(x);
	return status;
}

static void add_finding(oq_gate_result *r, const char *code, double value, double limit)
{
	if (r->finding_count < OQ_GATE_FINDINGS)
		r->findings[r->finding_count++] = (oq_finding){code, value, limit};
	r->verdict = OQ_VERDICT_FAIL;
}

/* F7: the worst phantom against what patients' patches do. */
static oq_status judge_phantoms(certification *c)
{
	double worst = 0, least = 1, *sorted = oq_alloc((size_t)c->rows.count * sizeof *sorted);
	if (!sorted)
		return oq_fail_memory(c->err, "phantoms", (size_t)c->rows.count * sizeof *sorted);
	memcpy(sorted, c->relative, (size_t)c->rows.count * sizeof *sorted);
	oq_sort_doubles(sorted, c->rows.count);
	double limit = PHANTOM_FACTOR * oq_quantile(sorted, c->rows.count, 0.99);
	oq_free(sorted);
	for (int i = 0; i < OQ_PHANTOMS; i++) {
		if (!isfinite(c->phantom_relative[i]))
			add_finding(&c->result, "F7_FINITE", c->phantom_relative[i], limit);
		worst = c->phantom_relative[i] > worst ? c->phantom_relative[i] : worst;
		least = c->phantom_cosine[i] < least ? c->phantom_cosine[i] : least;
	}
	if (worst > limit)
		add_finding(&c->result, "F7_RELATIVE", worst, limit);
	if (least < PHANTOM_COSINE)
		add_finding(&c->result, "F7_CENTRED", least, PHANTOM_COSINE);
	return OQ_OK;
}

/* Rows of one value of the column "patient" are one unit. */
static int64_t *make_groups(const certification *c)
{
	int column = oq_table_find(c->rows.table, "patient");
	int64_t *group = column >= 0 ? oq_alloc((size_t)c->rows.count * sizeof *group) : NULL;
	for (int64_t r = 0; group && r < c->rows.count; r++) {
		group[r] = r;
		for (int64_t k = 0; k < r; k++)
			if (!strcmp(oq_table_cell(c->rows.table, k, column), oq_table_cell(c->rows.table, r, column))) {
				group[r] = group[k];
				break;
			}
	}
	return group;
}

static oq_status judge(certification *c)
{
	int64_t *group = make_groups(c);
	const oq_gate_input input = {.reference = {c->x, c->rows.count, c->size}, .candidate = {c->q, c->rows.count, c->size},
		.jitter = {c->draws ? c->moved : NULL, c->rows.count * c->draws, c->size}, .group = group, .threads = c->lanes};
	oq_status status = oq_gate_run(&input, &c->limits, c->options->candidate, &c->result, c->err);
	if (status == OQ_OK) {
		oq_fidelity_rows(&input.reference, &input.candidate, c->centred, c->relative);
		status = run_phantoms(c, &input.reference);
	}
	if (status == OQ_OK)
		status = judge_phantoms(c);
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

static bool describe(const certification *c, oq_json *root)
{
	char class[48], hex[65] = "";
	const oq_json *document = oq_package_json(c->candidate->package), *quantization = oq_json_get(document, "quantization");
	oq_cpu_class(class);
	oq_error ignored;
	(void)oq_file_sha256(c->options->manifest, OQ_E_INPUT, hex, &ignored); /* it was read a moment ago; without it the record is shorter */
	bool good = oq_json_add_int(root, "schema", 1) && oq_json_add_string(root, "model", oq_json_string(oq_json_get(oq_json_get(document, "model"), "name")))
		&& oq_json_add_string(root, "precision", oq_json_string(oq_json_get(quantization, "precision")))
		&& oq_json_add_string(root, "package_sha256", oq_package_sha256(c->candidate->package))
		&& oq_json_add_string(root, "reference_sha256", oq_package_sha256(c->reference->package)) && oq_json_add_string(root, "cpu_class", class)
		&& oq_json_add_string(root, "manifest_sha256", hex) && oq_add_environment(root, 1) && oq_json_add_int(root, "rows", c->rows.count)
		&& oq_json_add_int(root, "size", c->size) && oq_gate_describe(&c->result, &c->limits, root);
	oq_json *jitter = good ? oq_json_add_object(root, "jitter") : NULL;
	good = good && oq_json_add_number(jitter, "millimetres", c->millimetres) && oq_json_add_int(jitter, "draws", c->draws)
		&& add_doubles(root, "centred_cosine", c->centred, c->rows.count) && add_doubles(root, "relative_error", c->relative, c->rows.count);
	oq_json *phantoms = good ? oq_json_add_object(root, "phantoms") : NULL;
	for (int i = 0; i < OQ_PHANTOMS && phantoms && good; i++) {
		oq_json *one = oq_json_add_object(phantoms, oq_phantom_name(i));
		good = oq_json_add_number(one, "relative_error", c->phantom_relative[i]) && oq_json_add_number(one, "centred_cosine", c->phantom_cosine[i]);
	}
	return good && phantoms;
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
