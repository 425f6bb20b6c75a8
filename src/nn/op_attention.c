/* Window attention (plain, shifted, cosine) over a grid of tokens. Everything that depends only on the grid is made while
 * planning: the expanded relative position bias, and the masks of a shifted window, of which there are at most eight.
 *   inputs   one value [q|k|v] of 3C channels, or two: [q] of C and [k|v] of 2C; channels are head-major
 *   "heads", "window" [d,h,w], "scale"; optional "shift" [d,h,w] (Swin's cyclic shift and mask)
 *   "pad": tensor [3C]: q,k,v of the tokens that fill up the last windows; needed when the window does not divide the grid
 *   bias: "bias_table" [entries][heads] with "bias_index" [m][m] (its top left n x n corner is used, as Swin does when a
 *         window shrinks), or "bias_mlp" (see attention_bias.c), or none
 *   "q_scale","k_scale": tensors [head_dim]: q and k are divided by their L2 norm and multiplied by these (cosine attention) */
#include "attention.h"

#include "kernel/attention_bf16.h"
#include "kernel/attention_f32.h"
#include "kernel/attention_i8.h"

#include <omp.h>
#include <stdio.h>
#include <string.h>

#define MASKED (-100.0f) /* as the reference: not minus infinity */

typedef struct window_state {
	int64_t heads, head_dim, tokens; /* tokens of a window */
	int64_t window[OQ_SPATIAL], shift[OQ_SPATIAL], grid[OQ_SPATIAL], windows[OQ_SPATIAL];
	float scale;
	float *bias;    /* [heads][n][n] or NULL */
	float *mask[8]; /* by bits d,h,w: the window is the last one of that axis; NULL = nothing masked */
	float *pad;     /* [3C] or NULL */
	uint16_t *pad_halves; /* the same in bfloat16, or NULL */
	oq_dtype compute; /* of the products, see precision.c: OQ_F32; or OQ_BF16, OQ_I8: on rows where they lie */
	oq_dtype held;  /* q, k and v in memory */
	bool vnni;
	float *q_scale, *k_scale;
	bool gathered;  /* rows are not float32 in memory: heads are converted into scratch and out of it */
	size_t kernel_bytes;  /* scratch of the kernel, whole floats */
	size_t thread_floats; /* the kernel's, and rows behind it */
} window_state;

static oq_status parse_window(oq_graph *graph, oq_node *node, const oq_json *json, oq_error *err)
{
	oq_attributes *a = &node->attributes;
	OQ_TRY(oq_json_need_int(json, "heads", node->name, &a->heads, err));
	OQ_TRY(oq_json_need_ints(json, "window", node->name, a->kernel, OQ_SPATIAL, err));
	if (oq_json_get(json, "shift"))
		OQ_TRY(oq_json_need_ints(json, "shift", node->name, a->pad_low, OQ_SPATIAL, err));
	OQ_TRY(oq_json_need_number(json, "scale", node->name, &a->eps, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "pad", false, &a->weight, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias_table", false, &a->bias, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias_index", a->bias != NULL, &a->mean, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "bias_mlp", false, &a->mlp, err));
	OQ_TRY(oq_node_tensor(graph, node, json, "q_scale", false, &a->var, err));
	return oq_node_tensor(graph, node, json, "k_scale", a->var != NULL, &a->k_scale, err);
}

