/* Convolution as one matrix product per kernel tap, over the voxels where that tap meets real input: padding is never
 * multiplied (at 3x3x3 voxels that saves more than half), and every weight is read once per call while the map is small.
 * An output's chain runs over taps in ascending order, and in each over input channels in ascending order, through
 * accumulators in scratch; blocking and threads only decide when a link is added, never the order. */
#include "conv_impl.h"

#include "core/mem.h"
#include "simple_isa.h"

#include <omp.h>
#include <string.h>

#define NR OQ_GEMM_NR
#define ROWS_MAX 252            /* output voxels per block: a multiple of the micro-kernels' 14 and 6 rows */
#define ROWS_MIN 28
#define ROWS_NEAR 56            /* rows at a time where one tap is all: their accumulators stay in L1 */
#define INPUT_BYTES (256 << 10) /* of input that a block should keep in L2 ... */
#define PANEL_BYTES (384 << 10) /* ... and of weights that are used for all blocks before the next are fetched */
#define K_BLOCK 512             /* input channels per micro-kernel call: a 64 KiB piece of a panel, reused from L2 by all rows of a block */
#define ALIAS_FLOATS 1024       /* rows 4 KiB apart share a set of L1, and 14 of them are more than its ways */

typedef struct tap {
	int64_t at[3];   /* kernel position minus padding: input = output*stride + at */
	int64_t low, high; /* output w for which the input w is real */
} tap;

typedef struct tap_state {
	int64_t panels, taps, k;
	tap *list;         /* the taps that meet real input at all */
	float *weights;    /* [panel][tap][k][32], out_channels padded with zeros */
	size_t weight_bytes;
	bool pointwise;    /* one tap without padding: a plain matrix product once the input rows are those of the output */
	bool gather;       /* pointwise, but strided: the input rows are picked out first */
	bool pad_rows;     /* rows would alias in L1: they are copied apart */
} tap_state;

static int64_t at_most(int64_t a, int64_t b)
{
	return a < b ? a : b;
}

static int64_t ceil_div(int64_t a, int64_t b)
{
	return (a + b - 1) / b;
}

