/* Token kernels, attention and depthwise convolution: against naive forms in double, and bit for bit over instruction sets. */
#include "harness.h"

#include "core/dtype.h"
#include "core/mem.h"
#include "kernel/attention_bf16.h"
#include "kernel/attention_f32.h"
#include "kernel/depthwise_f32.h"
#include "kernel/token_f32.h"

#define ROWS 5

static void check_layer_norm(void)
{
	static const int64_t widths[] = {1, 3, 16, 17, 100, 513, 4000};
	for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
		int64_t n = widths[i];
		float *x = random_values(ROWS * n, VALUES_UNIT), *w = random_values(n, VALUES_UNIT), *b = random_values(n, VALUES_UNIT);
		float *want = aligned_values(ROWS * n), *got = aligned_values(ROWS * n);
		oq_token_kernels_for(OQ_ISA_PLAIN)->layer_norm(ROWS, n, x, w, b, 1e-5f, want);
		for (int64_t r = 0; r < ROWS; r++) {
			double mean = 0, var = 0;
			for (int64_t c = 0; c < n; c++)
				mean += (double)x[r * n + c] / (double)n;
			for (int64_t c = 0; c < n; c++)
				var += ((double)x[r * n + c] - mean) * ((double)x[r * n + c] - mean) / (double)n;
			for (int64_t c = 0; c < n; c++) {
				double y = ((double)x[r * n + c] - mean) / sqrt(var + 1e-5) * (double)w[c] + (double)b[c];
				/* Values of order 3; float sums in 16 lanes lose a few units, and 1/sqrt(1e-5) magnifies a single voxel's rounding. */
				OQ_CHECK_NEAR((double)want[r * n + c], y, n == 1 ? 1e-4 : 4e-6);
			}
		}
		for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
			oq_token_kernels_for(isa)->layer_norm(ROWS, n, x, w, b, 1e-5f, got);
			OQ_CHECK(same_bits("layer norm", ROWS * n, got, want));
		}
		free(x), free(w), free(b), free(want), free(got);
	}
}

static void check_gelu(void)
{
	enum { COUNT = 40001 };
	float *x = aligned_values(COUNT), *want = aligned_values(COUNT), *got = aligned_values(COUNT);
	for (int i = 0; i < COUNT; i++)
		x[i] = (float)(i - COUNT / 2) * (10.0f / (COUNT / 2));
	oq_token_kernels_for(OQ_ISA_PLAIN)->gelu(COUNT, x, want);
	double worst = 0;
	for (int i = 0; i < COUNT; i++)
		worst = fmax(worst, fabs((double)want[i] - 0.5 * (double)x[i] * erfc(-(double)x[i] / sqrt(2))) / fmax(1, fabs((double)x[i])));
	OQ_CHECK(worst < 1e-7); /* as the header promises */
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_token_kernels_for(isa)->gelu(COUNT, x, got);
		OQ_CHECK(same_bits("gelu", COUNT, got, want));
	}
	free(x), free(want), free(got);
}

/* n tokens of width d; every third one is padding nobody wants, when `holes`. */
static void check_attention_of(int64_t n, int64_t d, bool holes)
{
	float *q = random_values(n * d, VALUES_UNIT), *k = random_values(n * d, VALUES_UNIT), *v = random_values(n * d, VALUES_UNIT);
	float *bias = random_values(n * n, VALUES_UNIT), *mask = random_values(n * n, VALUES_UNIT);
	float *want = aligned_values(n * d), *got = aligned_values(n * d);
	float *scratch = aligned_values((int64_t)oq_attention_scratch_floats(n, d));
	const float **rows = calloc((size_t)(3 * n), sizeof *rows);
	float **out = calloc((size_t)n, sizeof *out);
	OQ_REQUIRE(rows != NULL && out != NULL);
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++) {
		float *to = isa == OQ_ISA_PLAIN ? want : got;
		for (int64_t t = 0; t < n; t++) {
			rows[t] = q + t * d;
			rows[n + t] = k + t * d;
			rows[2 * n + t] = v + t * d;
			out[t] = holes && t % 3 == 2 ? NULL : to + t * d;
		}
		const oq_attention a = {.tokens = n, .head_dim = d, .scale = 0.3f, .q = rows, .k = rows + n, .v = rows + 2 * n, .bias = bias, .mask = mask, .out = out};
		oq_attention_run(&a, isa, scratch);
		OQ_CHECK(isa == OQ_ISA_PLAIN || same_bits("attention", n * d, got, want));
	}
	for (int64_t i = 0; i < n; i++) {
		double sum = 0, *p = calloc((size_t)n, sizeof *p);
		OQ_REQUIRE(p != NULL);
		for (int64_t j = 0; j < n; j++) {
			for (int64_t c = 0; c < d; c++)
				p[j] += 0.3 * (double)q[i * d + c] * (double)k[j * d + c];
			p[j] = exp(p[j] + (double)bias[i * n + j] + (double)mask[i * n + j]);
			sum += p[j];
		}
		for (int64_t c = 0; c < d && out[i]; c++) {
			double y = 0;
			for (int64_t j = 0; j < n; j++)
				y += p[j] / sum * (double)v[j * d + c];
			OQ_CHECK_NEAR((double)want[i * d + c], y, 3e-6); /* a mean of values of order 1 with weights good to 2 units */
		}
		OQ_CHECK(out[i] || isnan(want[i * d])); /* padding is not written */
		free(p);
	}
	free(q), free(k), free(v), free(bias), free(mask), free(want), free(got), free(scratch), free(out);
	free((void *)rows);
}

