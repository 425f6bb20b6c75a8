/* Times every float32 convolution that we can choose from, layer by layer, on the shapes of the networks served: our tap GEMM
 * and Winograd against oneDNN's direct convolution, on one thread unless told, weights hot (one copy) and cold (copies in rotation, more than
 * the last cache holds, as in a network). The least of many runs: the machine may be shared.
 * usage: bench_conv [--isa plain|avx2|avx512] [--batch N] [--threads N] [--winograd] [NAME-PREFIX...]   (cap oneDNN with ONEDNN_MAX_CPU_ISA)
 *        bench_conv --rule [--large]   every 3x3x3 layer size with cold weights, a line of JSON each: what the planner's rule takes beside the best;
 *                                      with --large also those that take gigabytes */
#include "core/cpu.h"
#include "core/dtype.h"
#include "core/mem.h"
#include "kernel/conv_f32.h"
#include "kernel/peak.h"

#include <dnnl.h>
#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define COLD_BYTES ((size_t)96 << 20) /* of weights in rotation: three times a 32 MB last-level cache */
#define MAX_COPIES 64
#define SECONDS 0.15                   /* per measurement */

typedef struct layer {
	const char *name;
	int64_t in[3], kernel, stride, pad, in_channels, out_channels;
} layer;

static const layer layers[] = {
	{"merlin1 1x1 64>256", {24, 12, 12}, 1, 1, 0, 64, 256},
	{"merlin1 1x1 256>64", {24, 12, 12}, 1, 1, 0, 256, 64},
	{"merlin1 3x3 64>64", {24, 12, 12}, 3, 1, 1, 64, 64},
	{"merlin2 1x1 256>128", {24, 12, 12}, 1, 1, 0, 256, 128},
	{"merlin2 3x3 s2 128", {24, 12, 12}, 3, 2, 1, 128, 128},
	{"merlin2 1x1 s2 256>512", {24, 12, 12}, 1, 2, 0, 256, 512},
	{"merlin2 1x1 128>512", {12, 6, 6}, 1, 1, 0, 128, 512},
	{"merlin2 1x1 512>128", {12, 6, 6}, 1, 1, 0, 512, 128},
	{"merlin2 3x3 128>128", {12, 6, 6}, 3, 1, 1, 128, 128},
	{"merlin3 3x3 s2 256", {12, 6, 6}, 3, 2, 1, 256, 256},
	{"merlin3 1x1 s2 512>1024", {12, 6, 6}, 1, 2, 0, 512, 1024},
	{"merlin3 1x1 256>1024", {6, 3, 3}, 1, 1, 0, 256, 1024},
	{"merlin3 1x1 1024>256", {6, 3, 3}, 1, 1, 0, 1024, 256},
	{"merlin3 3x3 256>256", {6, 3, 3}, 3, 1, 1, 256, 256},
	{"merlin4 3x3 s2 512", {6, 3, 3}, 3, 2, 1, 512, 512},
	{"merlin4 1x1 s2 1024>2048", {6, 3, 3}, 1, 2, 0, 1024, 2048},
	{"merlin4 1x1 512>2048", {3, 2, 2}, 1, 1, 0, 512, 2048},
	{"merlin4 1x1 2048>512", {3, 2, 2}, 1, 1, 0, 2048, 512},
	{"merlin4 3x3 512>512", {3, 2, 2}, 3, 1, 1, 512, 512},
	{"fmcib1 1x1 128>512", {12, 12, 12}, 1, 1, 0, 128, 512},
	{"fmcib1 1x1 512>128", {12, 12, 12}, 1, 1, 0, 512, 128},
	{"fmcib1 3x3 128>128", {12, 12, 12}, 3, 1, 1, 128, 128},
	{"fmcib2 3x3 s2 256", {12, 12, 12}, 3, 2, 1, 256, 256},
	{"fmcib2 1x1 s2 512>1024", {12, 12, 12}, 1, 2, 0, 512, 1024},
	{"fmcib2 1x1 256>1024", {6, 6, 6}, 1, 1, 0, 256, 1024},
	{"fmcib2 1x1 1024>256", {6, 6, 6}, 1, 1, 0, 1024, 256},
	{"fmcib2 3x3 256>256", {6, 6, 6}, 3, 1, 1, 256, 256},
	{"fmcib3 3x3 s2 512", {6, 6, 6}, 3, 2, 1, 512, 512},
	{"fmcib3 1x1 s2 1024>2048", {6, 6, 6}, 1, 2, 0, 1024, 2048},
	{"fmcib3 1x1 512>2048", {3, 3, 3}, 1, 1, 0, 512, 2048},
	{"fmcib3 1x1 2048>512", {3, 3, 3}, 1, 1, 0, 2048, 512},
	{"fmcib3 3x3 512>512", {3, 3, 3}, 3, 1, 1, 512, 512},
	{"fmcib4 3x3 s2 1024", {3, 3, 3}, 3, 2, 1, 1024, 1024},
	{"fmcib4 1x1 1024>4096", {2, 2, 2}, 1, 1, 0, 1024, 4096},
	{"fmcib4 1x1 4096>1024", {2, 2, 2}, 1, 1, 0, 4096, 1024},
	{"fmcib4 3x3 1024>1024", {2, 2, 2}, 3, 1, 1, 1024, 1024},
	{"segres 3x3 32>32", {48, 48, 48}, 3, 1, 1, 32, 32},
	{"segres 3x3 48>48", {48, 48, 48}, 3, 1, 1, 48, 48},
	{"segres 3x3 64>64", {24, 24, 24}, 3, 1, 1, 64, 64},
	{"segres 3x3 96>96", {24, 24, 24}, 3, 1, 1, 96, 96},
	{"unet 3x3 32>64", {48, 48, 48}, 3, 1, 1, 32, 64},
	{"unet 3x3 256>512", {6, 6, 6}, 3, 1, 1, 256, 512},
	{"segres 3x3 s2 128>256", {12, 12, 12}, 3, 2, 1, 128, 256},
	{"segres 3x3 256>256", {6, 6, 6}, 3, 1, 1, 256, 256},
	{"segres 3x3 s2 256>512", {6, 6, 6}, 3, 2, 1, 256, 512},
	{"segres 3x3 512>512", {3, 3, 3}, 3, 1, 1, 512, 512},
	{"segres 3x3 384>384", {6, 6, 6}, 3, 1, 1, 384, 384},
	{"segres 3x3 768>768", {3, 3, 3}, 3, 1, 1, 768, 768},
};

