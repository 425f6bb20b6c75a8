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

/* How far the sizes of a value's channels were moved from the norm that makes it into the weights that read it (migrate.c). */
typedef struct oq_migration {
	double share;         /* 0: not at all; 1: all of the difference in size */
	double error, before; /* relative L2 of the products in 8 bits, with and without, on the patches that had no part in the choice */
} oq_migration;

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
	oq_migration *migrations; /* [value] */
	oq_nn_vector *vectors;   /* [2 * value_count]: gains and shifts of norms, divided, to be stored instead of the source's */
	int vector_count;
	int value_count;
	oq_trade trades[OQ_TRADES]; /* each better than all that are faster; least share first */
	int trade_count;
	double error, error_fast; /* squared, relative, of the embedding on calibration inputs: the plan's, and with no layer kept */
	oq_state *search;        /* what the search has measured, or NULL: of no use once the package is written */
} oq_plan;

/* Lets the channels of a value share its 256 codes more evenly: a layer that makes a value divides its channels by factors, those that read
 * it multiply their weights by them; activations in between do not mind (equalise.c). */
oq_status oq_plan_equalise(oq_plan *plan, oq_error *err);
/* The same between a layer norm and the linear layers behind it, where that is measured to help (migrate.c). */
oq_status oq_plan_migrate(oq_plan *plan, int threads, oq_error *err);
/* Tells every layer its factors. */
void oq_plan_link_factors(oq_plan *plan);
/* Whether every reader of the value is a layer of the plan: a tensor shared by two layers is not. */
bool oq_plan_owns(const oq_plan *plan, int value);
/* The largest magnitude of a channel. */
float oq_plan_largest(const oq_observed *value, int64_t channel);
/* What is known of the value, for channels divided by plan->factors[value]. */
void oq_plan_divide(oq_plan *plan, int value);
/* Weights [out][in][taps] and bias [out] of a layer, folded, with its factors. Free both with oq_free in every case. */
oq_status oq_plan_read_layer(const oq_plan *plan, const oq_plan_layer *layer, float **weights, float **bias, oq_error *err);

/* Measures what each layer costs and keeps those in float that give most for what they slow down (search.c). */
oq_status oq_plan_search(oq_plan *plan, oq_error *err);
/* Writes the package (store.c). */
oq_status oq_plan_store(const oq_plan *plan, oq_error *err);
/* Everything that is known, as JSON (also what the package records). */
bool oq_plan_describe(const oq_plan *plan, oq_json *out);

#endif
