/* One seed, one patch: crop, resample, turn, scale, pad, in the order of the reference (docs/preprocessing.md). */
#include "io/patch.h"

#include "core/mem.h"
#include "geometry.h"
#include "resample.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_PATCH 512

oq_status oq_patch_spec_parse(const oq_json *json, const char *where, oq_patch_spec *out, oq_error *err)
{
	const char *axes;
	double hu[2], range[2];
	*out = (oq_patch_spec){.resample = OQ_RESAMPLE_REFERENCE, false};
	OQ_TRY(oq_json_need_string(json, "axes", where, &axes, err));
	OQ_TRY(oq_json_need_ints(json, "size", where, out->size, 3, err));
	OQ_TRY(oq_json_need_numbers(json, "spacing_mm", where, out->spacing_mm, 3, err));
	OQ_TRY(oq_json_need_numbers(json, "hu_range", where, hu, 2, err));
	OQ_TRY(oq_json_need_numbers(json, "out_range", where, range, 2, err));
	int seen = 0;
	for (int i = 0; i < 3 && strlen(axes) == 3; i++) {
		const char *letter = strchr("RLAPSI", axes[i]);
		seen |= letter ? 1 << (letter - "RLAPSI") / 2 : 0;
	}
	if (seen != 7)
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: axes is \"%s\", expected one letter each of R/L, A/P, S/I", where, axes);
	memcpy(out->axes, axes, 4);
	for (int i = 0; i < 3; i++)
		if (out->size[i] < 1 || out->size[i] > MAX_PATCH || !(out->spacing_mm[i] >= 0.1 && out->spacing_mm[i] <= 20))
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: size or spacing_mm of axis %d is out of range (1 to %d voxels, 0.1 to 20 mm)", where, i, MAX_PATCH);
	if (!(hu[1] > hu[0]) || !(range[1] > range[0]))
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: hu_range or out_range is empty", where);
	out->hu_min = (float)hu[0];
	out->hu_max = (float)hu[1];
	out->out_min = (float)range[0];
	out->out_max = (float)range[1];
	return OQ_OK;
}

/* World axis (0 R/L, 1 A/P, 2 S/I) and direction of each final axis against R,A,S. */
static void final_axes(const oq_patch_spec *spec, int world[3], bool flip[3])
{
	for (int i = 0; i < 3; i++) {
		int letter = (int)(strchr("RLAPSI", spec->axes[i]) - "RLAPSI");
		world[i] = letter / 2;
		flip[i] = spec->axes[i] == 'L' || spec->axes[i] == 'P' || spec->axes[i] == 'I';
	}
}

static bool in_volume(const oq_volume *v, const double ijk[3])
{
	for (int i = 0; i < 3; i++)
		if (!(ijk[i] >= -0.5 && ijk[i] < (double)v->dims[i] - 0.5))
			return false;
	return true;
}

static void nearest_voxel(const double ijk[3], int64_t voxel[3])
{
	for (int i = 0; i < 3; i++)
		voxel[i] = (int64_t)floor(ijk[i] + 0.5);
}

static float hu_at(const oq_volume *v, const double ijk[3])
{
	int64_t voxel[3];
	nearest_voxel(ijk, voxel);
	return oq_volume_hu(v, voxel[0], voxel[1], voxel[2]);
}

/* All of the place but the HU. */
static void locate(const oq_volume *v, const double seed[3], oq_seed_place *p)
{
	const double ras[3] = {-seed[0], -seed[1], seed[2]};
	double square = 0, taken_as_ras[3];
	oq_volume_from_ras(v, ras, p->ijk);
	p->inside = in_volume(v, p->ijk);
	p->hu = NAN;
	for (int i = 0; i < 3; i++) {
		double over = fmax(-0.5 - p->ijk[i], p->ijk[i] - ((double)v->dims[i] - 0.5));
		square += over > 0 ? over * over * v->spacing_mm[i] * v->spacing_mm[i] : 0;
	}
	p->outside_mm = sqrt(square);
	oq_volume_from_ras(v, seed, taken_as_ras);
	p->hint = p->inside ? "" : in_volume(v, taken_as_ras) ? "inside if the coordinates were RAS"
		: in_volume(v, seed) ? "inside if the coordinates were voxel indices" : "";
}

