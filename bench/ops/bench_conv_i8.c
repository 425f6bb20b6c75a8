/* Times three exact convolutions of codes against each other, layer by layer, on the shapes of the networks served: oneDNN's direct one, the
 * integer Winograd one and products over taps; on one thread, weights hot (one copy) and cold (copies in rotation, more than the
 * last cache holds, as in a network). They take turns, and processor time is what is measured: the machine may be shared. Weights have 7 bits,
 * with which oneDNN is exact on every processor. usage: bench_conv_i8 [NAME-PREFIX...]   (cap all with ONEDNN_MAX_CPU_ISA) */
#include "core/cpu.h"
#include "core/mem.h"
#include "direct.h"
#include "kernel/conv_i8.h"
#include "kernel/conv_tap_i8.h"

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
	int64_t in, out, size[3]; /* of the output */
	int64_t kernel, stride;
	oq_dtype to;
} layer;

static const layer layers[] = {
	{"32>32@48 f32", 32, 32, {48, 48, 48}, 3, 1, OQ_F32},
	{"32>64@48 f32", 32, 64, {48, 48, 48}, 3, 1, OQ_F32},
	{"32>32@24 u8", 32, 32, {24, 24, 24}, 3, 1, OQ_U8},
	{"32>64@24 f32", 32, 64, {24, 24, 24}, 3, 1, OQ_F32},
	{"64>64@24 u8", 64, 64, {24, 24, 24}, 3, 1, OQ_U8},
	{"64>64@24x12x12 u8", 64, 64, {24, 12, 12}, 3, 1, OQ_U8},
	{"64>128@12 f32", 64, 128, {12, 12, 12}, 3, 1, OQ_F32},
	{"128>128@12 u8", 128, 128, {12, 12, 12}, 3, 1, OQ_U8},
	{"128>128@12x6x6 u8", 128, 128, {12, 6, 6}, 3, 1, OQ_U8},
	{"128>256@6 f32", 128, 256, {6, 6, 6}, 3, 1, OQ_F32},
	{"256>256@6 u8", 256, 256, {6, 6, 6}, 3, 1, OQ_U8},
	{"256>256@6x3x3 u8", 256, 256, {6, 3, 3}, 3, 1, OQ_U8},
	{"384>384@6 u8", 384, 384, {6, 6, 6}, 3, 1, OQ_U8},
	{"512>512@3 u8", 512, 512, {3, 3, 3}, 3, 1, OQ_U8},
	{"192>192@32 f32", 192, 192, {32, 32, 32}, 3, 1, OQ_F32},
	{"384>384@16 f32", 384, 384, {16, 16, 16}, 3, 1, OQ_F32},
	{"96>96@24 u8", 96, 96, {24, 24, 24}, 3, 1, OQ_U8},
	{"48>48@48 u8", 48, 48, {48, 48, 48}, 3, 1, OQ_U8},
	{"1x1 64>256@24x12x12 f32", 64, 256, {24, 12, 12}, 1, 1, OQ_F32},
	{"1x1 256>64@24x12x12 u8", 256, 64, {24, 12, 12}, 1, 1, OQ_U8},
	{"1x1 128>512@12x6x6 f32", 128, 512, {12, 6, 6}, 1, 1, OQ_F32},
	{"1x1 512>128@12x6x6 u8", 512, 128, {12, 6, 6}, 1, 1, OQ_U8},
	{"1x1 256>1024@6x3x3 f32", 256, 1024, {6, 3, 3}, 1, 1, OQ_F32},
	{"1x1 1024>256@6x3x3 u8", 1024, 256, {6, 3, 3}, 1, 1, OQ_U8},
	{"1x1 2048>512@3 u8", 2048, 512, {3, 3, 3}, 1, 1, OQ_U8},
	{"1x1 768>3072@12x6x6 u8", 768, 3072, {12, 6, 6}, 1, 1, OQ_U8},
	{"1x1 2048>512@1 u8", 2048, 512, {1, 1, 1}, 1, 1, OQ_U8},
	{"s2 32>64@24 u8", 32, 64, {24, 24, 24}, 3, 2, OQ_U8},
	{"s2 64>128@12 u8", 64, 128, {12, 12, 12}, 3, 2, OQ_U8},
	{"s2 128>256@6 u8", 128, 256, {6, 6, 6}, 3, 2, OQ_U8},
	{"s2 256>512@3 u8", 256, 512, {3, 3, 3}, 3, 2, OQ_U8},
	{"s2 1x1 256>512@12x6x6 f32", 256, 512, {12, 6, 6}, 1, 2, OQ_F32},
	{"2x2x2 s2 64>64@24 u8", 64, 64, {24, 24, 24}, 2, 2, OQ_U8},
};

