/* Products over taps on bytes: runs what pack_u8.c has sorted into lists of steps (gemm_u8_isa.h). A zero point costs one addition a list. */
#include "conv_tap_u8.h"
#include "gemm_u8_isa.h"
#include "pack_u8.h"

#define INPUT uint8_t
#define WEIGHT int8_t
#define TOTAL int32_t
#define KERNEL oq_gemm_u8_bins_fn
#include "conv_tap_body.h"

#include <assert.h>

#define PARTS OQ_GEMM_U8_PARTS
#define PART OQ_GEMM_U8_PART

static_assert(K_BLOCK / 4 <= OQ_U8_BLOCK_MAX, "a block of channels is one list");

struct oq_tap_u8 {
	oq_conv_shape shape;
	oq_isa isa;
	tap_state state; /* its weights are packed here and then kept in `packed` only */
	oq_u8_packed packed;
	int64_t blocks; /* of channels, per tap */
};

struct tap_finish {
	const oq_tap_u8 *conv;
	const oq_conv_i8_epilogue *epilogue;
};

/* Adds modulo 2^32: a zero point's part may leave the range on the way to a sum within it. */
static uint32_t list_sum(const oq_gemm_u8_call *call, const oq_gemm_u8_list *list, const uint8_t *a, int column)
{
	int64_t steps = list->bins[0] + 2 * list->bins[1] + 3 * list->bins[2] + 4 * list->bins[3];
	uint32_t sum = (uint32_t)list->start[column];
	for (int64_t s = list->first; s < list->first + steps; s++)
		for (int i = 0; i < 4; i++)
			sum += (uint32_t)(a[call->at[s] + i] * call->b[s * OQ_GEMM_U8_STEP + 4 * column + i]);
	return sum;
}

void oq_gemm_u8_bins_plain(const oq_gemm_u8_call *call)
{
	for (int64_t r = 0; r < call->rows; r++)
		for (int j = 0; j < NR; j++) {
			uint32_t sum = list_sum(call, &call->lists[j / PART], call->a[r], j % PART);
			call->c[r][j] = (int32_t)(sum + (call->accumulate ? (uint32_t)call->c[r][j] : 0));
		}
}

/* Weights [out][in][taps] as [tap][four channels][32][4]. */
static void gather_panel(const tap_state *state, int64_t panel, const int8_t *codes, int8_t *packed)
{
	const oq_conv_shape *s = state->shape;
	int64_t volume = voxels_of(s->kernel), columns = at_most(NR, s->out_channels - panel * NR);
	memset(packed, 0, (size_t)(state->taps * state->k * NR));
	for (int64_t j = 0; j < columns; j++)
		for (int64_t t = 0; t < state->taps; t++) {
			const int8_t *from = codes + (panel * NR + j) * state->k * volume + state->list[t].index;
			int8_t *to = packed + t * state->k * NR + 4 * j;
			for (int64_t i = 0; i < state->k; i++)
				to[i / 4 * 4 * NR + i % 4] = from[i * volume];
		}
}

static oq_status pack(oq_tap_u8 *conv, const oq_conv_i8_desc *desc, bool *worth, oq_error *err)
{
	tap_state *state = &conv->state;
	OQ_TRY(plan_taps(state, &conv->shape, conv->shape.in_channels, err));
	int64_t panel = state->taps * state->k * NR;
	conv->blocks = ceil_div(state->k, K_BLOCK);
#pragma omp parallel for
	for (int64_t p = 0; p < state->panels; p++)
		gather_panel(state, p, desc->codes, state->weights + p * panel);
	const oq_u8_dense dense = {.weights = state->weights, .products = state->panels * state->taps, .steps = state->k / 4, .block = K_BLOCK / 4,
		.zero = desc->zero};
	oq_status status = oq_u8_pack(&dense, &conv->packed, worth, err);
	oq_free_aligned(state->weights);
	state->weights = NULL;
	state->weight_bytes = conv->packed.bytes;
	return status;
}

static oq_gemm_u8_bins_fn *kernel_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX2)
		return oq_gemm_u8_bins_avx2;
#endif
	return isa == OQ_ISA_PLAIN ? oq_gemm_u8_bins_plain : NULL;
}

oq_status oq_tap_u8_create(const oq_conv_i8_desc *desc, oq_tap_u8 **out, oq_error *err)
{
	*out = NULL;
	if (desc->shape.in_channels % 4 || !kernel_for(desc->isa))
		return OQ_OK;
	oq_tap_u8 *conv = oq_calloc(1, sizeof *conv);
	if (!conv)
		return oq_fail_memory(err, "convolution", sizeof *conv);
	*conv = (oq_tap_u8){.shape = desc->shape, .isa = desc->isa};
	bool worth = false;
	oq_status status = pack(conv, desc, &worth, err);
	conv->state.multiply = kernel_for(desc->isa);
	if (status == OQ_OK && worth)
		*out = conv;
	else
		oq_tap_u8_free(conv);
	return status;
}

void oq_tap_u8_free(oq_tap_u8 *conv)
{
	if (!conv)
		return;
	release_taps(&conv->state);
	oq_u8_release(&conv->packed);
	oq_free(conv);
}

double oq_tap_u8_cost(const oq_tap_u8 *conv)
{
	return conv->packed.cost;
}

size_t oq_tap_u8_weight_bytes(const oq_tap_u8 *conv)
{
	return conv->state.weight_bytes;
}

size_t oq_tap_u8_scratch_bytes(const oq_tap_u8 *conv, int threads)
{
	return scratch_for(&conv->state, 1, threads);
}

/* ---- Running ---- */

static void add_product(const tap_call *call, const row_list *list, int64_t k, int64_t at, bool accumulate)
{
	const oq_tap_u8 *conv = call->finish->conv;
	int64_t channel = at / NR, product = channel / call->state->k, block = channel % call->state->k / K_BLOCK;
	(void)k; /* the lists know */
	const oq_gemm_u8_call one = {.rows = list->count, .a = list->in, .lists = conv->packed.lists + (product * conv->blocks + block) * PARTS,
		.b = conv->packed.weights, .at = conv->packed.at, .c = list->sum, .accumulate = accumulate};
	call->state->multiply(&one);
}

static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const int32_t *sums)
{
	oq_tap_finish(call->finish->conv->isa, call->finish->epilogue, call->state->shape->out_channels, panel, first, last, sums);
}

static void expect_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last)
{
	oq_tap_expect(call->finish->epilogue, call->state->shape->out_channels, panel, first, last);
}

void oq_tap_u8_run(const oq_tap_u8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads)
{
	const tap_state *state = &conv->state;
	const struct tap_finish finish = {.conv = conv, .epilogue = epilogue};
	tap_call call = {.state = state, .x = x, .row = state->k, .rows = voxels_of(conv->shape.out), .finish = &finish};
	call.block = block_rows(call.rows, state->k);
	if (state->gather) {
		uint8_t *copy = copy_in(scratch, threads);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
		for (int64_t i = 0; i < copied_rows(state); i++)
			memcpy(copy + i * state->k, x + source_row(state, i) * state->k, (size_t)state->k);
		call.x = copy;
	}
	multiply(&call, scratch, threads);
}
