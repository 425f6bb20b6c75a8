/* Winograd convolution F(2x2x2, 3x3x3), 64 products for 8 outputs instead of 216, and F(4x4x4, 3x3x3), 216 for 64 instead of 1728.
 * Tiles are worked on in blocks, so that the transformed input of a block stays in the caches while every panel of weights passes
 * over it. Refuses anything but 3x3x3 kernels of stride 1 with one voxel of padding. Lavin & Gray, Fast Algorithms for Convolutional
 * Neural Networks, CVPR 2016; on points: Barabasz et al., Error Analysis and Improving the Accuracy of Winograd Convolution, 2018. */
#include "conv_impl.h"
#include "kernel/gemm_dot.h"
#include "winograd_isa.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* The plain twin: one rounding of a*b + c in each lane. */
#define LANES 4
typedef float four __attribute__((vector_size(16)));
static inline four madd(four a, four b, four c)
{
	return (four){fmaf(a[0], b[0], c[0]), fmaf(a[1], b[1], c[1]), fmaf(a[2], b[2], c[2]), fmaf(a[3], b[3], c[3])};
}
#define MADD madd
#define WINOGRAD_TABLE oq_winograd_plain
#include "winograd_body.h"

#define POSITIONS_MOST (EDGE_MOST * EDGE_MOST * EDGE_MOST)
#define NR OQ_GEMM_NR
#define BLOCK_MOST 28 /* tiles */
#define LINE 16       /* floats of a cache line */

typedef struct winograd_state {
	int edge;         /* of an input tile: 4 or 6 */
	int64_t positions, outs; /* edge^3 products of a tile; edge-2 outputs along an axis */
	float *weights;   /* [position][panel][in][32] */
	uint16_t *narrow; /* or this, bfloat16: [position][panel][in/2][32][2] */
	oq_gemm_dot_fn *dot; /* and its products */
	double *voxels;   /* of each tile of a patch that lie inside */
	int64_t panels;
	oq_tiles grid;
	int64_t block;    /* tiles */
	int64_t row;      /* floats between positions of a block's input: odd in cache lines, against aliasing */
} winograd_state;

static bool supports(const oq_conv_shape *s)
{
	for (int i = 0; i < 3; i++)
		if (s->kernel[i] != 3 || s->stride[i] != 1 || s->pad_low[i] != 1 || s->out[i] != s->in[i])
			return false;
	return (s->in_type == OQ_F32 || s->in_type == OQ_BF16) && (s->out_type == OQ_F32 || s->out_type == OQ_BF16);
}

#define P2 ((double)P * (double)P)
#define Q2 ((double)Q * (double)Q)
#define POINT(X, N) {1 / (N), (X) / (N), (X) * (X) / (N)}

/* G, a row per position along an axis: powers of the point, over the product of its distances from the others. */
static const double filter_2[4][3] = {{1, 0, 0}, {0.5, 0.5, 0.5}, {0.5, -0.5, 0.5}, {0, 0, 1}};
static const double filter_4[6][3] = {{1 / (P2 * Q2), 0, 0}, POINT((double)P, 2 * P2 * (P2 - Q2)), POINT(-(double)P, 2 * P2 * (P2 - Q2)),
	POINT((double)Q, 2 * Q2 * (Q2 - P2)), POINT(-(double)Q, 2 * Q2 * (Q2 - P2)), {0, 0, 1}};

/* G along the first axis of in [3][rest], which becomes the last: out [rest][edge]. */
static void turn_filter(int edge, const double *in, int rest, double *out)
{
	const double (*g)[3] = edge == 4 ? filter_2 : filter_4;
	for (int r = 0; r < rest; r++)
		for (int e = 0; e < edge; e++)
			out[r * edge + e] = g[e][0] * in[r] + g[e][1] * in[rest + r] + g[e][2] * in[2 * rest + r];
}

/* [kd][kh][kw] to [d][h][w] positions, in double: three turns bring the axes back to their order. */
static void transform_filter(int edge, const float g[27], double out[POSITIONS_MOST])
{
	double in[27], a[9 * EDGE_MOST], b[3 * EDGE_MOST * EDGE_MOST];
	for (int i = 0; i < 27; i++)
		in[i] = (double)g[i];
	turn_filter(edge, in, 9, a);
	turn_filter(edge, a, 3 * edge, b);
	turn_filter(edge, b, edge * edge, out);
}

