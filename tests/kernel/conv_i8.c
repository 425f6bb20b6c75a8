/* Exact convolutions of codes: the 16-bit micro-kernels against their plain twins, the integer Winograd convolution and the products over taps
 * against a naive sum in 64 bits, and against themselves over instruction sets and threads, bit for bit. */
#include "harness.h"

#include "gemm_i16_isa.h"
#include "kernel/conv_i8.h"
#include "kernel/conv_tap_i8.h"
#include "kernel/token_f32.h"

#include "core/mem.h"

#define NR OQ_GEMM16_NR

/* Every kernel that this processor runs: plain, AVX2, AVX-512, AVX-512 with VNNI. */
typedef struct variant {
	oq_isa isa;
	bool vnni;
} variant;

static int variants(variant out[4])
{
	int count = 0;
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++)
		out[count++] = (variant){isa, false};
#if defined(__x86_64__)
	if (best_isa() == OQ_ISA_AVX512 && __builtin_cpu_supports("avx512vnni"))
		out[count++] = (variant){OQ_ISA_AVX512, true};
#endif
	return count;
}

static int16_t *random_shorts(int64_t count, bool extreme)
{
	int16_t *x = oq_alloc_aligned((size_t)count * sizeof *x);
	OQ_REQUIRE(x);
	for (int64_t i = 0; i < count; i++)
		x[i] = extreme ? (random_below(2) ? INT16_MAX : -INT16_MAX) : (int16_t)((int32_t)random_below(65535) - INT16_MAX);
	return x;
}

static void check_product(int64_t rows, int64_t pairs, bool extreme)
{
	int64_t a_stride = 2 * pairs + 2 * random_below(3), c_stride = NR + 16 * random_below(3), count = rows * c_stride + 1;
	int16_t *a = random_shorts(rows * a_stride + 2, extreme), *b = random_shorts(pairs * 2 * NR + 2, extreme);
	int32_t *start = oq_alloc_aligned((size_t)count * 4), *want = oq_alloc_aligned((size_t)count * 4), *got = oq_alloc_aligned((size_t)count * 4);
	OQ_REQUIRE(start && want && got);
	for (int64_t i = 0; i < count; i++)
		start[i] = (int32_t)random_below(UINT32_MAX);
	oq_gemm_i16_call call = {.rows = rows, .pairs = pairs, .a = a, .a_stride = a_stride, .b = b, .c_stride = c_stride};
	variant all[4];
	int n = variants(all);
	for (int part = 0; part < 4; part++)
		for (int v = 0; v < n; v++) {
			int32_t *c = v ? got : want;
			memcpy(c, start, (size_t)count * 4);
			call.c = c;
			call.accumulate = part & 1;
			call.half = !(part & 2);
			oq_gemm_i16_kernel(all[v].isa, all[v].vnni)(&call);
			OQ_CHECK(!memcmp(c, v ? want : c, (size_t)count * 4)); /* the gaps between rows too: they must stay */
		}
	int64_t sum = 0;
	for (int64_t i = 0; i < 2 * pairs && rows; i++)
		sum += (int64_t)a[(rows - 1) * a_stride + i] * b[(i / 2 * NR + 5) * 2 + i % 2];
	if (rows)
		OQ_CHECK_INT((int32_t)(uint32_t)((uint64_t)sum + (uint32_t)start[(rows - 1) * c_stride + 5]), want[(rows - 1) * c_stride + 5]);
	oq_free_aligned(a);
	oq_free_aligned(b);
	oq_free_aligned(start);
	oq_free_aligned(want);
	oq_free_aligned(got);
}

