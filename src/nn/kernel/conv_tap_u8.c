/* Every pair of weights is split into one whose products cannot saturate and, where needed, what is left of it; steps of four channels with any
 * such rest are multiplied once more, by the rests (gemm_u8_isa.h). Of astra's trained weights a twentieth of the steps need it. */
#include "conv_tap_u8.h"
#include "gemm_u8_isa.h"

#define INPUT uint8_t
#define WEIGHT int8_t
#define TOTAL int32_t
#define KERNEL oq_gemm_u8_pairs_fn
#include "conv_tap_body.h"

#define PARTS OQ_GEMM_U8_PARTS
#define COLUMNS OQ_GEMM_U8_PART
#define PART (4 * COLUMNS) /* weights of a part's step */
#define EXTRA_PERCENT 33   /* of all steps: with more of them products of 16 bits are as fast */

/* The extra steps of one part (8 columns) of all panels; steps are counted through all panels and taps. */
typedef struct rest {
	int32_t *before; /* [steps + 1]: extra steps before a step */
	int32_t *step;   /* [extra steps] */
	int8_t *weights; /* [extra steps][8][4] */
} rest;

struct oq_tap_u8 {
	oq_conv_shape shape;
	oq_isa isa;
	tap_state state;
	rest rests[PARTS];
};

struct tap_finish {
	const oq_tap_u8 *conv;
	const oq_conv_i8_epilogue *epilogue;
};

void oq_gemm_u8_pairs_plain(const oq_gemm_u8_call *call)
{
	for (int64_t r = 0; r < call->rows; r++)
		for (int64_t j = 0; j < NR; j++) {
			const oq_gemm_u8_extra *extra = &call->extra[j / COLUMNS];
			int32_t sum = call->accumulate ? call->c[r][j] : 0;
			for (int64_t k = 0; k < 4 * call->steps; k++)
				sum += call->a[r][k] * call->b[(k / 4 * NR + j) * 4 + k % 4];
			for (int64_t k = 0; k < 4 * extra->count; k++)
				sum += call->a[r][4 * (extra->step[k / 4] - call->first) + k % 4] * extra->b[k / 4 * PART + j % COLUMNS * 4 + k % 4];
			call->c[r][j] = sum;
		}
}

/* ---- Weights ---- */

/* What a pair has beyond the range goes to `left`; true when there is any. */
static bool split_pair(int8_t *pair, int8_t *left)
{
	int above = (pair[0] > 0 ? pair[0] : 0) + (pair[1] > 0 ? pair[1] : 0) - OQ_GEMM_U8_PAIR;
	int below = (pair[0] < 0 ? pair[0] : 0) + (pair[1] < 0 ? pair[1] : 0) + OQ_GEMM_U8_PAIR;
	int beyond = above > 0 ? above : below < 0 ? below : 0; /* both weights have its sign, and it is within -128 and 126 */
	left[0] = (int8_t)(beyond > 0 ? (beyond < pair[0] ? beyond : pair[0]) : beyond > pair[0] ? beyond : pair[0] < 0 ? pair[0] : 0);
	left[1] = (int8_t)(beyond - left[0]);
	pair[0] = (int8_t)(pair[0] - left[0]);
	pair[1] = (int8_t)(pair[1] - left[1]);
	return beyond != 0;
}

/* Splits the columns of one step in place. */
static bool split_step(int8_t *weights, int8_t left[PART])
{
	bool any = false;
	for (int i = 0; i < PART; i += 2)
		any = split_pair(weights + i, left + i) || any;
	return any;
}

static int64_t step_count(const tap_state *state)
{
	return state->panels * state->taps * state->k / 4;
}

