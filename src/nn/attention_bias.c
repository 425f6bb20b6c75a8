/* Position biases, computed once while planning.
 *   table   Swin: bias[h][i][j] = table[index[i][j]][h]
 *   mlp     CT-CLIP's continuous position bias: a network 2 -> hidden -> hidden -> heads with leaky relu 0.1 on
 *           sign(d)*ln(1+|d|) of the row and column distance; tensors PREFIX.net.0.0, PREFIX.net.1.0, PREFIX.net.2 */
#include "attention.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MLP_LAYERS 3
#define MLP_SLOPE 0.1

static oq_status expand_table(const oq_graph *graph, const oq_node *node, int64_t heads, int64_t n, float *bias, oq_error *err)
{
	const oq_safetensors *weights = oq_package_weights(graph->package);
	const oq_tensor_info *table = oq_safetensors_find(weights, node->attributes.bias), *index = oq_safetensors_find(weights, node->attributes.mean);
	bool fits = table && index && table->rank == 2 && table->shape[1] == heads && index->rank == 2 && index->shape[0] == index->shape[1]
		&& index->shape[0] >= n && index->dtype == OQ_I64;
	if (!fits)
		return oq_graph_refuse(graph, node, err, "tensors %s and %s are missing or do not fit %lld heads and %lld tokens", node->attributes.bias,
			node->attributes.mean, (long long)heads, (long long)n);
	float *values = oq_alloc(table->count * sizeof *values);
	int64_t *places = oq_alloc(index->bytes);
	oq_status status = values && places ? OQ_OK : oq_fail_memory(err, node->name, table->bytes + index->bytes);
	if (status == OQ_OK)
		status = oq_package_read_f32(graph->package, table->name, values, table->count, err);
	if (status == OQ_OK)
		status = oq_package_read(graph->package, index->name, places, index->bytes, err);
	for (int64_t i = 0; i < n && status == OQ_OK; i++)
		for (int64_t j = 0; j < n && status == OQ_OK; j++) {
			int64_t place = places[i * index->shape[1] + j];
			if (place < 0 || place >= table->shape[0])
				status = oq_graph_refuse(graph, node, err, "tensor %s holds %lld, expected 0 to %lld", index->name, (long long)place,
					(long long)table->shape[0] - 1);
			for (int64_t h = 0; h < heads && status == OQ_OK; h++)
				bias[(h * n + i) * n + j] = values[place * heads + h];
		}
	oq_free(values);
	oq_free(places);
	return status;
}

typedef struct mlp {
	float *weight[MLP_LAYERS], *bias[MLP_LAYERS];
	int64_t in[MLP_LAYERS], out[MLP_LAYERS];
} mlp;

static oq_status load_layer(const oq_graph *graph, const oq_node *node, mlp *net, int layer, oq_error *err)
{
	static const char *const names[MLP_LAYERS] = {"net.0.0", "net.1.0", "net.2"};
	char weight[256], bias[256];
	snprintf(weight, sizeof weight, "%s.%s.weight", node->attributes.mlp, names[layer]);
	snprintf(bias, sizeof bias, "%s.%s.bias", node->attributes.mlp, names[layer]);
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), weight);
	if (!info || info->rank != 2)
		return oq_graph_refuse(graph, node, err, "tensor %s is missing or not of rank 2", weight);
	net->in[layer] = info->shape[1];
	net->out[layer] = info->shape[0];
	if (net->in[layer] != (layer ? net->out[layer - 1] : 2))
		return oq_graph_refuse(graph, node, err, "tensor %s does not fit the layer before it", weight);
	OQ_TRY(oq_graph_check_tensor(graph, node, bias, 1, &info->shape[0], err));
	net->weight[layer] = oq_alloc(info->count * sizeof(float));
	net->bias[layer] = oq_alloc((size_t)info->shape[0] * sizeof(float));
	if (!net->weight[layer] || !net->bias[layer])
		return oq_fail_memory(err, weight, info->bytes);
	OQ_TRY(oq_package_read_f32(graph->package, weight, net->weight[layer], info->count, err));
	return oq_package_read_f32(graph->package, bias, net->bias[layer], (size_t)info->shape[0], err);
}

/* One pair of positions through the network; `a` and `b` have room for the widest layer. */
static const double *run_mlp(const mlp *net, double *a, double *b)
{
	for (int layer = 0; layer < MLP_LAYERS; layer++) {
		for (int64_t o = 0; o < net->out[layer]; o++) {
			double sum = (double)net->bias[layer][o];
			for (int64_t i = 0; i < net->in[layer]; i++)
				sum += (double)net->weight[layer][o * net->in[layer] + i] * a[i];
			b[o] = sum < 0 && layer + 1 < MLP_LAYERS ? MLP_SLOPE * sum : sum;
		}
		double *swap = a;
		a = b;
		b = swap;
	}
	return a;
}

static double signed_log(int64_t distance)
{
	return copysign(log1p(fabs((double)distance)), (double)distance);
}

static oq_status expand_mlp(const oq_graph *graph, const oq_node *node, int64_t heads, const int64_t window[OQ_SPATIAL], float *bias, oq_error *err)
{
	mlp net = {0};
	oq_status status = OQ_OK;
	int64_t n = window[0] * window[1] * window[2], widest = 2;
	for (int layer = 0; layer < MLP_LAYERS && status == OQ_OK; layer++) {
		status = load_layer(graph, node, &net, layer, err);
		widest = net.out[layer] > widest ? net.out[layer] : widest;
	}
	if (status == OQ_OK && net.out[MLP_LAYERS - 1] != heads)
		status = oq_graph_refuse(graph, node, err, "network %s has %lld outputs, expected %lld heads", node->attributes.mlp,
			(long long)net.out[MLP_LAYERS - 1], (long long)heads);
	double *room = status == OQ_OK ? oq_alloc(2 * (size_t)widest * sizeof *room) : NULL;
	if (status == OQ_OK && !room)
		status = oq_fail_memory(err, node->name, 2 * (size_t)widest * sizeof *room);
	for (int64_t i = 0; i < n && status == OQ_OK; i++)
		for (int64_t j = 0; j < n; j++) {
			room[0] = signed_log(i / window[2] % window[1] - j / window[2] % window[1]);
			room[1] = signed_log(i % window[2] - j % window[2]);
			const double *out = run_mlp(&net, room, room + widest);
			for (int64_t h = 0; h < heads; h++)
				bias[(h * n + i) * n + j] = (float)out[h];
		}
	oq_free(room);
	for (int layer = 0; layer < MLP_LAYERS; layer++) {
		oq_free(net.weight[layer]);
		oq_free(net.bias[layer]);
	}
	return status;
}

oq_status oq_attention_bias(const oq_graph *graph, const oq_node *node, int64_t heads, const int64_t window[OQ_SPATIAL], float **bias, oq_error *err)
{
	int64_t n = window[0] * window[1] * window[2];
	if (!node->attributes.bias && !node->attributes.mlp)
		return OQ_OK;
	*bias = oq_alloc((size_t)(heads * n * n) * sizeof **bias);
	if (!*bias)
		return oq_fail_memory(err, node->name, (size_t)(heads * n * n) * sizeof **bias);
	return node->attributes.bias ? expand_table(graph, node, heads, n, *bias, err) : expand_mlp(graph, node, heads, window, *bias, err);
}
