#include "stress.h"

#include "saliency.h"

#include "core/mem.h"
#include "eval/quantile.h"
#include "eval/random.h"
#include "eval/rows.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define SHIFT_MM 5.0
#define OFFSET_HU 20.0

/* x and q [size] of one patch. */
static oq_status run_both(const oq_stress *s, int lane, const float *patch, float *x, float *q, oq_error *err)
{
	OQ_TRY(oq_session_lane(s->reference, lane, patch, x, err));
	return oq_session_lane(s->candidate, lane, patch, q, err);
}

/* Keeps the first failure. */
static void keep(oq_status *status, oq_status mine, oq_error *err, const oq_error *own)
{
#pragma omp critical(oq_stress)
	if (mine != OQ_OK && *status == OQ_OK) {
		*status = mine;
		if (err)
			*err = *own;
	}
}

static void measure_ramp(const oq_stress *s, const float *x, const float *q, oq_ramp_result *out)
{
	const float *first = x, *last = x + (OQ_RAMP_STEPS - 1) * s->size;
	double length = 0;
	int same = 0, half = OQ_RAMP_STEPS / 2;
	for (int64_t d = 0; d < s->size; d++)
		length += ((double)last[d] - (double)first[d]) * ((double)last[d] - (double)first[d]);
	for (int i = 0; i < OQ_RAMP_STEPS; i++) {
		out->reference[i] = out->candidate[i] = 0;
		for (int64_t d = 0; d < s->size; d++) {
			double way = ((double)last[d] - (double)first[d]) / length;
			out->reference[i] += ((double)x[i * s->size + d] - (double)first[d]) * way;
			out->candidate[i] += ((double)q[i * s->size + d] - (double)first[d]) * way;
		}
		same += i > 0 && (out->reference[i] > out->reference[i - 1]) == (out->candidate[i] > out->candidate[i - 1]);
	}
	out->agreement = length > 0 ? (double)same / (OQ_RAMP_STEPS - 1) : NAN;
	out->top_gain = (out->candidate[OQ_RAMP_STEPS - 1] - out->candidate[half]) / (out->reference[OQ_RAMP_STEPS - 1] - out->reference[half]);
}

static bool is_finite(const float *values, int64_t count)
{
	for (int64_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return false;
	return true;
}

/* A patch with a value that is no number must be refused by both, not embedded: int8 has no code for it and would make something of it. */
static bool refuses(const oq_stress *s, float *patch, float *x)
{
	const float wrong[] = {NAN, INFINITY, -INFINITY};
	bool good = true;
	for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
		oq_error ignored;
		oq_phantom_make(1, s->spec, patch);
		patch[s->patch_floats / 2] = wrong[i];
		good = good && oq_session_lane(s->reference, 0, patch, x, &ignored) == OQ_E_INPUT && oq_session_lane(s->candidate, 0, patch, x, &ignored) == OQ_E_INPUT;
	}
	return good;
}

oq_status oq_stress_phantoms(oq_stress *s, oq_error *err)
{
	const int items = OQ_PHANTOMS + OQ_RAMP_STEPS;
	float *x = oq_alloc(2 * (size_t)items * (size_t)s->size * sizeof *x), *q = x + items * s->size;
	float *rooms = oq_alloc_aligned((size_t)s->lanes * s->patch_floats * sizeof *rooms);
	oq_status status = x && rooms ? OQ_OK : oq_fail_memory(err, "phantoms", (size_t)s->lanes * s->patch_floats * sizeof *rooms);
	if (status == OQ_OK) {
#pragma omp parallel for num_threads(s->lanes) schedule(static, 1)
		for (int i = 0; i < items; i++) {
			oq_error own = {0};
			int lane = omp_get_thread_num();
			float *patch = rooms + (size_t)lane * s->patch_floats;
			if (i < OQ_PHANTOMS)
				oq_phantom_make(i, s->spec, patch);
			else
				oq_ramp_make(i - OQ_PHANTOMS, s->spec, patch);
			keep(&status, run_both(s, lane, patch, x + i * s->size, q + i * s->size, &own), err, &own);
			if (s->saturation && i < OQ_PHANTOMS)
				keep(&status, oq_saturation_count(s->saturation, lane, patch, true, &own), err, &own);
		}
	}
	for (int i = 0; i < OQ_PHANTOMS && status == OQ_OK; i++) {
		oq_phantom_result *p = &s->phantoms[i];
		p->finite = is_finite(q + i * s->size, s->size);
		p->relative = oq_rows_relative_error(x + i * s->size, q + i * s->size, s->size);
		p->cosine = oq_rows_cosine(x + i * s->size, q + i * s->size, s->mean, s->size);
	}
	if (status == OQ_OK) {
		measure_ramp(s, x + OQ_PHANTOMS * s->size, q + OQ_PHANTOMS * s->size, &s->ramp);
		s->refuses_nonfinite = refuses(s, rooms, x);
	}
	oq_free(x);
	oq_free_aligned(rooms);
	return status;
}