/* The 3x3x3 convolutions of stride 1 that the networks have: edge of the map, channels. */
static const int64_t rule_sizes[][3] = {{48, 32, 32}, {48, 32, 64}, {48, 48, 48}, {24, 64, 64}, {24, 64, 128}, {24, 96, 96}, {12, 128, 128}, {12, 128, 256},
	{12, 192, 192}, {6, 256, 256}, {6, 256, 512}, {6, 384, 384}, {3, 512, 512}, {3, 768, 768}, {32, 192, 192}, {16, 384, 384},
	{8, 768, 768}};
#define RULE_SMALL 14 /* of them */
#define RULE_TAP_MAP 512 /* voxels: on larger maps products over taps are as direct, by another micro-kernel */

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void need(bool good, const char *what)
{
	if (good)
		return;
	fprintf(stderr, "bench_conv: %s failed\n", what);
	exit(1);
}

static float *values(size_t count)
{
	float *x = oq_alloc_aligned(count * sizeof *x + OQ_ALIGN);
	need(x != NULL, "allocation");
	uint32_t state = 1;
	for (size_t i = 0; i < count; i++) {
		state = state * 1664525u + 1013904223u;
		x[i] = (float)(state >> 8) / (float)(1 << 23) - 1.0f;
	}
	return x;
}

