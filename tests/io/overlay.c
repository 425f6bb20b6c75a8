/* A patch's grid seen from its scan: the affine against what patch extraction reads, the written NIfTI against its map, masks against boxes of voxels,
 * on scans with ordinary and with permuted, anisotropic axes, with and without the reference's stretch. */
#include "check.h"

#include "core/mem.h"
#include "io/nifti.h"
#include "io/overlay.h"
#include "io/table.h"

#include <unistd.h>

static const oq_patch_spec specs[] = {
	{"SPL", {48, 48, 48}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false},
	{"SLP", {60, 60, 60}, {1.5, 0.75, 0.75}, -1000, 1000, -1, 1, OQ_RESAMPLE_EXACT, false},
	{"RAS", {20, 30, 40}, {2, 1.3, 3}, -1000, 1000, 0, 1, OQ_RESAMPLE_REFERENCE, false},
};

static void apply(double m[3][4], const double in[3], double out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = m[i][0] * in[0] + m[i][1] * in[1] + m[i][2] * in[2] + m[i][3];
}

static bool is_padding(const oq_patch_place *place, const double index[3])
{
	for (int i = 0; i < 3; i++)
		if (index[i] < (double)place->first[i] || index[i] >= (double)place->end[i])
			return true;
	return false;
}

static void index_of(const int64_t size[3], int64_t at, double index[3])
{
	index[0] = (double)(at / (size[1] * size[2]));
	index[1] = (double)(at / size[2] % size[1]);
	index[2] = (double)(at % size[2]);
}

/* Trilinear HU at a voxel index; NAN unless all neighbours are in the scan. */
static double hu_at(const oq_volume *v, const double ijk[3])
{
	double sum = 0;
	for (int i = 0; i < 3; i++)
		if (!(ijk[i] >= 0 && ijk[i] < (double)v->dims[i] - 1))
			return (double)NAN;
	for (int c = 0; c < 8; c++) {
		double weight = 1;
		int64_t at[3];
		for (int i = 0; i < 3; i++) {
			double part = ijk[i] - floor(ijk[i]);
			at[i] = (int64_t)floor(ijk[i]) + (c >> i & 1);
			weight *= c >> i & 1 ? part : 1 - part;
		}
		sum += weight * (double)oq_volume_hu(v, at[0], at[1], at[2]);
	}
	return sum;
}

/* What the patch holds is what the scan has where the affine says. 1e-5: the patch is float32 of values up to 1. */
static void check_affine(const oq_volume *v, const oq_patch_spec *spec, const double seed[3])
{
	int64_t count = spec->size[0] * spec->size[1] * spec->size[2], compared = 0;
	float *patch = oq_alloc((size_t)count * sizeof *patch);
	double worst = 0;
	oq_patch_place place;
	oq_error err;
	OQ_REQUIRE(oq_patch_extract(v, spec, seed, patch, NULL, &err) == OQ_OK);
	OQ_REQUIRE(oq_patch_locate(v, spec, seed, &place, &err) == OQ_OK);
	for (int64_t at = 0; at < count; at += 7) {
		double index[3], ijk[3];
		index_of(spec->size, at, index);
		apply(place.to_scan, index, ijk);
		double hu = hu_at(v, ijk);
		if (isnan(hu) || is_padding(&place, index))
			continue;
		double share = fmin(fmax((hu - (double)spec->hu_min) / ((double)spec->hu_max - (double)spec->hu_min), 0), 1);
		worst = fmax(worst, fabs((double)patch[at] - ((double)spec->out_min + share * ((double)spec->out_max - (double)spec->out_min))));
		compared++;
	}
	OQ_CHECK(compared > 20);
	OQ_CHECK(worst < 1e-5);
	oq_free(patch);
}

static double ramp(const double index[3])
{
	return 1 + 0.5 * index[0] + 0.25 * index[1] + 0.125 * index[2];
}

