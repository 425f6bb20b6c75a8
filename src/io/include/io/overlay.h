/* A map on a patch's grid, seen from its scan: values at the scan's voxels, a NIfTI file in the scan's own space, a mask brought to the patch. */
#ifndef OQ_IO_OVERLAY_H
#define OQ_IO_OVERLAY_H

#include "io/patch.h"

typedef struct oq_overlay {
	const float *map;      /* [size[0]][size[1]][size[2]] */
	int64_t size[3];
	oq_patch_place place;
	double to_patch[3][4]; /* voxel index (i,j,k) of the file -> index in the patch */
} oq_overlay;

/* Of the patch that oq_patch_extract cuts at this seed. Errors as there. */
oq_status oq_overlay_place(const oq_volume *volume, const oq_patch_spec *spec, const double seed_lps_mm[3], const float *map, oq_overlay *out, oq_error *err);
/* Linear between the map's voxels, constant in the outer half of the outermost ones; 0 outside the patch and in its padding, which has no place in
 * the scan (*inside, may be NULL, tells which). */
double oq_overlay_at(const oq_overlay *overlay, const double ijk[3], bool *inside);
/* Where an index in the patch lies, in RAS mm. */
void oq_overlay_to_ras(const oq_overlay *overlay, const oq_volume *volume, const double index[3], double ras[3]);
/* The map on the scan's grid, 0 outside the patch: NIfTI-1, float32, gzip; the scan's affine as sform and, when it can be one, qform. */
oq_status oq_overlay_write(const oq_overlay *overlay, const oq_volume *volume, const char *path, oq_error *err);
/* inside[D][H][W]: where the mask's nearest voxel is `label`, or above 0 when that is 0; never in padding. The mask may have a grid of
 * its own; both are placed by their affines. */
void oq_overlay_mask(const oq_overlay *overlay, const oq_volume *volume, const oq_volume *mask, int64_t label, bool *inside);

#endif
