/* Conversions between the types of values, and the passes that convert on the way, against naive arithmetic and their plain twins. */
#include "harness.h"

#include "convert_isa.h"
#include "kernel/convert.h"
#include "kernel/simple.h"
#include "simple_isa.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Round to nearest, ties to even, by the C library. */
static uint8_t naive_byte(float x, float inverse, int32_t zero)
{
	float t = x * inverse + (float)zero;
	return isnan(t) ? 0 : (uint8_t)nearbyint(fmin(fmax((double)t, 0.0), 255.0));
}

static void check_bytes(int64_t count, value_kind kind, float scale, int32_t zero)
{
	float *x = random_values(count, kind), *back = aligned_values(count), *want = aligned_values(count);
	uint8_t *got = malloc((size_t)count), *plain = malloc((size_t)count);
	for (int64_t i = 0; i < count && kind == VALUES_UNIT; i += 3)
		x[i] = ((float)(i % 520) - 260.0f) * 0.5f * scale; /* ties, and beyond both ends */
	oq_convert_plain.f32_to_u8(count, x, 1.0f / scale, zero, plain);
	oq_convert_plain.u8_to_f32(count, plain, scale, zero, want);
	for (int64_t i = 0; i < count; i++)
		OQ_CHECK_INT(plain[i], naive_byte(x[i], 1.0f / scale, zero));
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_convert_for(isa)->f32_to_u8(count, x, 1.0f / scale, zero, got);
		OQ_CHECK(!memcmp(got, plain, (size_t)count));
		oq_convert_for(isa)->u8_to_f32(count, plain, scale, zero, back);
		OQ_CHECK(same_bits("u8_to_f32", count, back, want));
	}
	free(x);
	free(back);
	free(want);
	free(got);
	free(plain);
}

static void check_bf16(int64_t count, value_kind kind)
{
	float *x = random_values(count, kind), *back = aligned_values(count), *want = aligned_values(count);
	uint16_t *got = malloc((size_t)count * sizeof *got);
	if (count > 2)
		x[1] = NAN;
	for (int64_t i = 0; i < count; i++)
		want[i] = oq_bf16_to_f32(oq_f32_to_bf16(x[i]));
	for (oq_isa isa = OQ_ISA_PLAIN; isa <= best_isa(); isa++) {
		oq_convert_for(isa)->f32_to_bf16(count, x, got);
		oq_convert_for(isa)->bf16_to_f32(count, got, back);
		OQ_CHECK(same_bits("bf16", count, back, want));
	}
	free(x);
	free(back);
	free(want);
	free(got);
}

/* In one pass as in three. */
static void check_norm(int64_t voxels, int64_t channels, oq_dtype in, oq_dtype out)
{
	int64_t count = voxels * channels;
	float *x = random_values(count, VALUES_UNIT), *scale = random_values(channels, VALUES_UNIT), *shift = random_values(channels, VALUES_UNIT);
	float *wide = aligned_values(count), *mean = aligned_values(channels), *var = aligned_values(channels), *mean2 = aligned_values(channels),
		*var2 = aligned_values(channels);
	void *narrow = malloc((size_t)count * 4), *want = malloc((size_t)count * 4), *got = malloc((size_t)count * 4),
		*room = malloc(oq_channel_stats_scratch(voxels, channels));
	const oq_typed source = {x, OQ_F32, 0, 0}, from = {narrow, in, 0.01f, 128}, middle = {wide, OQ_F32, 0, 0}, to = {got, out, 0.005f, 100},
		expected = {want, out, 0.005f, 100};
	oq_cast((size_t)count, &source, &from, 1);
	oq_cast((size_t)count, &from, &middle, 2);
	oq_channel_stats(voxels, channels, wide, mean, var, room, 1);
	for (int threads = 1; threads <= 3; threads++) {
		oq_channel_stats_typed(voxels, channels, &from, mean2, var2, room, threads);
		OQ_CHECK(same_bits("mean", channels, mean2, mean) && same_bits("variance", channels, var2, var));
	}
	oq_scale_shift_act(voxels, channels, wide, scale, shift, 0, wide, 1);
	oq_cast((size_t)count, &middle, &expected, 1);
	for (int threads = 1; threads <= 3; threads++) {
		memset(got, 77, (size_t)count * 4);
		oq_scale_shift_act_typed(voxels, channels, &from, scale, shift, 0, &to, threads);
		OQ_CHECK(!memcmp(got, want, (size_t)count * oq_dtype_size(out)));
	}
	free(x);
	free(scale);
	free(shift);
	free(wide);
	free(mean);
	free(var);
	free(mean2);
	free(var2);
	free(narrow);
	free(want);
	free(got);
	free(room);
}

/* A pool of bytes equals the pool of what they stand for. */
static void check_pool(void)
{
	const oq_pool_shape shapes[] = {{.channels = 5, .in = {4, 6, 5}, .out = {2, 3, 2}, .kernel = {2, 2, 2}, .stride = {2, 2, 2}},
		{.channels = 70, .in = {5, 5, 5}, .out = {3, 3, 3}, .kernel = {3, 3, 3}, .stride = {2, 2, 2}, .pad_low = {1, 1, 1}}};
	for (size_t i = 0; i < 2; i++) {
		const oq_pool_shape *s = &shapes[i];
		int64_t in = s->channels * s->in[0] * s->in[1] * s->in[2], out = s->channels * s->out[0] * s->out[1] * s->out[2];
		uint8_t *x = malloc((size_t)in), *y = malloc((size_t)out);
		float *wide = aligned_values(in), *want = aligned_values(out);
		for (int64_t k = 0; k < in; k++)
			wide[k] = (float)(x[k] = (uint8_t)random_below(256));
		oq_max_pool(s, wide, want, 1);
		for (int threads = 1; threads <= 3; threads++) {
			oq_max_pool_u8(s, x, y, threads);
			for (int64_t k = 0; k < out; k++)
				OQ_CHECK_INT(y[k], (int)want[k]);
		}
		free(x);
		free(y);
		free(wide);
		free(want);
	}
}

static void check_conversions(void)
{
	static const int64_t counts[] = {1, 15, 16, 33, 1000, 4097};
	for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
		for (value_kind kind = VALUES_UNIT; kind <= VALUES_WILD; kind++) {
			check_bytes(counts[i], kind, 0.0078125f, 0);
			check_bytes(counts[i], kind, 0.013f, 128);
			check_bytes(counts[i], kind, 3.7e-3f, 255);
			check_bf16(counts[i], kind);
		}
}

static void check_typed(void)
{
	static const oq_dtype types[] = {OQ_F32, OQ_BF16, OQ_U8};
	static const int64_t shapes[][2] = {{1, 1}, {7, 3}, {3000, 5}, {1100, 64}, {130, 2048}, {9, 5000}};
	for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++)
		for (int a = 0; a < 3; a++)
			for (int b = 0; b < 3; b++)
				check_norm(shapes[s][0], shapes[s][1], types[a], types[b]);
}

static const kernel_case cases[] = {{"convert", check_conversions, NULL}, {"typed_norm", check_typed, NULL}, {"pool_u8", check_pool, NULL}, {NULL, NULL, NULL}};
const kernel_family convert_family = KERNEL_FAMILY(cases);