/* A map that is linear comes back exactly, and the file says the same as the overlay; the header survives our own reader. */
static void check_file(const oq_volume *v, const oq_patch_spec *spec, const double seed[3], const char *path)
{
	int64_t count = spec->size[0] * spec->size[1] * spec->size[2], inside = 0;
	float *map = oq_alloc((size_t)count * sizeof *map);
	oq_overlay overlay;
	oq_volume *back = NULL;
	oq_error err;
	double worst = 0, moved = 0;
	for (int64_t at = 0; at < count; at++) {
		double index[3];
		index_of(spec->size, at, index);
		map[at] = (float)ramp(index);
	}
	OQ_REQUIRE(oq_overlay_place(v, spec, seed, map, &overlay, &err) == OQ_OK);
	OQ_REQUIRE(oq_overlay_write(&overlay, v, path, &err) == OQ_OK);
	OQ_REQUIRE(oq_volume_read(path, NULL, &back, &err) == OQ_OK);
	for (int i = 0; i < 3; i++) {
		OQ_CHECK_INT(back->dims[i], v->dims[i]);
		for (int k = 0; k < 4; k++)
			moved = fmax(moved, fabs(back->affine[i][k] - v->affine[i][k]));
	}
	OQ_CHECK(moved < 1e-4); /* the header is float32 */
	for (int64_t at = 0; at < v->dims[0] * v->dims[1] * v->dims[2]; at += 37) {
		const double ijk[3] = {(double)(at % v->dims[0]), (double)(at / v->dims[0] % v->dims[1]), (double)(at / (v->dims[0] * v->dims[1]))};
		double index[3], got = (double)((const float *)back->voxels)[at];
		bool within = true, told;
		apply(overlay.to_patch, ijk, index);
		for (int i = 0; i < 3; i++) {
			within &= index[i] >= (double)overlay.place.first[i] - 0.5 && index[i] <= (double)overlay.place.end[i] - 0.5;
			index[i] = fmin(fmax(index[i], (double)overlay.place.first[i]), (double)overlay.place.end[i] - 1);
		}
		oq_overlay_at(&overlay, ijk, &told);
		OQ_CHECK(told == within);
		worst = fmax(worst, fabs(got - (within ? ramp(index) : 0)));
		inside += within;
	}
	OQ_CHECK(inside > 5);
	OQ_CHECK(worst < 1e-4);
	oq_volume_free(back);
	unlink(path);
	oq_free(map);
}

/* Planes of a mask: 1 where voxel (i,j,k) of the scan lies within a box of voxels. */
typedef struct box {
	const oq_volume *volume;
	int64_t low[3], high[3];
} box;

static bool in_box(const box *b, int64_t i, int64_t j, int64_t k)
{
	const int64_t at[3] = {i, j, k};
	for (int axis = 0; axis < 3; axis++)
		if (at[axis] < b->low[axis] || at[axis] > b->high[axis])
			return false;
	return true;
}

static void fill_box(void *context, int64_t k, float *plane)
{
	const box *b = context;
	for (int64_t j = 0; j < b->volume->dims[1]; j++)
		for (int64_t i = 0; i < b->volume->dims[0]; i++)
			plane[j * b->volume->dims[0] + i] = in_box(b, i, j, k);
}

