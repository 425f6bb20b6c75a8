/* Products over taps on codes: any kernel, stride, padding and dilation, and linear layers. The input is copied once as numbers of 16 bits
 * less its zero point, so padding is 0 and costs nothing; weights stay bytes in memory. */
#include "conv_tap_u8.h"
#include "gemm_i16_isa.h"

#define INPUT int16_t
#define WEIGHT int8_t
#define TOTAL int32_t
#define KERNEL oq_gemm_i16s8_fn
#include "conv_tap_body.h"

#include "core/mem.h"
#include "kernel/token_f32.h"

#include <stdlib.h>

struct oq_tap_i8 {
	oq_conv_shape shape;
	int32_t zero;
	oq_isa isa;
	const oq_w16_kernels *kernels;
	tap_state state;
	oq_tap_u8 *bytes; /* instead, or NULL */
};

struct tap_finish {
	const oq_tap_i8 *conv;
	const oq_conv_i8_epilogue *epilogue;
};

bool oq_tap_i8_supports(const oq_conv_shape *s)
{
	const int64_t sums[4] = {s->in_channels, s->kernel[0], s->kernel[1], s->kernel[2]};
	const int64_t weights[5] = {s->out_channels + NR, s->in_channels + 1, s->kernel[0], s->kernel[1], s->kernel[2]};
	size_t bytes, taps;
	return oq_conv_shape_valid(s) && oq_size_product(sums, 4, 1, &taps) && taps <= OQ_TAP_I8_MAX_SUM && oq_size_product(weights, 5, 1, &bytes);
}

/* Weights [out][in][taps] as [tap][pair of channels][32][2]. */
static void pack_panel(const tap_state *state, int64_t panel, const int8_t *codes, int8_t *packed)
{
	const oq_conv_shape *s = state->shape;
	int64_t volume = voxels_of(s->kernel), in = s->in_channels, columns = at_most(NR, s->out_channels - panel * NR);
	memset(packed, 0, (size_t)(state->taps * state->k * NR));
	for (int64_t j = 0; j < columns; j++)
		for (int64_t t = 0; t < state->taps; t++) {
			const int8_t *from = codes + (panel * NR + j) * in * volume + state->list[t].index;
			int8_t *to = packed + t * state->k * NR + 2 * j;
			for (int64_t i = 0; i < in; i++)
				to[i / 2 * 2 * NR + i % 2] = from[i * volume];
		}
}

static oq_status pack_wide(oq_tap_i8 *conv, const int8_t *codes, oq_error *err)
{
	tap_state *state = &conv->state;
	OQ_TRY(plan_taps(state, &conv->shape, (conv->shape.in_channels + 1) / 2 * 2, err));
	state->multiply = oq_gemm_i16s8_kernel(conv->isa);
	state->pad_rows = state->k * (int64_t)sizeof(int16_t) % (ALIAS_BYTES / 4) == 0;
	int64_t panel = state->taps * state->k * NR;
#pragma omp parallel for
	for (int64_t p = 0; p < state->panels; p++)
		pack_panel(state, p, codes, state->weights + p * panel);
	return OQ_OK;
}

oq_status oq_tap_i8_create(const oq_conv_i8_desc *desc, oq_tap_i8 **out, oq_error *err)
{
	*out = NULL;
	if (!oq_tap_i8_supports(&desc->shape) || desc->zero < 0 || desc->zero > 255)
		return oq_fail(err, OQ_E_INTERNAL, "E_CONV", "products of codes: cannot do this shape or zero point, expected one that oq_tap_i8_supports accepts");
	oq_tap_i8 *conv = oq_calloc(1, sizeof *conv);
	if (!conv)
		return oq_fail_memory(err, "convolution", sizeof *conv);
	*conv = (oq_tap_i8){.shape = desc->shape, .zero = desc->zero, .isa = desc->isa, .kernels = oq_w16_kernels_for(desc->isa)};
	oq_status status = oq_tap_u8_create(desc, &conv->bytes, err);
	if (status == OQ_OK && !conv->bytes)
		status = pack_wide(conv, desc->codes, err);
	if (status == OQ_OK)
		*out = conv;
	else
		oq_tap_i8_free(conv);
	return status;
}

void oq_tap_i8_free(oq_tap_i8 *conv)
{
	if (!conv)
		return;
	release_taps(&conv->state);
	oq_tap_u8_free(conv->bytes);
	oq_free(conv);
}

