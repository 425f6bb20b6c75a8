/* Weights to codes or to bfloat16: a scale per output channel for codes, rounding that loses least on the calibration data, and the
 * bias that undoes what rounding does to the mean. */
#ifndef OQ_QUANTIZE_ROUNDING_H
#define OQ_QUANTIZE_ROUNDING_H

#include "observe.h"

/* For loops of additions and products, element by element in one order: every instruction set gives the same bits. */
#if defined(__x86_64__) && defined(__GNUC__) && !defined(__SANITIZE_ADDRESS__)
#define OQ_VECTORS __attribute__((target_clones("avx2", "default")))
#else
#define OQ_VECTORS
#endif

typedef struct oq_rounding {
	int64_t in, out, taps;
	const float *weights;     /* [out][in][taps] */
	const float *bias;        /* [out] */
	const double *share;      /* [taps], see oq_nn_model_layer_taps */
	const oq_observed *input;
	const double *lost;       /* [in]: see oq_range_lost; for codes */
	int bits;                 /* of codes, 8: -127 to 127; 7: -63 to 63 */
	bool plain;               /* each weight to its nearest */
} oq_rounding;

/* Starts zeroed; free in every case. */
typedef struct oq_rounded {
	int8_t *codes;            /* [out][in][taps], weight = scale[o] * code; or NULL, and then ... */
	uint16_t *narrow;         /* ... the same in bfloat16 */
	float *scale;             /* [out], with codes */
	float *bias;              /* [out], corrected */
	double error;             /* relative L2 error of the products that rounding leaves, estimated on the sampled voxels */
	double *shift;            /* [out]: what the bias takes */
	double lost, size;        /* energies */
} oq_rounded;

/* Either result may be NULL: not wanted. */
oq_status oq_round_weights(const oq_rounding *rounding, oq_rounded *codes, oq_rounded *narrow, oq_error *err);
void oq_rounded_free(oq_rounded *rounded);

#endif
