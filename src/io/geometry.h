/* Grids of the reference pipeline: the scan turned to L,P,S axes, and the axis-aligned R,A,S grid that it is resampled to. */
#ifndef OQ_IO_GEOMETRY_H
#define OQ_IO_GEOMETRY_H

#include "io/patch.h"

/* The scan with its array axes turned to L,P,S (nibabel's io_orientation). */
typedef struct oq_lps_grid {
	int source[3];        /* file axis behind each array axis */
	bool flip[3];
	int64_t size[3];
	double affine[3][4];  /* array index -> RAS mm */
} oq_lps_grid;

void oq_lps_grid_of(const oq_volume *volume, oq_lps_grid *out);

/* The target grid D = diag(spacing) with translation; axes R,A,S. */
typedef struct oq_target_grid {
	double spacing[3], origin[3];
	int64_t size[3];
	double to_source[3][4]; /* target index -> continuous L,P,S array index, in the chosen mode */
} oq_target_grid;

void oq_target_grid_of(const oq_lps_grid *lps, const oq_patch_spec *spec, oq_target_grid *out);

/* Inverse of an affine with a regular 3x3 part. */
void oq_affine_invert(const double in[3][4], double out[3][4]);

#endif