/* Panels of bytes, rows anywhere. */
static void check_byte_product(int64_t rows, int64_t pairs, bool extreme)
{
	int64_t a_stride = 2 * pairs + 3, count = rows * 2 * NR + 1;
	int16_t *a = random_shorts(rows * a_stride + 1, false);
	int8_t *b = oq_alloc_aligned((size_t)(pairs * 2 * NR + 1));
	int32_t *start = oq_alloc_aligned((size_t)count * 4), *want = oq_alloc_aligned((size_t)count * 4), *got = oq_alloc_aligned((size_t)count * 4);
	const int16_t *in[64];
	int32_t *out[64];
	OQ_REQUIRE(b && start && want && got && rows <= 64);
	for (int64_t i = 0; i < rows * a_stride; i++)
		a[i] = (int16_t)(!extreme ? a[i] % 256 : random_below(2) ? 255 : -255);
	for (int64_t i = 0; i < pairs * 2 * NR; i++)
		b[i] = (int8_t)(extreme ? (random_below(2) ? -128 : 127) : (int)random_below(256) - 128);
	for (int64_t i = 0; i < count; i++)
		start[i] = (int32_t)random_below(1 << 20);
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++)
		for (int accumulate = 0; accumulate < 2; accumulate++) {
			memcpy(got, start, (size_t)count * 4);
			memcpy(want, start, (size_t)count * 4);
			for (int64_t r = 0; r < rows; r++) { /* the rows' order is the caller's */
				in[r] = a + (r * 7 % rows) * a_stride;
				out[r] = got + r * 2 * NR;
				for (int64_t j = 0; j < NR; j++) {
					int64_t sum = accumulate ? start[r * 2 * NR + j] : 0;
					for (int64_t i = 0; i < 2 * pairs; i++)
						sum += in[r][i] * b[(i / 2 * NR + j) * 2 + i % 2];
					want[r * 2 * NR + j] = (int32_t)sum;
				}
			}
			oq_gemm_i16s8_kernel(isa)(rows, pairs, in, b, out, accumulate);
			OQ_CHECK(!memcmp(got, want, (size_t)count * 4)); /* the gaps between rows too: they must stay */
		}
	oq_free_aligned(a);
	oq_free_aligned(b);
	oq_free_aligned(start);
	oq_free_aligned(want);
	oq_free_aligned(got);
}

static void check_gemm(void)
{
	for (int64_t rows = 1; rows <= 45; rows++)
		check_byte_product(rows, random_below(40), rows % 3 == 0);
	for (int64_t rows = 0; rows <= 45; rows++)
		check_product(rows, 1 + random_below(70), rows % 3 == 0);
	check_product(28, 512, true);
	check_product(3, 0, false);
}

typedef struct problem {
	oq_conv_shape shape;
	bool taps; /* products over taps; else Winograd */
	int64_t inputs, outputs;
	uint8_t *x;
	int8_t *codes;
	int32_t zero;
	float *scale, *bias, *residual;
	int64_t *sums; /* naive */
} problem;

enum { CODES_RANDOM, CODES_EXTREME, CODES_FULL, CODES_ALL /* of 8 bits, taps only */, CODES_LEAST /* -128 by 255, taps only */, CODES_FEW,
	CODES_BRIM /* whose products with 255 just fit 16 bits, one, two or four pairs of them together; taps only */ };