static void check_attention(void)
{
	check_attention_of(1, 32, false);
	check_attention_of(9, 32, false);
	check_attention_of(64, 64, true);
	check_attention_of(65, 32, true);
	check_attention_of(100, 96, false);
}

/* Rounded to bfloat16 in place; the same as `halves`. */
static uint16_t *round_halves(int64_t count, float *x)
{
	uint16_t *halves = malloc((size_t)count * sizeof *halves);
	OQ_REQUIRE(halves != NULL);
	for (int64_t i = 0; i < count; i++) {
		halves[i] = oq_f32_to_bf16(x[i]);
		uint32_t bits = (uint32_t)halves[i] << 16;
		memcpy(&x[i], &bits, sizeof bits);
	}
	return halves;
}

/* On the same rounded values, beside the float32 form, which the checks above hold to double; and the fast form beside the twin. */
static void check_halves_of(int64_t n, int64_t d, bool holes)
{
	enum { FLOAT, TWIN, FAST };
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	float *x[3], *result[3], *bias = random_values(n * n, VALUES_UNIT), *floats = aligned_values((int64_t)oq_attention_scratch_floats(n, d));
	uint16_t *halves[3];
	const float **rows = calloc((size_t)(3 * n), sizeof *rows);
	const uint16_t **half_rows = calloc((size_t)(3 * n), sizeof *half_rows);
	float **out = calloc((size_t)n, sizeof *out);
	void *scratch = oq_alloc_aligned(oq_attention_bf16_scratch_bytes(n, d));
	OQ_REQUIRE(rows && half_rows && out && scratch);
	for (int i = 0; i < 3; i++) {
		x[i] = random_values(n * d, VALUES_UNIT);
		halves[i] = round_halves(n * d, x[i]);
		result[i] = aligned_values(n * d);
		for (int64_t t = 0; t < n; t++) {
			rows[i * n + t] = x[i] + t * d;
			half_rows[i * n + t] = halves[i] + t * d;
		}
	}
	for (int form = FLOAT; form <= (cpu.avx512_bf16 && cpu.isa == OQ_ISA_AVX512 ? FAST : TWIN); form++) {
		for (int64_t t = 0; t < n; t++)
			out[t] = holes && t % 3 == 2 ? NULL : result[form] + t * d;
		const oq_attention exact = {.tokens = n, .head_dim = d, .scale = 0.3f, .q = rows, .k = rows + n, .v = rows + 2 * n, .bias = bias, .out = out};
		const oq_attention_bf16 a = {.tokens = n, .head_dim = d, .scale = 0.3f, .q = half_rows, .k = half_rows + n, .v = half_rows + 2 * n, .bias = bias,
			.out = out};
		if (form == FLOAT)
			oq_attention_run(&exact, OQ_ISA_PLAIN, floats);
		else
			oq_attention_bf16_run(&a, form == FAST ? OQ_ISA_AVX512 : OQ_ISA_PLAIN, scratch);
		OQ_CHECK(form != FAST || same_bits("attention in bfloat16", n * d, result[FAST], result[TWIN]));
	}
	for (int64_t i = 0; i < n * d; i++) /* a mean of values below 1 whose weights are rounded by at most 2^-8 */
		OQ_CHECK(isnan(result[FLOAT][i]) ? isnan(result[TWIN][i]) : fabsf(result[TWIN][i] - result[FLOAT][i]) <= 0x1p-8f);
	for (int i = 0; i < 3; i++)
		free(x[i]), free(halves[i]), free(result[i]);
	free(bias), free(floats), free(out), oq_free_aligned(scratch);
	free((void *)rows), free((void *)half_rows);
}

static void check_attention_halves(void)
{
	check_halves_of(1, 32, false);
	check_halves_of(9, 32, false);
	check_halves_of(64, 64, true);
	check_halves_of(101, 96, true);
}

