/* Checks that every format's geometry passes: plausible spacing, and a finite, regular, right-angled affine. */
#ifndef OQ_IO_AFFINE_H
#define OQ_IO_AFFINE_H

#include "core/error.h"
#include "core/notes.h"

typedef struct oq_affine {
	double m[3][4]; /* voxel index (i,j,k,1) -> mm */
} oq_affine;

/* `what` names the header's field in the message. E_SPACING. */
oq_status oq_spacing_check(const char *path, const char *what, const double spacing_mm[3], oq_error *err);
/* E_AFFINE_NONFINITE, E_AFFINE_SINGULAR, E_AFFINE_RANGE, E_SHEAR; with `notes`, shear is W_SHEAR in it instead. */
oq_status oq_affine_check(const char *path, const char *which, const oq_affine *affine, oq_notes *notes, oq_error *err);
/* Lengths of the three columns: the spacing. */
void oq_affine_norms(const oq_affine *affine, double norms[3]);

#endif
