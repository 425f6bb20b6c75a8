/* Opening a model: parse, fold, plan every step, place activations. Everything that can fail fails here, before the first patch. */
#include "model.h"

#include "core/sha256.h"
#include "memory.h"
#include "onednn.h"
#include "weights.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

int oq_threads_enter(int threads)
{
	int before = omp_get_max_threads();
	omp_set_num_threads(threads);
	return before;
}

void oq_threads_leave(int before)
{
	omp_set_num_threads(before);
}

static const char *label_suffix(const oq_node *node)
{
	if (node->gated)
		return "+geglu";
	if (node->gelu)
		return "+gelu";
	if (node->residual >= 0)
		return node->activated ? "+add+act" : "+add";
	return node->activated ? "+act" : "";
}

static const char *label_prefix(const oq_node *node)
{
	return !node->entry_norm ? "" : node->entry_norm->activated ? "norm+act+" : "norm+";
}

static oq_status plan_step(const oq_planner *planner, oq_nn_model *model, const oq_node *node, oq_error *err)
{
	oq_step *step = &model->steps[model->step_count++];
	*step = (oq_step){.op = node->op, .node = node, .graph = &model->graph};
	snprintf(step->label, sizeof step->label, "%s%s%s%s", label_prefix(node), node->op->name, label_suffix(node), node->exit_norm ? "+stats" : "");
	snprintf(step->implementation, sizeof step->implementation, "own:%s", oq_isa_name(planner->isa));
	if (node->op->plan)
		OQ_TRY(node->op->plan(planner, node, step, err));
	model->scratch_bytes = step->scratch_bytes > model->scratch_bytes ? step->scratch_bytes : model->scratch_bytes;
	model->weight_bytes += step->weight_bytes;
	return OQ_OK;
}

/* Frees what was packed; its bytes stay counted. */
static void let_go(oq_nn_model *model)
{
	for (int i = 0; i < model->step_count; i++)
		if (model->steps[i].op->close)
			model->steps[i].op->close(&model->steps[i]);
	model->step_count = 0;
}

static oq_status plan_steps(oq_nn_model *model, const oq_nn_options *options, oq_error *err)
{
	const oq_planner planner = {.graph = &model->graph, .quantization = options ? options->quantization : NULL, .threads = model->threads,
		.isa = model->isa, .vnni = model->vnni, .dot = model->dot, .convolution = model->convolution, .stored = model->resolution.stored,
		.bf16 = model->resolution.bf16, .engine = model->engine};
	size_t most = options && options->most_weight_bytes ? options->most_weight_bytes : SIZE_MAX;
	for (int i = 0; i < model->graph.node_count; i++) {
		if (!model->graph.nodes[i].removed)
			OQ_TRY(plan_step(&planner, model, &model->graph.nodes[i], err));
		if (model->weight_bytes > most) /* layer by layer from here on, to say how much it would be */
			let_go(model);
	}
	return model->weight_bytes <= most ? OQ_OK : oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "memory: the weights of %s need %zu MB as they are computed with, %zu MB are granted",
		model->graph.where, (model->weight_bytes >> 20) + 1, most >> 20);
}

static void describe_layer(const oq_graph *graph, const oq_node *node, oq_nn_layer *out)
{
	const oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]], *output = &graph->values[node->output];
	const oq_node *norm = oq_precision_scalable_norm(graph, node->inputs[0]);
	int64_t taps = a->kernel[0] * a->kernel[1] * a->kernel[2];
	*out = (oq_nn_layer){.node = node->name, .input = input->name, .output = output->name, .weight = a->weight, .in = input->shape[0] / a->groups,
		.out = oq_node_rows(graph, node), .taps = taps,
		.gflop = 2e-9 * (double)output->count * (node->gated ? 2 : 1) * (double)(input->shape[0] / a->groups * taps),
		.quantizable = oq_precision_quantizable(graph, node), .nonnegative = oq_precision_nonnegative(graph, node->inputs[0]),
		.private_output = oq_precision_private_output(graph, node), .gain = norm ? norm->attributes.weight : NULL, .shift = norm ? norm->attributes.bias : NULL};
}