static void check_mask(const oq_volume *v, const oq_patch_spec *spec, const double seed[3], const char *path)
{
	int64_t count = spec->size[0] * spec->size[1] * spec->size[2], wrong = 0, hits = 0;
	oq_patch_info info;
	oq_overlay overlay;
	oq_volume *mask = NULL;
	oq_error err;
	float *patch = oq_alloc((size_t)count * sizeof *patch);
	bool *inside = oq_alloc((size_t)count * sizeof *inside);
	oq_patch_place place;
	box b = {.volume = v};
	OQ_REQUIRE(oq_patch_extract(v, spec, seed, patch, &info, &err) == OQ_OK);
	for (int i = 0; i < 3; i++) {
		b.low[i] = (int64_t)info.seed_ijk[i] - 3;
		b.high[i] = (int64_t)info.seed_ijk[i] + 2;
	}
	OQ_REQUIRE(oq_nifti_write_f32(path, v, 1, fill_box, &b, &err) == OQ_OK);
	OQ_REQUIRE(oq_volume_read(path, NULL, &mask, &err) == OQ_OK);
	OQ_REQUIRE(oq_overlay_place(v, spec, seed, patch, &overlay, &err) == OQ_OK);
	OQ_REQUIRE(oq_patch_locate(v, spec, seed, &place, &err) == OQ_OK);
	oq_overlay_mask(&overlay, v, mask, 0, inside);
	for (int64_t at = 0; at < count; at++)
		hits += inside[at];
	oq_overlay_mask(&overlay, v, mask, 2, inside);
	for (int64_t at = 0; at < count; at++)
		OQ_CHECK(!inside[at]); /* there is no such label */
	oq_overlay_mask(&overlay, v, mask, 1, inside);
	for (int64_t at = 0; at < count; at++) {
		double index[3], ijk[3];
		index_of(spec->size, at, index);
		apply(place.to_scan, index, ijk);
		bool near = false; /* half way between voxels float32 of the header decides */
		for (int i = 0; i < 3; i++)
			near |= fabs(ijk[i] + 0.5 - rint(ijk[i] + 0.5)) < 1e-3;
		bool want = in_box(&b, (int64_t)floor(ijk[0] + 0.5), (int64_t)floor(ijk[1] + 0.5), (int64_t)floor(ijk[2] + 0.5)) && !is_padding(&place, index);
		wrong += !near && inside[at] != want;
	}
	OQ_CHECK_INT(wrong, 0);
	OQ_CHECK(hits > 0);
	oq_volume_free(mask);
	unlink(path);
	oq_free(patch);
	oq_free(inside);
}

/* NIfTI-1 cannot hold longer axes. */
static void check_refused(const char *path)
{
	oq_volume huge = {.dims = {40000, 1, 1}, .affine = {{1, 0, 0, 0}, {0, 1, 0, 0}, {0, 0, 1, 0}}, .spacing_mm = {1, 1, 1}};
	box b = {.volume = &huge};
	oq_error err;
	OQ_CHECK_INT(oq_nifti_write_f32(path, &huge, 1, fill_box, &b, &err), OQ_E_UNSUPPORTED);
	OQ_CHECK_STR(err.code, "E_DIMS");
	OQ_CHECK(access(path, F_OK) != 0);
}

int main(int argc, char **argv)
{
	oq_table *table = NULL;
	oq_error err;
	OQ_REQUIRE(argc == 2);
	OQ_REQUIRE(oq_table_read(OQ_TEST_DATA "/seeds.csv", &table, &err) == OQ_OK);
	for (int64_t row = 0; row < oq_table_rows(table); row++) {
		char path[1024];
		double seed[3];
		oq_volume *volume = NULL;
		snprintf(path, sizeof path, "%s/%s", OQ_TEST_DATA, oq_table_cell(table, row, 1));
		for (int i = 0; i < 3; i++)
			OQ_REQUIRE(oq_parse_number(oq_table_cell(table, row, 2 + i), &seed[i]));
		OQ_REQUIRE(oq_volume_read(path, NULL, &volume, &err) == OQ_OK);
		for (size_t s = 0; s < sizeof specs / sizeof *specs; s++) {
			check_affine(volume, &specs[s], seed);
			check_file(volume, &specs[s], seed, argv[1]);
			if (s == (size_t)row % 3) /* one is enough: the affine is tested above */
				check_mask(volume, &specs[s], seed, argv[1]);
		}
		oq_volume_free(volume);
	}
	oq_table_free(table);
	check_refused(argv[1]);
	return oq_checks_done();
}