static int64_t voxels_of(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

/* Output positions along one axis whose input is real: [low,high). */
static void real_range(const oq_conv_shape *s, int axis, int64_t at, int64_t *low, int64_t *high)
{
	*low = at < 0 ? ceil_div(-at, s->stride[axis]) : 0;
	*high = at < s->in[axis] ? at_most(s->out[axis], (s->in[axis] - 1 - at) / s->stride[axis] + 1) : 0;
}

static bool tap_at(const oq_conv_shape *s, int64_t index, tap *t)
{
	const int64_t position[3] = {index / (s->kernel[1] * s->kernel[2]), index / s->kernel[2] % s->kernel[1], index % s->kernel[2]};
	bool real = true;
	for (int i = 0; i < 3; i++) {
		t->at[i] = position[i] - s->pad_low[i];
		real_range(s, i, t->at[i], &t->low, &t->high); /* the last axis' range stays */
		real = real && t->low < t->high;
	}
	return real;
}

/* Where a tap's weight lies among those of its kernel. */
static int64_t tap_index(const oq_conv_shape *s, const tap *t)
{
	return ((t->at[0] + s->pad_low[0]) * s->kernel[1] + t->at[1] + s->pad_low[1]) * s->kernel[2] + t->at[2] + s->pad_low[2];
}

/* One panel: 32 output channels of all taps. Input channels in blocks of 16, so that what is read for the first tap is still in
 * cache for the last; written in order. */
static void pack_panel(const oq_conv_shape *s, const tap_state *state, int64_t panel, const float *weights, float *packed)
{
	int64_t volume = voxels_of(s->kernel), columns = at_most(NR, s->out_channels - panel * NR);
	weights += panel * NR * state->k * volume;
	for (int64_t k0 = 0; k0 < state->k; k0 += 16)
		for (int64_t t = 0; t < state->taps; t++) {
			const float *in = weights + tap_index(s, &state->list[t]);
			for (int64_t k = k0; k < at_most(k0 + 16, state->k); k++) {
				float *out = packed + (t * state->k + k) * NR;
				for (int64_t j = 0; j < NR; j++)
					out[j] = j < columns ? in[(j * state->k + k) * volume] : 0.0f;
			}
		}
}

static bool supports(const oq_conv_shape *s)
{
	const int64_t weights[5] = {ceil_div(s->out_channels, NR) * NR, s->in_channels, s->kernel[0], s->kernel[1], s->kernel[2]};
	const int64_t taps[3] = {s->kernel[0], s->kernel[1], s->kernel[2]};
	size_t bytes;
	return s->in_type == OQ_F32 && s->out_type == OQ_F32 && !s->moments && oq_size_product(weights, 5, sizeof(float), &bytes)
		&& oq_size_product(taps, 3, sizeof(tap), &bytes);
}

static void classify(const oq_conv *conv, tap_state *state)
{
	const oq_conv_shape *s = &conv->shape;
	bool whole = true;
	for (int i = 0; i < 3; i++) {
		whole = whole && s->kernel[i] == 1 && s->pad_low[i] == 0 && (s->out[i] - 1) * s->stride[i] < s->in[i];
		state->gather = state->gather || s->out[i] != s->in[i] || (s->out[i] > 1 && s->stride[i] != 1);
	}
	state->pointwise = whole;
	state->gather = whole && state->gather;
	int64_t step = whole ? 1 : s->stride[2];
	state->pad_rows = conv->isa == OQ_ISA_AVX512 && step * s->in_channels % ALIAS_FLOATS == 0;
}

static oq_status create(oq_conv *conv, const float *weights, oq_error *err)
{
	const oq_conv_shape *s = &conv->shape;
	int64_t volume = voxels_of(s->kernel);
	tap_state *state = conv->state = oq_calloc(1, sizeof *state);
	if (!state || !(state->list = oq_calloc((size_t)volume, sizeof *state->list)))
		return oq_fail_memory(err, "convolution", (size_t)volume * sizeof *state->list);
	for (int64_t i = 0; i < volume; i++)
		state->taps += tap_at(s, i, &state->list[state->taps]);
	state->panels = ceil_div(s->out_channels, NR);
	state->k = s->in_channels;
	classify(conv, state);
	int64_t panel = state->taps * state->k * NR;
	state->weight_bytes = (size_t)(state->panels * panel) * sizeof(float);
	if (!(state->weights = oq_alloc_aligned(state->weight_bytes)))
		return oq_fail_memory(err, "convolution", state->weight_bytes);
	for (int64_t p = 0; p < state->panels; p++)
		pack_panel(s, state, p, weights, state->weights + p * panel);
	return OQ_OK;
}

static void release(oq_conv *conv)
{
	tap_state *state = conv->state;
	if (!state)
		return;
	oq_free(state->list);
	oq_free_aligned(state->weights);
	oq_free(state);
}

static size_t weight_bytes(const oq_conv *conv)
{
	const tap_state *state = conv->state;
	return state->weight_bytes;
}

/* Floats from one copied row to the next. */
static int64_t copied_row(const oq_conv *conv)
{
	const tap_state *state = conv->state;
	return state->pad_rows ? state->k + 16 : state->k;
}

static int64_t copied_rows(const oq_conv *conv)
{
	const tap_state *state = conv->state;
	return state->pointwise ? voxels_of(conv->shape.out) : voxels_of(conv->shape.in);
}

static size_t scratch_bytes(const oq_conv *conv, int64_t batch, int threads)
{
	size_t copy = (size_t)(batch * copied_rows(conv) * copied_row(conv)) * sizeof(float), sums = (size_t)ROWS_MAX * NR * sizeof(float);
	return (size_t)threads * sums + copy;
}

/* What the threads of one call share. */
typedef struct tap_call {
	const oq_conv *conv;
	const tap_state *state;
	const oq_simple_kernels *simple;
	const float *x;      /* rows of input ... */
	int64_t row;         /* ... this many floats apart */
	int64_t rows, block; /* output rows of all patches; rows per block */
	const oq_conv_epilogue *epilogue;
	float *y;
} tap_call;

/* The copied row `index`: from which input row it comes. */
static int64_t source_row(const oq_conv *conv, int64_t index)
{
	const tap_state *state = conv->state;
	const oq_conv_shape *s = &conv->shape;
	if (!state->gather)
		return index;
	int64_t w = index % s->out[2], h = index / s->out[2] % s->out[1], d = index / (s->out[2] * s->out[1]) % s->out[0];
	int64_t patch = index / voxels_of(s->out);
	return ((patch * s->in[0] + d * s->stride[0]) * s->in[1] + h * s->stride[1]) * s->in[2] + w * s->stride[2];
}

/* Input rows with the prologue applied, apart enough, and only those that are needed. */
static void copy_input(const tap_call *call, int64_t rows, const float *x, const oq_conv_prologue *prologue, float *copy, int threads)
{
	int64_t k = call->state->k, row = copied_row(call->conv);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t i = 0; i < rows; i++) {
		const float *in = x + source_row(call->conv, i) * k;
		if (!prologue)
			memcpy(copy + i * row, in, (size_t)k * sizeof *copy);
		else if (prologue->scale)
			call->simple->scale_shift_act(1, k, in, prologue->scale, prologue->shift, prologue->slope, copy + i * row);
		else
			call->simple->act(k, in, prologue->slope, copy + i * row);
	}
}

