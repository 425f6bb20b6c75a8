/* Opening a model: parse, fold, plan every step, place activations. Everything that can fail fails here, before the first patch. */
#include "model.h"

#include "memory.h"
#include "onednn.h"

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
	if (node->residual >= 0)
		return node->activated ? "+add+act" : "+add";
	return node->activated ? "+act" : "";
}

static oq_status plan_step(const oq_planner *planner, oq_nn_model *model, const oq_node *node, oq_error *err)
{
	oq_step *step = &model->steps[model->step_count++];
	*step = (oq_step){.op = node->op, .node = node, .graph = &model->graph};
	snprintf(step->label, sizeof step->label, "%s%s", node->op->name, label_suffix(node));
	snprintf(step->implementation, sizeof step->implementation, "own:%s", oq_isa_name(planner->isa));
	if (node->op->plan)
		OQ_TRY(node->op->plan(planner, node, step, err));
	model->scratch_bytes = step->scratch_bytes > model->scratch_bytes ? step->scratch_bytes : model->scratch_bytes;
	model->weight_bytes += step->weight_bytes;
	return OQ_OK;
}

static oq_status plan_steps(oq_nn_model *model, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	model->isa = cpu.isa;
	const oq_planner planner = {.graph = &model->graph, .threads = model->threads, .isa = cpu.isa, .engine = model->engine};
	for (int i = 0; i < model->graph.node_count; i++)
		if (!model->graph.nodes[i].removed)
			OQ_TRY(plan_step(&planner, model, &model->graph.nodes[i], err));
	return OQ_OK;
}

static oq_status open_model(oq_nn_model *model, const oq_package *package, const oq_nn_options *options, oq_error *err)
{
	OQ_TRY(oq_graph_parse(package, options ? options->keep : NULL, &model->graph, err));
	oq_graph_fold(&model->graph);
	OQ_TRY(oq_dnnl_check(dnnl_engine_create(&model->engine, dnnl_cpu, 0), model->graph.where, "open a CPU engine", err));
	model->steps = oq_calloc((size_t)model->graph.node_count, sizeof *model->steps);
	model->value_offset = oq_alloc((size_t)model->graph.value_count * sizeof *model->value_offset);
	if (!model->steps || !model->value_offset)
		return oq_fail_memory(err, model->graph.where, (size_t)model->graph.node_count * sizeof *model->steps);
	int before = oq_threads_enter(model->threads);
	oq_status status = plan_steps(model, err);
	oq_threads_leave(before);
	if (status != OQ_OK)
		return status;
	return oq_memory_plan(&model->graph, model->steps, model->step_count, model->value_offset, &model->slab_floats, err);
}

oq_status oq_nn_model_open(const oq_package *package, const oq_nn_options *options, oq_nn_model **out, oq_error *err)
{
	oq_nn_model *model = oq_calloc(1, sizeof *model);
	if (!model)
		return oq_fail_memory(err, oq_package_path(package), sizeof *model);
	model->threads = options && options->threads_per_patch > 1 ? options->threads_per_patch : 1;
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
	for (int i = 0; i < model->step_count; i++)
		if (model->steps[i].op->close)
			model->steps[i].op->close(&model->steps[i]);
	dnnl_engine_destroy(model->engine);
	oq_free(model->steps);
	oq_free(model->value_offset);
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
