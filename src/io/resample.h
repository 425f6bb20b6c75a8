/* Trilinear interpolation in double, neighbours outside the scan counting as 0 HU. */
#ifndef OQ_IO_RESAMPLE_H
#define OQ_IO_RESAMPLE_H

#include "geometry.h"

/* Target indices [low,high) on R,A,S axes into out[R][A][S]. A voxel's bits depend on its index alone, not on the region asked for. */
oq_status oq_resample_region(const oq_volume *volume, const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3],
	const int64_t high[3], float *out, oq_error *err);
/* The slices along k of the file that this reads, [first,end); empty (first >= end) when the region lies outside the scan. */
void oq_resample_slices(const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3], const int64_t high[3], int64_t *first, int64_t *end);
/* How many of the region's voxels have their position in the scan. */
int64_t oq_resample_inside(const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3], const int64_t high[3]);

#endif
