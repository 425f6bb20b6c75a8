/* What is known of a network that is being quantised: its layers, what each would become, and which stay as they are. */
#ifndef OQ_QUANTIZE_PLAN_H
#define OQ_QUANTIZE_PLAN_H

#include "observe.h"
#include "ranges.h"
#include "rounding.h"
#include "state.h"

typedef struct oq_plan_layer {
	oq_nn_layer info;
	int index;          /* in the model */
	int value;          /* its input among the observed */
	bool kept;          /* stays in float */
	oq_rounded codes;   /* in 8 bits */
	oq_rounded narrow;  /* in bfloat16, for layers that may be kept; or empty */
	const float *divide, *multiply; /* of its output's and of its input's channels (equalise.c), or NULL */
	double error;       /* squared, relative, of the embedding when only this layer is in 8 bits; NaN: not measured */
} oq_plan_layer;

/* Whether the package holds other weights than the source: codes, or floats with factors or in 16 bits. */
static inline bool oq_plan_changes(const oq_plan_layer *layer)
{
	return !layer->kept || layer->narrow.narrow || layer->divide || layer->multiply;
}

/* One plan of the search: how much slower than with every layer in 8 bits, and how far from float. */
typedef struct oq_trade {
	double speed_share;  /* of the speed given up */
	int kept;            /* layers */
	double error;        /* squared, relative, of the embedding */
} oq_trade;

#define OQ_TRADES 8

typedef struct oq_plan {
	const oq_quantize_request *request;
	oq_package *package;
	oq_nn_model *model;      /* float32 */
	oq_plan_layer *layers;   /* those that can be quantised */
	int layer_count;
	oq_observed *values;     /* their inputs */
	oq_range *ranges;
	float **factors;         /* [value][channels]: what the value's channels are divided by, or NULL */
	int value_count;
	oq_trade trades[OQ_TRADES]; /* each better than all that are faster; least share first */
	int trade_count;
	double error, error_fast; /* squared, relative, of the embedding on calibration inputs: the plan's, and with no layer kept */
	oq_state *search;        /* what the search has measured, or NULL: of no use once the package is written */
} oq_plan;

/* Lets the channels of a value share its 256 codes more evenly: a layer that makes a value divides its channels by factors, those that read
 * it multiply their weights by them; activations in between do not mind (equalise.c). */
oq_status oq_plan_equalise(oq_plan *plan, oq_error *err);
/* Weights [out][in][taps] and bias [out] of a layer, folded, with its factors. Free both with oq_free in every case. */
oq_status oq_plan_read_layer(const oq_plan *plan, const oq_plan_layer *layer, float **weights, float **bias, oq_error *err);

/* Measures what each layer costs and keeps those in float that give most for what they slow down (search.c). */
oq_status oq_plan_search(oq_plan *plan, oq_error *err);
/* Writes the package (store.c). */
oq_status oq_plan_store(const oq_plan *plan, oq_error *err);
/* Everything that is known, as JSON (also what the package records). */
bool oq_plan_describe(const oq_plan *plan, oq_json *out);

#endif
