/* Runs that reuse another's values. Of one patch those values are kept, each in a place of its own, of which some voxels stay as they are in a
 * variant. A session that runs one has a copy of them, follows the box of voxels that differ from step to step, and lets each step compute no more
 * than that box of its output: tiles of a Winograd convolution, parts of a direct one, and for the rest the whole output, which costs time but
 * changes nothing outside the box. What the last variant changed is first put back. So every value is what a whole run makes of it, bit for bit. */
#include "session.h"

#include "memory.h"

#include <string.h>

struct oq_nn_reuse {
	const oq_nn_model *model;
	size_t *place;
	bool *kept;          /* per value; the others are made anew by every run */
	oq_layout layout;
	oq_part *parts;      /* per step */
	oq_nn_session *base; /* holds the values */
	float *patch;        /* they are of */
	int64_t patches;     /* so far */
};

/* ---- Boxes ---- */

static oq_box whole_of(const oq_value *value)
{
	static const int64_t vector[3] = {1, 1, 1};
	return oq_box_of(value->rank == 4 ? value->shape + 1 : vector);
}

static void reach_from(const oq_step *step, const oq_value *input, const oq_box *differs, oq_box *box)
{
	oq_box reached = whole_of(oq_step_output(step));
	if (oq_box_empty(differs))
		return;
	if (step->op->reach && input->rank == 4 && oq_step_output(step)->rank == 4)
		step->op->reach(step, differs, &reached);
	oq_box_join(box, &reached);
}

/* Where the output differs when the values before it do there. Statistics of an output see all of it. */
static oq_box output_box(const oq_nn_reuse *r, const oq_step *step, const oq_box *differ)
{
	const oq_node *node = step->node;
	oq_box box = {0};
	if (!r->kept[node->output])
		return whole_of(oq_step_output(step));
	for (int i = 0; i < node->input_count; i++)
		reach_from(step, oq_step_input(step, i), &differ[node->inputs[i]], &box);
	if (node->residual >= 0)
		oq_box_join(&box, &differ[node->residual]);
	return node->exit_norm && !oq_box_empty(&box) ? whole_of(oq_step_output(step)) : box;
}

/* `differ` of all values, from that of the input. */
static void follow(const oq_nn_reuse *r, const oq_box *input, oq_box *differ)
{
	const oq_nn_model *model = r->model;
	memset(differ, 0, (size_t)model->graph.value_count * sizeof *differ);
	differ[model->graph.input] = *input;
	for (int s = 0; s < model->step_count; s++) {
		const oq_node *node = model->steps[s].node;
		differ[node->output] = output_box(r, &model->steps[s], differ);
		if (node->exit_norm && !oq_box_empty(&differ[node->output]))
			differ[node->affine] = whole_of(&model->graph.values[node->affine]);
	}
}

/* ---- Opening ---- */

static bool is_whole(const oq_value *value, const oq_box *box)
{
	const oq_box whole = whole_of(value);
	return oq_box_holds(box, &whole);
}

/* The largest box of each step's output, over all places of `extent` voxels in the input. Values that differ as a whole wherever that is need
 * not be kept. */
static oq_status largest_boxes(oq_nn_reuse *r, const int64_t extent[OQ_SPATIAL], int64_t (*most)[OQ_SPATIAL], oq_error *err)
{
	const oq_nn_model *model = r->model;
	bool *partly = oq_calloc((size_t)model->graph.value_count, sizeof *partly);
	const oq_box input = whole_of(&model->graph.values[model->graph.input]);
	oq_box *differ = oq_alloc((size_t)model->graph.value_count * sizeof *differ), box = {0};
	if (!differ || !partly) {
		oq_free(differ);
		oq_free(partly);
		return oq_fail_memory(err, model->graph.where, (size_t)model->graph.value_count * sizeof *differ);
	}
	for (int v = 0; v < model->graph.value_count; v++)
		r->kept[v] = true;
	for (int64_t start = 0, again = 1; again; start++) {
		again = 0;
		for (int i = 0; i < OQ_SPATIAL; i++) {
			int64_t last = input.high[i] - extent[i];
			box.low[i] = start < last ? start : last > 0 ? last : 0;
			box.high[i] = box.low[i] + extent[i] < input.high[i] ? box.low[i] + extent[i] : input.high[i];
			again = again || start < last;
		}
		follow(r, &box, differ);
		for (int v = 0; v < model->graph.value_count; v++)
			partly[v] = partly[v] || !is_whole(&model->graph.values[v], &differ[v]);
		for (int s = 0; s < model->step_count; s++)
			for (int i = 0; i < OQ_SPATIAL; i++) {
				const oq_box *b = &differ[model->steps[s].node->output];
				most[s][i] = b->high[i] - b->low[i] > most[s][i] ? b->high[i] - b->low[i] : most[s][i];
			}
	}
	memcpy(r->kept, partly, (size_t)model->graph.value_count * sizeof *partly);
	r->kept[model->graph.input] = true; /* variants are compared with it */
	oq_free(differ);
	oq_free(partly);
	return OQ_OK;
}

