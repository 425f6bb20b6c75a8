/* What is known of a network that is being quantised: its layers, what each would become, and which stay as they are. */
#ifndef OQ_QUANTIZE_PLAN_H
#define OQ_QUANTIZE_PLAN_H

#include "observe.h"
#include "ranges.h"

typedef struct oq_plan_layer {
	oq_nn_layer info;
	int index;          /* in the model */
	int value;          /* its input among the observed */
	bool kept;          /* stays in float */
	int8_t *codes;
	float *scale, *bias;
	double error;       /* of its products by rounding weights */
	double gain;        /* squared error of the embedding that keeping it would take away; NaN: not measured */
} oq_plan_layer;

typedef struct oq_plan {
	const oq_quantize_request *request;
	oq_package *package;
	oq_nn_model *model;      /* float32 */
	oq_plan_layer *layers;   /* those that can be quantised */
	int layer_count;
	oq_observed *values;     /* their inputs */
	oq_range *ranges;
	int value_count;
	double error, error_fast; /* squared, relative, of the embedding on calibration inputs: the plan's, and with no layer kept */
} oq_plan;

/* Measures what each layer costs and keeps those in float that give most for what they slow down (search.c). */
oq_status oq_plan_search(oq_plan *plan, oq_error *err);
/* Writes the package (store.c). */
oq_status oq_plan_store(const oq_plan *plan, oq_error *err);
/* Everything that is known, as JSON (also what the package records). */
bool oq_plan_describe(const oq_plan *plan, oq_json *out);

#endif
