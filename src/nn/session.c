/* Sessions: memory for one patch at a time and the handles bound to it. Running allocates nothing. */
#include "session.h"

#include "core/clock.h"
#include "kernel/peak.h"
#include "kernel/simple.h"
#include "onednn.h"

#include <string.h>

static const oq_dtype peak_types[] = {OQ_F32, OQ_BF16, OQ_I8};

static size_t largest_value(const oq_graph *graph)
{
	size_t most = 0;
	for (int v = 0; v < graph->value_count; v++)
		most = graph->values[v].keep && graph->values[v].count > most ? graph->values[v].count : most;
	return most;
}

static oq_status bind_steps(oq_nn_session *session, oq_error *err)
{
	const oq_nn_model *model = session->model;
	oq_status status = OQ_OK;
	for (int i = 0; i < model->step_count && status == OQ_OK; i++) {
		if (!model->steps[i].op->open_session)
			continue;
		session->run.private_state = NULL;
		session->run.part = session->reuse ? oq_reuse_part(session->reuse, i) : NULL;
		status = model->steps[i].op->open_session(&model->steps[i], &session->run, err);
		session->private_states[i] = session->run.private_state;
	}
	return status;
}

static oq_status open_session(oq_nn_session *session, const oq_layout *layout, oq_error *err)
{
	const oq_nn_model *model = session->model;
	size_t steps = (size_t)model->step_count, slab_bytes;
	if (!oq_size_mul(layout->slab_floats, sizeof(float), &slab_bytes))
		return oq_fail_memory(err, model->graph.where, SIZE_MAX);
	session->run.place = layout->place;
	session->run.threads = model->threads;
	session->run.isa = model->isa;
	session->run.slab = oq_alloc_aligned(slab_bytes);
	session->run.scratch = oq_alloc_aligned(layout->scratch_bytes);
	session->private_states = oq_calloc(steps, sizeof *session->private_states);
	session->seconds = oq_calloc(steps, sizeof *session->seconds);
	session->kept = oq_alloc(largest_value(&model->graph) * sizeof *session->kept);
	session->differ = oq_alloc((size_t)model->graph.value_count * sizeof *session->differ);
	if (!session->run.slab || !session->run.scratch || !session->private_states || !session->seconds || !session->kept || !session->differ)
		return oq_fail_memory(err, model->graph.where, slab_bytes + layout->scratch_bytes);
	OQ_TRY(oq_dnnl_check(dnnl_stream_create(&session->run.stream, model->engine, dnnl_stream_default_flags), model->graph.where, "make a stream", err));
	return bind_steps(session, err);
}

oq_status oq_session_open_laid(const oq_nn_model *model, const oq_layout *layout, const oq_nn_reuse *reuse, oq_nn_session **out, oq_error *err)
{
	oq_nn_session *session = oq_calloc(1, sizeof *session);
	if (!session)
		return oq_fail_memory(err, model->graph.where, sizeof *session);
	session->model = model;
	session->reuse = reuse;
	oq_status status = open_session(session, layout, err);
	if (status == OQ_OK)
		*out = session;
	else
		oq_nn_session_close(session);
	return status;
}

oq_status oq_nn_session_open(const oq_nn_model *model, oq_nn_session **out, oq_error *err)
{
	const oq_layout layout = {.place = model->value_offset, .slab_floats = model->slab_floats, .scratch_bytes = model->scratch_bytes};
	return oq_session_open_laid(model, &layout, NULL, out, err);
}

void oq_nn_session_close(oq_nn_session *session)
{
	if (!session)
		return;
	const oq_nn_model *model = session->model;
	for (int i = 0; session->private_states && i < model->step_count; i++)
		if (model->steps[i].op->close_session)
			model->steps[i].op->close_session(&model->steps[i], session->private_states[i]);
	dnnl_stream_destroy(session->run.stream);
	oq_free_aligned(session->run.slab);
	oq_free_aligned(session->run.scratch);
	oq_free(session->private_states);
	oq_free(session->seconds);
	oq_free(session->kept);
	oq_free(session->differ);
	oq_free(session);
}