/* The rows of one product: pointers to input rows and to their accumulators. */
typedef struct row_list {
	int64_t count;
	const float *in[ROWS_MAX];
	float *sum[ROWS_MAX];
} row_list;

static void list_line(const float *in, int64_t step, int64_t count, float *sum, row_list *list)
{
	for (int64_t i = 0; i < count; i++) {
		list->in[list->count] = in + i * step;
		list->sum[list->count++] = sum + i * NR;
	}
}

/* Output rows [first,last) that tap `t` serves, line by line. */
static void list_rows(const tap_call *call, const tap *t, int64_t first, int64_t last, float *sums, row_list *list)
{
	const oq_conv_shape *s = &call->conv->shape;
	list->count = 0;
	if (call->state->pointwise) {
		list_line(call->x + first * call->row, call->row, last - first, sums, list);
		return;
	}
	for (int64_t line = first / s->out[2]; line * s->out[2] < last; line++) {
		int64_t start = line * s->out[2], patch = line / (s->out[0] * s->out[1]);
		int64_t d = line / s->out[1] % s->out[0] * s->stride[0] + t->at[0], h = line % s->out[1] * s->stride[1] + t->at[1];
		if (d < 0 || d >= s->in[0] || h < 0 || h >= s->in[1])
			continue;
		int64_t low = start + t->low < first ? first - start : t->low, high = at_most(t->high, last - start);
		const float *in = call->x + (((patch * s->in[0] + d) * s->in[1] + h) * s->in[2] + low * s->stride[2] + t->at[2]) * call->row;
		list_line(in, call->row * s->stride[2], high - low, sums + (start + low - first) * NR, list);
	}
}

/* Bias, residual and activation from the accumulators of rows [first,last) into the output. */
static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const float *sums)
{
	const oq_conv_epilogue *e = call->epilogue;
	int64_t n = call->conv->shape.out_channels, columns = at_most(NR, n - panel * NR), at = first * n + panel * NR;
	float bias[NR] = {0};
	if (e->bias)
		memcpy(bias, e->bias + panel * NR, (size_t)columns * sizeof *bias);
	const oq_finish to = {.bias = bias, .residual = e->residual ? e->residual + at : NULL, .slope = e->slope, .y = call->y + at, .stride = n};
	call->simple->finish(last - first, columns, sums, &to);
}

/* One tap's product for the listed rows. K in blocks, after which the list is as it was. */
static void multiply_rows(const tap_call *call, row_list *list, const float *weights, bool accumulate)
{
	int64_t k = call->state->k;
	if (k <= K_BLOCK) {
		call->conv->gemm(list->count, k, list->in, weights, list->sum, accumulate);
		return;
	}
	for (int64_t at = 0; at < k; at += K_BLOCK) {
		int64_t depth = at_most(K_BLOCK, k - at);
		call->conv->gemm(list->count, depth, list->in, weights + at * NR, list->sum, accumulate || at > 0);
		for (int64_t i = 0; i < list->count; i++)
			list->in[i] += at + depth < k ? depth : -at;
	}
}

