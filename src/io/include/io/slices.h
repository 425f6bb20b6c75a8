/* Slices: the two-dimensional stage of MedImageInsight's benchmark wrapper. A patch [L][P][S] in [0,1] becomes coronal 8-bit
 * planes (index along P; rows L, columns S), resized by Pillow's integer bicubic filter, as three equal normalised channels. */
#ifndef OQ_IO_SLICES_H
#define OQ_IO_SLICES_H

#include "core/json.h"

typedef struct oq_slices_spec {
	int64_t size;             /* of the resized square */
	float mean[3], std[3];
} oq_slices_spec;

/* "slices" of a preprocessing object; *present is false when there is none. */
oq_status oq_slices_spec_parse(const oq_json *preprocessing, const char *where, oq_slices_spec *out, bool *present, oq_error *err);

/* Plane `index` of patch [n0][n1][n2] into out [3][size][size]. `room` holds size*n0 + n0*n2 bytes. */
void oq_slice_make(const float *patch, const int64_t n[3], int64_t index, const oq_slices_spec *spec, unsigned char *room, float *out);

#endif