static int64_t volume(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

static oq_conv_shape shape_of(const layer *l)
{
	oq_conv_shape s = {.in_channels = l->in_channels, .out_channels = l->out_channels};
	for (int i = 0; i < 3; i++) {
		s.in[i] = l->in[i];
		s.kernel[i] = l->kernel;
		s.stride[i] = l->stride;
		s.pad_low[i] = l->pad;
		s.out[i] = (l->in[i] + 2 * l->pad - l->kernel) / l->stride + 1;
	}
	return s;
}

/* Multiply-adds that meet no padding, for one patch. */
static double real_macs(const oq_conv_shape *s)
{
	double taps = 1;
	for (int i = 0; i < 3; i++) {
		int64_t inside = 0;
		for (int64_t o = 0; o < s->out[i]; o++)
			for (int64_t k = 0; k < s->kernel[i]; k++) {
				int64_t at = o * s->stride[i] + k - s->pad_low[i];
				inside += at >= 0 && at < s->in[i];
			}
		taps *= (double)inside;
	}
	return taps * (double)(s->in_channels * s->out_channels);
}

typedef void run_fn(void *subject, int copy);

/* Milliseconds per call, `copies` sets of weights in rotation: the least over rotations. */
static double time_calls(run_fn *run, void *subject, int copies)
{
	double best = INFINITY, end = now() + SECONDS;
	int rounds = 0;
	do {
		double start = now();
		for (int c = 0; c < copies; c++)
			run(subject, c);
		best = fmin(best, (now() - start) / copies);
	} while (++rounds < 3 || now() < end);
	return 1e3 * best;
}

/* Of --rule: one copy of the weights, and before each call what is read here drives them out of the caches; the input is read back in, as
 * it would come from the layer before. */
static float *evictor;

static float read_all(const float *x, size_t count)
{
	float sum = 0;
	for (size_t i = 0; i < count; i += OQ_ALIGN / sizeof *x)
		sum += x[i];
	return sum;
}

/* Processor time of this thread, so that neighbours do not count as far as that goes; a call runs on one thread. */
static double used(void)
{
	struct timespec t;
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static double time_evicted(run_fn *run, void *subject, const float *x, size_t count)
{
	double best = INFINITY, end = used() + 2 * SECONDS;
	volatile float sink = 0;
	int rounds = 0;
	do {
		sink += read_all(evictor, COLD_BYTES / sizeof *evictor) + read_all(x, count);
		double start = used();
		run(subject, 0);
		best = fmin(best, used() - start);
	} while (++rounds < 3 || used() < end);
	return 1e3 * best;
}

static int copies_for(size_t bytes)
{
	if (evictor)
		return 1;
	size_t copies = COLD_BYTES / (bytes + 1) + 2;
	return copies > MAX_COPIES ? MAX_COPIES : (int)copies;
}

typedef struct own {
	oq_conv *conv[MAX_COPIES];
	int64_t batch;
	int threads;
	const float *x;
	float *y;
	void *scratch;
	oq_conv_epilogue epilogue;
} own;

static void run_own(void *subject, int copy)
{
	own *o = subject;
	oq_conv_run(o->conv[copy], o->batch, o->x, NULL, &o->epilogue, o->y, o->scratch, o->threads);
}

/* ms[0] hot, ms[1] cold; NaN where the method cannot. */
static void time_own(oq_conv_method method, const oq_conv_shape *s, oq_isa isa, const float *weights, own *o, double ms[2])
{
	ms[0] = ms[1] = NAN;
	if (!oq_conv_supports(method, s))
		return;
	int copies = 1;
	for (int i = 0; i < copies; i++) {
		need(oq_conv_create(method, s, weights, isa, &o->conv[i], NULL) == OQ_OK, "oq_conv_create");
		copies = copies_for(oq_conv_weight_bytes(o->conv[0]));
	}
	o->scratch = oq_alloc_aligned(oq_conv_scratch_bytes(o->conv[0], o->batch, o->threads));
	need(o->scratch != NULL, "allocation");
	ms[0] = evictor ? NAN : time_calls(run_own, o, 1);
	ms[1] = evictor ? time_evicted(run_own, o, o->x, (size_t)(volume(s->in) * s->in_channels)) : time_calls(run_own, o, copies);
	oq_free_aligned(o->scratch);
	for (int i = 0; i < copies; i++)
		oq_conv_free(o->conv[i]);
}

typedef struct direct {
	dnnl_engine_t engine;
	dnnl_stream_t stream;
	dnnl_primitive_t primitive;
	dnnl_memory_t src, bias, dst, scratch, weights[MAX_COPIES];
	char implementation[32];
} direct;

static void run_direct(void *subject, int copy)
{
	direct *d = subject;
	const dnnl_exec_arg_t args[] = {{DNNL_ARG_SRC, d->src}, {DNNL_ARG_WEIGHTS, d->weights[copy]}, {DNNL_ARG_BIAS, d->bias}, {DNNL_ARG_DST, d->dst},
		{DNNL_ARG_SCRATCHPAD, d->scratch}};
	need(dnnl_primitive_execute(d->primitive, d->stream, 5, args) == dnnl_success, "dnnl_primitive_execute");
}

static dnnl_memory_desc_t plain_desc(int rank, const dnnl_dims_t dims, dnnl_data_type_t type, dnnl_format_tag_t tag)
{
	dnnl_memory_desc_t md;
	need(dnnl_memory_desc_create_with_tag(&md, rank, dims, type, tag) == dnnl_success, "dnnl_memory_desc_create_with_tag");
	return md;
}

/* Of factors of `type`; what is not bfloat16 is float32. */
static dnnl_primitive_desc_t direct_desc(const direct *d, const oq_conv_shape *s, int64_t batch, dnnl_data_type_t type)
{
	const dnnl_dims_t src = {batch, s->in_channels, s->in[0], s->in[1], s->in[2]}, dst = {batch, s->out_channels, s->out[0], s->out[1], s->out[2]};
	const dnnl_dims_t weights = {s->out_channels, s->in_channels, s->kernel[0], s->kernel[1], s->kernel[2]}, bias = {s->out_channels};
	dnnl_dims_t strides = {0}, low = {0}, high = {0}, dilates = {0};
	for (int i = 0; i < 3; i++) {
		strides[i] = s->stride[i];
		low[i] = s->pad_low[i];
		high[i] = (s->out[i] - 1) * s->stride[i] + s->kernel[i] - s->in[i] - s->pad_low[i];
	}
	dnnl_post_ops_t ops;
	dnnl_primitive_attr_t attr;
	dnnl_post_ops_create(&ops);
	dnnl_post_ops_append_eltwise(ops, dnnl_eltwise_relu, 0, 0);
	dnnl_primitive_attr_create(&attr);
	dnnl_primitive_attr_set_post_ops(attr, ops);
	dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user);
	dnnl_memory_desc_t mds[] = {plain_desc(5, src, type, dnnl_ndhwc), plain_desc(5, weights, type, dnnl_format_tag_any),
		plain_desc(1, bias, dnnl_f32, dnnl_a), plain_desc(5, dst, type, dnnl_ndhwc)};
	dnnl_primitive_desc_t pd;
	need(dnnl_convolution_forward_primitive_desc_create(&pd, d->engine, dnnl_forward_inference, dnnl_convolution_direct, mds[0], mds[1], mds[2], mds[3],
		strides, dilates, low, high, attr) == dnnl_success, "dnnl_convolution_forward_primitive_desc_create");
	for (int i = 0; i < 4; i++)
		dnnl_memory_desc_destroy(mds[i]);
	dnnl_primitive_attr_destroy(attr);
	dnnl_post_ops_destroy(ops);
	return pd;
}

static dnnl_memory_t memory(const direct *d, dnnl_primitive_desc_t pd, dnnl_query_t what, void *data)
{
	dnnl_memory_t m;
	need(dnnl_memory_create(&m, dnnl_primitive_desc_query_md(pd, what, 0), d->engine, data) == dnnl_success, "dnnl_memory_create");
	return m;
}

/* Which values the weights have does not change the time, as long as they are ordinary. */
static void time_direct(const oq_conv_shape *s, int64_t batch, dnnl_data_type_t type, float *x, float *y, direct *d, double ms[2])
{
	dnnl_primitive_desc_t pd = direct_desc(d, s, batch, type);
	const char *implementation;
	dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, (void *)&implementation);
	snprintf(d->implementation, sizeof d->implementation, "%s", implementation);
	size_t bytes = dnnl_memory_desc_get_size(dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 0));
	int copies = copies_for(bytes);
	float *bias = values((size_t)s->out_channels), *weights[MAX_COPIES];
	d->src = memory(d, pd, dnnl_query_src_md, x);
	d->dst = memory(d, pd, dnnl_query_dst_md, y);
	need(dnnl_memory_create(&d->bias, dnnl_primitive_desc_query_md(pd, dnnl_query_weights_md, 1), d->engine, bias) == dnnl_success, "dnnl_memory_create");
	d->scratch = memory(d, pd, dnnl_query_scratchpad_md, DNNL_MEMORY_ALLOCATE);
	for (int i = 0; i < copies; i++) {
		weights[i] = values(bytes / sizeof(float));
		for (size_t k = 0; type == dnnl_bf16 && k < bytes / sizeof(uint16_t); k++)
			((uint16_t *)weights[i])[k] = (uint16_t)(0x3f80 + k % 64);
		d->weights[i] = memory(d, pd, dnnl_query_weights_md, weights[i]);
	}
	need(dnnl_primitive_create(&d->primitive, pd) == dnnl_success, "dnnl_primitive_create");
	ms[0] = evictor ? NAN : time_calls(run_direct, d, 1);
	ms[1] = evictor ? time_evicted(run_direct, d, x, (size_t)(volume(s->in) * s->in_channels)) : time_calls(run_direct, d, copies);
	for (int i = 0; i < copies; i++) {
		dnnl_memory_destroy(d->weights[i]);
		oq_free_aligned(weights[i]);
	}
	const dnnl_memory_t used[] = {d->src, d->dst, d->bias, d->scratch};
	for (int i = 0; i < 4; i++)
		dnnl_memory_destroy(used[i]);
	oq_free_aligned(bias);
	dnnl_primitive_destroy(d->primitive);
	dnnl_primitive_desc_destroy(pd);
}

