/* Products of codes by oneDNN against exact integers: u8 times s8 convolutions with scales, zero points, bias, shortcut and activation, on random and
 * on extreme values (where an implementation without a proper 8-bit dot product saturates). The result in float may differ from exact
 * arithmetic by the rounding of its last few operations; a byte by one, and only beside a tie. From our own kernels for the same layer it does
 * not differ in any bit, so that an embedding does not depend on which of them a processor prefers. */
#include "check.h"

#include "core/cpu.h"
#include "core/dtype.h"
#include "core/mem.h"
#include "direct.h"
#include "kernel/conv_i8.h"
#include "kernel/conv_tap_i8.h"

#include <dnnl.h>

typedef struct layer {
	int64_t in[4], out[4];
	oq_attributes attributes;
	int bits;
	int32_t src_zero, dst_zero;
	float slope;
	bool extreme, residual, to_bytes, to_bf16, gelu;
} layer;

static uint64_t state = 1;

static int64_t random_below(int64_t limit)
{
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (int64_t)((state >> 33) % (uint64_t)limit);
}

static layer make_layer(int64_t in, int64_t out, int64_t size, int64_t kernel, int64_t stride)
{
	layer l = {.in = {in, size, size, size}, .out = {out}, .bits = 8, .slope = 0, .attributes = {.groups = 1}};
	int64_t pad = (kernel - 1) / 2;
	for (int axis = 0; axis < OQ_SPATIAL; axis++) {
		l.attributes.kernel[axis] = kernel;
		l.attributes.stride[axis] = stride;
		l.attributes.dilation[axis] = 1;
		l.attributes.pad_low[axis] = l.attributes.pad_high[axis] = pad;
		l.out[1 + axis] = (size + 2 * pad - kernel) / stride + 1;
	}
	return l;
}

/* The sum of one output element over real taps; padding stands for 0. */
static int64_t sum_at(const layer *l, const uint8_t *x, const int8_t *w, int64_t o, const int64_t at[3])
{
	const oq_attributes *a = &l->attributes;
	int64_t sum = 0;
	for (int64_t kd = 0; kd < a->kernel[0]; kd++)
		for (int64_t kh = 0; kh < a->kernel[1]; kh++)
			for (int64_t kw = 0; kw < a->kernel[2]; kw++) {
				const int64_t tap[3] = {kd, kh, kw};
				int64_t from[3];
				bool inside = true;
				for (int axis = 0; axis < 3; axis++) {
					from[axis] = at[axis] * a->stride[axis] + tap[axis] - a->pad_low[axis];
					inside = inside && from[axis] >= 0 && from[axis] < l->in[1 + axis];
				}
				for (int64_t c = 0; c < l->in[0] && inside; c++) {
					int64_t voxel = (from[0] * l->in[2] + from[1]) * l->in[3] + from[2];
					int64_t weight = ((o * l->in[0] + c) * a->kernel[0] + kd) * a->kernel[1] * a->kernel[2] + kh * a->kernel[2] + kw;
					sum += ((int64_t)x[voxel * l->in[0] + c] - l->src_zero) * w[weight];
				}
			}
	return sum;
}

static void fill(const layer *l, uint8_t *x, size_t inputs, oq_weights *w, size_t weights, float *residual, size_t outputs)
{
	int most = l->bits == 7 ? 64 : 127; /* 64: the largest that op_conv.c gives to oneDNN without a dot product */
	for (size_t i = 0; i < inputs; i++)
		x[i] = (uint8_t)(l->extreme ? 255 : random_below(256));
	for (size_t i = 0; i < weights; i++)
		w->codes[i] = (int8_t)(l->extreme ? most : random_below(2 * most + 1) - most);
	for (int64_t o = 0; o < w->out; o++) {
		w->scale[o] = 0.001f * (float)(1 + random_below(20));
		w->bias[o] = 0.1f * (float)(random_below(41) - 20);
	}
	for (size_t i = 0; i < outputs; i++)
		residual[i] = 0.05f * (float)(random_below(81) - 40);
}

static double result_at(const layer *l, const void *y, int64_t index)
{
	if (l->to_bytes)
		return ((const uint8_t *)y)[index];
	return l->to_bf16 ? (double)oq_bf16_to_f32(((const uint16_t *)y)[index]) : (double)((const float *)y)[index];
}