/* One hill climb and its room. */
typedef struct climb {
	const oq_stress *stress;
	const oq_model *model;
	const oq_scan *scan;
	int lane;
	float *patch, *x, *q;
	oq_search_result at;
} climb;

static void flip(float *patch, const int64_t n[3], int axis)
{
	int64_t strides[3] = {n[1] * n[2], n[2], 1};
	int u = (axis + 1) % 3, v = (axis + 2) % 3;
	for (int64_t i = 0; i < n[u]; i++)
		for (int64_t j = 0; j < n[v]; j++)
			for (int64_t k = 0; k < n[axis] / 2; k++) {
				float *a = patch + i * strides[u] + j * strides[v] + k * strides[axis], *b = a + (n[axis] - 1 - 2 * k) * strides[axis], t = *a;
				*a = *b;
				*b = t;
			}
}

static oq_status evaluate(climb *c, oq_search_result *at, oq_error *err)
{
	const oq_stress *s = c->stress;
	const double *seed = s->rows->rows[at->row].seed, moved[3] = {seed[0] + at->shift_mm[0], seed[1] + at->shift_mm[1], seed[2] + at->shift_mm[2]};
	OQ_TRY(oq_scan_patch(c->scan, c->model, moved, OQ_RESAMPLING_REFERENCE, c->patch, NULL, err));
	double gain = ((double)s->spec->out_max - (double)s->spec->out_min) / ((double)s->spec->hu_max - (double)s->spec->hu_min);
	for (size_t i = 0; i < s->patch_floats; i++)
		c->patch[i] = fminf(fmaxf(c->patch[i] + (float)(at->offset_hu * gain), s->spec->out_min), s->spec->out_max);
	for (int axis = 0; axis < 3; axis++)
		if (at->flipped[axis])
			flip(c->patch, s->spec->size, axis);
	OQ_TRY(run_both(s, c->lane, c->patch, c->x, c->q, err));
	at->relative = oq_rows_relative_error(c->x, c->q, s->size);
	at->cosine = oq_rows_cosine(c->x, c->q, s->mean, s->size);
	return OQ_OK;
}

/* A neighbour: two of three times the seed moves, else the HU or a mirror. Stays within the bounds. */
static oq_search_result propose(const oq_search_result *at, uint64_t key)
{
	oq_search_result next = *at;
	double what = oq_random_uniform(key, 100), step[3], square = 0;
	oq_random_ball(oq_random_mix(key), step);
	if (what < 0.6)
		for (int axis = 0; axis < 3; axis++)
			next.shift_mm[axis] += 2 * step[axis];
	else if (what < 0.85)
		next.offset_hu = fmin(fmax(next.offset_hu + 10 * step[0], -OFFSET_HU), OFFSET_HU);
	else
		next.flipped[(int)(3 * oq_random_uniform(key, 101))] ^= true;
	for (int axis = 0; axis < 3; axis++)
		square += next.shift_mm[axis] * next.shift_mm[axis];
	for (int axis = 0; axis < 3 && square > SHIFT_MM * SHIFT_MM; axis++)
		next.shift_mm[axis] *= SHIFT_MM / sqrt(square);
	return next;
}

