/* Quantisation: a float package and calibration inputs -> a smaller package. */
#ifndef OQ_QUANTIZE_QUANTIZE_H
#define OQ_QUANTIZE_QUANTIZE_H

#include "core/json.h"

/* Inputs of the network, one at a time; `read` may be called from several threads for different indices. */
typedef struct oq_calibration {
	int64_t count;
	oq_status (*read)(void *context, int64_t index, float *input, oq_error *err);
	void *context;
} oq_calibration;

typedef struct oq_quantize_request {
	const char *package, *output;
	oq_precision precision;      /* OQ_PRECISION_BF16, OQ_PRECISION_F16: weights only; OQ_PRECISION_INT8 needs calibration */
	int weight_bits;             /* 8, or 7: faster on processors without an 8-bit dot product */
	oq_calibration calibration;
	const oq_json *described;    /* of the calibration data, for the package: copied; or NULL */
	int threads;
	double speed_share;          /* share of the fastest plan's speed that layers kept in higher precision may cost: 0 = none, 0.1 = 10 % */
	bool plain_rounding;         /* to nearest instead of the rounding that loses least on the calibration data */
	bool equalise;               /* share codes more evenly between channels */
	bool migrate;                /* int8: move channels' sizes from layer norms into the linear layers behind them where that is measured to help */
	bool wide_codebook;          /* a lookup's codebook stays as it is */
	void (*progress)(void *progress_context, const char *stage, int64_t done, int64_t total); /* may be NULL */
	void *progress_context;
	const volatile int *cancel;  /* may be NULL */
} oq_quantize_request;

/* The package appears whole or not at all, and the same inputs give the same bytes. `report` (free with oq_json_free) tells what each layer
 * costs; may be NULL. */
oq_status oq_quantize_package(const oq_quantize_request *request, oq_json **report, oq_error *err);

#endif