/* One input channel of a panel, gathered first: the positions lie far apart. */
static void pack_row(const winograd_state *s, const oq_conv_shape *shape, const float *weights, int64_t panel, int64_t i)
{
	float row[POSITIONS_MOST][NR] = {{0}};
	int64_t in = shape->in_channels, left = shape->out_channels - panel * NR;
	for (int64_t o = 0; o < NR && o < left; o++) {
		double turned[POSITIONS_MOST];
		transform_filter(s->edge, weights + ((panel * NR + o) * in + i) * 27, turned);
		for (int64_t p = 0; p < s->positions; p++)
			row[p][o] = (float)turned[p];
	}
	for (int64_t p = 0; p < s->positions; p++) {
		int64_t first = (p * s->panels + panel) * in * NR;
		if (s->weights)
			memcpy(s->weights + first + i * NR, row[p], sizeof row[p]);
		for (int64_t o = 0; s->narrow && o < NR; o++)
			s->narrow[first + (i / 2 * NR + o) * 2 + i % 2] = oq_f32_to_bf16(row[p][o]);
	}
}

static void pack(const winograd_state *s, const oq_conv_shape *shape, const float *weights)
{
#pragma omp parallel for collapse(2)
	for (int64_t panel = 0; panel < s->panels; panel++)
		for (int64_t i = 0; i < shape->in_channels; i++)
			pack_row(s, shape, weights, panel, i);
}

/* A block is one or two heights of the AVX-512 micro-kernel: small enough for its transformed data to stay near L2 (of 14, 28, 56 and 112
 * tiles these were the fastest), larger where each pass over the weights costs more. */
static int64_t block_tiles(int64_t tiles, int64_t in)
{
	int64_t block = in < 96 ? 14 : BLOCK_MOST;
	return block < tiles ? block : tiles;
}

/* First voxel of a tile's outputs; returns its patch. */
static int64_t locate(const oq_tiles *grid, int64_t tile, int64_t at[3])
{
	oq_tile_at(grid, tile % grid->total, at);
	return tile / grid->total;
}

static void count_voxels(const winograd_state *s, const int64_t size[3])
{
	for (int64_t t = 0; t < s->grid.total; t++) {
		int64_t at[3], voxels = 1;
		locate(&s->grid, t, at);
		for (int i = 0; i < 3; i++)
			voxels *= size[i] - at[i] < s->outs ? size[i] - at[i] : s->outs;
		s->voxels[t] = (double)voxels;
	}
}

/* Floats between positions of `values` floats: whole cache lines, and an odd number of them. */
static int64_t odd_lines(int64_t values)
{
	return ((values + LINE - 1) / LINE | 1) * LINE;
}

static oq_status create(int edge, bool narrow, oq_conv *conv, const float *weights, oq_error *err)
{
	const oq_conv_shape *shape = &conv->shape;
	winograd_state *s = conv->state = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, "convolution", sizeof *s);
	s->edge = edge;
	s->outs = edge - 2;
	s->positions = edge * edge * edge;
	s->panels = (shape->out_channels + NR - 1) / NR;
	const oq_box whole = oq_box_of(shape->out);
	s->grid = oq_box_tiles(&whole, s->outs);
	s->block = block_tiles(s->grid.total, shape->in_channels);
	s->row = odd_lines(s->block * shape->in_channels / (narrow ? 2 : 1));
	size_t bytes = (size_t)s->grid.total * sizeof *s->voxels;
	if (!(s->voxels = oq_alloc(bytes)))
		return oq_fail_memory(err, "convolution", bytes);
	count_voxels(s, shape->out);
	const int64_t extents[4] = {s->positions, s->panels, shape->in_channels, NR};
	void *packed = oq_size_product(extents, 4, narrow ? sizeof *s->narrow : sizeof *s->weights, &bytes) ? oq_alloc_aligned(bytes) : NULL;
	if (!packed)
		return oq_fail_memory(err, "convolution", bytes);
	if (narrow)
		s->narrow = packed;
	else
		s->weights = packed;
	pack(s, shape, weights);
	return OQ_OK;
}

static oq_status create_f2(oq_conv *conv, const float *weights, oq_error *err)
{
	return create(4, false, conv, weights, err);
}

static oq_status create_f4(oq_conv *conv, const float *weights, oq_error *err)
{
	return create(6, false, conv, weights, err);
}

/* The instruction where this processor has it and the caller does not forbid it; the twin has its bits. */
static oq_status create_f2_bf16(oq_conv *conv, const float *weights, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	OQ_TRY(create(4, true, conv, weights, err));
	winograd_state *s = conv->state;
	s->dot = oq_gemm_bf16_kernel(cpu.avx512_bf16 && conv->isa == OQ_ISA_AVX512);
	s->dot = s->dot ? s->dot : oq_gemm_bf16_plain;
	return OQ_OK;
}

static void release(oq_conv *conv)
{
	winograd_state *s = conv->state;
	if (s) {
		oq_free_aligned(s->weights);
		oq_free_aligned(s->narrow);
		oq_free(s->voxels);
	}
	oq_free(s);
}