static oq_status run_steps(oq_nn_session *session, oq_error *err)
{
	const oq_nn_model *model = session->model;
	double before = session->profiling ? oq_seconds() : 0;
	for (int i = 0; i < model->step_count; i++) {
		if (session->reuse && !oq_reuse_step(session, i))
			continue;
		session->run.private_state = session->private_states[i];
		OQ_TRY(model->steps[i].op->run(&model->steps[i], &session->run, err));
		if (session->profiling) {
			double after = oq_seconds();
			session->seconds[i] += after - before;
			before = after;
		}
	}
	session->profiled_runs += session->profiling;
	return OQ_OK;
}

oq_status oq_nn_session_run(oq_nn_session *session, const float *patch, float *embedding, oq_error *err)
{
	const oq_nn_model *model = session->model;
	const oq_value *input = &model->graph.values[model->graph.input], *output = &model->graph.values[model->graph.output];
	if (session->reuse)
		OQ_TRY(oq_reuse_begin(session, patch, err));
	else
		oq_channels_last(input->shape[0], oq_value_voxels(input), patch, session->run.slab + session->run.place[model->graph.input]);
	int before = oq_threads_enter(model->threads);
	oq_status status = run_steps(session, err);
	oq_threads_leave(before);
	if (status == OQ_OK)
		memcpy(embedding, session->run.slab + session->run.place[model->graph.output], output->count * sizeof *embedding);
	return status;
}

oq_status oq_nn_session_value(oq_nn_session *session, const char *name, const float **data, int *rank, int64_t shape[OQ_MAX_RANK], oq_error *err)
{
	const oq_nn_model *model = session->model;
	int index = oq_graph_value(&model->graph, name);
	const oq_value *value = index >= 0 ? &model->graph.values[index] : NULL;
	if (!value || !value->keep || session->run.place[index] == SIZE_MAX)
		return oq_fail(err, OQ_E_USAGE, "E_KEEP", "%s: value %s: was not kept", model->graph.where, name);
	oq_channels_first(value->rank == 4 ? value->shape[0] : 1, value->rank == 4 ? oq_value_voxels(value) : (int64_t)value->count,
		session->run.slab + session->run.place[index], session->kept);
	*data = session->kept;
	*rank = value->rank;
	memcpy(shape, value->shape, sizeof value->shape);
	return OQ_OK;
}

void oq_nn_session_profile(oq_nn_session *session, bool on)
{
	session->profiling = on;
	if (on) {
		session->profiled_runs = 0;
		memset(session->seconds, 0, (size_t)session->model->step_count * sizeof *session->seconds);
	}
}

void oq_nn_session_measure_peaks(oq_nn_session *session)
{
	const oq_nn_model *model = session->model;
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	for (int t = 0; t < 3; t++)
		for (int i = 0; i < model->step_count && session->peaks[t] == 0; i++)
			if (model->steps[i].gflop > 0 && model->steps[i].node->compute == peak_types[t])
				session->peaks[t] = oq_peak_gflops(peak_types[t], &cpu);
}

/* Of the threads that share a patch. */
static double step_peak(const oq_nn_session *session, const oq_step *step)
{
	double peak = 0;
	for (int t = 0; t < 3; t++)
		if (step->gflop > 0 && step->node->compute == peak_types[t])
			peak = session->peaks[t] * session->model->threads;
	return peak;
}

static double value_bytes(const oq_value *value)
{
	return value ? (double)(value->count * oq_dtype_size(value->dtype)) : 0;
}

static double step_bytes(const oq_step *step)
{
	double bytes = value_bytes(oq_step_output(step)) + value_bytes(oq_step_residual(step)) + (double)step->weight_bytes;
	for (int i = 0; i < step->node->input_count; i++)
		bytes += value_bytes(oq_step_input(step, i));
	return bytes;
}

/* Of its multiplications, or, where it is about memory, of what it writes. */
static const char *step_precision(const oq_step *step)
{
	oq_dtype type = step->gflop > 0 ? step->node->compute : oq_step_output(step)->dtype;
	return type == OQ_BF16 ? "bf16" : type == OQ_I8 ? "int8" : type == OQ_U8 ? "u8" : "f32";
}

void oq_nn_session_step(const oq_nn_session *session, int index, oq_nn_step_info *out)
{
	const oq_step *step = &session->model->steps[index];
	*out = (oq_nn_step_info){.name = oq_step_output(step)->name, .op = step->label, .implementation = step->implementation, .precision = step_precision(step),
		.gflop = step->gflop, .bytes = step_bytes(step), .peak_gflops = step_peak(session, step),
		.ms = session->profiled_runs ? 1e3 * session->seconds[index] / (double)session->profiled_runs : 0};
}