static int64_t volume(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

/* As trained: of few neighbours the products, with the largest inputs, do not fit 16 bits. Taps only. */
static void fill_few(problem *p, int64_t weights)
{
	static const int8_t pairs[][2] = {{127, 127}, {-128, -128}, {127, 2}, {-1, -128}, {-128, 127}, {100, 29}, {64, 65}, {-100, -30}, {0, -128}};
	int64_t taps = volume(p->shape.kernel);
	for (int64_t i = 0; i < weights; i++)
		p->codes[i] = (int8_t)((int)random_below(129) - 64);
	for (int64_t n = 0; n < weights / 500; n++) {
		int64_t o = random_below((uint32_t)p->shape.out_channels), c = random_below((uint32_t)(p->shape.in_channels / 2)) * 2;
		const int8_t *pair = pairs[n % 9];
		int8_t *to = p->codes + (o * p->shape.in_channels + c) * taps + random_below((uint32_t)taps);
		to[0] = pair[0];
		to[taps] = pair[1];
	}
}

static void fill_brim(problem *p, int64_t weights)
{
	static const int8_t sizes[] = {16, 16, 32, 16, 16, 64, -16};
	for (int64_t i = 0; i < weights; i++)
		p->codes[i] = (int8_t)(sizes[i / volume(p->shape.kernel) / 4 % 7] * (i / volume(p->shape.kernel) / p->shape.in_channels % 2 ? 1 : -1));
}

static void fill_codes(problem *p, int kind, int64_t weights)
{
	for (int64_t i = 0; i < p->inputs && kind >= CODES_ALL; i++)
		p->x[i] = (uint8_t)(kind == CODES_ALL ? random_below(256) : 255);
	for (int64_t i = 0; i < weights && kind >= CODES_ALL; i++)
		p->codes[i] = (int8_t)(kind == CODES_ALL ? (int)random_below(256) - 128 : -128);
	if (kind >= CODES_ALL) {
		if (kind == CODES_FEW)
			fill_few(p, weights);
		if (kind == CODES_BRIM)
			fill_brim(p, weights);
		return;
	}
	for (int64_t i = 0; i < p->inputs; i++)
		p->x[i] = (uint8_t)(kind == CODES_RANDOM ? random_below(256) : kind == CODES_FULL ? 255 : random_below(2) * 255);
	/* 95: as large as weights may be for a transformed one to fit 16 bits whatever the others are. The first of a kernel meets the smallest
	 * coefficients and may be extreme. */
	for (int64_t i = 0; i < weights; i++)
		p->codes[i] = (int8_t)(kind == CODES_RANDOM ? (int)random_below(191) - 95 : kind == CODES_FULL ? 95 : random_below(2) ? 95 : -95);
	for (int64_t i = 0; i < weights && kind != CODES_FULL; i += 27)
		p->codes[i] = random_below(2) ? 127 : -128;
}

static int64_t naive_sum(const problem *p, int64_t voxel, int64_t o)
{
	const oq_conv_shape *s = &p->shape;
	const int64_t taps = volume(s->kernel), out[3] = {voxel / (s->out[1] * s->out[2]), voxel / s->out[2] % s->out[1], voxel % s->out[2]};
	int64_t sum = 0;
	for (int64_t t = 0; t < taps; t++) {
		const int64_t tap[3] = {t / (s->kernel[1] * s->kernel[2]), t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
		int64_t at[3];
		bool inside = true;
		for (int i = 0; i < 3; i++) {
			at[i] = out[i] * s->stride[i] + tap[i] * (s->dilation[i] ? s->dilation[i] : 1) - s->pad_low[i];
			inside = inside && at[i] >= 0 && at[i] < s->in[i];
		}
		for (int64_t c = 0; c < s->in_channels && inside; c++)
			sum += ((int64_t)p->x[((at[0] * s->in[1] + at[1]) * s->in[2] + at[2]) * s->in_channels + c] - p->zero)
				* p->codes[(o * s->in_channels + c) * taps + t];
	}
	return sum;
}

static oq_conv_shape shape_of(int64_t in, int64_t out, int64_t d, int64_t h, int64_t w)
{
	return (oq_conv_shape){.in_channels = in, .out_channels = out, .in = {d, h, w}, .out = {d, h, w}, .kernel = {3, 3, 3}, .stride = {1, 1, 1},
		.pad_low = {1, 1, 1}};
}

static problem make_problem(oq_conv_shape shape, int32_t zero, int kind)
{
	int64_t weights = shape.in_channels * shape.out_channels * volume(shape.kernel);
	problem p = {.shape = shape, .zero = zero, .inputs = volume(shape.in) * shape.in_channels, .outputs = volume(shape.out) * shape.out_channels};
	p.x = malloc((size_t)p.inputs);
	p.codes = malloc((size_t)weights);
	p.scale = random_values(shape.out_channels, VALUES_POSITIVE);
	p.bias = random_values(shape.out_channels, VALUES_UNIT);
	p.residual = random_values(p.outputs, VALUES_UNIT);
	p.sums = malloc((size_t)p.outputs * sizeof *p.sums);
	OQ_REQUIRE(p.x && p.codes && p.sums);
	fill_codes(&p, kind, weights);
	for (int64_t i = 0; i < p.outputs; i++)
		p.sums[i] = naive_sum(&p, i / shape.out_channels, i % shape.out_channels);
	return p;
}

static void free_problem(problem *p)
{
	free(p->x);
	free(p->codes);
	free(p->scale);
	free(p->bias);
	free(p->residual);
	free(p->sums);
}

/* One of the two, or neither. */
typedef struct any_conv {
	oq_conv_i8 *winograd;
	oq_tap_i8 *taps;
} any_conv;

static any_conv make_conv(const problem *p, variant v)
{
	const oq_conv_i8_desc desc = {.shape = p->shape, .codes = p->codes, .zero = p->zero, .isa = v.isa, .vnni = v.vnni};
	any_conv conv = {0};
	oq_error err = {0};
	OQ_CHECK_INT(p->taps ? oq_tap_i8_create(&desc, &conv.taps, &err) : oq_conv_i8_create(&desc, &conv.winograd, &err), OQ_OK);
	return conv;
}

static void free_conv(any_conv conv)
{
	oq_conv_i8_free(conv.winograd);
	oq_tap_i8_free(conv.taps);
}

/* Bytes of the output, to be freed with free(); those of another type are NaN or 0xff before. */
static void *run(const problem *p, any_conv conv, oq_conv_i8_epilogue e, int threads)
{
	size_t bytes = (size_t)p->outputs * oq_dtype_size(e.y.dtype);
	void *scratch = oq_alloc_aligned(conv.taps ? oq_tap_i8_scratch_bytes(conv.taps, threads) : oq_conv_i8_scratch_bytes(conv.winograd, threads));
	e.y.data = malloc(bytes + 64);
	OQ_REQUIRE(e.y.data && scratch);
	memset(e.y.data, 0xa5, bytes + 64);
	if (conv.taps)
		oq_tap_i8_run(conv.taps, p->x, &e, scratch, threads);
	else
		oq_conv_i8_run(conv.winograd, p->x, &e, scratch, threads);
	for (size_t i = bytes; i < bytes + 64; i++)
		OQ_CHECK(((unsigned char *)e.y.data)[i] == 0xa5); /* nothing behind the end */
	oq_free_aligned(scratch);
	return e.y.data;
}

/* The sums themselves: scale 1, nothing else. A float holds them exactly below 2^24, and rounds the exact integer above. */
static void check_sums(const problem *p, any_conv conv)
{
	float *ones = random_values(p->shape.out_channels, VALUES_UNIT);
	for (int64_t o = 0; o < p->shape.out_channels; o++)
		ones[o] = 1.0f;
	const oq_conv_i8_epilogue e = {.scale = ones, .slope = 1.0f, .y = {.dtype = OQ_F32}};
	float *y = run(p, conv, e, 1);
	int64_t wrong = 0;
	for (int64_t i = 0; i < p->outputs; i++)
		wrong += y[i] != (float)p->sums[i];
	OQ_CHECK_INT(wrong, 0);
	free(y);
	free(ones);
}

/* What the header says, a rounding at a time. */
static float expected(const problem *p, const oq_conv_i8_epilogue *e, int64_t i)
{
	int64_t o = i % p->shape.out_channels;
	float v = (float)p->sums[i] * e->scale[o];
	v += e->bias ? e->bias[o] : 0.0f;
	v += e->residual ? e->residual[i] : 0.0f;
	if (e->gelu)
		oq_token_kernels_for(OQ_ISA_PLAIN)->gelu(1, &v, &v);
	v = e->gelu || v > 0.0f ? v : e->slope == 0.0f ? 0.0f : v * e->slope;
	if (e->y.dtype == OQ_BF16)
		return oq_bf16_to_f32(oq_f32_to_bf16(v));
	return e->y.dtype == OQ_U8 ? fminf(fmaxf(nearbyintf(v * (1.0f / e->y.scale) + (float)e->y.zero), 0.0f), 255.0f) : v;
}

static float value_at(const void *y, oq_dtype dtype, int64_t i)
{
	if (dtype == OQ_BF16)
		return oq_bf16_to_f32(((const uint16_t *)y)[i]);
	return dtype == OQ_U8 ? (float)((const uint8_t *)y)[i] : ((const float *)y)[i];
}

static void check_outputs(const problem *p, any_conv conv, const char *which)
{
	static const oq_dtype types[] = {OQ_F32, OQ_BF16, OQ_U8};
	for (int type = 0; type < 3; type++)
		for (int parts = 0; parts < (p->taps ? 6 : 4); parts++) {
			const oq_conv_i8_epilogue e = {.gelu = parts > 3,.scale = p->scale, .bias = parts & 1 ? p->bias : NULL, .residual = parts & 2 ? p->residual : NULL,
				.slope = parts == 0 ? 1.0f : parts == 1 ? 0.1f : 0.0f, .y = {.dtype = types[type], .scale = 3e3f, .zero = parts == 3 ? 0 : 77}};
			void *y = run(p, conv, e, parts == 2 ? 3 : 1);
			int64_t wrong = 0;
			for (int64_t i = 0; i < p->outputs; i++)
				wrong += value_at(y, e.y.dtype, i) != expected(p, &e, i);
			if (wrong)
				fprintf(stderr, "%s, %s, parts %d: %lld of %lld wrong\n", which, oq_dtype_name(e.y.dtype), parts, (long long)wrong, (long long)p->outputs);
			OQ_CHECK_INT(wrong, 0);
			free(y);
		}
}

static void check_problem(problem p)
{
	variant all[4];
	int n = variants(all);
	for (int v = 0; v < n; v++) {
		any_conv conv = make_conv(&p, all[v]);
		OQ_CHECK(conv.winograd || conv.taps);
		if (conv.winograd || conv.taps) {
			check_sums(&p, conv);
			check_outputs(&p, conv, oq_isa_name(all[v].isa));
		}
		free_conv(conv);
	}
	free_problem(&p);
}

/* Filters that do not fit 16 bits once they are transformed, in `count` channels, of the first or of every other output. */
static void check_wide(oq_conv_shape shape, int32_t zero, int64_t count, bool many)
{
	problem p = make_problem(shape, zero, CODES_EXTREME);
	for (int64_t o = 0; o < (many ? shape.out_channels : 1); o += 2)
		for (int64_t i = 0; i < count; i++)
			memset(p.codes + 27 * (o * shape.in_channels + shape.in_channels - 1 - 5 * i), i % 2 ? 127 : -128, 27);
	for (int64_t i = 0; i < p.outputs; i++)
		p.sums[i] = naive_sum(&p, i / shape.out_channels, i % shape.out_channels);
	check_problem(p);
}

static void check_conv(void)
{
	check_problem(make_problem(shape_of(16, 16, 6, 6, 6), 0, CODES_RANDOM));
	check_problem(make_problem(shape_of(32, 32, 7, 5, 9), 128, CODES_RANDOM));
	check_problem(make_problem(shape_of(33, 48, 4, 8, 3), 255, CODES_RANDOM));
	check_problem(make_problem(shape_of(1, 1, 1, 1, 1), 3, CODES_RANDOM));
	check_problem(make_problem(shape_of(17, 70, 2, 10, 4), 9, CODES_RANDOM));
	check_problem(make_problem(shape_of(64, 33, 12, 3, 4), 0, CODES_EXTREME));
	check_problem(make_problem(shape_of(33, 40, 5, 4, 6), 128, CODES_EXTREME));
	check_problem(make_problem(shape_of(32, 16, 6, 4, 5), 255, CODES_EXTREME));
	check_problem(make_problem(shape_of(320, 16, 4, 3, 3), 0, CODES_RANDOM));
	check_problem(make_problem(shape_of(320, 16, 3, 3, 5), 0, CODES_FULL)); /* sums of 209 million, 8 of which would not fit by far */
	check_problem(make_problem(shape_of(16, 16, 13, 14, 15), 1, CODES_RANDOM)); /* more than one block */
	check_wide(shape_of(16, 20, 4, 5, 3), 0, 2, true);
	check_wide(shape_of(33, 16, 3, 7, 4), 128, 3, true);
	check_wide(shape_of(64, 33, 4, 4, 4), 255, 1, false);
}

static void check_tap_problem(int64_t in, int64_t out, const int64_t geometry[5][3], int32_t zero, int kind, const char *method)
{
	oq_conv_shape shape = {.in_channels = in, .out_channels = out};
	for (int i = 0; i < 3; i++) {
		shape.in[i] = geometry[0][i];
		shape.kernel[i] = geometry[1][i];
		shape.stride[i] = geometry[2][i];
		shape.pad_low[i] = geometry[3][i];
		shape.dilation[i] = geometry[4][i];
		int64_t span = (shape.kernel[i] - 1) * (shape.dilation[i] ? shape.dilation[i] : 1) + 1;
		shape.out[i] = (shape.in[i] + 2 * shape.pad_low[i] - span) / shape.stride[i] + 1;
	}
	problem p = make_problem(shape, zero, kind);
	p.taps = true;
	any_conv bytes = make_conv(&p, (variant){OQ_ISA_PLAIN, false});
	OQ_CHECK(!strcmp(oq_tap_i8_method(bytes.taps), method));
	free_conv(bytes);
	check_problem(p);
}

/* Sizes, kernels, strides, padding, dilation. */
static void check_taps(void)
{
	static const int64_t small[5][3] = {{3, 3, 3}, {3, 3, 3}, {1, 1, 1}, {1, 1, 1}}, strided[5][3] = {{6, 5, 7}, {3, 3, 3}, {2, 2, 2}, {1, 1, 1}},
		pointwise[5][3] = {{6, 5, 11}, {1, 1, 1}, {1, 1, 1}}, skipping[5][3] = {{5, 6, 7}, {1, 1, 1}, {2, 2, 2}}, vector[5][3] = {{1, 1, 1}, {1, 1, 1}, {1, 1, 1}},
		odd[5][3] = {{4, 9, 6}, {1, 3, 2}, {1, 2, 1}, {0, 2, 1}}, dilated[5][3] = {{7, 6, 5}, {3, 3, 3}, {1, 1, 1}, {2, 2, 0}, {2, 2, 2}},
		wide[5][3] = {{7, 7, 7}, {5, 5, 5}, {1, 2, 1}, {2, 2, 2}, {1, 1, 1}};
	check_tap_problem(64, 33, small, 0, CODES_ALL, "taps-u8"); /* most columns of the second panel are none */
	check_tap_problem(64, 32, small, 0, CODES_LEAST, "taps-i16");
	check_tap_problem(513, 40, small, 131, CODES_ALL, "taps-i16"); /* channels in blocks, and an odd number of them */
	check_tap_problem(17, 70, strided, 9, CODES_ALL, "taps-i16");
	check_tap_problem(128, 16, strided, 255, CODES_LEAST, "taps-u8");
	check_tap_problem(64, 100, pointwise, 128, CODES_ALL, "taps-i16");
	check_tap_problem(1026, 31, pointwise, 3, CODES_EXTREME, "taps-i16");
	check_tap_problem(1024, 64, skipping, 77, CODES_ALL, "taps-i16");
	check_tap_problem(3073, 50, vector, 200, CODES_ALL, "taps-i16");
	check_tap_problem(OQ_TAP_I8_MAX_SUM, 3, vector, 0, CODES_LEAST, "taps-i16"); /* the longest sum: 2^31 less 8 thousand */
	check_tap_problem(64, 70, small, 0, CODES_FEW, "taps-u8");
	check_tap_problem(1028, 40, pointwise, 0, CODES_FEW, "taps-u8");
	check_tap_problem(600, 17, skipping, 0, CODES_FEW, "taps-u8");
	check_tap_problem(36, 64, strided, 0, CODES_FEW, "taps-u8");
	check_tap_problem(3072, 50, vector, 0, CODES_FEW, "taps-u8");
	check_tap_problem(20, 33, wide, 0, CODES_FEW, "taps-u8");
	check_tap_problem(24, 32, dilated, 0, CODES_FEW, "taps-u8");
	check_tap_problem(19, 20, odd, 5, CODES_ALL, "taps-i16");
	check_tap_problem(16, 16, dilated, 66, CODES_ALL, "taps-u8");
	check_tap_problem(16, 32, dilated, 66, CODES_ALL, "taps-i16");
	check_tap_problem(16, 24, wide, 13, CODES_ALL, "taps-i16");
	check_tap_problem(64, 70, small, 128, CODES_FEW, "taps-u8");
	check_tap_problem(36, 64, strided, 255, CODES_FEW, "taps-u8");
	check_tap_problem(1028, 33, pointwise, 7, CODES_FEW, "taps-u8");
	check_tap_problem(600, 32, skipping, 200, CODES_FEW, "taps-u8");
	check_tap_problem(64, 32, small, 0, CODES_BRIM, "taps-u8");
	check_tap_problem(520, 36, pointwise, 100, CODES_BRIM, "taps-u8");
	check_tap_problem(64, 5, small, 0, CODES_LEAST, "taps-u8"); /* no weights in most columns: bytes, though all need two steps */
	check_tap_problem(516, 9, small, 255, CODES_LEAST, "taps-u8");
	check_tap_problem(68, 7, strided, 131, CODES_EXTREME, "taps-u8");
	check_tap_problem(65792, 3, vector, 0, CODES_LEAST, "taps-u8");
}

/* Where it would not be exact there is no convolution, and no error. */
static void check_refusals(void)
{
	const variant plain = {OQ_ISA_PLAIN, false};
	problem p = make_problem(shape_of(16, 2, 3, 3, 3), 0, CODES_FULL);
	for (int64_t i = 0; i < 3; i++)
		memset(p.codes + 27 * (5 * i + 1), 127, 27); /* 343 * 127 is no number of 16 bits: more than an eighth of the channels */
	OQ_CHECK(!make_conv(&p, plain).winograd);
	free_problem(&p);
	p = make_problem(shape_of(480, 2, 1, 1, 1), 0, CODES_FULL); /* 480 * 27 * 95 * 255 is above 2^28 */
	OQ_CHECK(!make_conv(&p, plain).winograd);
	p.zero = 128; /* but not with 128 as the largest input */
	any_conv conv = make_conv(&p, plain);
	OQ_CHECK(conv.winograd);
	free_conv(conv);
	free_problem(&p);
	oq_conv_shape longest = {.in_channels = OQ_TAP_I8_MAX_SUM, .out_channels = 1, .in = {1, 1, 1}, .out = {1, 1, 1}, .kernel = {1, 1, 1}, .stride = {1, 1, 1}};
	OQ_CHECK(oq_tap_i8_supports(&longest));
	longest.in_channels++;
	OQ_CHECK(!oq_tap_i8_supports(&longest));
	oq_conv_shape strided = shape_of(16, 16, 6, 6, 6);
	strided.stride[1] = 2;
	OQ_CHECK(!oq_conv_i8_supports(&strided));
}

static void time_conv(void)
{
	static const int64_t sizes[][3] = {{32, 32, 48}, {32, 64, 24}, {64, 64, 24}, {64, 128, 12}, {128, 128, 12}, {128, 256, 6}, {256, 256, 6}};
	variant all[4];
	int n = variants(all);
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++)
		for (int v = 1; v < n; v++) {
			int64_t size = sizes[i][2], voxels = size * size * size;
			problem p = {.shape = shape_of(sizes[i][0], sizes[i][1], size, size, size)};
			p.x = calloc((size_t)(voxels * sizes[i][0]), 1);
			p.codes = calloc((size_t)(sizes[i][0] * sizes[i][1] * 27), 1);
			float *scale = random_values(sizes[i][1], VALUES_UNIT);
			oq_conv_i8 *conv = make_conv(&p, all[v]).winograd;
			void *scratch = oq_alloc_aligned(oq_conv_i8_scratch_bytes(conv, 1)), *y = malloc((size_t)(voxels * sizes[i][1]) * 4);
			OQ_REQUIRE(p.x && p.codes && conv && scratch && y);
			const oq_conv_i8_epilogue e = {.scale = scale, .slope = 0, .y = {.data = y, .dtype = OQ_F32}};
			double best = INFINITY;
			for (int repeat = 0; repeat < 15; repeat++) {
				double start = now_seconds();
				oq_conv_i8_run(conv, p.x, &e, scratch, 1);
				best = fmin(best, now_seconds() - start);
			}
			printf("%3lld > %3lld @ %2lld %s%s: %.3f ms, %.0f Gop/s nominal\n", (long long)sizes[i][0], (long long)sizes[i][1], (long long)size,
				oq_isa_name(all[v].isa), all[v].vnni ? " vnni" : "", 1e3 * best, 54e-9 * (double)(voxels * sizes[i][0] * sizes[i][1]) / best);
			oq_conv_i8_free(conv);
			oq_free_aligned(scratch);
			free(y);
			free(scale);
			free(p.x);
			free(p.codes);
		}
}

static const kernel_case cases[] = {{"i16_gemm", check_gemm, NULL}, {"i8_conv", check_conv, time_conv}, {"i8_taps", check_taps, NULL}, {"i8_refusals", check_refusals, NULL}, {NULL, NULL, NULL}};
const kernel_family conv_i8_family = KERNEL_FAMILY(cases);
