/* Weights to codes: a scale per output channel, rounding that loses least on the calibration data, and the bias that undoes
 * what rounding does to the mean. */
#ifndef OQ_QUANTIZE_ROUNDING_H
#define OQ_QUANTIZE_ROUNDING_H

#include "observe.h"

typedef struct oq_rounding {
	int64_t in, out, taps;
	const float *weights;     /* [out][in][taps] */
	const double *share;      /* [taps], see oq_nn_model_layer_taps */
	const oq_observed *input;
	const double *lost;       /* [in]: see oq_range_lost */
	int bits;                 /* 8: codes -127 to 127; 7: -63 to 63 */
	bool plain;               /* each weight to the nearest code */
	/* Results: */
	int8_t *codes;            /* [out][in][taps] */
	float *scale;             /* [out] */
	float *bias;              /* [out]: given, corrected */
	double error;             /* relative L2 error of the products that rounding leaves, estimated on the sampled voxels */
} oq_rounding;

oq_status oq_round_weights(oq_rounding *rounding, oq_error *err);

#endif
