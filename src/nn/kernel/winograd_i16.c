/* The integer Winograd convolution behind kernel/conv_i8.h: packing, the check that it is exact, and blocks of tiles, so that the transformed
 * input of a block stays in the caches while every panel of weights passes over it. */
#include "conv_impl.h"
#include "gemm_i16_isa.h"
#include "winograd_i16_isa.h"

#include "core/mem.h"

#include <omp.h>
#include <stdlib.h>
#include <string.h>

/* The plain twin. */
#define BYTES 16
#define TABLE oq_w16_plain
#include "winograd_i16_body.h"

#define POSITIONS OQ_W16_POSITIONS
#define NR OQ_GEMM16_NR
#define TAPS 27
#define TWICE_MAX 16
#define TWICE_PART 8   /* of the input channels, so that what is multiplied twice costs little */
#define LINE 32        /* 16-bit elements of a cache line */
#define SUM_LIMIT ((int64_t)1 << 28) /* 8 times a sum below it is a signed number of 32 bits */

struct oq_conv_i8 {
	oq_conv_shape shape;
	int32_t zero;
	const oq_w16_kernels *kernels;
	oq_gemm_i16_fn *gemm;
	int16_t *weights;  /* [position][panel][pair][32][2] */
	size_t weight_bytes;
	int64_t panels, pairs;
	int64_t twice[TWICE_MAX]; /* input channels with a filter too wide for 16 bits: they come a second time behind the others */
	int64_t twice_count;
	int64_t block;     /* tiles */
	int64_t row, product_row; /* elements between positions of a block's input and of its products: odd in cache lines, against aliasing */
};

bool oq_conv_i8_supports(const oq_conv_shape *s)
{
	bool good = oq_conv_shape_valid(s);
	for (int i = 0; i < 3; i++)
		good = good && s->kernel[i] == 3 && s->stride[i] == 1 && s->pad_low[i] == 1 && s->out[i] == s->in[i];
	return good;
}

/* ---- Weights ---- */

/* G along the first axis of in [3][rest], which becomes the last: out [rest][5]. */
static void turn_filter(const int32_t *in, int rest, int32_t *out)
{
	for (int r = 0; r < rest; r++, out += EDGE) {
		int32_t a = in[r], b = in[rest + r], c = in[2 * rest + r];
		out[0] = 3 * a;
		out[1] = -(a + b + c);
		out[2] = -(a - b + c);
		out[3] = a + 2 * b + 4 * c;
		out[4] = 2 * c;
	}
}

/* [kd][kh][kw] to [d][h][w] positions: three turns bring the axes back to their order. */
static void transform_filter(const int8_t g[TAPS], int32_t out[POSITIONS])
{
	int32_t in[TAPS], a[9 * EDGE], b[3 * PLANE];
	for (int i = 0; i < TAPS; i++)
		in[i] = g[i];
	turn_filter(in, 9, a);
	turn_filter(a, 3 * EDGE, b);
	turn_filter(b, PLANE, out);
}

/* Whether no sum can leave the range, whatever the input. */
static bool sums_fit(const oq_conv_i8_desc *desc)
{
	int64_t per_out = desc->shape.in_channels * TAPS, most = desc->zero > 255 - desc->zero ? desc->zero : 255 - desc->zero;
	bool fit = true;
	for (int64_t o = 0; o < desc->shape.out_channels && fit; o++) {
		int64_t size = 0;
		for (int64_t i = 0; i < per_out; i++)
			size += abs(desc->codes[o * per_out + i]);
		fit = size * most < SUM_LIMIT;
	}
	return fit;
}

static bool is_narrow(const int32_t turned[POSITIONS])
{
	bool narrow = true;
	for (int p = 0; p < POSITIONS; p++)
		narrow = narrow && turned[p] >= -INT16_MAX && turned[p] <= INT16_MAX;
	return narrow;
}