static oq_status infer_window(const oq_graph *graph, oq_node *node, oq_value *output, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	const oq_value *input = &graph->values[node->inputs[0]];
	int64_t channels = node->input_count == 1 ? input->shape[0] / 3 : input->shape[0];
	bool divides = input->rank == 4 && a->heads > 0 && channels > 0 && channels % a->heads == 0 && (channels / a->heads) % OQ_GEMM_NR == 0
		&& (node->input_count == 2 || input->shape[0] % 3 == 0);
	if (!divides)
		return oq_graph_refuse(graph, node, err, "%lld heads do not divide %lld channels into multiples of %d", (long long)a->heads,
			(long long)channels, OQ_GEMM_NR);
	if (node->input_count == 2) {
		const oq_value *kv = &graph->values[node->inputs[1]];
		if (kv->rank != 4 || kv->shape[0] != 2 * channels || memcmp(kv->shape + 1, input->shape + 1, OQ_SPATIAL * sizeof *kv->shape))
			return oq_graph_refuse(graph, node, err, "input %s does not fit input %s", kv->name, input->name);
	}
	bool padded = false;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		if (a->kernel[axis] < 1 || a->kernel[axis] > 64 || a->pad_low[axis] < 0 || a->pad_low[axis] >= a->kernel[axis])
			return oq_graph_refuse(graph, node, err, "window or shift on axis %d is out of range", axis);
		padded |= input->shape[1 + axis] % a->kernel[axis] != 0;
	}
	const int64_t three = 3 * channels, dim = channels / a->heads;
	if (padded && (!a->weight || node->input_count != 1))
		return oq_graph_refuse(graph, node, err, "the window does not divide the grid and there is no tensor \"pad\"");
	if (a->weight)
		OQ_TRY(oq_graph_check_tensor(graph, node, a->weight, 1, &three, err));
	if (a->var)
		OQ_TRY(oq_graph_check_tensor(graph, node, a->var, 1, &dim, err));
	if (a->k_scale)
		OQ_TRY(oq_graph_check_tensor(graph, node, a->k_scale, 1, &dim, err));
	output->rank = 4;
	memcpy(output->shape, input->shape, sizeof output->shape);
	output->shape[0] = channels;
	return OQ_OK;
}

/* Region of a coordinate of the padded grid after the cyclic shift; tokens of different regions do not see each other. */
static int region(int64_t p, int64_t padded, int64_t window, int64_t shift)
{
	return p < padded - window ? 0 : p < padded - shift ? 1 : 2;
}

static oq_status make_mask(window_state *s, int which, oq_error *err)
{
	size_t n = (size_t)s->tokens;
	int *label = oq_alloc(n * sizeof *label);
	float *mask = s->mask[which] = oq_alloc(n * n * sizeof *mask);
	if (!label || !mask) {
		oq_free(label);
		return oq_fail_memory(err, "attention mask", n * n * sizeof *mask);
	}
	for (size_t t = 0; t < n; t++) {
		int64_t in[OQ_SPATIAL] = {(int64_t)t / (s->window[1] * s->window[2]), (int64_t)t / s->window[2] % s->window[1], (int64_t)t % s->window[2]};
		label[t] = 0;
		for (int axis = 0; axis < OQ_SPATIAL; axis++) {
			int64_t padded = s->windows[axis] * s->window[axis];
			int64_t at = (which >> (2 - axis) & 1 ? s->windows[axis] - 1 : 0) * s->window[axis] + in[axis];
			label[t] = label[t] * 3 + (s->shift[axis] ? region(at, padded, s->window[axis], s->shift[axis]) : 0);
		}
	}
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < n; j++)
			mask[i * n + j] = label[i] == label[j] ? 0.0f : MASKED;
	oq_free(label);
	return OQ_OK;
}

static oq_status make_masks(window_state *s, oq_error *err)
{
	if (!s->shift[0] && !s->shift[1] && !s->shift[2])
		return OQ_OK;
	for (int which = 1; which < 8; which++)
		OQ_TRY(make_mask(s, which, err));
	/* With one window on a shifted axis every window is the last one, bit or not: which = 0 is then never asked for. */
	return OQ_OK;
}

static oq_status read_tensor(const oq_graph *graph, const char *tensor, float **out, oq_error *err)
{
	if (!tensor)
		return OQ_OK;
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(graph->package), tensor);
	*out = oq_alloc(info->count * sizeof **out);
	return *out ? oq_package_read_f32(graph->package, tensor, *out, info->count, err) : oq_fail_memory(err, tensor, info->bytes);
}

static oq_status halve_pad(window_state *s, const oq_node *node, oq_error *err)
{
	size_t count = (size_t)(3 * s->heads * s->head_dim);
	if (!s->pad || s->held != OQ_BF16 || s->compute == OQ_F32)
		return OQ_OK;
	s->pad_halves = oq_alloc(count * sizeof *s->pad_halves);
	if (!s->pad_halves)
		return oq_fail_memory(err, node->name, count * sizeof *s->pad_halves);
	const oq_typed to = {.data = s->pad_halves, .dtype = OQ_BF16};
	oq_typed_write(s->pad, (int64_t)count, &to, 0);
	return OQ_OK;
}