/* The rests of one part, in two rounds: counted, then kept. False: too many. */
static oq_status split_part(tap_state *state, int part, rest *r, bool *few, oq_error *err)
{
	int64_t steps = step_count(state), count = 0;
	int8_t left[PART], copy[PART];
	r->before = oq_alloc((size_t)(steps + 1) * sizeof *r->before);
	if (!r->before)
		return oq_fail_memory(err, "convolution", (size_t)(steps + 1) * sizeof *r->before);
	for (int64_t s = 0; s < steps; s++) {
		memcpy(copy, state->weights + (PARTS * s + part) * PART, sizeof copy);
		r->before[s] = (int32_t)count;
		count += split_step(copy, left);
	}
	r->before[steps] = (int32_t)count;
	*few = 100 * count <= EXTRA_PERCENT * steps;
	if (!*few)
		return OQ_OK;
	r->step = oq_alloc((size_t)(count + 1) * sizeof *r->step);
	r->weights = oq_alloc_aligned((size_t)(count + 1) * PART);
	if (!r->step || !r->weights)
		return oq_fail_memory(err, "convolution", (size_t)(count + 1) * PART);
	state->weight_bytes += (size_t)count * (PART + sizeof *r->step) + (size_t)steps * sizeof *r->before;
	for (int64_t s = 0; s < steps; s++) {
		split_step(state->weights + (PARTS * s + part) * PART, left);
		if (r->before[s + 1] > r->before[s]) {
			r->step[r->before[s]] = (int32_t)s;
			memcpy(r->weights + r->before[s] * PART, left, sizeof left);
		}
	}
	return OQ_OK;
}

/* Weights [out][in][taps] as [tap][four channels][32][4]. */
static void pack_panel(const tap_state *state, int64_t panel, const int8_t *codes, int8_t *packed)
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

static oq_status pack(oq_tap_u8 *conv, const int8_t *codes, bool *few, oq_error *err)
{
	tap_state *state = &conv->state;
	OQ_TRY(plan_taps(state, &conv->shape, conv->shape.in_channels, err));
	int64_t panel = state->taps * state->k * NR;
	*few = step_count(state) < INT32_MAX;
#pragma omp parallel for
	for (int64_t p = 0; p < state->panels; p++)
		pack_panel(state, p, codes, state->weights + p * panel);
	for (int part = 0; part < PARTS && *few; part++)
		OQ_TRY(split_part(state, part, &conv->rests[part], few, err));
	return OQ_OK;
}

static oq_gemm_u8_pairs_fn *kernel_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX2)
		return oq_gemm_u8_pairs_avx2;
#endif
	return isa == OQ_ISA_PLAIN ? oq_gemm_u8_pairs_plain : NULL;
}

oq_status oq_tap_u8_create(const oq_conv_i8_desc *desc, oq_tap_u8 **out, oq_error *err)
{
	*out = NULL;
	if (desc->zero || desc->shape.in_channels % 4 || !kernel_for(desc->isa))
		return OQ_OK;
	oq_tap_u8 *conv = oq_calloc(1, sizeof *conv);
	if (!conv)
		return oq_fail_memory(err, "convolution", sizeof *conv);
	*conv = (oq_tap_u8){.shape = desc->shape, .isa = desc->isa};
	bool few = false;
	oq_status status = pack(conv, desc->codes, &few, err);
	conv->state.multiply = kernel_for(desc->isa);
	if (status == OQ_OK && few)
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
	for (int part = 0; part < PARTS; part++) {
		oq_free(conv->rests[part].before);
		oq_free(conv->rests[part].step);
		oq_free_aligned(conv->rests[part].weights);
	}
	oq_free(conv);
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

static void add_product(const tap_call *call, const row_list *list, int64_t k, const int8_t *weights, bool accumulate)
{
	int64_t first = (weights - call->state->weights) / (PARTS * PART);
	oq_gemm_u8_call product = {.rows = list->count, .steps = k / 4, .a = list->in, .b = weights, .first = (int32_t)first, .c = list->sum,
		.accumulate = accumulate};
	for (int part = 0; part < PARTS; part++) {
		const rest *r = &call->finish->conv->rests[part];
		int32_t from = r->before[first];
		product.extra[part] = (oq_gemm_u8_extra){.count = r->before[first + k / 4] - from, .step = r->step + from, .b = r->weights + (int64_t)from * PART};
	}
	call->state->multiply(&product);
}

static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const int32_t *sums)
{
	oq_tap_finish(call->finish->conv->isa, call->finish->epilogue, call->state->shape->out_channels, panel, first, last, sums);
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
