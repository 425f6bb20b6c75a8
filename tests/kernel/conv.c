/* Own convolutions: tap GEMM and Winograd against a naive convolution in double, and against itself over instruction sets, threads and
 * batches, bit for bit. */
#include "harness.h"

#include "kernel/conv_f32.h"

typedef struct problem {
	oq_conv_method method;
	oq_conv_shape shape;
	int64_t batch, inputs, outputs; /* values of one patch */
	float *x, *weights, *bias, *residual, *scale, *shift;
	float in_slope, slope;
} problem;

static int64_t volume(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

static problem make_problem(const oq_conv_shape *shape, int64_t batch, value_kind kind)
{
	problem p = {.shape = *shape, .batch = batch, .in_slope = 0.1f, .slope = 0.0f};
	p.inputs = volume(shape->in) * shape->in_channels;
	p.outputs = volume(shape->out) * shape->out_channels;
	p.x = random_values(batch * p.inputs, kind);
	p.weights = random_values(shape->out_channels * shape->in_channels * volume(shape->kernel), kind);
	p.bias = random_values(shape->out_channels, kind);
	p.residual = random_values(batch * p.outputs, kind);
	p.scale = random_values(shape->in_channels, VALUES_UNIT);
	p.shift = random_values(shape->in_channels, VALUES_UNIT);
	return p;
}

static void free_problem(problem *p)
{
	float *const all[] = {p->x, p->weights, p->bias, p->residual, p->scale, p->shift};
	for (size_t i = 0; i < sizeof all / sizeof *all; i++)
		free(all[i]);
}

/* Which of the optional parts take part in a run. */
enum { BIAS = 1, RESIDUAL = 2, PROLOGUE = 4, ALL_PARTS = 7,
	MOMENTS = 8, NARROW_IN = 16, NARROW_OUT = 32, WINOGRAD_PARTS = 56 }; /* what Winograd alone has; the types */

static double act(double v, float slope)
{
	return v <= 0 ? (slope == 0.0f ? 0 : v * (double)slope) : v;
}

static double input_at(const problem *p, int parts, int64_t patch, const int64_t at[3], int64_t c)
{
	const oq_conv_shape *s = &p->shape;
	for (int i = 0; i < 3; i++)
		if (at[i] < 0 || at[i] >= s->in[i])
			return 0;
	double v = (double)p->x[patch * p->inputs + ((at[0] * s->in[1] + at[1]) * s->in[2] + at[2]) * s->in_channels + c];
	return parts & PROLOGUE ? act(v * (double)p->scale[c] + (double)p->shift[c], p->in_slope) : v;
}

/* One output before bias and activation; *size is the sum of magnitudes. */
static double naive_sum(const problem *p, int parts, int64_t patch, const int64_t out[3], int64_t o, double *size)
{
	const oq_conv_shape *s = &p->shape;
	double sum = 0;
	*size = 0;
	for (int64_t c = 0; c < s->in_channels; c++)
		for (int64_t t = 0; t < volume(s->kernel); t++) {
			const int64_t tap[3] = {t / (s->kernel[1] * s->kernel[2]), t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
			int64_t at[3];
			for (int i = 0; i < 3; i++)
				at[i] = out[i] * s->stride[i] + tap[i] - s->pad_low[i];
			double term = input_at(p, parts, patch, at, c) * (double)p->weights[(o * s->in_channels + c) * volume(s->kernel) + t];
			sum += term;
			*size += fabs(term);
		}
	return sum;
}

/* Winograd adds many inputs and products before they cancel, so that its error belongs to the tile, not to the single output: relative L2
 * over the whole result. Up to 130 channels F(2) errs by 2e-7 to 5e-7, F(4) by up to 2e-6 (docs/performance.md). */
#define WINOGRAD_BAR 3e-6
#define BF16_BAR 1e-2 /* F(2) with factors rounded to bfloat16 errs by 4e-3 to 5e-3 on large layers (docs/performance.md), a few values by more */

static void check_naive(const problem *p, int parts, const float *y)
{
	const oq_conv_shape *s = &p->shape;
	int64_t terms = s->in_channels * volume(s->kernel), total = p->batch * p->outputs, step = total > 3000 ? total / 1500 | 1 : 1;
	double error = 0, norm = 0;
	for (int64_t i = 0; i < total; i += step) {
		int64_t patch = i / p->outputs, o = i % s->out_channels, v = i % p->outputs / s->out_channels;
		const int64_t out[3] = {v / (s->out[1] * s->out[2]), v / s->out[2] % s->out[1], v % s->out[2]};
		double size, want = naive_sum(p, parts, patch, out, o, &size);
		want += parts & BIAS ? (double)p->bias[o] : 0;
		want += parts & RESIDUAL ? (double)p->residual[i] : 0;
		double difference = (double)y[i] - act(want, p->slope);
		error += difference * difference;
		norm += want * want;
		if (p->method != OQ_CONV_TAP_GEMM)
			continue;
		/* A chain errs by at most one unit of the partial sums per link; the prologue adds two, bias, residual and activation three. */
		OQ_CHECK_NEAR((double)y[i], act(want, p->slope), (double)(terms + 6) * 0x1p-24 * (size + 4));
	}
	double bar = p->method == OQ_CONV_WINOGRAD_F2_BF16 ? BF16_BAR : WINOGRAD_BAR;
	OQ_CHECK(p->method == OQ_CONV_TAP_GEMM || error <= bar * bar * norm);
}

/* Against two passes in double over the same results: whatever the mean, the variance keeps its digits. */
static void check_moments(const problem *p, const float *y, const double *moments)
{
	int64_t channels = p->shape.out_channels, voxels = volume(p->shape.out);
	for (int64_t b = 0; b < p->batch; b++)
		for (int64_t c = 0; c < channels; c++) {
			double mean = 0, variance = 0, sizes = 0;
			for (int64_t v = 0; v < voxels; v++) {
				mean += (double)y[b * p->outputs + v * channels + c] / (double)voxels;
				sizes += fabs((double)y[b * p->outputs + v * channels + c]) / (double)voxels;
			}
			for (int64_t v = 0; v < voxels; v++) {
				double off = (double)y[b * p->outputs + v * channels + c] - mean;
				variance += off * off / (double)voxels;
			}
			const double *got = moments + b * 2 * channels;
			/* Means of tiles are float32: one rounding of their size, and 20 of the deviations from the first voxel, whose
			 * squares are up to 64 times the variance where only that voxel differs. */
			OQ_CHECK_NEAR(got[c], mean, 0x1p-24 * sizes + 0x1p-19 * sqrt(variance));
			OQ_CHECK_NEAR(got[channels + c], variance, 0x1p-15 * variance + 0x1p-48 * sizes * sizes);
		}
}

/* Two bytes a value and back; exact for what was rounded before. */
static uint16_t *narrowed(int64_t count, const float *x)
{
	uint16_t *narrow = malloc((size_t)count * sizeof *narrow);
	OQ_REQUIRE(narrow != NULL);
	for (int64_t i = 0; i < count; i++)
		narrow[i] = oq_f32_to_bf16(x[i]);
	return narrow;
}

static void round_narrow(int64_t count, float *x)
{
	for (int64_t i = 0; i < count; i++)
		x[i] = oq_bf16_to_f32(oq_f32_to_bf16(x[i]));
}

/* y and moments of the whole batch, `group` patches per call; the types are those of `conv`. */
static void convolve(const problem *p, const oq_conv *conv, int parts, int64_t group, int threads, float *y, double *moments)
{
	size_t bytes = oq_conv_scratch_bytes(conv, group, threads);
	void *scratch = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
	uint16_t *in = parts & NARROW_IN ? narrowed(p->batch * p->inputs, p->x) : NULL;
	uint16_t *out = parts & NARROW_OUT ? calloc((size_t)(p->batch * p->outputs), sizeof *out) : NULL;
	OQ_REQUIRE(scratch != NULL && (out || !(parts & NARROW_OUT)));
	memset(scratch, 0xff, bytes); /* NaN: nothing may rely on cleared scratch */
	const oq_conv_prologue prologue = {.scale = p->scale, .shift = p->shift, .slope = p->in_slope};
	for (int64_t b = 0; b < p->batch; b += group) {
		int64_t count = p->batch - b < group ? p->batch - b : group;
		const oq_conv_epilogue epilogue = {.bias = parts & BIAS ? p->bias : NULL,
			.residual = parts & RESIDUAL ? p->residual + b * p->outputs : NULL,
			.slope = p->slope, .moments = parts & MOMENTS ? moments + b * 2 * p->shape.out_channels : NULL};
		const void *x = in ? (const void *)(in + b * p->inputs) : p->x + b * p->inputs;
		void *to = out ? (void *)(out + b * p->outputs) : y + b * p->outputs;
		oq_conv_run(conv, count, x, parts & PROLOGUE ? &prologue : NULL, &epilogue, to, scratch, threads);
	}
	for (int64_t i = 0; out && i < p->batch * p->outputs; i++)
		y[i] = oq_bf16_to_f32(out[i]);
	free(scratch);
	free(in);
	free(out);
}

static oq_conv *make_conv(const problem *p, int parts, oq_isa isa)
{
	oq_conv *conv;
	oq_error err;
	oq_conv_shape shape = p->shape;
	shape.in_type = parts & NARROW_IN ? OQ_BF16 : OQ_F32;
	shape.out_type = parts & NARROW_OUT ? OQ_BF16 : OQ_F32;
	shape.moments = parts & MOMENTS;
	oq_status status = oq_conv_create(p->method, &shape, p->weights, isa, &conv, &err);
	OQ_REQUIRE(status == OQ_OK);
	return conv;
}

static void check_same(const problem *p, const oq_conv *conv, int parts, const float *want, const double *want_moments)
{
	int64_t total = p->batch * p->outputs, moments_count = p->batch * 2 * p->shape.out_channels;
	float *got = aligned_values(total);
	double *moments = calloc((size_t)moments_count, sizeof *moments);
	OQ_REQUIRE(moments != NULL);
	for (int threads = 1; threads <= 4; threads++) {
		convolve(p, conv, parts, threads == 2 ? p->batch : 1 + random_below((uint32_t)p->batch), threads, got, moments);
		OQ_CHECK(same_bits("conv", total, got, want));
		for (int64_t i = 0; parts & MOMENTS && i < moments_count; i++)
			OQ_CHECK(moments[i] == want_moments[i] || isnan(want_moments[i]));
	}
	free(got);
	free(moments);
}

/* float32 on the plain twin stands against double; every other form has its bits, rounded where the type is narrower. */
static void check_method(oq_conv_method method, const oq_conv_shape *shape, int64_t batch, int parts, value_kind kind)
{
	problem p = make_problem(shape, batch, kind);
	p.method = method;
	float *want = aligned_values(batch * p.outputs);
	double *moments = calloc((size_t)(batch * 2 * shape->out_channels), sizeof *moments);
	OQ_REQUIRE(moments != NULL);
	parts &= kind == VALUES_WILD ? ~(PROLOGUE | MOMENTS) : ~0;
	if (parts & NARROW_IN)
		round_narrow(batch * p.inputs, p.x);
	oq_conv *wide = make_conv(&p, parts & ~(NARROW_IN | NARROW_OUT), OQ_ISA_PLAIN);
	convolve(&p, wide, parts & ~(NARROW_IN | NARROW_OUT), batch, 1, want, moments);
	oq_conv_free(wide);
	if (kind != VALUES_WILD)
		check_naive(&p, parts, want);
	if (parts & MOMENTS)
		check_moments(&p, want, moments);
	if (parts & NARROW_OUT)
		round_narrow(batch * p.outputs, want);
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++) {
		oq_conv *conv = make_conv(&p, parts, isa);
		check_same(&p, conv, parts, want, moments);
		oq_conv_free(conv);
	}
	free(want);
	free(moments);
	free_problem(&p);
}

static void check_shape(const oq_conv_shape *shape, int64_t batch, int parts, value_kind kind)
{
	check_method(OQ_CONV_TAP_GEMM, shape, batch, parts & ALL_PARTS, kind);
	for (oq_conv_method method = OQ_CONV_WINOGRAD_F2; method <= OQ_CONV_WINOGRAD_F2_BF16; method++)
		if (oq_conv_supports(method, shape) && (kind != VALUES_WILD || method != OQ_CONV_WINOGRAD_F2_BF16)) /* the instruction flushes denormals */
			check_method(method, shape, batch, parts, kind);
}

/* Output extents that `pad` zeros on both sides give. */
static oq_conv_shape shape_of(const int64_t in[3], int64_t kernel, int64_t stride, int64_t pad, int64_t in_channels, int64_t out_channels)
{
	oq_conv_shape s = {.in_channels = in_channels, .out_channels = out_channels};
	for (int i = 0; i < 3; i++) {
		s.in[i] = in[i];
		s.kernel[i] = kernel;
		s.stride[i] = stride;
		s.pad_low[i] = pad;
		s.out[i] = in[i] + 2 * pad >= kernel ? (in[i] + 2 * pad - kernel) / stride + 1 : 1;
	}
	return s;
}

static void check_random(void)
{
	for (int i = 0; i < 60; i++) {
		const int64_t in[3] = {1 + random_below(7), 1 + random_below(7), 1 + random_below(7)};
		int64_t kernel = 1 + random_below(4), pad = random_below((uint32_t)kernel);
		oq_conv_shape s = shape_of(in, kernel, 1 + random_below(3), pad, 1 + random_below(40), 1 + random_below(70));
		s.pad_low[random_below(3)] = random_below((uint32_t)kernel); /* uneven: the zeros after follow from `out` */
		check_shape(&s, 1 + random_below(3), (int)random_below((ALL_PARTS | WINOGRAD_PARTS) + 1), i % 6 == 5 ? VALUES_WILD : VALUES_UNIT);
	}
}

/* Shapes with a reason of their own. */
static void check_chosen(void)
{
	static const struct { int64_t in[3], kernel, stride, pad, in_channels, out_channels; } shapes[] = {
		{{1, 1, 1}, 3, 1, 1, 5, 33},      /* one voxel: only the middle tap is real */
		{{2, 2, 2}, 7, 2, 3, 1, 32},      /* kernel larger than the map */
		{{3, 3, 3}, 3, 1, 1, 64, 96},
		{{5, 7, 9}, 3, 2, 1, 7, 31},      /* odd sizes, stride 2 */
		{{6, 5, 4}, 1, 2, 0, 24, 40},     /* pointwise and strided: rows are gathered */
		{{9, 9, 9}, 1, 1, 0, 16, 64},     /* several blocks of rows */
		{{3, 3, 3}, 1, 1, 0, 1024, 32},   /* rows 4 KiB apart: copied; two K blocks */
		{{4, 4, 4}, 3, 2, 1, 512, 32},    /* strided rows 4 KiB apart */
		{{2, 3, 2}, 1, 1, 0, 1030, 1},    /* K block of a few, one output channel */
		{{8, 8, 8}, 4, 4, 0, 3, 48},      /* patch embedding */
		{{1, 1, 1}, 1, 1, 0, 2048, 65},   /* a linear layer */
		{{9, 10, 11}, 3, 1, 1, 40, 70},   /* Winograd: several blocks, odd edges, part of a panel */
		{{5, 4, 3}, 3, 1, 1, 130, 33},    /* Winograd: more channels than a block of the cache */
	};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		oq_conv_shape s = shape_of(shapes[i].in, shapes[i].kernel, shapes[i].stride, shapes[i].pad, shapes[i].in_channels, shapes[i].out_channels);
		check_shape(&s, 3, ALL_PARTS | MOMENTS, VALUES_UNIT);
		check_shape(&s, 2, NARROW_IN, VALUES_UNIT);
		check_shape(&s, 2, BIAS | RESIDUAL | NARROW_OUT, VALUES_WILD);
	}
}