/* False: more channels with wide filters than are worth it. */
static bool find_wide(oq_conv_i8 *conv, const int8_t *weights)
{
	int64_t in = conv->shape.in_channels, most = in / TWICE_PART < TWICE_MAX ? in / TWICE_PART : TWICE_MAX;
	for (int64_t i = 0; i < in; i++) {
		int32_t turned[POSITIONS];
		int64_t o = 0;
		do
			transform_filter(weights + (o * in + i) * TAPS, turned);
		while (is_narrow(turned) && ++o < conv->shape.out_channels);
		if (o == conv->shape.out_channels)
			continue;
		if (conv->twice_count == most)
			return false;
		conv->twice[conv->twice_count++] = i;
	}
	return true;
}

/* The filter of place `i` among the input channels, those that come twice included: a wide one is the sum of two halves, each of which fits. */
static void filter_at(const oq_conv_i8 *conv, const int8_t *weights, int64_t o, int64_t i, int32_t turned[POSITIONS])
{
	int64_t in = conv->shape.in_channels;
	bool again = i >= in;
	const int8_t *g = weights + (o * in + (again ? conv->twice[i - in] : i)) * TAPS;
	int8_t half[TAPS];
	transform_filter(g, turned);
	if (is_narrow(turned)) {
		if (again)
			memset(turned, 0, POSITIONS * sizeof *turned);
		return;
	}
	for (int t = 0; t < TAPS; t++)
		half[t] = (int8_t)(again ? g[t] - g[t] / 2 : g[t] / 2);
	transform_filter(half, turned);
}

/* Two input channels of a panel, gathered first: the positions lie far apart. */
static void pack_pair(const oq_conv_i8 *conv, const int8_t *weights, int64_t panel, int64_t pair)
{
	int16_t rows[POSITIONS][2 * NR] = {{0}};
	int64_t in = conv->shape.in_channels + conv->twice_count, left = conv->shape.out_channels - panel * NR;
	for (int64_t o = 0; o < NR && o < left; o++)
		for (int64_t i = 2 * pair; i < 2 * pair + 2 && i < in; i++) {
			int32_t turned[POSITIONS];
			filter_at(conv, weights, panel * NR + o, i, turned);
			for (int p = 0; p < POSITIONS; p++)
				rows[p][2 * o + i % 2] = (int16_t)turned[p];
		}
	for (int64_t p = 0; p < POSITIONS; p++)
		memcpy(conv->weights + ((p * conv->panels + panel) * conv->pairs + pair) * 2 * NR, rows[p], sizeof rows[p]);
}

static void pack(const oq_conv_i8 *conv, const int8_t *weights)
{
#pragma omp parallel for collapse(2)
	for (int64_t panel = 0; panel < conv->panels; panel++)
		for (int64_t pair = 0; pair < conv->pairs; pair++)
			pack_pair(conv, weights, panel, pair);
}

const oq_w16_kernels *oq_w16_kernels_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return &oq_w16_avx512;
	if (isa == OQ_ISA_AVX2)
		return &oq_w16_avx2;
#endif
	(void)isa;
	return &oq_w16_plain;
}

/* Half, one or two heights of the AVX-512 micro-kernel: small enough for a block's transformed data to stay in L2 beside a panel of weights,
 * larger where each pass over the weights costs more (of 7, 14, 28 and 42 tiles these were the fastest). */
static int64_t block_tiles(int64_t tiles, int64_t in)
{
	int64_t block = in < 64 ? 7 : in < 96 ? 14 : 28;
	return block < tiles ? block : tiles;
}

static void lay_out(oq_conv_i8 *conv)
{
	const oq_conv_shape *s = &conv->shape;
	conv->panels = (s->out_channels + NR - 1) / NR;
	conv->pairs = (s->in_channels + conv->twice_count + 1) / 2;
	const oq_box whole = oq_box_of(s->out);
	conv->block = block_tiles(oq_box_tiles(&whole, OUTS).total, s->in_channels);
	conv->row = ((conv->block * conv->pairs * 2 + LINE - 1) / LINE | 1) * LINE;
	conv->product_row = (conv->block * NR * 2 / LINE | 1) * LINE / 2;
}