static oq_status run_climb(climb *c, int64_t row, int64_t evaluations, oq_error *err)
{
	const oq_stress *s = c->stress;
	oq_scan *scan = NULL;
	OQ_TRY(oq_rows_open_scan(s->rows, row, &scan, err));
	c->scan = scan;
	c->at = (oq_search_result){.row = row, .evaluations = evaluations};
	oq_status status = evaluate(c, &c->at, err);
	c->at.start = c->at.relative;
	for (int64_t i = 1; i < evaluations && status == OQ_OK && !(s->cancel && *s->cancel); i++) {
		oq_search_result next = propose(&c->at, oq_random_key(0, (uint64_t)row, (uint64_t)i));
		oq_error outside;
		oq_status mine = evaluate(c, &next, &outside);
		if (mine == OQ_OK && next.relative > c->at.relative)
			c->at = next;
		if (mine != OQ_OK && mine != OQ_E_INPUT) { /* a seed that left the scan is no candidate */
			status = mine;
			if (err)
				*err = outside;
		}
	}
	oq_scan_close(scan);
	return status;
}

oq_status oq_stress_search(oq_stress *s, const oq_model *model, const int64_t *worst, int count, int64_t evaluations, oq_error *err)
{
	int starts = count < OQ_SEARCH_STARTS ? count : OQ_SEARCH_STARTS;
	starts = evaluations < starts ? (int)evaluations : starts;
	float *rooms = oq_alloc_aligned((size_t)s->lanes * s->patch_floats * sizeof *rooms), *both = oq_alloc((size_t)s->lanes * 2 * (size_t)s->size * sizeof *both);
	climb climbs[OQ_SEARCH_STARTS];
	oq_status status = rooms && both ? OQ_OK : oq_fail_memory(err, "search", (size_t)s->lanes * s->patch_floats * sizeof *rooms);
	if (status == OQ_OK) {
#pragma omp parallel for num_threads(s->lanes) schedule(static, 1)
		for (int i = 0; i < starts; i++) {
			oq_error own = {0};
			int lane = omp_get_thread_num();
			climbs[i] = (climb){.stress = s, .model = model, .lane = lane, .patch = rooms + (size_t)lane * s->patch_floats,
				.x = both + 2 * lane * s->size, .q = both + (2 * lane + 1) * s->size};
			keep(&status, run_climb(&climbs[i], worst[i], evaluations / starts, &own), err, &own);
		}
	}
	s->search = (oq_search_result){0};
	for (int i = 0; i < starts && status == OQ_OK; i++) {
		int64_t done = s->search.evaluations + climbs[i].at.evaluations;
		if (climbs[i].at.relative >= s->search.relative)
			s->search = climbs[i].at;
		s->search.evaluations = done;
	}
	oq_free_aligned(rooms);
	oq_free(both);
	return status;
}

/* What oq_stress_maps keeps open for all its rows. */
typedef struct map_pair {
	oq_occlusion *reference, *candidate;
	float *patch;
} map_pair;

static oq_status map_row(oq_stress *s, const oq_model *model, int64_t row, const map_pair *pair, double *spearman, oq_error *err)
{
	oq_scan *scan = NULL;
	oq_saliency_agreement agreement;
	OQ_TRY(oq_rows_open_scan(s->rows, row, &scan, err));
	oq_status status = oq_scan_patch(scan, model, s->rows->rows[row].seed, OQ_RESAMPLING_REFERENCE, pair->patch, NULL, err);
	oq_scan_close(scan);
	if (status == OQ_OK)
		status = oq_saliency_between(pair->reference, pair->candidate, pair->patch, &agreement, err);
	if (status == OQ_OK) {
		*spearman = isnan(agreement.spearman) ? 0 : agreement.spearman; /* a map that is the same everywhere agrees with nothing */
		s->maps.peak_max = fmax(s->maps.peak_max, agreement.peak_distance);
	}
	return status;
}

static oq_status open_pair(const oq_stress *s, map_pair *pair, oq_error *err)
{
	const oq_occlusion_options options = {0};
	pair->patch = oq_alloc_aligned(s->patch_floats * sizeof *pair->patch);
	if (!pair->patch)
		return oq_fail_memory(err, "maps", s->patch_floats * sizeof *pair->patch);
	OQ_TRY(oq_occlusion_open(s->reference->model, s->reference->lanes, &options, &pair->reference, err));
	return oq_occlusion_open(s->candidate->model, s->candidate->lanes, &options, &pair->candidate, err);
}

