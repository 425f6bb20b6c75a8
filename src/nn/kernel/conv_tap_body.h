/* Convolution as one matrix product per kernel tap, over the voxels where that tap meets real input: padding is never
 * multiplied (at 3x3x3 voxels that saves more than half), and every weight is read once per call while the map is small.
 * An output's chain runs over taps in ascending order, and in each over input channels in ascending order, through
 * accumulators in scratch; blocking and threads only decide when a link is added, never the order.
 * The including file defines INPUT, WEIGHT and TOTAL, the elements of the input's rows, of the packed weights and of the accumulators (four
 * bytes), KERNEL, the micro-kernel's type, and, behind this, what is declared here only: struct tap_finish, add_product(), finish_rows(). */
#include "conv_impl.h"

#include "core/mem.h"

#include <omp.h>
#include <string.h>

#define NR OQ_GEMM_NR
#define ROWS_MAX 252            /* output voxels per block: a multiple of the micro-kernels' 14 and 6 rows */
#define ROWS_MIN 28
#define ROWS_NEAR 56            /* rows at a time where one tap is all: their accumulators stay in L1 */
#define INPUT_BYTES (256 << 10) /* of input that a block should keep in L2 ... */
#define PANEL_BYTES (384 << 10) /* ... and of weights that are used for all blocks before the next are fetched */
#define K_BLOCK 512             /* input channels per micro-kernel call: a 64 KiB piece of a panel, reused from L2 by all rows of a block */
#define ALIAS_BYTES 4096        /* rows that far apart share a set of L1, and 14 of them are more than its ways */
#define APART_BYTES 64          /* what takes them apart */

typedef struct tap {
	int64_t index;     /* among those of its kernel */
	int64_t at[3];     /* kernel position minus padding: input = output*stride + at */
	int64_t low, high; /* output w for which the input w is real */
} tap;

typedef struct tap_state {
	const oq_conv_shape *shape; /* of whom owns this */
	int64_t panels, taps, k;
	tap *list;         /* the taps that meet real input at all */
	WEIGHT *weights;   /* [panel][tap][k][32], out_channels padded with zeros */
	size_t weight_bytes;
	KERNEL *multiply;
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

/* ---- Geometry ---- */

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
	t->index = index;
	for (int i = 0; i < 3; i++) {
		t->at[i] = position[i] * oq_conv_dilation(s, i) - s->pad_low[i];
		real_range(s, i, t->at[i], &t->low, &t->high); /* the last axis' range stays */
		real = real && t->low < t->high;
	}
	return real;
}

static void classify(tap_state *state)
{
	const oq_conv_shape *s = state->shape;
	bool whole = true;
	for (int i = 0; i < 3; i++) {
		whole = whole && s->kernel[i] == 1 && s->pad_low[i] == 0 && (s->out[i] - 1) * s->stride[i] < s->in[i];
		state->gather = state->gather || s->out[i] != s->in[i] || (s->out[i] > 1 && s->stride[i] != 1);
	}
	state->pointwise = whole;
	state->gather = whole && state->gather;
}

/* Lists the taps and allocates the weights, which the caller packs; `k` may be more than the input channels. */
static oq_status plan_taps(tap_state *state, const oq_conv_shape *shape, int64_t k, oq_error *err)
{
	int64_t volume = voxels_of(shape->kernel);
	*state = (tap_state){.shape = shape, .panels = ceil_div(shape->out_channels, NR), .k = k, .list = oq_calloc((size_t)volume, sizeof *state->list)};
	if (!state->list)
		return oq_fail_memory(err, "convolution", (size_t)volume * sizeof *state->list);
	for (int64_t i = 0; i < volume; i++)
		state->taps += tap_at(shape, i, &state->list[state->taps]);
	classify(state);
	state->weight_bytes = (size_t)(state->panels * state->taps * k * NR) * sizeof(WEIGHT);
	state->weights = oq_alloc_aligned(state->weight_bytes);
	return state->weights ? OQ_OK : oq_fail_memory(err, "convolution", state->weight_bytes);
}

static void release_taps(tap_state *state)
{
	oq_free(state->list);
	oq_free_aligned(state->weights);
}

/* ---- Running ---- */

/* Elements from one copied row to the next. */
static int64_t copied_row(const tap_state *state)
{
	return state->pad_rows ? state->k + APART_BYTES / (int64_t)sizeof(INPUT) : state->k;
}

static int64_t copied_rows(const tap_state *state)
{
	return voxels_of(state->pointwise ? state->shape->out : state->shape->in);
}

static size_t scratch_for(const tap_state *state, int64_t batch, int threads)
{
	size_t copy = (size_t)(batch * copied_rows(state) * copied_row(state)) * sizeof(INPUT), sums = (size_t)ROWS_MAX * NR * sizeof(TOTAL);
	return (size_t)threads * sums + copy;
}

/* Where copied rows begin in scratch: behind the accumulators of `threads`. */
static INPUT *copy_in(void *scratch, int threads)
{
	return (INPUT *)(void *)((unsigned char *)scratch + (size_t)threads * ROWS_MAX * NR * sizeof(TOTAL));
}

/* What the threads of one call share. */
typedef struct tap_call {
	const tap_state *state;
	const INPUT *x;      /* rows of input ... */
	int64_t row;         /* ... this many elements apart */
	int64_t rows, block; /* output rows of all patches; rows per block */
	const struct tap_finish *finish;
} tap_call;

/* The copied row `index`: from which input row it comes. */
static int64_t source_row(const tap_state *state, int64_t index)
{
	const oq_conv_shape *s = state->shape;
	if (!state->gather)
		return index;
	int64_t w = index % s->out[2], h = index / s->out[2] % s->out[1], d = index / (s->out[2] * s->out[1]) % s->out[0];
	int64_t patch = index / voxels_of(s->out);
	return ((patch * s->in[0] + d * s->stride[0]) * s->in[1] + h * s->stride[1]) * s->in[2] + w * s->stride[2];
}