enum { TAP, F2, F4, DIRECT, METHODS };
static const char *const method_names[METHODS] = {"tap", "F2", "F4", "onednn"};

static const char *winner(double ms[METHODS][2], int cold)
{
	int best = DIRECT;
	for (int m = 0; m < METHODS; m++)
		if (ms[m][cold] < ms[best][cold])
			best = m;
	return method_names[best];
}

static void bench_layer(const layer *l, int64_t batch, oq_isa isa, bool winograd, direct *d)
{
	oq_conv_shape s = shape_of(l);
	int64_t inputs = batch * volume(s.in) * s.in_channels, outputs = batch * volume(s.out) * s.out_channels;
	float *x = values((size_t)inputs), *y = values((size_t)outputs), *weights = values((size_t)(s.in_channels * s.out_channels * volume(s.kernel)));
	float *bias = values((size_t)s.out_channels);
	own o = {.batch = batch, .threads = omp_get_max_threads(), .x = x, .y = y, .epilogue = {.bias = bias, .slope = 0.0f}};
	double ms[METHODS][2] = {{NAN, NAN}, {NAN, NAN}, {NAN, NAN}, {NAN, NAN}};
	time_own(OQ_CONV_TAP_GEMM, &s, isa, weights, &o, ms[TAP]);
	if (winograd) {
		time_own(OQ_CONV_WINOGRAD_F2, &s, isa, weights, &o, ms[F2]);
		time_own(OQ_CONV_WINOGRAD_F4, &s, isa, weights, &o, ms[F4]);
	}
	time_direct(&s, batch, dnnl_f32, x, y, d, ms[DIRECT]);
	double nominal = 2e-6 * (double)(batch * volume(s.out) * s.out_channels * s.in_channels * volume(s.kernel));
	double real = 2e-6 * (double)batch * real_macs(&s);
	printf("%-25s %lld |", l->name, (long long)batch);
	for (int cold = 0; cold < 2; cold++) {
		for (int m = 0; m < METHODS; m++)
			if (winograd || m == TAP || m == DIRECT)
				printf(" %8.3f", ms[m][cold]);
		printf(" %6.1f %6.1f %-6s |", real / ms[TAP][cold], nominal / ms[DIRECT][cold], winner(ms, cold));
	}
	printf(" %s\n", d->implementation);
	fflush(stdout);
	oq_free_aligned(x);
	oq_free_aligned(y);
	oq_free_aligned(weights);
	oq_free_aligned(bias);
}