void oq_seed_locate(const oq_volume *v, const double seed[3], oq_seed_place *p)
{
	locate(v, seed, p);
	if (p->inside)
		p->hu = hu_at(v, p->ijk);
}

/* Crop range on R,A,S axes around the truncated centre. */
static bool crop_range(const oq_patch_spec *spec, const oq_target_grid *target, const double seed_lps[3], oq_patch_info *info)
{
	const double ras[3] = {-seed_lps[0], -seed_lps[1], seed_lps[2]};
	int world[3];
	bool flip[3], good = true;
	final_axes(spec, world, flip);
	for (int i = 0; i < 3; i++) {
		int64_t size = spec->size[i];
		int axis = world[i];
		double centre = ras[axis] * (1 / target->spacing[axis]) + -target->origin[axis] / target->spacing[axis];
		if (!(fabs(centre) < 1e9))
			return false;
		info->grid[axis] = target->size[axis];
		info->center[axis] = (int64_t)centre; /* towards zero, as the reference's int() does */
		info->low[axis] = info->center[axis] - size / 2 > 0 ? info->center[axis] - size / 2 : 0;
		info->high[axis] = info->center[axis] + size / 2 < target->size[axis] ? info->center[axis] + size / 2 : target->size[axis];
		good &= info->low[axis] < info->high[axis];
	}
	return good;
}

static oq_status refuse_outside(const double seed[3], const oq_seed_place *p, oq_error *err)
{
	return oq_fail(err, OQ_E_INPUT, "E_SEED_OUTSIDE", "seed (%g, %g, %g) LPS mm: lies %.1f mm outside the scan, too far for a patch%s%s", seed[0], seed[1],
		seed[2], p->outside_mm, p->hint[0] ? "; it would be " : "", p->hint);
}

/* Padding of each final axis: what the crop lacks, the smaller half in front; or, centred, in front what the scan's border took away there. */
static void pad_range(const oq_patch_spec *spec, oq_patch_info *info)
{
	int world[3];
	bool flip[3];
	final_axes(spec, world, flip);
	for (int i = 0; i < 3; i++) {
		int64_t lack = spec->size[i] - (info->high[world[i]] - info->low[world[i]]);
		int64_t half = spec->size[i] / 2, centre = info->center[world[i]];
		int64_t cut_low = info->low[world[i]] - (centre - half), cut_high = centre + half - info->high[world[i]];
		info->pad_before[i] = !spec->centred ? lack / 2 : flip[i] ? cut_high : cut_low;
		info->pad_after[i] = lack - info->pad_before[i];
	}
}

/* The part [low,high) of the crop [R][A][S] -> out in final axes, scaled and clipped; the padding keeps the 0 that `out` was filled with. */
static void turn_and_scale(const oq_patch_spec *spec, const oq_crop *crop, const oq_patch_info *info, float *out)
{
	int world[3];
	bool flip[3];
	int64_t n[3], stride[3], start = 0;
	final_axes(spec, world, flip);
	const int64_t step[3] = {(crop->high[1] - crop->low[1]) * (crop->high[2] - crop->low[2]), crop->high[2] - crop->low[2], 1};
	for (int axis = 0; axis < 3; axis++)
		start += (info->low[axis] - crop->low[axis]) * step[axis];
	for (int i = 0; i < 3; i++) {
		n[i] = info->high[world[i]] - info->low[world[i]];
		stride[i] = flip[i] ? -step[world[i]] : step[world[i]];
		start += flip[i] ? step[world[i]] * (n[i] - 1) : 0;
	}
	float range = spec->hu_max - spec->hu_min, span = spec->out_max - spec->out_min;
	for (int64_t a = 0; a < n[0]; a++)
		for (int64_t b = 0; b < n[1]; b++) {
			const float *in = crop->voxels + start + a * stride[0] + b * stride[1];
			float *y = out + ((a + info->pad_before[0]) * spec->size[1] + b + info->pad_before[1]) * spec->size[2] + info->pad_before[2];
			for (int64_t c = 0; c < n[2]; c++) {
				float t = (in[c * stride[2]] - spec->hu_min) / range * span + spec->out_min;
				y[c] = t < spec->out_min ? spec->out_min : t > spec->out_max ? spec->out_max : t;
			}
		}
}