/* Little contrast: a variance a million times smaller than the square of the mean. */
static void check_contrast(void)
{
	const int64_t in[3] = {13, 9, 10};
	const oq_conv_shape s = shape_of(in, 3, 1, 1, 18, 35);
	problem p = make_problem(&s, 2, VALUES_UNIT);
	p.slope = 1.0f;
	float *y = aligned_values(2 * p.outputs);
	double *moments = calloc((size_t)(4 * s.out_channels), sizeof *moments);
	OQ_REQUIRE(moments != NULL);
	for (int64_t c = 0; c < s.out_channels; c++)
		p.bias[c] = 3000.0f + (float)c;
	for (p.method = OQ_CONV_WINOGRAD_F2; p.method <= OQ_CONV_WINOGRAD_F4; p.method++) {
		oq_conv *conv = make_conv(&p, MOMENTS, best_isa());
		convolve(&p, conv, BIAS | MOMENTS, 2, 2, y, moments);
		check_moments(&p, y, moments);
		oq_conv_free(conv);
	}
	free(y);
	free(moments);
	free_problem(&p);
}

/* In place over the residual, and without prologue and epilogue at all. */
static void check_aliases(void)
{
	const int64_t in[3] = {5, 4, 3};
	oq_conv_shape s = shape_of(in, 3, 1, 1, 20, 45);
	problem p = make_problem(&s, 2, VALUES_UNIT);
	oq_conv *conv = make_conv(&p, 0, best_isa());
	float *want = aligned_values(2 * p.outputs), *bare = aligned_values(2 * p.outputs);
	convolve(&p, conv, RESIDUAL, 2, 1, want, NULL);
	void *scratch = aligned_values((int64_t)(oq_conv_scratch_bytes(conv, 2, 1) / sizeof(float)) + 1);
	const oq_conv_epilogue epilogue = {.residual = p.residual, .slope = p.slope};
	oq_conv_run(conv, 2, p.x, NULL, &epilogue, p.residual, scratch, 1);
	OQ_CHECK(same_bits("conv over its residual", 2 * p.outputs, p.residual, want));
	p.slope = 1.0f;
	convolve(&p, conv, 0, 2, 1, want, NULL);
	oq_conv_run(conv, 2, p.x, NULL, NULL, bare, scratch, 1);
	OQ_CHECK(same_bits("conv alone", 2 * p.outputs, bare, want));
	free(scratch);
	free(want);
	free(bare);
	oq_conv_free(conv);
	free_problem(&p);
}