enum { DIRECT, WINOGRAD, TAPS, KINDS };

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
	oq_direct *direct[MAX_COPIES];
	oq_direct_bound *bound[MAX_COPIES];
	oq_conv_i8 *winograd[MAX_COPIES];
	oq_tap_i8 *taps[MAX_COPIES];
	int copies[KINDS]; /* 0: cannot do this layer */
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

static void run(contest *c, int kind, int copy)
{
	const oq_conv_i8_epilogue e = {.scale = c->weights.scale, .bias = c->weights.bias, .slope = 0,
		.y = {.data = c->y, .dtype = c->dst.dtype, .scale = c->dst.scale, .zero = c->dst.zero}};
	if (kind == DIRECT)
		need(oq_direct_run(c->direct[copy], c->bound[copy], c->stream, "bench", NULL) == OQ_OK, "direct");
	else if (kind == WINOGRAD)
		oq_conv_i8_run(c->winograd[copy], c->x, &e, c->scratch, 1);
	else
		oq_tap_i8_run(c->taps[copy], c->x, &e, c->scratch, 1);
}

/* Milliseconds per call, `copies` sets of weights in rotation. */
static double time_calls(contest *c, int kind, int copies)
{
	double best = INFINITY, end = now() + SECONDS;
	do {
		double start = now();
		for (int k = 0; k < copies; k++)
			run(c, kind, k);
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
		c->shape.out[i] = l->size[i];
		c->shape.in[i] = l->size[i] * l->stride;
		c->shape.kernel[i] = c->attributes.kernel[i] = l->kernel;
		c->shape.stride[i] = c->attributes.stride[i] = l->stride;
		c->attributes.dilation[i] = 1;
		c->shape.pad_low[i] = c->attributes.pad_low[i] = c->attributes.pad_high[i] = (l->kernel - 1) / 2;
	}
	c->src = (oq_value){.dtype = OQ_U8, .scale = 0.02f, .zero = 0};
	c->dst = (oq_value){.dtype = l->to, .scale = 0.5f, .zero = 0};
}

