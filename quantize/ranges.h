/* Ranges: which interval of a value the 256 codes stand for. */
#ifndef OQ_QUANTIZE_RANGES_H
#define OQ_QUANTIZE_RANGES_H

#include "observe.h"

typedef struct oq_range {
	float scale;
	int32_t zero;
	const char *observer; /* that proposed it */
	double error;         /* relative L2 error that the codes cause in the products, estimated on the sampled voxels */
} oq_range;

/* What the value's nearest code stands for. */
float oq_through_codes(float x, float scale, int32_t zero);

/* Of all observers' proposals (min-max, percentiles, least squares, least divergence) the one whose codes change the products
 * least: a channel's error counts with the energy of the weights that read it. energy [channels]. */
oq_status oq_range_choose(const oq_observed *value, const double *energy, oq_range *out, oq_error *err);

/* lost [channels]: mean of the sampled values minus mean of what their codes stand for: small values round to nothing. */
void oq_range_lost(const oq_observed *value, const oq_range *range, double *lost);

#endif