static void check_refusals(void)
{
	const int64_t in[3] = {4, 4, 4};
	const oq_conv_shape good = shape_of(in, 3, 1, 1, 8, 8);
	OQ_CHECK(oq_conv_supports(OQ_CONV_TAP_GEMM, &good));
	oq_conv_shape bad[8] = {good, good, good, good, good, good, good, good};
	bad[0].in_channels = 0;
	bad[1].stride[1] = 0;
	bad[2].pad_low[0] = 3;
	bad[3].out[2] = -1;
	bad[4].in[0] = INT64_MAX;
	bad[5].in_channels = bad[5].out_channels = bad[5].kernel[0] = 1 << 24;
	bad[6].out_type = OQ_BF16; /* Winograd only, as the next */
	bad[7].moments = true;
	for (int i = 0; i < 8; i++) {
		oq_conv *conv = NULL;
		oq_error err = {0};
		OQ_CHECK(!oq_conv_supports(OQ_CONV_TAP_GEMM, &bad[i]));
		OQ_CHECK_INT(oq_conv_create(OQ_CONV_TAP_GEMM, &bad[i], NULL, OQ_ISA_PLAIN, &conv, &err), OQ_E_INTERNAL);
		OQ_CHECK(conv == NULL && err.message[0]);
	}
	oq_conv_free(NULL);
}

static const kernel_case cases[] = {{"conv_random", check_random, NULL}, {"conv_chosen", check_chosen, NULL}, {"conv_contrast", check_contrast, NULL}, {"conv_aliases", check_aliases, NULL},
	{"conv_refusals", check_refusals, NULL}, {NULL, NULL, NULL}};
const kernel_family conv_family = KERNEL_FAMILY(cases);