static int64_t volume(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

static void fill(contest *c)
{
	size_t per_out = (size_t)(volume(c->shape.kernel) * c->layer->in), weights = per_out * (size_t)c->layer->out;
	size_t inputs = (size_t)(volume(c->shape.in) * c->layer->in);
	c->weights = (oq_weights){.out = c->layer->out, .per_out = per_out, .codes = oq_alloc(weights),
		.scale = oq_alloc((size_t)c->layer->out * 4), .bias = oq_calloc((size_t)c->layer->out, 4)};
	c->x = oq_alloc_aligned(inputs);
	c->y = oq_alloc_aligned((size_t)(volume(c->shape.out) * c->layer->out) * 4);
	need(c->weights.codes && c->weights.scale && c->weights.bias && c->x && c->y, "allocation");
	for (size_t i = 0; i < weights; i++)
		c->weights.codes[i] = (int8_t)((int)(i * 2654435761u >> 7 & 127) - 63);
	for (size_t i = 0; i < inputs; i++)
		((uint8_t *)c->x)[i] = (uint8_t)(i * 2654435761u >> 9);
	for (int64_t o = 0; o < c->layer->out; o++)
		c->weights.scale[o] = 1e-4f;
}

/* As many copies of each as rotate through more than the last cache. */
static void make(contest *c)
{
	const oq_conv_i8_desc desc = {.shape = c->shape, .codes = c->weights.codes, .isa = c->cpu.isa, .vnni = c->cpu.avx512_vnni};
	const oq_planner planner = {.threads = 1, .engine = c->engine};
	oq_direct_desc direct = {.where = "bench", .attributes = &c->attributes, .compute = OQ_I8, .src = &c->src, .dst = &c->dst, .weights = &c->weights,
		.slope = 0};
	direct.in[0] = c->layer->in;
	direct.out[0] = c->layer->out;
	memcpy(direct.in + 1, c->shape.in, sizeof c->shape.in);
	memcpy(direct.out + 1, c->shape.out, sizeof c->shape.out);
	int *copies = c->copies;
	for (copies[DIRECT] = 0; !copies[DIRECT] || copies[DIRECT] < copies_for(oq_direct_weight_bytes(c->direct[0])); copies[DIRECT]++)
		need(oq_direct_create(&planner, &direct, &c->direct[copies[DIRECT]], NULL) == OQ_OK, "oq_direct_create");
	for (copies[TAPS] = 0; !copies[TAPS] || copies[TAPS] < copies_for(oq_tap_i8_weight_bytes(c->taps[0])); copies[TAPS]++)
		need(oq_tap_i8_create(&desc, &c->taps[copies[TAPS]], NULL) == OQ_OK, "oq_tap_i8_create");
	copies[WINOGRAD] = 0;
	while (oq_conv_i8_supports(&c->shape) && (!copies[WINOGRAD] || copies[WINOGRAD] < copies_for(oq_conv_i8_weight_bytes(c->winograd[0]))))
		need(oq_conv_i8_create(&desc, &c->winograd[copies[WINOGRAD]++], NULL) == OQ_OK, "oq_conv_i8_create");
}

static void bind(contest *c)
{
	size_t most = oq_direct_scratch_bytes(c->direct[0]) + 64, taps = oq_tap_i8_scratch_bytes(c->taps[0], 1);
	size_t winograd = c->copies[WINOGRAD] ? oq_conv_i8_scratch_bytes(c->winograd[0], 1) : 0;
	most = taps > most ? taps : most;
	c->scratch = oq_alloc_aligned(winograd > most ? winograd : most);
	need(c->scratch != NULL, "allocation");
	for (int k = 0; k < c->copies[DIRECT]; k++)
		need(oq_direct_bind(c->direct[k], c->x, c->y, NULL, c->scratch, &c->bound[k], NULL) == OQ_OK, "bind");
}

static void release(contest *c)
{
	for (int k = 0; k < c->copies[DIRECT]; k++) {
		oq_direct_unbind(c->bound[k]);
		oq_direct_free(c->direct[k]);
	}
	for (int k = 0; k < c->copies[WINOGRAD]; k++)
		oq_conv_i8_free(c->winograd[k]);
	for (int k = 0; k < c->copies[TAPS]; k++)
		oq_tap_i8_free(c->taps[k]);
	oq_weights_free(&c->weights);
	oq_free_aligned(c->x);
	oq_free_aligned(c->y);
	oq_free_aligned(c->scratch);
}

static void hold(contest *c)
{
	double hot[KINDS] = {INFINITY, INFINITY, INFINITY}, cold[KINDS] = {INFINITY, INFINITY, INFINITY};
	describe(c);
	fill(c);
	make(c);
	bind(c);
	for (int round = 0; round < ROUNDS; round++)
		for (int kind = 0; kind < KINDS; kind++)
			if (c->copies[kind]) {
				hot[kind] = fmin(hot[kind], time_calls(c, kind, 1));
				cold[kind] = fmin(cold[kind], time_calls(c, kind, c->copies[kind]));
			}
	double gop = 2e-9 * (double)(volume(c->shape.kernel) * c->layer->in * c->layer->out) * (double)volume(c->shape.out);
	printf("%-26s %8.3f %8.3f %8.3f   %8.3f %8.3f %8.3f   %5.2f %5.2f %6.0f %s\n", c->layer->name, hot[DIRECT], hot[WINOGRAD], hot[TAPS], cold[DIRECT], cold[WINOGRAD],
		cold[TAPS], cold[WINOGRAD] / cold[DIRECT], cold[TAPS] / cold[DIRECT], 1e3 * gop / cold[TAPS], oq_direct_implementation(c->direct[0]));
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
	printf("%-26s %8s %8s %8s   %8s %8s %8s   %11s %6s\n", "ms; hot, then cold", "direct", "winograd", "taps", "direct", "winograd", "taps", "to direct", "Gop/s");
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