/* Output rows [first,last) of panels [panel,end). */
static void run_taps(const tap_call *call, int64_t panel, int64_t end, int64_t first, int64_t last, float *sums)
{
	const tap_state *state = call->state;
	row_list list;
	for (; panel < end; panel++) {
		memset(sums, 0, (size_t)((last - first) * NR) * sizeof *sums);
		for (int64_t t = 0; t < state->taps; t++) {
			list_rows(call, &state->list[t], first, last, sums, &list);
			multiply_rows(call, &list, state->weights + (panel * state->taps + t) * state->k * NR, true);
		}
		finish_rows(call, panel, first, last, sums);
	}
}

/* The same for a plain product: few rows at a time, so that they are finished while in L1. */
static void run_pointwise(const tap_call *call, int64_t panel, int64_t end, int64_t first, int64_t last, float *sums)
{
	row_list list;
	for (int64_t r = first; r < last; r += ROWS_NEAR) {
		int64_t stop = at_most(r + ROWS_NEAR, last);
		list_rows(call, call->state->list, r, stop, sums, &list);
		for (int64_t p = panel; p < end; p++) {
			multiply_rows(call, &list, call->state->weights + p * call->state->k * NR, false);
			finish_rows(call, p, r, stop, sums);
		}
	}
}

/* Blocks of nearly equal size, as large as keeps their input in L2. */
static int64_t block_rows(int64_t rows, int64_t k)
{
	int64_t most = INPUT_BYTES / (int64_t)sizeof(float) / k;
	most = most < ROWS_MIN ? ROWS_MIN : at_most(most, ROWS_MAX);
	int64_t even = ceil_div(ceil_div(rows, ceil_div(rows, most)), 14) * 14;
	return at_most(even, ROWS_MAX);
}

/* Panels that a thread takes together, so that their weights are read once for all blocks: as many as leave every thread
 * about the same to do. */
static int64_t group_panels(const tap_call *call, int64_t blocks, int threads)
{
	int64_t bytes = call->state->taps * call->state->k * NR * (int64_t)sizeof(float), panels = call->state->panels;
	int64_t group = at_most(PANEL_BYTES / bytes, panels), best = 1, least = INT64_MAX;
	for (; group >= 1; group--) {
		int64_t longest = ceil_div(ceil_div(panels, group) * blocks, threads) * group; /* panels through blocks, of the busiest thread */
		if (longest < least) {
			least = longest;
			best = group;
		}
	}
	return best;
}

static void multiply(const tap_call *call, float *sums, int threads)
{
	int64_t blocks = ceil_div(call->rows, call->block), group = group_panels(call, blocks, threads);
	int64_t groups = ceil_div(call->state->panels, group);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t job = 0; job < groups * blocks; job++) {
		int64_t first = job % blocks * call->block, last = at_most(first + call->block, call->rows), panel = job / blocks * group;
		float *own = sums + (threads > 1 ? omp_get_thread_num() : 0) * ROWS_MAX * NR;
		(call->state->pointwise ? run_pointwise : run_taps)(call, panel, at_most(panel + group, call->state->panels), first, last, own);
	}
}

static void run(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
	void *scratch, int threads)
{
	static const oq_conv_epilogue none = {.slope = 1.0f};
	const tap_state *state = conv->state;
	tap_call call = {.conv = conv, .state = state, .simple = oq_simple_for(conv->isa), .x = x, .row = state->k,
		.rows = batch * voxels_of(conv->shape.out), .epilogue = epilogue ? epilogue : &none, .y = y};
	call.block = block_rows(call.rows, state->k);
	size_t sums = (size_t)threads * ROWS_MAX * NR * sizeof(float);
	float *copy = (float *)scratch + sums / sizeof(float);
	if (prologue || state->gather || state->pad_rows) {
		copy_input(&call, batch * copied_rows(conv), x, prologue, copy, threads);
		call.x = copy;
		call.row = copied_row(conv);
	}
	multiply(&call, scratch, threads);
}

const oq_conv_ops oq_conv_tap_ops = {supports, create, release, weight_bytes, scratch_bytes, run};
