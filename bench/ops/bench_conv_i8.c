/* Times the exact integer Winograd convolution of codes against oneDNN's direct one, layer by layer, on the shapes of the networks served, on
 * one thread, weights hot (one copy) and cold (copies in rotation, more than the last cache holds, as in a network). The two take turns, and
 * processor time is what is measured: the machine may be shared. usage: bench_conv_i8 [NAME-PREFIX...]   (cap both with ONEDNN_MAX_CPU_ISA) */
#include "core/cpu.h"
#include "core/mem.h"
#include "direct.h"
#include "kernel/conv_i8.h"

#include <dnnl.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLD_BYTES ((size_t)96 << 20) /* of weights in rotation: three times a 32 MB last-level cache */
#define MAX_COPIES 64
#define ROUNDS 5
#define SECONDS 0.04 /* of each contestant per round */

typedef struct layer {
	const char *name;
	int64_t in, out, size[3];
	oq_dtype to;
} layer;

static const layer layers[] = {
	{"32>32@48 f32", 32, 32, {48, 48, 48}, OQ_F32},
	{"32>64@48 f32", 32, 64, {48, 48, 48}, OQ_F32},
	{"32>32@24 u8", 32, 32, {24, 24, 24}, OQ_U8},
	{"32>64@24 f32", 32, 64, {24, 24, 24}, OQ_F32},
	{"64>64@24 u8", 64, 64, {24, 24, 24}, OQ_U8},
	{"64>64@24x12x12 u8", 64, 64, {24, 12, 12}, OQ_U8},
	{"64>128@12 f32", 64, 128, {12, 12, 12}, OQ_F32},
	{"128>128@12 u8", 128, 128, {12, 12, 12}, OQ_U8},
	{"128>128@12x6x6 u8", 128, 128, {12, 6, 6}, OQ_U8},
	{"128>256@6 f32", 128, 256, {6, 6, 6}, OQ_F32},
	{"256>256@6 u8", 256, 256, {6, 6, 6}, OQ_U8},
	{"384>384@6 u8", 384, 384, {6, 6, 6}, OQ_U8},
	{"512>512@3 u8", 512, 512, {3, 3, 3}, OQ_U8},
	{"192>192@32 f32", 192, 192, {32, 32, 32}, OQ_F32},
	{"384>384@16 f32", 384, 384, {16, 16, 16}, OQ_F32},
	{"96>96@24 u8", 96, 96, {24, 24, 24}, OQ_U8},
	{"48>48@48 u8", 48, 48, {48, 48, 48}, OQ_U8},
};

typedef struct contest {
	const layer *layer;
	oq_conv_shape shape;
	oq_attributes attributes;
	oq_value src, dst;
	oq_weights weights;
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	oq_cpu cpu;
	void *x, *y, *scratch;
	oq_conv_i8 *own[MAX_COPIES];
	oq_direct *direct[MAX_COPIES];
	oq_direct_bound *bound[MAX_COPIES];
	int own_copies, direct_copies;
} contest;

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_conv_i8: %s failed\n", what);
	exit(1);
}

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void run_own(contest *c, int copy)
{
	const oq_conv_i8_epilogue e = {.scale = c->weights.scale, .bias = c->weights.bias, .slope = 0,
		.y = {.data = c->y, .dtype = c->dst.dtype, .scale = c->dst.scale, .zero = c->dst.zero}};
	oq_conv_i8_run(c->own[copy], c->x, &e, c->scratch, 1);
}

static void run_direct(contest *c, int copy)
{
	need(oq_direct_run(c->direct[copy], c->bound[copy], c->stream, "bench", NULL) == OQ_OK, "direct");
}

/* Milliseconds per call, `copies` sets of weights in rotation. */
static double time_calls(void (*run)(contest *c, int copy), contest *c, int copies)
{
	double best = INFINITY, end = now() + SECONDS;
	do {
		double start = now();
		for (int k = 0; k < copies; k++)
			run(c, k);
		best = fmin(best, (now() - start) / copies);
	} while (now() < end);
	return 1e3 * best;
}

static int copies_for(size_t bytes)
{
	size_t copies = COLD_BYTES / (bytes + 1) + 2;
	return copies > MAX_COPIES ? MAX_COPIES : (int)copies;
}

static void describe(contest *c)
{
	const layer *l = c->layer;
	c->shape = (oq_conv_shape){.in_channels = l->in, .out_channels = l->out};
	c->attributes = (oq_attributes){.groups = 1};
	for (int i = 0; i < 3; i++) {
		c->shape.in[i] = c->shape.out[i] = l->size[i];
		c->shape.kernel[i] = c->attributes.kernel[i] = 3;
		c->shape.stride[i] = c->attributes.stride[i] = c->attributes.dilation[i] = 1;
		c->shape.pad_low[i] = c->attributes.pad_low[i] = c->attributes.pad_high[i] = 1;
	}
	c->src = (oq_value){.dtype = OQ_U8, .scale = 0.02f, .zero = 0};
	c->dst = (oq_value){.dtype = l->to, .scale = 0.5f, .zero = 0};
}