/* ---- The planner's rule ---- */

enum { RULE_TAP, RULE_F2, RULE_F4, RULE_DIRECT, RULE_BF16, RULE_F2_BF16, RULE_METHODS };
static const char *const rule_names[RULE_METHODS] = {"tap", "f2", "f4", "direct", "direct_bf16", "f2_bf16"};

static int least(const double ms[RULE_METHODS], int methods)
{
	int best = RULE_DIRECT;
	for (int m = 0; m < methods; m++)
		best = ms[m] < ms[best] ? m : best;
	return best;
}

static void time_methods(const oq_conv_shape *s, const oq_cpu *cpu, direct *d, double ms[RULE_METHODS])
{
	static const oq_conv_method own_methods[] = {[RULE_TAP] = OQ_CONV_TAP_GEMM, [RULE_F2] = OQ_CONV_WINOGRAD_F2, [RULE_F4] = OQ_CONV_WINOGRAD_F4};
	float *x = values((size_t)(volume(s->in) * s->in_channels)), *y = values((size_t)(volume(s->out) * s->out_channels));
	float *weights = values((size_t)(s->in_channels * s->out_channels * 27)), *bias = values((size_t)s->out_channels);
	double hot_cold[2];
	own o = {.batch = 1, .threads = omp_get_max_threads(), .x = x, .y = y, .epilogue = {.bias = bias, .slope = 0.0f}};
	for (int m = 0; m < RULE_METHODS; m++) {
		ms[m] = hot_cold[1] = NAN;
		if (m == RULE_TAP && volume(s->out) > RULE_TAP_MAP)
			continue;
		if (m < RULE_DIRECT)
			time_own(own_methods[m], s, cpu->isa, weights, &o, hot_cold);
		else if (m == RULE_F2_BF16 && cpu->avx512_bf16)
			time_own(OQ_CONV_WINOGRAD_F2_BF16, s, cpu->isa, weights, &o, hot_cold);
		else if (m == RULE_DIRECT || (m == RULE_BF16 && cpu->avx512_bf16))
			time_direct(s, 1, m == RULE_DIRECT ? dnnl_f32 : dnnl_bf16, x, y, d, hot_cold);
		ms[m] = hot_cold[1];
	}
	oq_free_aligned(x);
	oq_free_aligned(y);
	oq_free_aligned(weights);
	oq_free_aligned(bias);
}