/* The rows of one product: pointers to input rows and to their accumulators. */
typedef struct row_list {
	int64_t count;
	const INPUT *in[ROWS_MAX];
	TOTAL *sum[ROWS_MAX];
} row_list;

static void list_line(const INPUT *in, int64_t step, int64_t count, TOTAL *sum, row_list *list)
{
	for (int64_t i = 0; i < count; i++) {
		list->in[list->count] = in + i * step;
		list->sum[list->count++] = sum + i * NR;
	}
}

/* Output rows [first,last) that tap `t` serves, line by line. */
static void list_rows(const tap_call *call, const tap *t, int64_t first, int64_t last, TOTAL *sums, row_list *list)
{
	const oq_conv_shape *s = call->state->shape;
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
		const INPUT *in = call->x + (((patch * s->in[0] + d) * s->in[1] + h) * s->in[2] + low * s->stride[2] + t->at[2]) * call->row;
		list_line(in, call->row * s->stride[2], high - low, sums + (start + low - first) * NR, list);
	}
}

/* The including file's: one micro-kernel call for the listed rows and `k` channels, whose weights begin `at` elements behind the first; what
 * becomes of the accumulators of rows [first,last). */
static void add_product(const tap_call *call, const row_list *list, int64_t k, int64_t at, bool accumulate);
static void finish_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last, const TOTAL *sums);
/* Fetches what finish_rows() will read and write, with fetch_rows(). */
static void expect_rows(const tap_call *call, int64_t panel, int64_t first, int64_t last);

#define CACHE_LINE 64

/* `bytes` of each row of `stride` bytes: while the product is computed they come into L2 (rows a multiple of 4 KiB apart share a set of L1); no
 * prefetcher would ask for them, as each row is a jump. A prefetch never faults. */
static inline void fetch_rows(const void *rows, int64_t stride, int64_t count, int64_t bytes)
{
	const char *row = rows;
	for (int64_t i = 0; i < count; i++, row += stride)
		for (int64_t at = 0; at < bytes; at += CACHE_LINE)
			__builtin_prefetch(row + at, 0, 2);
}

/* One tap's product for the listed rows. K in blocks, after which the list is as it was. */
static void multiply_rows(const tap_call *call, row_list *list, int64_t weight, bool accumulate)
{
	int64_t k = call->state->k;
	if (k <= K_BLOCK) {
		add_product(call, list, k, weight, accumulate);
		return;
	}
	for (int64_t at = 0; at < k; at += K_BLOCK) {
		int64_t depth = at_most(K_BLOCK, k - at);
		add_product(call, list, depth, weight + at * NR, accumulate || at > 0);
		for (int64_t i = 0; i < list->count; i++)
			list->in[i] += at + depth < k ? depth : -at;
	}
}

/* Output rows [first,last) of panels [panel,end). */
static void run_taps(const tap_call *call, int64_t panel, int64_t end, int64_t first, int64_t last, TOTAL *sums)
{
	const tap_state *state = call->state;
	row_list list;
	for (; panel < end; panel++) {
		memset(sums, 0, (size_t)((last - first) * NR) * sizeof *sums);
		for (int64_t t = 0; t < state->taps; t++) {
			list_rows(call, &state->list[t], first, last, sums, &list);
			multiply_rows(call, &list, (panel * state->taps + t) * state->k * NR, true);
		}
		finish_rows(call, panel, first, last, sums);
	}
}

/* The same for a plain product: few rows at a time, so that they are finished while in L1. */
static void run_pointwise(const tap_call *call, int64_t panel, int64_t end, int64_t first, int64_t last, TOTAL *sums)
{
	row_list list;
	for (int64_t r = first; r < last; r += ROWS_NEAR) {
		int64_t stop = at_most(r + ROWS_NEAR, last);
		list_rows(call, call->state->list, r, stop, sums, &list);
		for (int64_t p = panel; p < end; p++) {
			expect_rows(call, p, r, stop);
			multiply_rows(call, &list, p * call->state->k * NR, false);
			finish_rows(call, p, r, stop, sums);
		}
	}
}

/* Blocks of nearly equal size, as large as keeps their input in L2. */
static int64_t block_rows(int64_t rows, int64_t k)
{
	int64_t most = INPUT_BYTES / (int64_t)sizeof(INPUT) / k;
	most = most < ROWS_MIN ? ROWS_MIN : at_most(most, ROWS_MAX);
	int64_t even = ceil_div(ceil_div(rows, ceil_div(rows, most)), 14) * 14;
	return at_most(even, ROWS_MAX);
}

/* Panels that a thread takes together, so that their weights are read once for all blocks: as many as leave every thread
 * about the same to do. */
static int64_t group_panels(const tap_call *call, int64_t blocks, int threads)
{
	int64_t bytes = call->state->taps * call->state->k * NR * (int64_t)sizeof(WEIGHT), panels = call->state->panels;
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

static void multiply(const tap_call *call, TOTAL *sums, int threads)
{
	int64_t blocks = ceil_div(call->rows, call->block), group = group_panels(call, blocks, threads);
	int64_t groups = ceil_div(call->state->panels, group);
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t job = 0; job < groups * blocks; job++) {
		int64_t first = job % blocks * call->block, last = at_most(first + call->block, call->rows), panel = job / blocks * group;
		TOTAL *own = sums + (threads > 1 ? omp_get_thread_num() : 0) * ROWS_MAX * NR;
		(call->state->pointwise ? run_pointwise : run_taps)(call, panel, at_most(panel + group, call->state->panels), first, last, own);
	}
}