/* Scratch of a thread: the kernel's, rows that are not used where they lie, pointers to rows of q, k, v and the result, and the tokens' voxels. */
static void plan_scratch(const oq_planner *planner, window_state *s, oq_step *step)
{
	int rows = s->compute != OQ_F32 ? 1 : (step->node->attributes.var ? 2 : 0) + (s->gathered ? 4 : 0);
	s->kernel_bytes = s->compute == OQ_I8 ? oq_attention_i8_scratch_bytes(s->tokens, s->head_dim) : s->compute == OQ_BF16
		? oq_attention_bf16_scratch_bytes(s->tokens, s->head_dim) : oq_attention_scratch_floats(s->tokens, s->head_dim) * sizeof(float);
	s->thread_floats = (s->kernel_bytes / sizeof(float) + (size_t)(rows * s->tokens * s->head_dim) + 15) / 16 * 16;
	size_t lists = (size_t)s->tokens * (4 * sizeof(void *) + sizeof(int64_t));
	step->scratch_bytes = (size_t)planner->threads * (s->thread_floats * sizeof(float) + (lists + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN);
}

static const char *const kernels_of[] = {[OQ_BF16] = "+bf16", [OQ_I8] = "+int8"};

static oq_status plan_window(const oq_planner *planner, const oq_node *node, oq_step *step, oq_error *err)
{
	const oq_attributes *a = &node->attributes;
	const oq_value *output = oq_step_output(step);
	window_state *s = step->state = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, node->name, sizeof *s);
	s->heads = a->heads;
	s->head_dim = output->shape[0] / a->heads;
	s->scale = (float)a->eps;
	s->tokens = a->kernel[0] * a->kernel[1] * a->kernel[2];
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		s->window[axis] = a->kernel[axis];
		s->shift[axis] = a->pad_low[axis];
		s->grid[axis] = output->shape[1 + axis];
		s->windows[axis] = (s->grid[axis] + s->window[axis] - 1) / s->window[axis];
	}
	for (int i = 0; i < node->input_count; i++)
		s->gathered |= oq_step_input(step, i)->dtype != OQ_F32;
	s->gathered |= output->dtype != OQ_F32;
	s->compute = node->compute;
	s->held = oq_step_input(step, 0)->dtype;
	s->vnni = planner->vnni;
	plan_scratch(planner, s, step);
	if (s->compute != OQ_F32)
		snprintf(step->implementation, sizeof step->implementation, "own:%s%s%s", oq_isa_name(planner->isa), s->compute == OQ_I8 && s->vnni ? "_vnni" : "",
			kernels_of[s->compute]);
	double windows = (double)(s->windows[0] * s->windows[1] * s->windows[2]);
	step->gflop = 4e-9 * windows * (double)(s->heads * s->tokens * s->tokens * s->head_dim);
	OQ_TRY(make_masks(s, err));
	OQ_TRY(read_tensor(planner->graph, a->weight, &s->pad, err));
	OQ_TRY(halve_pad(s, node, err));
	OQ_TRY(read_tensor(planner->graph, a->var, &s->q_scale, err));
	OQ_TRY(read_tensor(planner->graph, a->k_scale, &s->k_scale, err));
	return oq_attention_bias(planner->graph, node, s->heads, s->window, &s->bias, err);
}

static void close_window(oq_step *step)
{
	window_state *s = step->state;
	if (!s)
		return;
	for (int i = 0; i < 8; i++)
		oq_free(s->mask[i]);
	oq_free(s->bias);
	oq_free(s->pad);
	oq_free(s->pad_halves);
	oq_free(s->q_scale);
	oq_free(s->k_scale);
	oq_free(s);
}

/* Where the rows of one head's tokens lie in one window. */
typedef struct window_rows {
	const float **q, **k, **v;
	float **out;
	float *room; /* [4][tokens][head_dim] for rows that are not float32 in memory */
} window_rows;

/* One row of `head_dim` values from element `at` of an input, or of the padding. */
static const float *read_row(const window_state *s, const oq_typed *x, size_t at, const float *pad, float *room)
{
	if (pad)
		return pad;
	return oq_typed_read(x, at, s->head_dim, room);
}

