/* From the scan's voxels to a patch's map and back. The way from patch to scan is one affine (oq_patch_to_scan), so its inverse is exact. */
#include "io/overlay.h"

#include "geometry.h"
#include "io/nifti.h"

#include <math.h>
#include <string.h>

static void apply(const double m[3][4], const double in[3], double out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = m[i][0] * in[0] + m[i][1] * in[1] + m[i][2] * in[2] + m[i][3];
}

oq_status oq_overlay_place(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], const float *map, oq_overlay *out, oq_error *err)
{
	*out = (oq_overlay){.map = map, .size = {spec->size[0], spec->size[1], spec->size[2]}};
	OQ_TRY(oq_patch_locate(volume, spec, seed_lps_mm, &out->place, err));
	oq_affine_invert((const double(*)[4])out->place.to_scan, out->to_patch);
	return OQ_OK;
}

double oq_overlay_at(const oq_overlay *o, const double ijk[3], bool *inside)
{
	int64_t base[3];
	double part[3], sum = 0;
	if (inside)
		*inside = false;
	apply(o->to_patch, ijk, part);
	for (int i = 0; i < 3; i++) {
		double first = (double)o->place.first[i], last = (double)(o->place.end[i] - 1);
		if (!(part[i] >= first - 0.5 && part[i] <= last + 0.5))
			return 0;
		part[i] = fmin(fmax(part[i], first), last);
		base[i] = (int64_t)fmin(floor(part[i]), fmax(last - 1, first));
		part[i] -= (double)base[i];
	}
	if (inside)
		*inside = true;
	for (int c = 0; c < 8; c++) {
		double weight = 1;
		int64_t index = 0;
		for (int i = 0; i < 3; i++) {
			int step = c >> i & 1;
			weight *= step ? part[i] : 1 - part[i];
			index = index * o->size[i] + base[i] + (step && o->place.end[i] - o->place.first[i] > 1);
		}
		sum += weight * (double)o->map[index];
	}
	return sum;
}

typedef struct planes {
	const oq_overlay *overlay;
	const oq_volume *volume;
} planes;

static void fill_plane(void *context, int64_t k, float *plane)
{
	const planes *p = context;
	const int64_t *dims = p->volume->dims;
	for (int64_t j = 0; j < dims[1]; j++)
		for (int64_t i = 0; i < dims[0]; i++) {
			const double ijk[3] = {(double)i, (double)j, (double)k};
			plane[j * dims[0] + i] = (float)oq_overlay_at(p->overlay, ijk, NULL);
		}
}

oq_status oq_overlay_write(const oq_overlay *o, const oq_volume *volume, const char *path, oq_error *err)
{
	planes p = {o, volume};
	double greatest = 0;
	for (int64_t i = 0; i < o->size[0] * o->size[1] * o->size[2]; i++)
		greatest = fmax(greatest, (double)o->map[i]);
	return oq_nifti_write_f32(path, volume, greatest, fill_plane, &p, err);
}

void oq_overlay_to_ras(const oq_overlay *o, const oq_volume *volume, const double index[3], double ras[3])
{
	double ijk[3];
	apply(o->place.to_scan, index, ijk);
	oq_volume_to_ras(volume, ijk, ras);
}

void oq_overlay_mask(const oq_overlay *o, const oq_volume *volume, const oq_volume *mask, int64_t label, bool *inside)
{
	for (int64_t at = 0; at < o->size[0] * o->size[1] * o->size[2]; at++) {
		const double index[3] = {(double)(at / (o->size[1] * o->size[2])), (double)(at / o->size[2] % o->size[1]), (double)(at % o->size[2])};
		double ras[3], there[3];
		int64_t nearest[3];
		bool within = true;
		for (int i = 0; i < 3; i++)
			within = within && index[i] >= (double)o->place.first[i] && index[i] < (double)o->place.end[i];
		oq_overlay_to_ras(o, volume, index, ras);
		oq_volume_from_ras(mask, ras, there);
		for (int i = 0; i < 3; i++) {
			nearest[i] = (int64_t)floor(there[i] + 0.5);
			within = within && nearest[i] >= 0 && nearest[i] < mask->dims[i];
		}
		double value = within ? (double)oq_volume_hu(mask, nearest[0], nearest[1], nearest[2]) : 0;
		inside[at] = label ? fabs(value - (double)label) < 0.5 : value > 0;
	}
}