static bool covers(const oq_crop *c, const oq_volume *volume, const oq_patch_spec *spec, const double seed[3], const oq_patch_info *info)
{
	if (c->volume != volume || c->resample != spec->resample || memcmp(c->seed, seed, sizeof c->seed) || memcmp(c->spacing, spec->spacing_mm, sizeof c->spacing))
		return false;
	for (int i = 0; i < 3; i++)
		if (info->low[i] < c->low[i] || info->high[i] > c->high[i])
			return false;
	return true;
}

/* As far around the seed as `reach` says, on R,A,S axes, and the patch needs. */
static void crop_region(const int64_t reach[3], const oq_target_grid *target, const oq_patch_info *info, int64_t lows[3], int64_t highs[3])
{
	for (int i = 0; i < 3; i++) {
		int64_t low = info->center[i] - reach[i] / 2, high = info->center[i] + reach[i] / 2;
		low = low > 0 ? low : 0;
		high = high < target->size[i] ? high : target->size[i];
		lows[i] = low < info->low[i] ? low : info->low[i];
		highs[i] = high > info->high[i] ? high : info->high[i];
	}
}

static oq_status fill_crop(oq_crop *c, const oq_volume *volume, const oq_patch_spec *spec, const oq_lps_grid *lps, const oq_target_grid *target,
	const oq_patch_info *info, oq_error *err)
{
	size_t floats;
	int64_t n[3];
	c->volume = NULL;
	crop_region(c->reach, target, info, c->low, c->high);
	for (int i = 0; i < 3; i++)
		n[i] = c->high[i] - c->low[i];
	if (!oq_size_product(n, 3, 1, &floats) || floats > SIZE_MAX / sizeof *c->voxels)
		return oq_fail_memory(err, "patch", SIZE_MAX);
	if (floats > c->capacity) {
		oq_free(c->voxels);
		c->capacity = 0;
		c->voxels = oq_alloc(floats * sizeof *c->voxels);
		if (!c->voxels)
			return oq_fail_memory(err, "patch", floats * sizeof *c->voxels);
		c->capacity = floats;
	}
	OQ_TRY(oq_resample_region(volume, lps, target, c->low, c->high, c->voxels, err));
	c->volume = volume;
	c->resample = spec->resample;
	memcpy(c->spacing, spec->spacing_mm, sizeof c->spacing);
	return OQ_OK;
}

void oq_crop_forget(oq_crop *crop)
{
	crop->volume = NULL;
}

void oq_crop_free(oq_crop *crop)
{
	oq_free(crop->voxels);
	*crop = (oq_crop){0};
}

void oq_patch_reach(const oq_patch_spec *spec, int64_t reach[3])
{
	int world[3];
	bool flip[3];
	final_axes(spec, world, flip);
	for (int i = 0; i < 3; i++)
		reach[world[i]] = spec->size[i] > reach[world[i]] ? spec->size[i] : reach[world[i]];
}

/* The grids of scan and patch, and where the seed puts the crop. */
static oq_status place_patch(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], oq_lps_grid *lps, oq_target_grid *target,
	oq_patch_info *info, oq_error *err)
{
	*info = (oq_patch_info){0};
	for (int i = 0; i < 3; i++)
		if (!isfinite(seed_lps_mm[i]))
			return oq_fail(err, OQ_E_INPUT, "E_COORD", "seed: coordinate %d is %g, expected a finite number of millimetres", i, seed_lps_mm[i]);
	oq_seed_place place;
	oq_lps_grid_of(volume, lps);
	oq_target_grid_of(lps, spec, target);
	locate(volume, seed_lps_mm, &place);
	info->seed_inside = place.inside;
	info->seed_hu = NAN;
	memcpy(info->seed_ijk, place.ijk, sizeof info->seed_ijk);
	if (!crop_range(spec, target, seed_lps_mm, info))
		return refuse_outside(seed_lps_mm, &place, err);
	pad_range(spec, info);
	return OQ_OK;
}

