/* Volume: one CT scan, decoded once. Voxels stay in the type of the file; HU = raw*slope + inter, rounded to float32. */
#ifndef OQ_IO_VOLUME_H
#define OQ_IO_VOLUME_H

#include "core/dtype.h"
#include "core/notes.h"

typedef enum oq_geometry_rule {
	OQ_GEOMETRY_ITK = 0, /* as ITK 5.4 chooses between qform and sform (the reference pipeline) */
	OQ_GEOMETRY_NIBABEL, /* sform if its code > 0, else qform */
	OQ_GEOMETRY_STRICT   /* refuse conflicting headers */
} oq_geometry_rule;

typedef struct oq_volume_options {
	oq_geometry_rule geometry;
	size_t max_bytes; /* of decoded voxels; 0 = 8 GiB */
	int64_t volume;   /* of a 4-D NIfTI file, from 1; 0 = refuse several */
	bool nonfinite_as_air, assume_orientation, allow_shear; /* else refused */
	const char *name; /* in messages, instead of the path; or NULL */
	const char *index_folder; /* of indexes (io/index.h); NULL: they lie beside the scans */
} oq_volume_options;

/* Of a packed scan. */
typedef enum oq_index_use {
	OQ_INDEX_UNUSED = 0, /* there is none, or nearly all of the scan was asked for */
	OQ_INDEX_USED,
	OQ_INDEX_UNFIT       /* it is damaged, or another scan's: the scan was decoded whole */
} oq_index_use;

typedef struct oq_voxels oq_voxels;

typedef struct oq_volume {
	int64_t dims[3];      /* i, j, k; i is fastest in memory */
	oq_dtype dtype;       /* of `voxels`, native byte order */
	void *voxels;         /* dims[0]*dims[1]*dims[2] elements; all are there after oq_volume_read, those asked for after oq_volume_open */
	double slope, inter;  /* 1 and 0 where the file has none */
	double affine[3][4];  /* voxel index (i,j,k,1) -> RAS+ mm */
	double spacing_mm[3]; /* column norms of the affine */
	oq_voxels *source;     /* where voxels that are not there yet come from, and what is known of each slice; NULL: made in memory */
	oq_notes notes;       /* warnings of reading */
} oq_volume;

/* Reads everything and judges the values of all slices. Errors: OQ_E_INPUT with a code of the list in docs/formats.md (E_TRUNCATED, E_MAGIC, E_DIMS, ...). */
oq_status oq_volume_read(const char *path, const oq_volume_options *options, oq_volume **out, oq_error *err);
/* Header and sizes are checked; the voxels stay in their file, and no value has been looked at: ask for slices first. */
oq_status oq_volume_open(const char *path, const oq_volume_options *options, oq_volume **out, oq_error *err);
/* Slices [first,end) along k will be needed: to be said before the first of them is, of a compressed file. Thread-safe. */
void oq_volume_want(const oq_volume *volume, int64_t first, int64_t end);
/* A compressed file is decoded, to its end, checksums included, or by its index where that has what is wanted; of its slices those are kept that are wanted by
 * now (others would cost another pass). Later calls, and raw files, need nothing. Its warnings are in `notes` afterwards. */
oq_status oq_volume_unpack(oq_volume *volume, oq_error *err);
/* Slices [first,end) along k are in `voxels` afterwards, read and looked at once. Thread-safe. */
oq_status oq_volume_need(const oq_volume *volume, int64_t first, int64_t end, oq_error *err);
oq_index_use oq_volume_index_use(const oq_volume *volume);
/* All of them. */
oq_status oq_volume_load(oq_volume *volume, oq_error *err);
/* What the values of slices that were asked for say: E_NONFINITE and E_HU_RANGE refuse, warnings go to `notes`, which may be NULL. */
oq_status oq_volume_judge(const oq_volume *volume, int64_t first, int64_t end, oq_notes *notes, oq_error *err);
/* Lowest and highest HU of slices that were asked for. */
void oq_volume_range(const oq_volume *volume, int64_t first, int64_t end, double hu[2]);
void oq_volume_free(oq_volume *volume);

/* Voxel index -> RAS mm and back (full inverse). */
void oq_volume_to_ras(const oq_volume *volume, const double ijk[3], double ras[3]);
void oq_volume_from_ras(const oq_volume *volume, const double ras[3], double ijk[3]);
/* HU of voxel (i,j,k), which must lie inside a slice that is there. */
float oq_volume_hu(const oq_volume *volume, int64_t i, int64_t j, int64_t k);

#endif