oq_status oq_stress_maps(oq_stress *s, const oq_model *model, int64_t count, oq_error *err)
{
	int64_t maps = count < s->rows->count ? count : s->rows->count;
	map_pair pair = {0};
	double *spearman = oq_alloc((size_t)(maps + 1) * sizeof *spearman);
	oq_status status = !spearman ? oq_fail_memory(err, "maps", (size_t)(maps + 1) * sizeof *spearman) : maps ? open_pair(s, &pair, err) : OQ_OK;
	for (int64_t i = 0; i < maps && status == OQ_OK; i++) {
		if (s->cancel && *s->cancel)
			status = oq_fail(err, OQ_E_RESOURCE, "E_CANCELLED", "certification was interrupted");
		else
			status = map_row(s, model, i * s->rows->count / maps, &pair, &spearman[i], err); /* spread over the test set */
	}
	if (status == OQ_OK && maps) {
		oq_sort_doubles(spearman, maps);
		s->maps.maps = maps;
		s->maps.spearman_min = spearman[0];
		s->maps.spearman_median = oq_quantile(spearman, maps, 0.5);
	}
	oq_occlusion_close(pair.reference);
	oq_occlusion_close(pair.candidate);
	oq_free_aligned(pair.patch);
	oq_free(spearman);
	return status;
}

static bool add_numbers(oq_json *root, const char *key, const double *values, int count)
{
	oq_json *list = oq_json_add_array(root, key);
	bool good = list != NULL;
	for (int i = 0; i < count && good; i++)
		good = oq_json_add_number(list, NULL, values[i]);
	return good;
}

static bool describe_search(const oq_search_result *r, oq_json *root)
{
	oq_json *json = oq_json_add_object(root, "search");
	static const char *const axes[] = {"mirrored_axis0", "mirrored_axis1", "mirrored_axis2"};
	bool good = json && oq_json_add_int(json, "evaluations", r->evaluations) && oq_json_add_int(json, "row", r->row)
		&& oq_json_add_number(json, "relative_error_before", r->start) && oq_json_add_number(json, "relative_error", r->relative)
		&& oq_json_add_number(json, "centred_cosine", r->cosine) && add_numbers(json, "shift_mm", r->shift_mm, 3)
		&& oq_json_add_number(json, "offset_hu", r->offset_hu);
	for (int axis = 0; axis < 3 && good; axis++)
		good = oq_json_add_bool(json, axes[axis], r->flipped[axis]);
	return good;
}

bool oq_stress_describe(const oq_stress *s, oq_json *root)
{
	oq_json *phantoms = oq_json_add_object(root, "phantoms"), *ramp, *maps;
	bool good = phantoms != NULL;
	for (int i = 0; i < OQ_PHANTOMS && good; i++) {
		oq_json *one = oq_json_add_object(phantoms, oq_phantom_name(i));
		good = oq_json_add_number(one, "relative_error", s->phantoms[i].relative) && oq_json_add_number(one, "centred_cosine", s->phantoms[i].cosine);
	}
	good = good && oq_json_add_bool(root, "refuses_nonfinite", s->refuses_nonfinite) && (ramp = oq_json_add_object(root, "ramp"))
		&& oq_json_add_number(ramp, "agreement", s->ramp.agreement) && oq_json_add_number(ramp, "top_gain", s->ramp.top_gain)
		&& add_numbers(ramp, "reference", s->ramp.reference, OQ_RAMP_STEPS) && add_numbers(ramp, "candidate", s->ramp.candidate, OQ_RAMP_STEPS);
	if (s->search.evaluations)
		good = good && describe_search(&s->search, root);
	if (s->maps.maps)
		good = good && (maps = oq_json_add_object(root, "saliency")) && oq_json_add_int(maps, "maps", s->maps.maps)
			&& oq_json_add_number(maps, "spearman_min", s->maps.spearman_min) && oq_json_add_number(maps, "spearman_median", s->maps.spearman_median)
			&& oq_json_add_number(maps, "peak_distance_max_voxels", s->maps.peak_max);
	return good;
}