/* In bfloat16 a layer that F(4) serves stays with it, see precision.c. */
static void bench_rule(const int64_t size[3], const oq_cpu *cpu, double peak, direct *d)
{
	const layer l = {.in = {size[0], size[0], size[0]}, .kernel = 3, .stride = 1, .pad = 1, .in_channels = size[1], .out_channels = size[2]};
	const oq_conv_shape s = shape_of(&l);
	double ms[RULE_METHODS], gflop = 2e-9 * (double)(volume(s.out) * s.out_channels * s.in_channels * 27);
	oq_conv_method method;
	time_methods(&s, cpu, d, ms);
	int f32 = oq_conv_choose(&s, OQ_CONV_WINOGRAD_F4, &method) ? (int)method : RULE_DIRECT,
		bf16 = f32 == RULE_F4 ? f32 : f32 == RULE_F2 ? RULE_F2_BF16 : RULE_BF16;
	printf("{\"in\": %lld, \"out\": %lld, \"edge\": %lld, \"peak_ms\": %.4f, \"ms\": {", (long long)size[1], (long long)size[2], (long long)size[0],
		1e3 * gflop / peak);
	const char *comma = "";
	for (int m = 0; m < RULE_METHODS; m++)
		if (!isnan(ms[m])) {
			printf("%s\"%s\": %.4f", comma, rule_names[m], ms[m]);
			comma = ", ";
		}
	printf("}, \"f32\": {\"rule\": \"%s\", \"best\": \"%s\"}", rule_names[f32], rule_names[least(ms, RULE_BF16)]);
	if (!isnan(ms[RULE_BF16]))
		printf(", \"bf16\": {\"rule\": \"%s\", \"best\": \"%s\"}", rule_names[bf16], rule_names[least(ms, RULE_METHODS)]);
	printf("}\n");
	fflush(stdout);
}