static void fill(contest *c)
{
	int64_t voxels = c->layer->size[0] * c->layer->size[1] * c->layer->size[2];
	size_t weights = (size_t)(27 * c->layer->in * c->layer->out), inputs = (size_t)(voxels * c->layer->in);
	c->weights = (oq_weights){.out = c->layer->out, .per_out = (size_t)(27 * c->layer->in), .codes = oq_alloc(weights),
		.scale = oq_alloc((size_t)c->layer->out * 4), .bias = oq_calloc((size_t)c->layer->out, 4)};
	c->x = oq_alloc_aligned(inputs);
	c->y = oq_alloc_aligned((size_t)(voxels * c->layer->out) * 4);
	need(c->weights.codes && c->weights.scale && c->weights.bias && c->x && c->y, "allocation");
	for (size_t i = 0; i < weights; i++)
		c->weights.codes[i] = (int8_t)((int)(i * 2654435761u >> 7 & 127) - 63);
	for (size_t i = 0; i < inputs; i++)
		((uint8_t *)c->x)[i] = (uint8_t)(i * 2654435761u >> 9);
	for (int64_t o = 0; o < c->layer->out; o++)
		c->weights.scale[o] = 1e-4f;
}

static void make_own(contest *c)
{
	const oq_conv_i8_desc desc = {.shape = c->shape, .codes = c->weights.codes, .isa = c->cpu.isa, .vnni = c->cpu.avx512_vnni};
	for (c->own_copies = 0; c->own_copies == 0 || c->own_copies < copies_for(oq_conv_i8_weight_bytes(c->own[0])); c->own_copies++)
		need(oq_conv_i8_create(&desc, &c->own[c->own_copies], NULL) == OQ_OK && c->own[c->own_copies], "oq_conv_i8_create");
}

static void make_direct(contest *c)
{
	const oq_planner planner = {.threads = 1, .engine = c->engine};
	oq_direct_desc desc = {.where = "bench", .attributes = &c->attributes, .compute = OQ_I8, .src = &c->src, .dst = &c->dst, .weights = &c->weights};
	desc.in[0] = c->layer->in;
	desc.out[0] = c->layer->out;
	for (int i = 0; i < 3; i++)
		desc.in[1 + i] = desc.out[1 + i] = c->layer->size[i];
	for (c->direct_copies = 0; c->direct_copies == 0 || c->direct_copies < copies_for(oq_direct_weight_bytes(c->direct[0])); c->direct_copies++)
		need(oq_direct_create(&planner, &desc, &c->direct[c->direct_copies], NULL) == OQ_OK, "oq_direct_create");
	size_t own = oq_conv_i8_scratch_bytes(c->own[0], 1), theirs = oq_direct_scratch_bytes(c->direct[0]) + 64;
	c->scratch = oq_alloc_aligned(own > theirs ? own : theirs);
	need(c->scratch != NULL, "allocation");
	for (int k = 0; k < c->direct_copies; k++)
		need(oq_direct_bind(c->direct[k], c->x, c->y, NULL, c->scratch, &c->bound[k], NULL) == OQ_OK, "bind");
}

static void release(contest *c)
{
	for (int k = 0; k < c->own_copies; k++)
		oq_conv_i8_free(c->own[k]);
	for (int k = 0; k < c->direct_copies; k++) {
		oq_direct_unbind(c->bound[k]);
		oq_direct_free(c->direct[k]);
	}
	oq_weights_free(&c->weights);
	oq_free_aligned(c->x);
	oq_free_aligned(c->y);
	oq_free_aligned(c->scratch);
}

static void hold(contest *c)
{
	double best[4] = {INFINITY, INFINITY, INFINITY, INFINITY};
	describe(c);
	fill(c);
	make_own(c);
	make_direct(c);
	for (int round = 0; round < ROUNDS; round++) {
		best[0] = fmin(best[0], time_calls(run_direct, c, 1));
		best[1] = fmin(best[1], time_calls(run_own, c, 1));
		best[2] = fmin(best[2], time_calls(run_direct, c, c->direct_copies));
		best[3] = fmin(best[3], time_calls(run_own, c, c->own_copies));
	}
	double gop = 54e-9 * (double)(c->layer->in * c->layer->out) * (double)(c->layer->size[0] * c->layer->size[1] * c->layer->size[2]);
	printf("%-20s %9.3f %9.3f %6.2f %9.3f %9.3f %6.2f %7.0f %s\n", c->layer->name, best[0], best[1], best[1] / best[0], best[2], best[3], best[3] / best[2],
		1e3 * gop / best[3], oq_direct_implementation(c->direct[0]));
	fflush(stdout);
	release(c);
}

int main(int argc, char **argv)
{
	contest c = {0};
	omp_set_num_threads(1);
	oq_cpu_detect(&c.cpu);
	need(dnnl_engine_create(&c.engine, dnnl_cpu, 0) == dnnl_success && dnnl_stream_create(&c.stream, c.engine, dnnl_stream_default_flags) == dnnl_success,
		"oneDNN");
	printf("%-20s %9s %9s %6s %9s %9s %6s %7s\n", "ms", "direct", "own", "ratio", "cold", "own cold", "ratio", "Gop/s");
	for (size_t i = 0; i < sizeof layers / sizeof *layers; i++) {
		bool wanted = argc < 2;
		for (int k = 1; k < argc; k++)
			wanted = wanted || !strncmp(layers[i].name, argv[k], strlen(argv[k]));
		c.layer = &layers[i];
		if (wanted)
			hold(&c);
	}
	dnnl_stream_destroy(c.stream);
	dnnl_engine_destroy(c.engine);
	return 0;
}