oq_status oq_conv_i8_create(const oq_conv_i8_desc *desc, oq_conv_i8 **out, oq_error *err)
{
	*out = NULL;
	if (!oq_conv_i8_supports(&desc->shape) || desc->zero < 0 || desc->zero > 255)
		return oq_fail(err, OQ_E_INTERNAL, "E_CONV", "convolution of codes: cannot do this shape or zero point, expected one that oq_conv_i8_supports accepts");
	if (!sums_fit(desc))
		return OQ_OK;
	oq_conv_i8 *conv = oq_calloc(1, sizeof *conv);
	if (!conv)
		return oq_fail_memory(err, "convolution", sizeof *conv);
	*conv = (oq_conv_i8){.shape = desc->shape, .zero = desc->zero, .kernels = oq_w16_kernels_for(desc->isa), .gemm = oq_gemm_i16_kernel(desc->isa, desc->vnni)};
	if (!find_wide(conv, desc->codes)) {
		oq_conv_i8_free(conv);
		return OQ_OK;
	}
	lay_out(conv);
	const int64_t extents[4] = {POSITIONS, conv->panels, conv->pairs, 2 * NR};
	if (!oq_size_product(extents, 4, sizeof(int16_t), &conv->weight_bytes) || !(conv->weights = oq_alloc_aligned(conv->weight_bytes))) {
		size_t wanted = conv->weight_bytes;
		oq_conv_i8_free(conv);
		return oq_fail_memory(err, "convolution", wanted);
	}
	pack(conv, desc->codes);
	*out = conv;
	return OQ_OK;
}

void oq_conv_i8_free(oq_conv_i8 *conv)
{
	if (!conv)
		return;
	oq_free_aligned(conv->weights);
	oq_free(conv);
}

size_t oq_conv_i8_weight_bytes(const oq_conv_i8 *conv)
{
	return conv->weight_bytes;
}

/* ---- Running ---- */

/* A thread's scratch: its block's products of one panel, then its transformed input. */
static size_t product_bytes(const oq_conv_i8 *conv)
{
	return (size_t)(POSITIONS * conv->product_row) * sizeof(int32_t);
}

static size_t thread_bytes(const oq_conv_i8 *conv)
{
	return product_bytes(conv) + (size_t)(POSITIONS * conv->row) * sizeof(int16_t);
}

size_t oq_conv_i8_scratch_bytes(const oq_conv_i8 *conv, int threads)
{
	return thread_bytes(conv) * (size_t)threads;
}

typedef struct call_state {
	const oq_conv_i8 *conv;
	const uint8_t *x;
	const oq_conv_i8_epilogue *epilogue;
	unsigned char *scratch;
	oq_tiles tiles; /* that are wanted */
} call_state;

static int32_t *products_of(const call_state *call, int thread)
{
	return (int32_t *)(void *)(call->scratch + (size_t)thread * thread_bytes(call->conv));
}

static int16_t *input_of(const call_state *call, int thread)
{
	return (int16_t *)(void *)(call->scratch + (size_t)thread * thread_bytes(call->conv) + product_bytes(call->conv));
}

/* A tile's transformed channels that are multiplied twice, and a zero where they are odd in number. */
static void repeat_channels(const oq_conv_i8 *conv, int16_t *tile)
{
	int64_t in = conv->shape.in_channels, all = in + conv->twice_count;
	for (int64_t p = 0; p < POSITIONS; p++, tile += conv->row) {
		for (int64_t i = 0; i < conv->twice_count; i++)
			tile[in + i] = tile[conv->twice[i]];
		if (all % 2)
			tile[all] = 0;
	}
}