static bool wanted(const layer *l, int count, char **names)
{
	for (int i = 0; i < count; i++)
		if (!strncmp(l->name, names[i], strlen(names[i])))
			return true;
	return count == 0;
}

static void print_head(bool winograd)
{
	const char *methods = winograd ? "     tap       F2       F4   onednn" : "     tap   onednn";
	printf("ms per call, %d thread(s); Gop/s: tap over real taps, oneDNN over all taps\n", omp_get_max_threads());
	printf("%-25s N |%s  tap/s  dnn/s hot    |%s  tap/s  dnn/s cold   |\n", "layer", methods, methods);
}

int main(int argc, char **argv)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	oq_isa isa = cpu.isa;
	int64_t only = 0;
	bool winograd = false, rule = false, large = false;
	int at = 1;
	omp_set_num_threads(1);
	for (; at < argc && !strncmp(argv[at], "--", 2); at++) {
		if (!strcmp(argv[at], "--winograd"))
			winograd = true;
		else if (!strcmp(argv[at], "--rule"))
			rule = true;
		else if (!strcmp(argv[at], "--large"))
			large = true;
		else if (!strcmp(argv[at], "--isa") && at + 1 < argc)
			isa = !strcmp(argv[++at], "plain") ? OQ_ISA_PLAIN : !strcmp(argv[at], "avx2") ? OQ_ISA_AVX2 : OQ_ISA_AVX512;
		else if (!strcmp(argv[at], "--batch") && at + 1 < argc)
			only = strtoll(argv[++at], NULL, 10);
		else if (!strcmp(argv[at], "--threads") && at + 1 < argc)
			omp_set_num_threads(atoi(argv[++at]) > 0 ? atoi(argv[at]) : 1);
		else
			need(false, argv[at]);
	}
	direct d = {0};
	need(dnnl_engine_create(&d.engine, dnnl_cpu, 0) == dnnl_success, "dnnl_engine_create");
	need(dnnl_stream_create(&d.stream, d.engine, dnnl_stream_default_flags) == dnnl_success, "dnnl_stream_create");
	if (rule)
		omp_set_num_threads(1);
	evictor = rule ? values(COLD_BYTES / sizeof *evictor) : NULL;
	double peak = rule ? oq_peak_gflops(OQ_F32, &cpu) : 0;
	for (size_t i = 0; rule && i < (large ? sizeof rule_sizes / sizeof *rule_sizes : RULE_SMALL); i++)
		bench_rule(rule_sizes[i], &cpu, peak, &d);
	if (!rule)
		print_head(winograd);
	for (size_t i = 0; !rule && i < sizeof layers / sizeof *layers; i++)
		for (int64_t batch = 1; batch <= 4; batch *= 2)
			if (wanted(&layers[i], argc - at, argv + at) && (only == 0 || batch == only))
				bench_layer(&layers[i], batch, isa, winograd, &d);
	dnnl_stream_destroy(d.stream);
	dnnl_engine_destroy(d.engine);
	return 0;
}
