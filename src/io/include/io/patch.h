/* Patch extraction: the exact semantics of the reference pipeline (TumorImagingBench get_transforms on MONAI 1.4/1.5),
 * resampling only the region of the crop. docs/preprocessing.md states every step. */
#ifndef OQ_IO_PATCH_H
#define OQ_IO_PATCH_H

#include "core/json.h"
#include "io/volume.h"

typedef enum oq_resample {
	OQ_RESAMPLE_REFERENCE = 0, /* MONAI <= 1.5: grid normalised with align_corners=False, sampled with True */
	OQ_RESAMPLE_EXACT          /* MONAI >= 1.6: q = X*d */
} oq_resample;

typedef struct oq_patch_spec {
	char axes[4];          /* e.g. "SPL": axis 0 grows towards Superior, 1 Posterior, 2 Left */
	int64_t size[3];       /* [D0][D1][D2], final axes */
	double spacing_mm[3];  /* along world x, y, z */
	float hu_min, hu_max;  /* mapped to out_min, out_max, then clipped */
	float out_min, out_max;
	oq_resample resample;
	bool centred;          /* padding where the scan ends, so that the seed stays where it is away from borders; else the reference's: both sides alike */
} oq_patch_spec;

typedef struct oq_patch_info {
	int64_t grid[3];         /* size of the whole resampled grid, R,A,S */
	int64_t center[3];       /* truncated grid index of the seed, R,A,S */
	int64_t low[3], high[3]; /* cropped index range [low,high), R,A,S */
	int64_t pad_before[3], pad_after[3]; /* final axes */
	double padding_fraction; /* share of output voxels that are padding or sampled outside the scan */
	double seed_ijk[3];      /* continuous voxel index of the seed in the file's own axes */
	bool seed_inside;        /* nearest voxel lies in the scan */
	float seed_hu;           /* HU of that voxel; NaN when outside */
	int64_t slices[2];       /* along k of the file, [first,end): those that the patch and its seed lie in */
} oq_patch_info;

/* Where a seed lands in a scan. */
typedef struct oq_seed_place {
	double ijk[3];     /* continuous voxel index in the file's own axes */
	bool inside;       /* the nearest voxel lies in the scan */
	float hu;          /* of that voxel; NaN when outside */
	double outside_mm; /* distance to the scan; 0 inside */
	const char *hint;  /* what would put it inside, e.g. "inside if the coordinates were RAS"; never applied; "" when nothing would, or inside */
} oq_seed_place;
/* The seed's slice must be there (oq_volume_need). */
void oq_seed_locate(const oq_volume *volume, const double seed_lps_mm[3], oq_seed_place *out);

/* "preprocessing" object of a recipe or package: axes, size, spacing_mm, hu_range, out_range. */
oq_status oq_patch_spec_parse(const oq_json *preprocessing, const char *where, oq_patch_spec *out, oq_error *err);

/* out: size[0]*size[1]*size[2] floats, C order. seed_lps_mm: LPS+ world coordinates. `info` may be NULL.
 * Errors: E_SEED_OUTSIDE (with a hint when the seed would be inside as RAS or as a voxel index), E_COORD. Thread-safe on one volume. */
oq_status oq_patch_extract(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], float *out, oq_patch_info *info, oq_error *err);

/* A resampled region that the patches of several models are cut from, when they want the same spacing: `reach` is set by the caller (R,A,S,
 * voxels; zeros: what the first patch needs) before the first patch. The bits are those of patches cut alone. Zeroed is valid and empty. */
typedef struct oq_crop {
	int64_t reach[3];
	const oq_volume *volume; /* whose region it holds; NULL: none */
	double seed[3], spacing[3];
	oq_resample resample;
	int64_t low[3], high[3];
	float *voxels;
	size_t capacity;
} oq_crop;
oq_status oq_patch_extract_shared(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], oq_crop *crop, float *out,
	oq_patch_info *info, oq_error *err);
/* Raises `reach` to what a patch needs. */
void oq_patch_reach(const oq_patch_spec *spec, int64_t reach[3]);
/* oq_volume_want of what a patch will need when it is cut from a region of this reach; nothing, when it cannot be cut. */
void oq_patch_want(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], const int64_t reach[3]);
/* Before its volume is freed. */
void oq_crop_forget(oq_crop *crop);
void oq_crop_free(oq_crop *crop);

/* Where the voxels of a patch come from. */
typedef struct oq_patch_place {
	double to_scan[3][4];     /* index in the patch -> continuous voxel index (i,j,k) of the file */
	int64_t first[3], end[3]; /* of the patch's indices that do come from the grid: [first,end); the rest is padding, which has no place */
} oq_patch_place;
/* Of the patch that oq_patch_extract cuts at this seed. Errors as there. */
oq_status oq_patch_locate(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], oq_patch_place *out, oq_error *err);

#endif