static size_t weight_bytes(const oq_conv *conv)
{
	const winograd_state *s = conv->state;
	return (size_t)(s->positions * s->panels * conv->shape.in_channels * NR) * (s->narrow ? sizeof *s->narrow : sizeof *s->weights);
}

static int64_t product_row(const winograd_state *s)
{
	return odd_lines(s->block * NR);
}

/* Of one thread: its block's transformed input and one panel's products. */
static int64_t thread_floats(const winograd_state *s)
{
	return s->positions * (s->row + product_row(s));
}

/* Of all tiles: mean and squares of each output channel. */
static int64_t moments_floats(const oq_conv *conv, int64_t batch)
{
	const winograd_state *s = conv->state;
	return conv->shape.moments ? batch * s->grid.total * 2 * conv->shape.out_channels : 0;
}

static size_t scratch_bytes(const oq_conv *conv, int64_t batch, int threads)
{
	return (size_t)(thread_floats(conv->state) * threads + moments_floats(conv, batch)) * sizeof(float);
}

typedef struct winograd_call {
	const oq_conv *conv;
	const winograd_state *state;
	const oq_winograd_kernels *kernels;
	const unsigned char *x;
	const oq_conv_prologue *prologue;
	const oq_conv_epilogue *epilogue;
	unsigned char *y;
	float *moments;                     /* [tile][2][out_channels], or NULL */
	oq_tiles grid;                      /* those of a patch that are wanted: all of them when there are moments */
	int64_t tiles, in_patch, out_patch; /* of all patches; values of one */
} winograd_call;

static void input_tile(const winograd_call *call, int64_t tile, int64_t place, float *input)
{
	const oq_conv_shape *shape = &call->conv->shape;
	bool narrow = call->state->narrow != NULL;
	oq_winograd_input t = {.channels = shape->in_channels, .prologue = call->prologue, .stride = call->state->row * (narrow ? 2 : 1),
		.out = input + place * shape->in_channels / (narrow ? 2 : 1)};
	int64_t patch = locate(&call->grid, tile, t.at);
	t.x = call->x + (size_t)(patch * call->in_patch) * oq_dtype_size(shape->in_type);
	for (int i = 0; i < 3; i++) {
		t.at[i]--; /* the padding */
		t.size[i] = shape->in[i];
	}
	call->kernels->input[narrow][shape->in_type == OQ_BF16](&t);
}

static void multiply_panel(const winograd_call *call, int64_t panel, int64_t tiles, const float *input, float *products)
{
	const winograd_state *s = call->state;
	int64_t in = call->conv->shape.in_channels, row = product_row(s);
	_Alignas(OQ_ALIGN) static const float zero[NR];
	const float *a[BLOCK_MOST];
	float *c[BLOCK_MOST];
	for (int64_t p = 0; p < s->positions && s->narrow; p++)
		s->dot(tiles, in / 2, input + p * s->row, in * (int64_t)sizeof *s->narrow, s->narrow + (p * s->panels + panel) * in * NR, zero,
			products + p * row, NR);
	for (int64_t p = 0; p < s->positions && s->weights; p++) {
		for (int64_t t = 0; t < tiles; t++) {
			a[t] = input + p * s->row + t * in;
			c[t] = products + p * row + t * NR;
		}
		call->conv->gemm(tiles, in, a, s->weights + (p * s->panels + panel) * in * NR, c, false);
	}
}

static void output_tiles(const winograd_call *call, int64_t panel, int64_t first, int64_t tiles, const float *products)
{
	const oq_conv_shape *shape = &call->conv->shape;
	int64_t left = shape->out_channels - panel * NR;
	for (int64_t t = 0; t < tiles; t++) {
		oq_winograd_output o = {.products = products + t * NR, .stride = product_row(call->state), .channels = shape->out_channels,
			.first = panel * NR, .count = left < NR ? left : NR, .outs = call->state->outs, .epilogue = call->epilogue,
			.voxels = (float)call->state->voxels[(first + t) % call->grid.total]};
		int64_t patch = locate(&call->grid, first + t, o.at);
		memcpy(o.size, shape->out, sizeof o.size);
		o.y = call->y + (size_t)(patch * call->out_patch) * oq_dtype_size(shape->out_type);
		o.residual = call->epilogue->residual ? call->epilogue->residual + patch * call->out_patch : NULL;
		o.moments = call->moments ? call->moments + (first + t) * 2 * shape->out_channels : NULL;
		call->kernels->output[shape->out_type == OQ_BF16](&o);
	}
}