/* The same by products over taps and, where it can, by the integer Winograd, bit for bit. */
static void check_own(const layer *l, const oq_cpu *cpu, const uint8_t *x, const oq_weights *w, float src_scale, const float *residual, oq_typed want)
{
	const oq_attributes *a = &l->attributes;
	size_t count = (size_t)(l->out[0] * l->out[1] * l->out[2] * l->out[3]), bytes = count * oq_dtype_size(want.dtype);
	oq_conv_i8_desc desc = {.shape = {.in_channels = l->in[0], .out_channels = l->out[0]}, .codes = w->codes, .zero = l->src_zero, .isa = cpu->isa,
		.vnni = cpu->avx512_vnni};
	for (int i = 0; i < OQ_SPATIAL; i++) {
		desc.shape.in[i] = l->in[1 + i];
		desc.shape.out[i] = l->out[1 + i];
		desc.shape.kernel[i] = a->kernel[i];
		desc.shape.stride[i] = a->stride[i];
		desc.shape.pad_low[i] = a->pad_low[i];
	}
	float *scale = oq_alloc((size_t)w->out * sizeof *scale);
	oq_conv_i8_epilogue e = {.scale = scale, .bias = w->bias, .residual = residual, .slope = l->slope, .y = want};
	e.y.data = oq_alloc_aligned(bytes);
	oq_tap_i8 *taps = NULL;
	oq_conv_i8 *winograd = NULL;
	OQ_REQUIRE(scale && e.y.data && oq_tap_i8_create(&desc, &taps, NULL) == OQ_OK);
	for (int64_t o = 0; o < w->out; o++)
		scale[o] = src_scale * w->scale[o];
	void *scratch = oq_alloc_aligned(oq_tap_i8_scratch_bytes(taps, 1));
	OQ_REQUIRE(scratch);
	oq_tap_i8_run(taps, x, &e, scratch, 1);
	OQ_CHECK(!memcmp(e.y.data, want.data, bytes));
	oq_free_aligned(scratch);
	if (oq_conv_i8_supports(&desc.shape))
		OQ_REQUIRE(oq_conv_i8_create(&desc, &winograd, NULL) == OQ_OK);
	if (winograd) { /* the weights may be too large for it */
		scratch = oq_alloc_aligned(oq_conv_i8_scratch_bytes(winograd, 1));
		OQ_REQUIRE(scratch);
		memset(e.y.data, 0, bytes);
		oq_conv_i8_run(winograd, x, &e, scratch, 1);
		OQ_CHECK(!memcmp(e.y.data, want.data, bytes));
		oq_free_aligned(scratch);
	}
	oq_conv_i8_free(winograd);
	oq_tap_i8_free(taps);
	oq_free_aligned(e.y.data);
	oq_free(scale);
}

