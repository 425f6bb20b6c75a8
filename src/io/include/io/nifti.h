/* NIfTI-1 writer: one float32 volume, gzip, in the space of a scan that was read. Refuses axes beyond 32767 voxels, which NIfTI-1 cannot hold. */
#ifndef OQ_IO_NIFTI_H
#define OQ_IO_NIFTI_H

#include "io/volume.h"

/* Values of plane k, [dims[1]][dims[0]]. */
typedef void (*oq_plane_source)(void *context, int64_t k, float *plane);

/* dims and affine are those of `like`; `greatest` is noted for viewers (cal_max). The same input gives the same bytes. */
oq_status oq_nifti_write_f32(const char *path, const oq_volume *like, double greatest, oq_plane_source source, void *context, oq_error *err);

#endif