static oq_status open_parts(oq_nn_reuse *r, const int64_t extent[OQ_SPATIAL], oq_error *err)
{
	const oq_nn_model *model = r->model;
	size_t steps = (size_t)model->step_count;
	int64_t(*most)[OQ_SPATIAL] = oq_calloc(steps, sizeof *most);
	oq_status status = most ? largest_boxes(r, extent, most, err) : oq_fail_memory(err, model->graph.where, steps * sizeof *most);
	for (int s = 0; s < model->step_count && status == OQ_OK; s++) {
		const oq_step *step = &model->steps[s];
		if (!step->op->open_part || most[s][0] * most[s][1] * most[s][2] == 0)
			continue;
		status = step->op->open_part(step, most[s], &r->parts[s], err);
		r->layout.scratch_bytes = r->parts[s].scratch_bytes > r->layout.scratch_bytes ? r->parts[s].scratch_bytes : r->layout.scratch_bytes;
	}
	oq_free(most);
	return status;
}

static oq_status open_reuse(oq_nn_reuse *r, const int64_t extent[OQ_SPATIAL], oq_error *err)
{
	const oq_nn_model *model = r->model;
	size_t values = (size_t)model->graph.value_count, bytes = oq_nn_model_input_count(model) * sizeof *r->patch;
	r->place = oq_alloc(values * sizeof *r->place);
	r->kept = oq_alloc(values * sizeof *r->kept);
	r->parts = oq_calloc((size_t)model->step_count, sizeof *r->parts);
	r->patch = oq_alloc(bytes);
	if (!r->place || !r->kept || !r->parts || !r->patch)
		return oq_fail_memory(err, model->graph.where, bytes);
	r->layout = (oq_layout){.place = r->place, .scratch_bytes = model->scratch_bytes};
	int before = oq_threads_enter(model->threads);
	oq_status status = open_parts(r, extent, err);
	oq_threads_leave(before);
	return status == OQ_OK ? oq_memory_plan(&model->graph, model->steps, model->step_count, r->kept, r->place, &r->layout.slab_floats, err) : status;
}

oq_status oq_nn_reuse_open(const oq_nn_model *model, const int64_t extent[3], oq_nn_reuse **out, oq_error *err)
{
	oq_nn_reuse *r = oq_calloc(1, sizeof *r);
	if (!r)
		return oq_fail_memory(err, model->graph.where, sizeof *r);
	r->model = model;
	oq_status status = open_reuse(r, extent, err);
	if (status == OQ_OK)
		*out = r;
	else
		oq_nn_reuse_close(r);
	return status;
}

void oq_nn_reuse_close(oq_nn_reuse *r)
{
	if (!r)
		return;
	oq_nn_session_close(r->base);
	for (int s = 0; r->parts && s < r->model->step_count; s++)
		if (r->parts[s].state)
			r->model->steps[s].op->close_part(r->parts[s].state);
	oq_free(r->place);
	oq_free(r->kept);
	oq_free(r->parts);
	oq_free(r->patch);
	oq_free(r);
}

size_t oq_nn_reuse_session_bytes(const oq_nn_reuse *r)
{
	return r->layout.slab_floats * sizeof(float) + r->layout.scratch_bytes;
}

double oq_nn_reuse_share(const oq_nn_reuse *r, const int64_t start[3], const int64_t extent[3])
{
	const oq_nn_model *model = r->model;
	double all = 0, made = 0;
	oq_box input;
	oq_box *differ = oq_alloc((size_t)model->graph.value_count * sizeof *differ);
	if (!differ)
		return 1;
	for (int i = 0; i < OQ_SPATIAL; i++) {
		input.low[i] = start[i];
		input.high[i] = start[i] + extent[i];
	}
	follow(r, &input, differ);
	for (int s = 0; s < model->step_count; s++) {
		const oq_step *step = &model->steps[s];
		const oq_box *box = &differ[step->node->output];
		all += step->gflop;
		if (!oq_box_empty(box))
			made += step->gflop * (step->op->share ? step->op->share(step, r->parts[s].state, box) : 1);
	}
	oq_free(differ);
	return all > 0 ? made / all : 1;
}

