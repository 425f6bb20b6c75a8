/* Equalisation (the idea of Nagel et al., arXiv:1906.04721, and, for activations, of SmoothQuant, arXiv:2211.10438): per-tensor codes give
 * a channel of small values few steps. Between two layers the channels' sizes are free: y = lrelu(W x + b) with rows of W and b divided
 * by k[c] > 0 is divided by k[c], and the next layer's weights times k[c] undo it. */
#include "plan.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define ALPHA 0.5f /* half of the difference in size is taken away, half stays for the weights to bear */
#define LEAST 0.05f /* of the largest: a channel that is never seen to be large keeps room to be so */

static const oq_plan_layer *producer_of(const oq_plan *plan, const char *value)
{
	for (int i = 0; i < plan->layer_count; i++)
		if (!strcmp(plan->layers[i].info.output, value))
			return &plan->layers[i];
	return NULL;
}

bool oq_plan_owns(const oq_plan *plan, int value)
{
	int planned = 0, all = 0;
	for (int i = 0; i < plan->layer_count; i++)
		planned += plan->layers[i].value == value;
	for (int i = 0; i < oq_nn_model_layers(plan->model); i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(plan->model, i, &layer);
		all += !strcmp(layer.input, plan->values[value].value);
	}
	return planned > 0 && planned == all;
}

float oq_plan_largest(const oq_observed *value, int64_t channel)
{
	float low = fabsf(value->lowest[channel]), high = fabsf(value->highest[channel]);
	return low > high ? low : high;
}

void oq_plan_divide(oq_plan *plan, int index)
{
	oq_observed *value = &plan->values[index];
	const float *factor = plan->factors[index];
	for (int64_t c = 0; c < value->channels; c++) {
		value->mean[c] /= (double)factor[c];
		value->lowest[c] /= factor[c];
		value->highest[c] /= factor[c];
		for (int64_t r = 0; r < value->row_count; r++)
			value->rows[r * value->channels + c] /= factor[c];
	}
	oq_observed_bounds(value);
}

static oq_status equalise(oq_plan *plan, int index, oq_error *err)
{
	const oq_observed *value = &plan->values[index];
	float *factor = plan->factors[index] = oq_alloc((size_t)value->channels * sizeof *factor), most = 0;
	if (!factor)
		return oq_fail_memory(err, value->value, (size_t)value->channels * sizeof *factor);
	for (int64_t c = 0; c < value->channels; c++)
		most = oq_plan_largest(value, c) > most ? oq_plan_largest(value, c) : most;
	for (int64_t c = 0; c < value->channels; c++) {
		float share = most > 0 ? oq_plan_largest(value, c) / most : 1;
		factor[c] = powf(share > LEAST ? share : LEAST, ALPHA);
	}
	oq_plan_divide(plan, index);
	return OQ_OK;
}

oq_status oq_plan_equalise(oq_plan *plan, oq_error *err)
{
	for (int v = 0; v < plan->value_count && plan->request->equalise; v++) {
		const oq_plan_layer *producer = producer_of(plan, plan->values[v].value);
		if (producer && producer->info.private_output && oq_plan_owns(plan, v))
			OQ_TRY(equalise(plan, v, err));
	}
	return OQ_OK;
}

void oq_plan_link_factors(oq_plan *plan)
{
	for (int i = 0; i < plan->layer_count; i++) {
		oq_plan_layer *layer = &plan->layers[i];
		layer->multiply = plan->factors[layer->value];
		for (int v = 0; v < plan->value_count; v++)
			if (!strcmp(plan->values[v].value, layer->info.output))
				layer->divide = plan->factors[v];
	}
}

oq_status oq_plan_read_layer(const oq_plan *plan, const oq_plan_layer *layer, float **weights, float **bias, oq_error *err)
{
	const oq_nn_layer *info = &layer->info;
	size_t count = (size_t)(info->out * info->in * info->taps);
	*weights = oq_alloc(count * sizeof **weights);
	*bias = oq_alloc((size_t)info->out * sizeof **bias);
	if (!*weights || !*bias)
		return oq_fail_memory(err, info->node, count * sizeof **weights);
	OQ_TRY(oq_nn_model_layer_read(plan->model, layer->index, *weights, *bias, err));
	for (int64_t o = 0; o < info->out; o++) {
		float own = layer->divide ? layer->divide[o] : 1;
		(*bias)[o] /= own;
		for (int64_t c = 0; c < info->in; c++)
			for (int64_t t = 0; t < info->taps; t++) {
				float *w = &(*weights)[(o * info->in + c) * info->taps + t];
				*w = *w * (layer->multiply ? layer->multiply[c] : 1) / own;
			}
	}
	return OQ_OK;
}