/* The voxels of a window's tokens; -1: padding. */
static void find_voxels(const window_state *s, const int64_t at[OQ_SPATIAL], int64_t *voxels)
{
	int64_t place[OQ_SPATIAL][64]; /* on each axis: the coordinate in the grid, or -1 */
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		for (int64_t i = 0; i < s->window[axis]; i++) {
			int64_t p = (at[axis] * s->window[axis] + i + s->shift[axis]) % (s->windows[axis] * s->window[axis]);
			place[axis][i] = p < s->grid[axis] ? p : -1;
		}
	for (int64_t d = 0; d < s->window[0]; d++)
		for (int64_t h = 0; h < s->window[1]; h++)
			for (int64_t w = 0; w < s->window[2]; w++) {
				bool inside = place[0][d] >= 0 && place[1][h] >= 0 && place[2][w] >= 0;
				*voxels++ = inside ? (place[0][d] * s->grid[1] + place[1][h]) * s->grid[2] + place[2][w] : -1;
			}
}

/* One head of one window. */
typedef struct window_job {
	int64_t at[OQ_SPATIAL], head;
	const int64_t *voxels; /* [tokens] */
	const float *bias, *mask;
} window_job;

static window_job find_job(const window_state *s, int64_t window, int64_t head, void *scratch)
{
	window_job job = {.at = {window / (s->windows[1] * s->windows[2]), window / s->windows[2] % s->windows[1], window % s->windows[2]}, .head = head};
	int64_t *voxels = (int64_t *)(void *)((void **)(void *)((float *)scratch + s->thread_floats) + 4 * s->tokens);
	int which = 0;
	find_voxels(s, job.at, voxels);
	for (int axis = 0; axis < OQ_SPATIAL; axis++)
		which = which * 2 + (job.at[axis] == s->windows[axis] - 1);
	job.voxels = voxels;
	job.bias = s->bias ? s->bias + head * s->tokens * s->tokens : NULL;
	job.mask = s->mask[which];
	return job;
}

static void find_rows(const oq_step *step, const oq_run *run, const window_job *job, window_rows *rows)
{
	const window_state *s = step->state;
	int64_t channels = s->heads * s->head_dim, first = job->head * s->head_dim, n = s->tokens * s->head_dim;
	int two = step->node->input_count == 2, q_stride = two ? 1 : 3, kv_stride = two ? 2 : 3;
	const oq_typed q = oq_typed_value(oq_run_input(step, run, 0), oq_step_input(step, 0)),
		kv = two ? oq_typed_value(oq_run_input(step, run, 1), oq_step_input(step, 1)) : q;
	float *out = oq_run_output(step, run);
	for (int64_t t = 0; t < s->tokens; t++) {
		int64_t voxel = job->voxels[t];
		const float *pad = voxel < 0 ? s->pad + first : NULL;
		float *room = s->gathered ? rows->room + t * s->head_dim : NULL;
		size_t key = (size_t)(voxel * kv_stride * channels + (two ? 0 : channels) + first);
		rows->q[t] = read_row(s, &q, (size_t)(voxel * q_stride * channels + first), pad, room);
		rows->k[t] = read_row(s, &kv, key, pad ? pad + channels : NULL, room ? room + n : NULL);
		rows->v[t] = read_row(s, &kv, key + (size_t)channels, pad ? pad + 2 * channels : NULL, room ? room + 2 * n : NULL);
		rows->out[t] = voxel < 0 ? NULL : room ? room + 3 * n : out + voxel * channels + first;
	}
}

static void write_rows(const oq_step *step, const oq_run *run, const window_job *job, const window_rows *rows)
{
	const window_state *s = step->state;
	const oq_typed y = oq_typed_value(oq_run_output(step, run), oq_step_output(step));
	for (int64_t t = 0; t < s->tokens; t++)
		if (rows->out[t])
			oq_typed_write(rows->out[t], s->head_dim, &y, (size_t)((job->voxels[t] * s->heads + job->head) * s->head_dim));
}