static void check_unit_row(void)
{
	float *x = random_values(33, VALUES_UNIT), *scale = random_values(33, VALUES_UNIT), want[33], got[33], zero[33] = {0};
	oq_token_kernels_for(OQ_ISA_PLAIN)->unit_row(33, x, scale, want);
	double squares = 0;
	for (int c = 0; c < 33; c++)
		squares += (double)x[c] * (double)x[c];
	for (int c = 0; c < 33; c++)
		OQ_CHECK_NEAR((double)want[c], (double)x[c] / sqrt(squares) * (double)scale[c], 3e-7);
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_token_kernels_for(isa)->unit_row(33, x, scale, got);
		OQ_CHECK(same_bits("unit row", 33, got, want));
		oq_token_kernels_for(isa)->unit_row(33, zero, NULL, got);
		OQ_CHECK(got[0] == 0); /* a zero row stays zero */
	}
	free(x), free(scale);
}

static double depthwise_at(const oq_depthwise *conv, const float *x, int64_t voxel, int64_t c)
{
	const int64_t at[3] = {voxel / (conv->out[1] * conv->out[2]), voxel / conv->out[2] % conv->out[1], voxel % conv->out[2]};
	int64_t taps = conv->kernel[0] * conv->kernel[1] * conv->kernel[2];
	double sum = (double)conv->bias[c];
	for (int64_t t = 0; t < taps; t++) {
		const int64_t tap[3] = {t / (conv->kernel[1] * conv->kernel[2]), t / conv->kernel[2] % conv->kernel[1], t % conv->kernel[2]};
		int64_t from = 0;
		bool inside = true;
		for (int i = 0; i < 3; i++) {
			int64_t p = at[i] * conv->stride[i] + tap[i] - conv->pad_low[i];
			inside &= p >= 0 && p < conv->in[i];
			from = from * conv->in[i] + p;
		}
		if (inside)
			sum += (double)x[from * conv->channels + c] * (double)conv->weights[t * conv->channels + c];
	}
	return sum;
}

static void check_depthwise(void)
{
	static const struct { int64_t channels, in[3], kernel[3], stride, low[3]; } shapes[] = {
		{512, {6, 3, 3}, {3, 3, 3}, 1, {2, 1, 1}}, {64, {1, 9, 7}, {1, 3, 3}, 1, {0, 1, 1}}, {130, {4, 5, 6}, {3, 3, 3}, 2, {1, 1, 1}},
		{7, {1, 1, 1}, {3, 3, 3}, 1, {1, 1, 1}}};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		oq_depthwise conv = {.channels = shapes[i].channels};
		int64_t voxels = 1, inputs = shapes[i].channels, taps = 1;
		for (int a = 0; a < 3; a++) {
			conv.in[a] = shapes[i].in[a];
			conv.kernel[a] = shapes[i].kernel[a];
			conv.stride[a] = shapes[i].stride;
			conv.pad_low[a] = shapes[i].low[a];
			/* Causal padding on the first axis has its zeros before only. */
			int64_t high = shapes[i].low[a] == 2 ? 0 : shapes[i].low[a];
			conv.out[a] = (conv.in[a] + shapes[i].low[a] + high - conv.kernel[a]) / conv.stride[a] + 1;
			voxels *= conv.out[a];
			inputs *= conv.in[a];
			taps *= conv.kernel[a];
		}
		float *x = random_values(inputs, VALUES_UNIT), *w = random_values(taps * conv.channels, VALUES_UNIT), *b = random_values(conv.channels, VALUES_UNIT);
		float *residual = random_values(voxels * conv.channels, VALUES_UNIT);
		float *want = aligned_values(voxels * conv.channels), *got = aligned_values(voxels * conv.channels);
		conv.weights = w;
		conv.bias = b;
		oq_depthwise_run(&conv, OQ_ISA_PLAIN, x, residual, want, 1);
		for (int64_t v = 0; v < voxels * conv.channels; v += 3)
			OQ_CHECK_NEAR((double)want[v], depthwise_at(&conv, x, v / conv.channels, v % conv.channels) + (double)residual[v], 1e-5); /* 27 terms of order 1 */
		for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++)
			for (int threads = 1; threads <= 3; threads++) {
				oq_depthwise_run(&conv, isa, x, residual, got, threads);
				OQ_CHECK(same_bits("depthwise", voxels * conv.channels, got, want));
			}
		free(x), free(w), free(b), free(residual), free(want), free(got);
	}
}

static const kernel_case cases[] = {{"layer_norm", check_layer_norm, NULL}, {"gelu", check_gelu, NULL}, {"attention", check_attention, NULL},
	{"attention-bf16", check_attention_halves, NULL},
	{"unit_row", check_unit_row, NULL}, {"depthwise", check_depthwise, NULL}, {NULL, NULL, NULL}};
const kernel_family token_family = KERNEL_FAMILY(cases);