static oq_status list_layers(oq_nn_model *model, oq_error *err)
{
	size_t nodes = (size_t)model->graph.node_count;
	model->layers = oq_alloc(nodes * sizeof *model->layers);
	model->layer_nodes = oq_alloc(nodes * sizeof *model->layer_nodes);
	if (!model->layers || !model->layer_nodes)
		return oq_fail_memory(err, model->graph.where, nodes * sizeof *model->layers);
	for (int i = 0; i < model->graph.node_count; i++) {
		if (model->graph.nodes[i].removed || !oq_is_product(&model->graph.nodes[i]))
			continue;
		describe_layer(&model->graph, &model->graph.nodes[i], &model->layers[model->layer_count]);
		model->layer_nodes[model->layer_count++] = i;
	}
	return OQ_OK;
}

static oq_status open_model(oq_nn_model *model, const oq_package *package, const oq_nn_options *options, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	model->isa = cpu.isa;
	model->vnni = cpu.avx512_vnni;
	model->dot = cpu.avx512_vnni || cpu.avx_vnni;
	OQ_TRY(oq_precision_resolve(package, options, &cpu, &model->resolution, err));
	OQ_TRY(oq_graph_parse(package, options ? options->keep : NULL, &model->graph, err));
	oq_graph_fold(&model->graph);
	OQ_TRY(oq_precision_assign(&model->graph, &model->resolution, options ? options->quantization : NULL, err));
	OQ_TRY(list_layers(model, err));
	OQ_TRY(oq_graph_fuse_norms(&model->graph, err));
	OQ_TRY(oq_dnnl_check(dnnl_engine_create(&model->engine, dnnl_cpu, 0), model->graph.where, "open a CPU engine", err));
	model->steps = oq_calloc((size_t)model->graph.node_count, sizeof *model->steps);
	model->value_offset = oq_alloc((size_t)model->graph.value_count * sizeof *model->value_offset);
	if (!model->steps || !model->value_offset)
		return oq_fail_memory(err, model->graph.where, (size_t)model->graph.node_count * sizeof *model->steps);
	int before = oq_threads_enter(model->threads);
	oq_status status = plan_steps(model, options, err);
	oq_threads_leave(before);
	if (status != OQ_OK)
		return status;
	return oq_memory_plan(&model->graph, model->steps, model->step_count, NULL, model->value_offset, &model->slab_floats, err);
}

oq_status oq_nn_model_open(const oq_package *package, const oq_nn_options *options, oq_nn_model **out, oq_error *err)
{
	oq_nn_model *model = oq_calloc(1, sizeof *model);
	if (!model)
		return oq_fail_memory(err, oq_package_path(package), sizeof *model);
	model->threads = options && options->threads_per_patch > 1 ? options->threads_per_patch : 1;
	model->convolution = options ? options->convolution : OQ_CONVOLUTION_AUTO;
	oq_status status = open_model(model, package, options, err);
	if (status == OQ_OK)
		*out = model;
	else
		oq_nn_model_close(model);
	return status;
}

void oq_nn_model_close(oq_nn_model *model)
{
	if (!model)
		return;
	let_go(model);
	dnnl_engine_destroy(model->engine);
	oq_free(model->steps);
	oq_free(model->value_offset);
	oq_free(model->layers);
	oq_free(model->layer_nodes);
	oq_graph_free(&model->graph);
	oq_free(model);
}

int oq_nn_model_input_shape(const oq_nn_model *model, int64_t shape[OQ_MAX_RANK])
{
	const oq_value *input = &model->graph.values[model->graph.input];
	memcpy(shape, input->shape, (size_t)input->rank * sizeof *shape);
	return input->rank;
}

