/* Changes to patches that an embedding should not mind (another scanner, another reconstruction) or should (negative controls: the lesion
 * destroyed). Definitions: docs/robustness.md. */
#ifndef OQ_EVAL_PERTURB_H
#define OQ_EVAL_PERTURB_H

#include "core/error.h"

#include <stdint.h>

/* Gaussian noise, the same for the same key (eval/random.h). */
void oq_perturb_noise(float *patch, int64_t count, double sd, uint64_t key);
void oq_perturb_offset(float *patch, int64_t count, double offset);
/* Along every axis of patch [size0][size1][size2]: Gaussian of `sigma` voxels up to 20, cut off at 4 sigma, edges repeated. */
oq_status oq_perturb_blur(float *patch, const int64_t size[3], double sigma, oq_error *err);
/* To voxels `factor` (1 to 8) times as large and back, linearly. */
oq_status oq_perturb_resample(float *patch, const int64_t size[3], double factor, oq_error *err);
void oq_perturb_clip(float *patch, int64_t count, double low, double high);

/* As READII's negative controls: the voxels of a region in the patch's order, shuffled, or drawn from themselves with replacement. */
typedef enum oq_control { OQ_CONTROL_SHUFFLED = 0, OQ_CONTROL_SAMPLED } oq_control;
/* inside[count]: the lesion; the region is that, or all else. The draws are those of numpy's default_rng(seed). */
oq_status oq_control_apply(oq_control control, bool outside, const bool *inside, float *patch, int64_t count, uint32_t seed, oq_error *err);

#endif