/* The slices that a region and the seed lie in. */
static void slices_of(const oq_lps_grid *lps, const oq_target_grid *target, const oq_patch_info *info, const int64_t low[3], const int64_t high[3],
	int64_t slices[2])
{
	int64_t *first = &slices[0], *end = &slices[1], voxel[3];
	oq_resample_slices(lps, target, low, high, first, end);
	nearest_voxel(info->seed_ijk, voxel);
	if (*first >= *end)
		*first = *end = 0;
	if (info->seed_inside) {
		*first = *first == *end || voxel[2] < *first ? voxel[2] : *first;
		*end = voxel[2] >= *end ? voxel[2] + 1 : *end;
	}
}

/* The slices that the patch and its seed lie in are there, and hold HU. */
static oq_status need_slices(const oq_volume *volume, const oq_lps_grid *lps, const oq_target_grid *target, oq_patch_info *info, oq_error *err)
{
	slices_of(lps, target, info, info->low, info->high, info->slices);
	OQ_TRY(oq_volume_need(volume, info->slices[0], info->slices[1], err));
	if (info->seed_inside)
		info->seed_hu = hu_at(volume, info->seed_ijk);
	return oq_volume_judge(volume, info->slices[0], info->slices[1], NULL, err);
}

void oq_patch_want(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], const int64_t reach[3])
{
	oq_patch_info info;
	oq_lps_grid lps;
	oq_target_grid target;
	int64_t low[3], high[3], slices[2];
	if (place_patch(volume, spec, seed_lps_mm, &lps, &target, &info, NULL) != OQ_OK)
		return;
	crop_region(reach, &target, &info, low, high);
	slices_of(&lps, &target, &info, low, high, slices);
	oq_volume_want(volume, slices[0], slices[1]);
}

oq_status oq_patch_extract_shared(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], oq_crop *crop, float *out,
	oq_patch_info *info, oq_error *err)
{
	oq_patch_info own;
	oq_lps_grid lps;
	oq_target_grid target;
	info = info ? info : &own;
	OQ_TRY(place_patch(volume, spec, seed_lps_mm, &lps, &target, info, err));
	OQ_TRY(need_slices(volume, &lps, &target, info, err));
	if (!covers(crop, volume, spec, seed_lps_mm, info)) {
		memcpy(crop->seed, seed_lps_mm, sizeof crop->seed);
		OQ_TRY(fill_crop(crop, volume, spec, &lps, &target, info, err));
	}
	int64_t voxels = spec->size[0] * spec->size[1] * spec->size[2];
	memset(out, 0, (size_t)voxels * sizeof *out);
	turn_and_scale(spec, crop, info, out);
	info->padding_fraction = 1 - (double)oq_resample_inside(&lps, &target, info->low, info->high) / (double)voxels;
	return OQ_OK;
}

oq_status oq_patch_extract(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], float *out, oq_patch_info *info, oq_error *err)
{
	oq_crop crop = {0};
	oq_status status = oq_patch_extract_shared(volume, spec, seed_lps_mm, &crop, out, info, err);
	oq_crop_free(&crop);
	return status;
}

oq_status oq_patch_locate(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], oq_patch_place *out, oq_error *err)
{
	oq_patch_info info;
	oq_lps_grid lps;
	oq_target_grid target;
	int world[3];
	bool flip[3];
	OQ_TRY(place_patch(volume, spec, seed_lps_mm, &lps, &target, &info, err));
	final_axes(spec, world, flip);
	for (int i = 0; i < 3; i++) {
		out->first[i] = info.pad_before[i];
		out->end[i] = spec->size[i] - info.pad_after[i];
	}
	for (int axis = 0; axis < 3; axis++) { /* L, P, S axis of the scan, and the file's axis behind it */
		double *row = out->to_scan[lps.source[axis]], sign = lps.flip[axis] ? -1 : 1;
		row[3] = sign * target.to_source[axis][3] + (lps.flip[axis] ? (double)(lps.size[axis] - 1) : 0);
		for (int i = 0; i < 3; i++) { /* along final axis i: target index = first + step * patch index */
			double step = flip[i] ? -1 : 1, along = sign * target.to_source[axis][world[i]];
			double first = flip[i] ? (double)(info.high[world[i]] - 1 + info.pad_before[i]) : (double)(info.low[world[i]] - info.pad_before[i]);
			row[i] = along * step;
			row[3] += along * first;
		}
	}
	return OQ_OK;
}