size_t oq_tap_i8_weight_bytes(const oq_tap_i8 *conv)
{
	return conv->bytes ? oq_tap_u8_weight_bytes(conv->bytes) : conv->state.weight_bytes;
}

size_t oq_tap_i8_scratch_bytes(const oq_tap_i8 *conv, int threads)
{
	return conv->bytes ? oq_tap_u8_scratch_bytes(conv->bytes, threads) : scratch_for(&conv->state, 1, threads);
}

const char *oq_tap_i8_method(const oq_tap_i8 *conv)
{
	return conv->bytes ? "taps-u8" : "taps-i16";
}

#define LEAN_COST 3.5 /* three and a half: bins of two steps or more, and hardly any step twice */

bool oq_tap_i8_is_lean(const oq_tap_i8 *conv)
{
	return conv->bytes && oq_tap_u8_cost(conv->bytes) <= LEAN_COST;
}

static void add_product(const tap_call *call, const row_list *list, int64_t k, int64_t at, bool accumulate)
{
	call->state->multiply(list->count, k / 2, list->in, call->state->weights + at, list->sum, accumulate);
}

/* A GELU has no vector form beside the sums: values first, then it, then the output's type. */
static void finish_gelu(oq_isa isa, const oq_w16_rows *rows)
{
	const oq_conv_i8_epilogue *e = rows->epilogue;
	const oq_token_kernels *kernels = oq_token_kernels_for(isa);
	for (int64_t r = 0; r < rows->rows; r++) {
		float values[NR], bias[NR] = {0};
		size_t at = (size_t)((rows->row + r) * rows->channels + rows->first);
		if (e->bias)
			memcpy(bias, e->bias + rows->first, (size_t)rows->count * sizeof *bias);
		kernels->scale_codes(rows->count, rows->sums + r * NR, e->scale + rows->first, bias, e->residual ? e->residual + at : NULL, values);
		kernels->gelu(rows->count, values, values);
		oq_typed_write(values, rows->count, &e->y, at);
	}
}

void oq_tap_finish(oq_isa isa, const oq_conv_i8_epilogue *epilogue, int64_t channels, int64_t panel, int64_t first, int64_t last, const int32_t *sums)
{
	const oq_w16_rows rows = {.sums = sums, .row = first, .rows = last - first, .channels = channels, .first = panel * NR,
		.count = at_most(NR, channels - panel * NR), .epilogue = epilogue};
	if (epilogue->gelu)
		finish_gelu(isa, &rows);
	else
		oq_w16_kernels_for(isa)->finish(&rows);
}

static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const int32_t *sums)
{
	oq_tap_finish(call->finish->conv->isa, call->finish->epilogue, call->state->shape->out_channels, panel, first, last, sums);
}

void oq_tap_expect(const oq_conv_i8_epilogue *epilogue, int64_t channels, int64_t panel, int64_t first, int64_t last)
{
	int64_t at = first * channels + panel * NR, columns = at_most(NR, channels - panel * NR), size = (int64_t)oq_dtype_size(epilogue->y.dtype);
	if (epilogue->residual)
		fetch_rows(epilogue->residual + at, channels * (int64_t)sizeof(float), last - first, columns * (int64_t)sizeof(float));
	fetch_rows((const char *)epilogue->y.data + at * size, channels * size, last - first, columns * size);
}

static void expect_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last)
{
	oq_tap_expect(call->finish->epilogue, call->state->shape->out_channels, panel, first, last);
}

/* Input rows as 16 bits, apart enough, and only those that are needed. */
static void widen_input(const oq_tap_i8 *conv, const uint8_t *x, int16_t *copy, int threads)
{
	int64_t in = conv->shape.in_channels, row = copied_row(&conv->state), rows = copied_rows(&conv->state);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t i = 0; i < rows; i++) {
		conv->kernels->widen(in, x + source_row(&conv->state, i) * in, conv->zero, copy + i * row);
		if (in % 2)
			copy[i * row + in] = 0;
	}
}

void oq_tap_i8_run(const oq_tap_i8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads)
{
	if (conv->bytes) {
		oq_tap_u8_run(conv->bytes, x, epilogue, scratch, threads);
		return;
	}
	const struct tap_finish finish = {.conv = conv, .epilogue = epilogue};
	int16_t *copy = copy_in(scratch, threads);
	tap_call call = {.state = &conv->state, .x = copy, .row = copied_row(&conv->state), .rows = voxels_of(conv->shape.out), .finish = &finish};
	call.block = block_rows(call.rows, conv->state.k);
	widen_input(conv, x, copy, threads);
	multiply(&call, scratch, threads);
}