/* Many blocks: each thread takes blocks of its own. */
static void run_blocks(const winograd_call *call, float *scratch, int threads)
{
	const winograd_state *s = call->state;
	int64_t blocks = (call->tiles + s->block - 1) / s->block;
#pragma omp parallel for num_threads(threads) if (threads > 1) schedule(dynamic)
	for (int64_t b = 0; b < blocks; b++) {
		float *input = scratch + (threads > 1 ? omp_get_thread_num() : 0) * thread_floats(s), *products = input + s->positions * s->row;
		int64_t first = b * s->block, tiles = call->tiles - first < s->block ? call->tiles - first : s->block;
		for (int64_t t = 0; t < tiles; t++)
			input_tile(call, first + t, t, input);
		for (int64_t p = 0; p < s->panels; p++) {
			multiply_panel(call, p, tiles, input, products);
			output_tiles(call, p, first, tiles, products);
		}
	}
}

/* Few blocks: the threads share each, first by tiles, then by panels. */
static void share_blocks(const winograd_call *call, float *scratch, int threads)
{
	const winograd_state *s = call->state;
	for (int64_t first = 0; first < call->tiles; first += s->block) {
		int64_t tiles = call->tiles - first < s->block ? call->tiles - first : s->block;
#pragma omp parallel num_threads(threads)
		{
			float *products = scratch + s->positions * s->row + omp_get_thread_num() * thread_floats(s);
#pragma omp for schedule(static)
			for (int64_t t = 0; t < tiles; t++)
				input_tile(call, first + t, t, scratch);
#pragma omp for schedule(dynamic)
			for (int64_t p = 0; p < s->panels; p++) {
				multiply_panel(call, p, tiles, scratch, products);
				output_tiles(call, p, first, tiles, products);
			}
		}
	}
}

static const oq_winograd_kernels *kernels_for(oq_isa isa, int edge)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return &oq_winograd_avx512[edge == 6];
	if (isa == OQ_ISA_AVX2)
		return &oq_winograd_avx2[edge == 6];
#endif
	(void)isa;
	return &oq_winograd_plain[edge == 6];
}

static void combine_moments(const winograd_call *call, int64_t batch, int threads)
{
	const winograd_state *s = call->state;
	const oq_conv_shape *shape = &call->conv->shape;
	int64_t outputs = shape->out_channels;
#pragma omp parallel for collapse(2) num_threads(threads) if (threads > 1) schedule(static)
	for (int64_t b = 0; b < batch; b++)
		for (int64_t p = 0; p < s->panels; p++) {
			oq_winograd_moments m = {.of_tiles = call->moments + b * s->grid.total * 2 * outputs, .voxels = s->voxels,
				.total = (double)(shape->out[0] * shape->out[1] * shape->out[2]), .tiles = s->grid.total, .channels = outputs,
				.first = p * NR, .last = p * NR + NR < outputs ? p * NR + NR : outputs, .mean = call->epilogue->moments + b * 2 * outputs};
			m.variance = m.mean + outputs;
			call->kernels->combine(&m);
		}
}

static void run(const oq_conv *conv, int64_t batch, const void *x, const oq_conv_prologue *prologue, const oq_conv_epilogue *epilogue, void *y,
	void *scratch, int threads)
{
	static const oq_conv_epilogue none = {.slope = 1.0f};
	const winograd_state *s = conv->state;
	const oq_conv_shape *shape = &conv->shape;
	int64_t voxels = shape->in[0] * shape->in[1] * shape->in[2];
	winograd_call call = {.conv = conv, .state = s, .kernels = kernels_for(conv->isa, s->edge), .x = x, .prologue = prologue,
		.epilogue = epilogue ? epilogue : &none, .y = y, .moments = shape->moments ? (float *)scratch + thread_floats(s) * threads : NULL,
		.grid = s->grid, .in_patch = voxels * shape->in_channels, .out_patch = voxels * shape->out_channels};
	if (call.epilogue->box && !call.moments)
		call.grid = oq_box_tiles(call.epilogue->box, s->outs);
	call.tiles = batch * call.grid.total;
	if (threads > 1 && call.tiles < 4 * threads * s->block)
		share_blocks(&call, scratch, threads);
	else
		run_blocks(&call, scratch, threads);
	if (call.moments)
		combine_moments(&call, batch, threads);
}

static bool supports_bf16(const oq_conv_shape *s)
{
	return supports(s) && s->in_channels % 2 == 0;
}

const oq_conv_ops oq_winograd_f2_bf16_ops = {supports_bf16, create_f2_bf16, release, weight_bytes, scratch_bytes, run};
const oq_conv_ops oq_winograd_f2_ops = {supports, create_f2, release, weight_bytes, scratch_bytes, run};
const oq_conv_ops oq_winograd_f4_ops = {supports, create_f4, release, weight_bytes, scratch_bytes, run};
