/* Reading a layer's weights from the package and folding what the graph folded: transposition, repeated input channels, batch
 * norm (in double, rounded once). Tensors of a package that `quantize` wrote are folded already: a tensor NAME then comes with
 * NAME#bias, and with NAME#scale when it holds 8-bit codes. */
#include "weights.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* [rows][columns] -> [columns][rows]; *matrix is replaced. */
static oq_status transpose(float **matrix, int64_t rows, int64_t columns, const char *where, oq_error *err)
{
	float *turned = oq_alloc((size_t)(rows * columns) * sizeof *turned);
	if (!turned)
		return oq_fail_memory(err, where, (size_t)(rows * columns) * sizeof *turned);
	for (int64_t r = 0; r < rows; r++)
		for (int64_t c = 0; c < columns; c++)
			turned[c * rows + r] = (*matrix)[r * columns + c];
	oq_free(*matrix);
	*matrix = turned;
	return OQ_OK;
}

/* [out][copies*in][taps] -> [out][in][taps], adding up the copies in double. */
static void sum_repeats(float *weights, int64_t out, int64_t copies, int64_t taps)
{
	for (int64_t o = 0; o < out; o++)
		for (int64_t t = 0; t < taps; t++) {
			double sum = 0;
			for (int64_t k = 0; k < copies; k++)
				sum += (double)weights[(o * copies + k) * taps + t];
			weights[o * taps + t] = (float)sum; /* never ahead of what is still to be read */
		}
}

static oq_status fold_norm(const oq_graph *graph, const oq_node *node, float *weights, float *bias, size_t per_out, oq_error *err)
{
	int64_t out = oq_node_rows(graph, node);
	double *affine = oq_alloc((size_t)out * 2 * sizeof *affine);
	if (!affine)
		return oq_fail_memory(err, node->name, (size_t)out * 2 * sizeof *affine);
	oq_status status = oq_batch_norm_affine(graph, node->folded_norm, affine, affine + out, out, err);
	for (int64_t o = 0; o < out && status == OQ_OK; o++) {
		for (size_t i = 0; i < per_out; i++)
			weights[(size_t)o * per_out + i] = (float)((double)weights[(size_t)o * per_out + i] * affine[o]);
		bias[o] = (float)((double)bias[o] * affine[o] + affine[out + o]);
	}
	oq_free(affine);
	return status;
}

#define NAME_BYTES 512

/* "weight#suffix" in the package, or NULL. */
static const oq_tensor_info *companion(const oq_graph *graph, const oq_node *node, const char *suffix)
{
	char name[NAME_BYTES];
	int length = snprintf(name, sizeof name, "%s#%s", node->attributes.weight, suffix);
	return length < NAME_BYTES ? oq_safetensors_find(oq_package_weights(graph->package), name) : NULL;
}

bool oq_weights_are_codes(const oq_graph *graph, const oq_node *node)
{
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), node->attributes.weight);
	return info && info->dtype == OQ_I8;
}

static oq_status read_companion(const oq_graph *graph, const oq_node *node, const char *suffix, float *dst, int64_t out, oq_error *err)
{
	const oq_tensor_info *info = companion(graph, node, suffix);
	if (!info || info->count != (size_t)out)
		return oq_graph_refuse(graph, node, err, "tensor %s#%s is missing or does not have %lld elements", node->attributes.weight, suffix, (long long)out);
	return oq_package_read_f32(graph->package, info->name, dst, (size_t)out, err);
}

static oq_status read_codes(const oq_graph *graph, const oq_node *node, const oq_tensor_info *info, oq_weights *w, oq_error *err)
{
	int64_t out = oq_node_rows(graph, node);
	w->codes = oq_alloc(info->count);
	w->scale = oq_alloc((size_t)out * sizeof *w->scale);
	if (!w->codes || !w->scale)
		return oq_fail_memory(err, node->name, info->count);
	OQ_TRY(oq_package_read(graph->package, info->name, w->codes, info->bytes, err));
	OQ_TRY(read_companion(graph, node, "scale", w->scale, out, err));
	for (int64_t o = 0; o < out; o++)
		if (!(w->scale[o] > 0))
			return oq_graph_refuse(graph, node, err, "tensor %s#scale[%lld] is %g, expected a positive number", node->attributes.weight, (long long)o,
				(double)w->scale[o]);
	return OQ_OK;
}

static oq_status read_floats(const oq_graph *graph, const oq_node *node, const oq_tensor_info *info, bool folded, oq_weights *w, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	int64_t out = oq_node_rows(graph, node);
	w->values = oq_alloc(info->count * sizeof *w->values);
	if (!w->values)
		return oq_fail_memory(err, node->name, info->count * sizeof *w->values);
	OQ_TRY(oq_package_read_f32(graph->package, a->weight, w->values, info->count, err));
	if (folded)
		return OQ_OK;
	if (a->bias)
		OQ_TRY(oq_package_read_f32(graph->package, a->bias, w->bias, (size_t)out, err));
	if (a->transposed)
		OQ_TRY(transpose(&w->values, info->shape[0], info->shape[1], node->name, err));
	if (node->repeat_in > 1)
		sum_repeats(w->values, out, node->repeat_in, (int64_t)w->per_out);
	return node->folded_norm ? fold_norm(graph, node, w->values, w->bias, w->per_out, err) : OQ_OK;
}

oq_status oq_weights_load(const oq_graph *graph, const oq_node *node, oq_weights *w, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), a->weight);
	bool folded = companion(graph, node, "bias") != NULL;
	*w = (oq_weights){.out = oq_node_rows(graph, node)};
	w->per_out = info->count / (size_t)w->out / (size_t)(folded ? 1 : node->repeat_in);
	if (folded || a->bias || node->folded_norm) {
		w->bias = oq_calloc((size_t)w->out, sizeof *w->bias);
		if (!w->bias)
			return oq_fail_memory(err, node->name, (size_t)w->out * sizeof *w->bias);
	}
	if (folded)
		OQ_TRY(read_companion(graph, node, "bias", w->bias, w->out, err));
	return info->dtype == OQ_I8 ? read_codes(graph, node, info, w, err) : read_floats(graph, node, info, folded, w, err);
}

oq_status oq_weights_copy_codes(const oq_graph *graph, const oq_node *node, const oq_nn_codes *codes, oq_weights *w, oq_error *err)
{
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), node->attributes.weight);
	int64_t out = oq_node_rows(graph, node);
	size_t row = (size_t)out * sizeof(float);
	*w = (oq_weights){.out = out, .per_out = info->count / (size_t)out, .bias = oq_alloc(row)};
	if (codes->codes) {
		w->codes = oq_alloc(info->count);
		w->scale = oq_alloc(row);
	} else {
		w->values = oq_alloc(info->count * sizeof(float));
	}
	if (!w->bias || (codes->codes ? !w->codes || !w->scale : !w->values))
		return oq_fail_memory(err, node->name, info->count * sizeof(float));
	memcpy(w->bias, codes->bias, row);
	if (codes->codes) {
		memcpy(w->codes, codes->codes, info->count);
		memcpy(w->scale, codes->scale, row);
	} else {
		memcpy(w->values, codes->weights, info->count * sizeof(float));
	}
	return OQ_OK;
}

void oq_weights_free(oq_weights *w)
{
	oq_free(w->values);
	oq_free(w->bias);
	oq_free(w->codes);
	oq_free(w->scale);
	*w = (oq_weights){0};
}
