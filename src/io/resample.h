/* Trilinear interpolation in double, neighbours outside the scan counting as 0 HU. */
#ifndef OQ_IO_RESAMPLE_H
#define OQ_IO_RESAMPLE_H

#include "geometry.h"

/* Target indices [low,high) on R,A,S axes into out[R][A][S]; *inside counts output voxels whose position lies in the scan. */
oq_status oq_resample_region(const oq_volume *volume, const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3],
	const int64_t high[3], float *out, int64_t *inside, oq_error *err);

#endif