oq_status oq_nn_reuse_patch(oq_nn_reuse *r, const float *patch, float *embedding, oq_error *err)
{
	if (!r->base)
		OQ_TRY(oq_session_open_laid(r->model, &r->layout, NULL, &r->base, err));
	memcpy(r->patch, patch, oq_nn_model_input_count(r->model) * sizeof *r->patch);
	r->patches++;
	return oq_nn_session_run(r->base, patch, embedding, err);
}

oq_status oq_nn_session_open_reusing(const oq_nn_reuse *r, oq_nn_session **out, oq_error *err)
{
	return oq_session_open_laid(r->model, &r->layout, r, out, err);
}

/* ---- Running ---- */

const void *oq_reuse_part(const oq_nn_reuse *r, int step)
{
	return r->parts[step].state;
}

/* The base's voxels of a box. */
static void put_back(const oq_nn_session *session, int value, const oq_box *box)
{
	const oq_value *v = &session->model->graph.values[value];
	const oq_box whole = whole_of(v);
	size_t voxel = v->count / (size_t)oq_value_voxels(v) * oq_dtype_size(v->dtype), place = session->run.place[value];
	const unsigned char *from = (const unsigned char *)(session->reuse->base->run.slab + place);
	unsigned char *to = (unsigned char *)(session->run.slab + place);
	for (int64_t d = box->low[0]; d < box->high[0]; d++)
		for (int64_t h = box->low[1]; h < box->high[1]; h++) {
			size_t at = (size_t)((d * whole.high[1] + h) * whole.high[2] + box->low[2]) * voxel;
			memcpy(to + at, from + at, (size_t)(box->high[2] - box->low[2]) * voxel);
		}
}

/* The value is going to differ in this box, and nowhere else. */
static void set_box(oq_nn_session *session, int value, const oq_box *box)
{
	oq_box *before = &session->differ[value];
	if (!oq_box_empty(before) && !oq_box_holds(box, before))
		put_back(session, value, before);
	*before = *box;
}

/* Where two patches [C][D][H][W] differ in any bit. */
static oq_box compare(const oq_value *input, const float *a, const float *b)
{
	const int64_t *shape = input->shape;
	oq_box box = {0};
	for (int64_t i = 0, lines = shape[0] * shape[1] * shape[2]; i < lines; i++) {
		const float *x = a + i * shape[3], *y = b + i * shape[3];
		if (!memcmp(x, y, (size_t)shape[3] * sizeof *x))
			continue;
		int64_t d = i / shape[2] % shape[1], h = i % shape[2], low = 0, high = shape[3];
		while (!memcmp(x + low, y + low, sizeof *x))
			low++;
		while (!memcmp(x + high - 1, y + high - 1, sizeof *x))
			high--;
		const oq_box line = {.low = {d, h, low}, .high = {d + 1, h + 1, high}};
		oq_box_join(&box, &line);
	}
	return box;
}

oq_status oq_reuse_begin(oq_nn_session *session, const float *patch, oq_error *err)
{
	const oq_nn_reuse *r = session->reuse;
	const oq_graph *graph = &session->model->graph;
	const oq_value *input = &graph->values[graph->input];
	if (!r->patches)
		return oq_fail(err, OQ_E_INTERNAL, "E_REUSE", "%s: a variant was run before its patch", graph->where);
	if (session->follows != r->patches) {
		memcpy(session->run.slab, r->base->run.slab, r->layout.slab_floats * sizeof *session->run.slab);
		memset(session->differ, 0, (size_t)graph->value_count * sizeof *session->differ);
		session->follows = r->patches;
	}
	const oq_box box = compare(input, patch, r->patch);
	set_box(session, graph->input, &box);
	int64_t plane = input->shape[2] * input->shape[3], voxels = input->shape[1] * plane;
	float *to = session->run.slab + session->run.place[graph->input];
	for (int64_t d = box.low[0]; d < box.high[0]; d++)
		for (int64_t h = box.low[1]; h < box.high[1]; h++)
			for (int64_t w = box.low[2], at = d * plane + h * input->shape[3] + w; w < box.high[2]; w++, at++)
				for (int64_t c = 0; c < input->shape[0]; c++)
					to[at * input->shape[0] + c] = patch[c * voxels + at];
	return OQ_OK;
}

bool oq_reuse_step(oq_nn_session *session, int index)
{
	const oq_step *step = &session->model->steps[index];
	const oq_node *node = step->node;
	const oq_box box = output_box(session->reuse, step, session->differ);
	bool reached = !oq_box_empty(&box);
	set_box(session, node->output, &box);
	if (node->exit_norm) {
		const oq_box all = reached ? whole_of(&session->model->graph.values[node->affine]) : (oq_box){0};
		set_box(session, node->affine, &all);
	}
	session->run.part = session->reuse->parts[index].state;
	session->run.box = &session->differ[node->output];
	return reached;
}