/* As attend, by a kernel that takes rows where they lie; only the result is gathered, in the room behind the kernel's. */
static void attend_in_place(const oq_step *step, const oq_run *run, int64_t window, int64_t head, void *scratch)
{
	const window_state *s = step->state;
	const window_job job = find_job(s, window, head, scratch);
	const int two = step->node->input_count == 2, q_stride = two ? 1 : 3, kv_stride = two ? 2 : 3;
	const size_t size = oq_dtype_size(s->held), channels = (size_t)(s->heads * s->head_dim) * size, first = (size_t)(head * s->head_dim) * size;
	const char *q = (const char *)oq_run_input(step, run, 0), *kv = two ? (const char *)oq_run_input(step, run, 1) : q + channels;
	const char *padding = s->held == OQ_BF16 ? (const char *)s->pad_halves : (const char *)s->pad;
	float *room = (float *)scratch + s->kernel_bytes / sizeof(float);
	const void **pointers = (const void **)(void *)((float *)scratch + s->thread_floats);
	window_rows rows = {.out = (float **)(void *)(pointers + 3 * s->tokens)};
	for (int64_t t = 0; t < s->tokens; t++) {
		const int64_t voxel = job.voxels[t];
		const char *pad = voxel < 0 ? padding + first : NULL, *key = pad ? pad + channels : kv + (size_t)(voxel * kv_stride) * channels + first;
		pointers[t] = pad ? pad : q + (size_t)(voxel * q_stride) * channels + first;
		pointers[s->tokens + t] = key;
		pointers[2 * s->tokens + t] = key + channels;
		rows.out[t] = pad ? NULL : room + t * s->head_dim;
	}
	const void *const *k = pointers + s->tokens, *const *v = k + s->tokens;
	if (s->compute == OQ_I8) {
		const oq_attention_i8 attention = {.tokens = s->tokens, .head_dim = s->head_dim, .scale = s->scale, .dtype = s->held, .q = pointers, .k = k, .v = v,
			.bias = job.bias, .mask = job.mask, .out = rows.out};
		oq_attention_i8_run(&attention, run->isa, s->vnni, scratch);
	} else {
		const oq_attention_bf16 attention = {.tokens = s->tokens, .head_dim = s->head_dim, .scale = s->scale, .q = (const uint16_t *const *)pointers,
			.k = (const uint16_t *const *)k, .v = (const uint16_t *const *)v, .bias = job.bias, .mask = job.mask, .out = rows.out};
		oq_attention_bf16_run(&attention, run->isa, scratch);
	}
	write_rows(step, run, &job, &rows);
}

static void normalise_rows(const window_state *s, oq_isa isa, const float **rows, const float *scale, float *unit)
{
	const oq_token_kernels *kernels = oq_token_kernels_for(isa);
	for (int64_t t = 0; t < s->tokens; t++) {
		kernels->unit_row(s->head_dim, rows[t], scale, unit + t * s->head_dim);
		rows[t] = unit + t * s->head_dim;
	}
}

static void attend(const oq_step *step, const oq_run *run, int64_t window, int64_t head, void *scratch)
{
	const window_state *s = step->state;
	const window_job job = find_job(s, window, head, scratch);
	float *floats = scratch, *unit = floats + s->kernel_bytes / sizeof(float);
	const float **pointers = (const float **)(void *)(floats + s->thread_floats);
	window_rows rows = {.q = pointers, .k = pointers + s->tokens, .v = pointers + 2 * s->tokens,
		.out = (float **)(void *)(pointers + 3 * s->tokens)};
	rows.room = unit + (s->q_scale ? 2 * s->tokens * s->head_dim : 0);
	find_rows(step, run, &job, &rows);
	if (s->q_scale) {
		normalise_rows(s, run->isa, rows.q, s->q_scale, unit);
		normalise_rows(s, run->isa, rows.k, s->k_scale, unit + s->tokens * s->head_dim);
	}
	const oq_attention attention = {.tokens = s->tokens, .head_dim = s->head_dim, .scale = s->scale, .q = rows.q, .k = rows.k, .v = rows.v,
		.bias = job.bias, .mask = job.mask, .out = rows.out};
	oq_attention_run(&attention, run->isa, floats);
	if (s->gathered)
		write_rows(step, run, &job, &rows);
}

static oq_status run_window(const oq_step *step, oq_run *run, oq_error *err)
{
	(void)err;
	const window_state *s = step->state;
	int64_t jobs = s->windows[0] * s->windows[1] * s->windows[2] * s->heads;
	size_t thread_bytes = step->scratch_bytes / (size_t)run->threads;
#pragma omp parallel for schedule(dynamic) num_threads(run->threads) if (run->threads > 1)
	for (int64_t job = 0; job < jobs; job++) {
		int thread = run->threads > 1 ? omp_get_thread_num() : 0;
		(s->compute == OQ_F32 ? attend : attend_in_place)(step, run, job / s->heads, job % s->heads, (char *)run->scratch + (size_t)thread * thread_bytes);
	}
	return OQ_OK;
}

const oq_op oq_op_window_attention = {.name = "window_attention", .min_inputs = 1, .max_inputs = 2, .typed = true, .parse = parse_window, .infer = infer_window,
	.plan = plan_window, .run = run_window, .close = close_window};
