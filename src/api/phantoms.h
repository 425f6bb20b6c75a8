/* Patches that no patient has: what a network does to them tells how it behaves outside its data. */
#ifndef OQ_API_PHANTOMS_H
#define OQ_API_PHANTOMS_H

#include "io/patch.h"

#define OQ_PHANTOMS 14
#define OQ_RAMP_STEPS 21 /* 0 to 300 HU */

const char *oq_phantom_name(int index);
/* Phantom `index` as the model sees it: HU through the recipe's range. out [D][H][W] */
void oq_phantom_make(int index, const oq_patch_spec *spec, float *out);
/* A sphere with step / (steps - 1) of 300 HU of contrast. */
void oq_ramp_make(int step, const oq_patch_spec *spec, float *out);

#endif