static void input_tile(const call_state *call, int64_t tile, int64_t place, int16_t *input)
{
	const oq_conv_i8 *conv = call->conv;
	oq_w16_input t = {.x = call->x, .channels = conv->shape.in_channels, .zero = conv->zero, .out = input + place * conv->pairs * 2, .stride = conv->row};
	oq_tile_at(&call->tiles, tile, t.at);
	for (int i = 0; i < 3; i++) {
		t.at[i]--; /* the padding */
		t.size[i] = conv->shape.in[i];
	}
	conv->kernels->input(&t);
	if (conv->twice_count)
		repeat_channels(conv, t.out);
}

static void multiply_panel(const oq_conv_i8 *conv, int64_t panel, int64_t tiles, const int16_t *input, int32_t *products)
{
	oq_gemm_i16_call g = {.rows = tiles, .pairs = conv->pairs, .a_stride = conv->pairs * 2, .c_stride = NR,
		.half = conv->shape.out_channels - panel * NR <= NR / 2};
	for (int64_t p = 0; p < POSITIONS; p++) {
		g.a = input + p * conv->row;
		g.b = conv->weights + (p * conv->panels + panel) * conv->pairs * 2 * NR;
		g.c = products + p * conv->product_row;
		conv->gemm(&g);
	}
}

static void output_tiles(const call_state *call, int64_t panel, int64_t first, int64_t tiles, const int32_t *products)
{
	const oq_conv_i8 *conv = call->conv;
	int64_t left = conv->shape.out_channels - panel * NR;
	oq_w16_output o = {.stride = conv->product_row, .channels = conv->shape.out_channels, .first = panel * NR, .count = left < NR ? left : NR,
		.epilogue = call->epilogue};
	memcpy(o.size, conv->shape.out, sizeof o.size);
	for (int64_t t = 0; t < tiles; t++) {
		o.products = products + t * NR;
		oq_tile_at(&call->tiles, first + t, o.at);
		conv->kernels->output(&o);
	}
}

static int64_t tiles_from(const call_state *call, int64_t first)
{
	return call->tiles.total - first < call->conv->block ? call->tiles.total - first : call->conv->block;
}

/* Many blocks: each thread takes blocks of its own. */
static void run_blocks(const call_state *call, int threads)
{
	const oq_conv_i8 *conv = call->conv;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic)
	for (int64_t first = 0; first < call->tiles.total; first += conv->block) {
		int thread = threads > 1 ? omp_get_thread_num() : 0;
		int64_t tiles = tiles_from(call, first);
		for (int64_t t = 0; t < tiles; t++)
			input_tile(call, first + t, t, input_of(call, thread));
		for (int64_t p = 0; p < conv->panels; p++) {
			multiply_panel(conv, p, tiles, input_of(call, thread), products_of(call, thread));
			output_tiles(call, p, first, tiles, products_of(call, thread));
		}
	}
}

/* Few blocks: the threads share each, first by tiles, then by panels. */
static void share_blocks(const call_state *call, int threads)
{
	const oq_conv_i8 *conv = call->conv;
	for (int64_t first = 0; first < call->tiles.total; first += conv->block) {
		int64_t tiles = tiles_from(call, first);
#pragma omp parallel num_threads(threads)
		{
			int32_t *products = products_of(call, omp_get_thread_num());
#pragma omp for schedule(static)
			for (int64_t t = 0; t < tiles; t++)
				input_tile(call, first + t, t, input_of(call, 0));
#pragma omp for schedule(dynamic)
			for (int64_t p = 0; p < conv->panels; p++) {
				multiply_panel(conv, p, tiles, input_of(call, 0), products);
				output_tiles(call, p, first, tiles, products);
			}
		}
	}
}

void oq_conv_i8_run(const oq_conv_i8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads)
{
	call_state call = {.conv = conv, .x = x, .epilogue = epilogue, .scratch = scratch};
	const oq_box whole = oq_box_of(conv->shape.out);
	call.tiles = oq_box_tiles(epilogue->box ? epilogue->box : &whole, OUTS);
	if (threads > 1 && call.tiles.total < 4 * threads * conv->block)
		share_blocks(&call, threads);
	else
		run_blocks(&call, threads);
}
