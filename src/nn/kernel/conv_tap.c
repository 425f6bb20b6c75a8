/* Products over taps in float32: any kernel, stride and padding. Refuses values of other types. */
#include "kernel/gemm_f32.h"

#define INPUT float
#define WEIGHT float
#define TOTAL float
#define KERNEL oq_gemm_f32_fn

#include "conv_tap_body.h"

#include "simple_isa.h"

struct tap_finish {
	const oq_conv_epilogue *epilogue;
	const oq_simple_kernels *simple;
	float *y;
};

/* One panel: 32 output channels of all taps. Input channels in blocks of 16, so that what is read for the first tap is still in
 * cache for the last; written in order. */
static void pack_panel(const tap_state *state, int64_t panel, const float *weights, float *packed)
{
	const oq_conv_shape *s = state->shape;
	int64_t volume = voxels_of(s->kernel), columns = at_most(NR, s->out_channels - panel * NR);
	weights += panel * NR * state->k * volume;
	for (int64_t k0 = 0; k0 < state->k; k0 += 16)
		for (int64_t t = 0; t < state->taps; t++) {
			const float *in = weights + state->list[t].index;
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

static oq_status create(oq_conv *conv, const float *weights, oq_error *err)
{
	tap_state *state = conv->state = oq_calloc(1, sizeof *state);
	if (!state)
		return oq_fail_memory(err, "convolution", sizeof *state);
	OQ_TRY(plan_taps(state, &conv->shape, conv->shape.in_channels, err));
	state->multiply = conv->gemm;
	int64_t step = state->pointwise ? 1 : conv->shape.stride[2], panel = state->taps * state->k * NR;
	state->pad_rows = conv->isa == OQ_ISA_AVX512 && step * state->k * (int64_t)sizeof(float) % ALIAS_BYTES == 0;
	for (int64_t p = 0; p < state->panels; p++)
		pack_panel(state, p, weights, state->weights + p * panel);
	return OQ_OK;
}

static void release(oq_conv *conv)
{
	if (!conv->state)
		return;
	release_taps(conv->state);
	oq_free(conv->state);
}

static size_t weight_bytes(const oq_conv *conv)
{
	const tap_state *state = conv->state;
	return state->weight_bytes;
}

static size_t scratch_bytes(const oq_conv *conv, int64_t batch, int threads)
{
	return scratch_for(conv->state, batch, threads);
}

/* Input rows with the prologue applied, apart enough, and only those that are needed. */
static void copy_input(const tap_call *call, int64_t rows, const float *x, const oq_conv_prologue *prologue, float *copy, int threads)
{
	int64_t k = call->state->k, row = copied_row(call->state);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t i = 0; i < rows; i++) {
		const float *in = x + source_row(call->state, i) * k;
		if (!prologue)
			memcpy(copy + i * row, in, (size_t)k * sizeof *copy);
		else if (prologue->scale)
			call->finish->simple->scale_shift_act(1, k, in, prologue->scale, prologue->shift, prologue->slope, copy + i * row);
		else
			call->finish->simple->act(k, in, prologue->slope, copy + i * row);
	}
}

static void add_product(const tap_call *call, const row_list *list, int64_t k, int64_t at, bool accumulate)
{
	call->state->multiply(list->count, k, list->in, call->state->weights + at, list->sum, accumulate);
}

static void expect_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last)
{
	const struct tap_finish *f = call->finish;
	int64_t n = call->state->shape->out_channels, at = first * n + panel * NR, bytes = at_most(NR, n - panel * NR) * (int64_t)sizeof(float);
	if (f->epilogue->residual)
		fetch_rows(f->epilogue->residual + at, n * (int64_t)sizeof(float), last - first, bytes);
	fetch_rows(f->y + at, n * (int64_t)sizeof(float), last - first, bytes);
}

/* Bias, residual and activation from the accumulators of rows [first,last) into the output. */
static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const float *sums)
{
	const oq_conv_epilogue *e = call->finish->epilogue;
	int64_t n = call->state->shape->out_channels, columns = at_most(NR, n - panel * NR), at = first * n + panel * NR;
	float bias[NR] = {0};
	if (e->bias)
		memcpy(bias, e->bias + panel * NR, (size_t)columns * sizeof *bias);
	const oq_finish to = {.bias = bias, .residual = e->residual ? e->residual + at : NULL, .slope = e->slope, .y = call->finish->y + at, .stride = n};
	call->finish->simple->finish(last - first, columns, sums, &to);
}

static void run(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
	void *scratch, int threads)
{
	static const oq_conv_epilogue none = {.slope = 1.0f};
	const tap_state *state = conv->state;
	const struct tap_finish finish = {.epilogue = epilogue ? epilogue : &none, .simple = oq_simple_for(conv->isa), .y = y};
	tap_call call = {.state = state, .x = x, .row = state->k, .rows = batch * voxels_of(conv->shape.out), .finish = &finish};
	call.block = block_rows(call.rows, state->k);
	if (prologue || state->gather || state->pad_rows) {
		float *copy = copy_in(scratch, threads);
		copy_input(&call, batch * copied_rows(state), x, prologue, copy, threads);
		call.x = copy;
		call.row = copied_row(state);
	}
	multiply(&call, scratch, threads);
}

const oq_conv_ops oq_conv_tap_ops = {supports, create, release, weight_bytes, scratch_bytes, run};