static void check_layer(const layer *l, dnnl_engine_t engine, const oq_cpu *cpu)
{
	const oq_attributes *a = &l->attributes;
	size_t inputs = (size_t)(l->in[0] * l->in[1] * l->in[2] * l->in[3]), outputs = (size_t)(l->out[0] * l->out[1] * l->out[2] * l->out[3]);
	size_t per_out = (size_t)(l->in[0] * a->kernel[0] * a->kernel[1] * a->kernel[2]), weights = per_out * (size_t)l->out[0];
	uint8_t *x = oq_alloc_aligned(inputs);
	float *y = oq_alloc_aligned(outputs * sizeof *y), *residual = oq_alloc_aligned(outputs * sizeof *residual);
	oq_weights w = {.out = l->out[0], .per_out = per_out, .codes = oq_alloc(weights), .scale = oq_alloc((size_t)l->out[0] * 4),
		.bias = oq_alloc((size_t)l->out[0] * 4)};
	OQ_REQUIRE(x && y && residual && w.codes && w.scale && w.bias);
	fill(l, x, inputs, &w, weights, residual, outputs);
	const oq_dtype to = l->to_bytes ? OQ_U8 : l->to_bf16 ? OQ_BF16 : OQ_F32;
	const oq_value src = {.dtype = OQ_U8, .scale = 0.02f, .zero = l->src_zero}, dst = {.dtype = to, .scale = 0.5f, .zero = l->dst_zero},
		add = {.dtype = OQ_F32};
	const oq_planner planner = {.threads = 1, .engine = engine};
	oq_direct_desc desc = {.where = "test", .attributes = a, .compute = OQ_I8, .src = &src, .dst = &dst,
		.residual = l->residual ? &add : NULL, .slope = l->gelu ? 1 : l->slope, .gelu = l->gelu, .weights = &w};
	memcpy(desc.in, l->in, sizeof desc.in);
	memcpy(desc.out, l->out, sizeof desc.out);
	oq_direct *direct = NULL;
	oq_direct_bound *bound = NULL;
	oq_error err = {0};
	dnnl_stream_t stream = NULL;
	if (oq_direct_create(&planner, &desc, &direct, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(direct);
	OQ_CHECK(!strstr(oq_direct_implementation(direct), "ref"));
	void *scratch = oq_alloc_aligned(oq_direct_scratch_bytes(direct) + 64);
	OQ_REQUIRE(scratch && dnnl_stream_create(&stream, engine, dnnl_stream_default_flags) == dnnl_success);
	OQ_REQUIRE(oq_direct_bind(direct, x, y, l->residual ? residual : NULL, scratch, &bound, &err) == OQ_OK);
	OQ_REQUIRE(oq_direct_run(direct, bound, stream, "test", &err) == OQ_OK);
	int64_t wrong = 0, index = 0;
	for (int64_t d = 0; d < l->out[1]; d++)
		for (int64_t h = 0; h < l->out[2]; h++)
			for (int64_t v = 0; v < l->out[3]; v++)
				for (int64_t o = 0; o < l->out[0]; o++, index++) {
					const int64_t at[3] = {d, h, v};
					double exact = (double)sum_at(l, x, w.codes, o, at) * (double)(src.scale * w.scale[o]) + (double)w.bias[o];
					exact += l->residual ? (double)residual[index] : 0;
					exact = l->gelu ? 0.5 * exact * (1 + erf(exact / sqrt(2))) : exact > 0 ? exact : exact * (double)l->slope;
					double got = result_at(l, y, index);
					double want = l->to_bytes ? fmax(0, fmin(exact / 0.5 + l->dst_zero, 255)) : exact;
					/* bfloat16: half a unit of its last bit, and the float's own error beside a tie. */
					double tolerance = l->to_bytes ? 0.5 + 1e-4 : (l->to_bf16 ? 0x1p-8 : 1e-5) * fmax(1, fabs(exact));
					wrong += !(fabs(got - want) <= tolerance);
				}
	if (wrong)
		fprintf(stderr, "%s: %lld of %lld wrong (bits %d, zero %d, extreme %d)\n", oq_direct_implementation(direct), (long long)wrong, (long long)index, l->bits,
			l->src_zero, l->extreme);
	OQ_CHECK_INT(wrong, 0);
	if (!l->gelu)
		check_own(l, cpu, x, &w, src.scale, l->residual ? residual : NULL, oq_typed_value(y, &dst));
	oq_direct_unbind(bound);
	oq_direct_free(direct);
	dnnl_stream_destroy(stream);
	oq_weights_free(&w);
	oq_free_aligned(x);
	oq_free_aligned(y);
	oq_free_aligned(residual);
	oq_free_aligned(scratch);
}

int main(void)
{
	oq_cpu cpu;
	dnnl_engine_t engine = NULL;
	oq_cpu_detect(&cpu);
	if (cpu.isa == OQ_ISA_PLAIN) {
		printf("SKIPPED: no AVX2\n");
		return 0;
	}
	OQ_REQUIRE(dnnl_engine_create(&engine, dnnl_cpu, 0) == dnnl_success);
	bool vnni = cpu.avx512_vnni || cpu.avx_vnni;
	static const int64_t shapes[][5] = {{16, 16, 5, 3, 1}, {64, 32, 6, 3, 1}, {32, 64, 7, 3, 2}, {128, 48, 3, 3, 1},
		{64, 256, 4, 1, 1}, {256, 64, 5, 1, 2}, {40, 24, 6, 3, 1}};
	for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
		for (int variant = 0; variant < 16; variant++) {
			layer l = make_layer(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], shapes[s][4]);
			/* Without an 8-bit dot product only 7-bit weights are exact; that is why op_conv.c multiplies the others in 16 bits there. */
			l.bits = vnni && variant & 1 ? 8 : 7;
			l.extreme = variant & 2;
			l.residual = variant & 4;
			l.to_bytes = variant & 8;
			check_layer(&l, engine, &cpu);
			l.src_zero = 128;
			l.dst_zero = l.to_bytes ? 77 : 0;
			l.slope = 0.1f;
			check_layer(&l, engine, &cpu);
			l.slope = 1;
			l.dst_zero = l.to_bytes ? 255 : 0;
			check_layer(&l, engine, &cpu);
		}
	/* What precision.c fuses: a GELU into the product; and a result in bfloat16, where the processor has it. */
	for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
		for (int variant = 1; variant < 4; variant++) {
			layer l = make_layer(shapes[s][0], shapes[s][1], shapes[s][2], shapes[s][3], shapes[s][4]);
			l.bits = 7;
			l.gelu = variant & 1;
			l.to_bf16 = variant & 2;
			if (l.to_bf16 && !cpu.avx512_bf16)
				continue;
			check_layer(&l, engine, &cpu);
			l.to_bytes = !l.to_bf16;
			check_layer(&l, engine, &cpu);
		}
	dnnl_engine_destroy(engine);
	return oq_checks_done();
}