size_t oq_nn_model_input_count(const oq_nn_model *model)
{
	return model->graph.values[model->graph.input].count;
}

size_t oq_nn_model_output_count(const oq_nn_model *model)
{
	return model->graph.values[model->graph.output].count;
}

size_t oq_nn_model_weight_bytes(const oq_nn_model *model)
{
	return model->weight_bytes;
}

size_t oq_nn_model_session_bytes(const oq_nn_model *model)
{
	return model->slab_floats * sizeof(float) + model->scratch_bytes;
}

int oq_nn_model_steps(const oq_nn_model *model)
{
	return model->step_count;
}

oq_precision oq_nn_model_precision(const oq_nn_model *model, oq_precision *asked, const char **why)
{
	*asked = model->resolution.asked;
	*why = model->resolution.why;
	return model->resolution.used;
}

oq_convolution oq_nn_model_convolution(const oq_nn_model *model)
{
	return model->convolution;
}

const char *oq_nn_model_method(const oq_nn_model *model, int step)
{
	return model->steps[step].method;
}

void oq_nn_model_plan_sha256(const oq_nn_model *model, char hex[65])
{
	oq_sha256 hash;
	oq_sha256_init(&hash);
	for (int i = 0; i < model->step_count; i++) {
		const oq_step *step = &model->steps[i];
		char types[16];
		snprintf(types, sizeof types, "%d %d", (int)step->node->compute, (int)oq_step_output(step)->dtype);
		const char *const parts[] = {oq_step_output(step)->name, step->label, step->method ? step->method : "", types};
		for (size_t k = 0; k < sizeof parts / sizeof *parts; k++)
			oq_sha256_update(&hash, parts[k], strlen(parts[k]) + 1);
	}
	oq_sha256_hex(&hash, hex);
}

int oq_nn_model_layers(const oq_nn_model *model)
{
	return model->layer_count;
}

void oq_nn_model_layer(const oq_nn_model *model, int index, oq_nn_layer *out)
{
	*out = model->layers[index];
}

void oq_nn_model_layer_taps(const oq_nn_model *model, int index, double *share)
{
	const oq_graph *graph = &model->graph;
	const oq_node *node = &graph->nodes[model->layer_nodes[index]];
	const oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]], *output = &graph->values[node->output];
	int64_t taps = a->kernel[0] * a->kernel[1] * a->kernel[2];
	for (int64_t t = 0; t < taps; t++) {
		const int64_t at[OQ_SPATIAL] = {t / (a->kernel[1] * a->kernel[2]), t / a->kernel[2] % a->kernel[1], t % a->kernel[2]};
		share[t] = 1;
		for (int axis = 0; axis < OQ_SPATIAL && input->rank == 4; axis++) {
			int64_t inside = 0, out = output->shape[1 + axis];
			for (int64_t i = 0; i < out; i++) {
				int64_t from = i * a->stride[axis] + at[axis] * a->dilation[axis] - a->pad_low[axis];
				inside += from >= 0 && from < input->shape[1 + axis];
			}
			share[t] *= (double)inside / (double)out;
		}
	}
}

oq_status oq_nn_model_layer_read(const oq_nn_model *model, int index, float *weights, float *bias, oq_error *err)
{
	const oq_node *node = &model->graph.nodes[model->layer_nodes[index]];
	oq_weights w = {0};
	oq_status status = oq_weights_load(&model->graph, node, &w, err);
	if (status == OQ_OK && !w.values)
		status = oq_graph_refuse(&model->graph, node, err, "has 8-bit weights already");
	if (status == OQ_OK) {
		memcpy(weights, w.values, (size_t)w.out * w.per_out * sizeof *weights);
		if (w.bias)
			memcpy(bias, w.bias, (size_t)w.out * sizeof *bias);
		else
			memset(bias, 0, (size_t)w.out * sizeof *bias);
	}
	oq_weights_free(&w);
	return status;
}
