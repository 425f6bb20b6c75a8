/* Conversions and the passes that convert on the way, over threads: pieces whose size does not depend on their number, each
 * through a buffer that stays in L1. The plain twin of the conversions is here, too. */
#include "kernel/convert.h"

#include "kernel/simple.h"
#include "simple_isa.h"

#include <string.h>

#define TABLE oq_convert_plain
#include "convert_body.h"

#define CHUNK 2048  /* floats of a buffer */
#define PIECE 16384 /* elements that a thread takes at a time */

const oq_convert_kernels *oq_convert_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return &oq_convert_avx512;
	if (isa == OQ_ISA_AVX2)
		return &oq_convert_avx2;
#endif
	(void)isa;
	return &oq_convert_plain;
}

const oq_convert_kernels *oq_convert_best(void)
{
	const oq_simple_kernels *best = oq_simple_best();
	for (oq_isa isa = OQ_ISA_AVX512; isa > OQ_ISA_PLAIN; isa--)
		if (best == oq_simple_for(isa))
			return oq_convert_for(isa);
	return &oq_convert_plain;
}

static const void *element(const oq_typed *x, size_t at)
{
	return (const unsigned char *)x->data + at * oq_dtype_size(x->dtype);
}

/* Elements [at, at+count) as float32: in place when they are, else in `buffer`. */
static const float *load(const oq_convert_kernels *k, const oq_typed *x, size_t at, int64_t count, float *buffer)
{
	if (x->dtype == OQ_BF16)
		k->bf16_to_f32(count, element(x, at), buffer);
	else if (x->dtype == OQ_U8)
		k->u8_to_f32(count, element(x, at), x->scale, x->zero, buffer);
	else
		return element(x, at);
	return buffer;
}

static void store(const oq_convert_kernels *k, const float *values, int64_t count, const oq_typed *y, size_t at)
{
	if (y->dtype == OQ_BF16)
		k->f32_to_bf16(count, values, (uint16_t *)y->data + at);
	else if (y->dtype == OQ_U8)
		k->f32_to_u8(count, values, 1.0f / y->scale, y->zero, (uint8_t *)y->data + at);
	else if (values != (float *)y->data + at)
		memcpy((float *)y->data + at, values, (size_t)count * sizeof *values);
}

const float *oq_typed_read(const oq_typed *x, size_t at, int64_t count, float *buffer)
{
	return load(oq_convert_best(), x, at, count, buffer);
}

void oq_typed_write(const float *values, int64_t count, const oq_typed *y, size_t at)
{
	store(oq_convert_best(), values, count, y, at);
}

void oq_cast(size_t count, const oq_typed *x, const oq_typed *y, int threads)
{
	const oq_convert_kernels *k = oq_convert_best();
	int64_t total = (int64_t)count, pieces = (total + CHUNK - 1) / CHUNK;
#pragma omp parallel for num_threads(threads) if (threads > 1 && total > PIECE) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		float buffer[CHUNK];
		int64_t at = p * CHUNK, n = total - at < CHUNK ? total - at : CHUNK;
		store(k, load(k, x, (size_t)at, n, buffer), n, y, (size_t)at);
	}
}

/* What scale_chunk does to values. */
typedef struct affine {
	const float *scale, *shift; /* both NULL: activation only */
	float slope;
} affine;

/* At most CHUNK contiguous values from element `at` on: whole voxels, or a part of one. */
static void scale_chunk(int64_t voxels, int64_t channels, const oq_typed *x, size_t at, const affine *a, const oq_typed *y)
{
	const oq_simple_kernels *simple = oq_simple_best();
	const oq_convert_kernels *k = oq_convert_best();
	float in[CHUNK], out[CHUNK];
	int64_t count = voxels * channels;
	const float *values = load(k, x, at, count, in);
	float *to = y->dtype == OQ_F32 ? (float *)y->data + at : out;
	if (a->scale)
		simple->scale_shift_act(voxels, channels, values, a->scale, a->shift, a->slope, to);
	else
		simple->act(count, values, a->slope, to);
	store(k, to, count, y, at);
}

void oq_scale_shift_act_typed(int64_t voxels, int64_t channels, const oq_typed *x, const float *scale, const float *shift, float slope,
	const oq_typed *y, int threads)
{
	if (x->dtype == OQ_F32 && y->dtype == OQ_F32) {
		oq_scale_shift_act(voxels, channels, x->data, scale, shift, slope, y->data, threads);
		return;
	}
	int64_t together = channels < CHUNK ? CHUNK / channels : 1, pieces = (voxels + together - 1) / together;
#pragma omp parallel for num_threads(threads) if (threads > 1 && voxels * channels > PIECE) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		int64_t v = p * together, count = voxels - v < together ? voxels - v : together;
		for (int64_t c = 0; c < channels; c += CHUNK) { /* once, unless a single voxel is wider than the buffer */
			int64_t width = channels - c < CHUNK ? channels - c : CHUNK;
			const affine a = {.scale = scale ? scale + c : NULL, .shift = shift ? shift + c : NULL, .slope = slope};
			scale_chunk(count, width, x, (size_t)(v * channels + c), &a, y);
		}
	}
}

#define STATS_VOXELS 1024 /* per partial sum, as oq_channel_stats */

#define WIDTH (CHUNK / OQ_FEW_VOXELS) /* channels of a block: whole groups of voxels, as center_sums takes them together */

static void add_sums(const oq_typed *x, int64_t channels, int64_t first, int64_t last, const float *center, double *part)
{
	const oq_simple_kernels *simple = oq_simple_best();
	const oq_convert_kernels *k = oq_convert_best();
	float buffer[CHUNK];
	int64_t block = channels < WIDTH ? channels : WIDTH, together = CHUNK / block / OQ_FEW_VOXELS * OQ_FEW_VOXELS;
	memset(part, 0, (size_t)(2 * channels) * sizeof *part);
	for (int64_t v = first; v < last; v += together)
		for (int64_t c = 0; c < channels; c += block) {
			int64_t count = last - v < together ? last - v : together, width = channels - c < block ? channels - c : block;
			if (width == channels)
				load(k, x, (size_t)(v * channels), count * channels, buffer);
			for (int64_t i = 0; i < count && width < channels; i++)
				load(k, x, (size_t)((v + i) * channels + c), width, buffer + i * width);
			simple->center_sums(count, width, width, buffer, center + c, part + c, part + channels + c);
		}
}

void oq_channel_stats_typed(int64_t voxels, int64_t channels, const oq_typed *x, float *mean, float *var, void *scratch, int threads)
{
	if (x->dtype == OQ_F32) {
		oq_channel_stats(voxels, channels, x->data, mean, var, scratch, threads);
		return;
	}
	const oq_convert_kernels *k = oq_convert_best();
	double *sums = (double *)(((uintptr_t)scratch + sizeof(double) - 1) & ~(uintptr_t)(sizeof(double) - 1)); /* [piece][2][channels] */
	int64_t pieces = (voxels + STATS_VOXELS - 1) / STATS_VOXELS;
	float buffer[CHUNK];
	for (int64_t c = 0; c < channels; c += CHUNK) { /* the first voxel, around which the sums are taken; `mean` holds it until the end */
		int64_t width = channels - c < CHUNK ? channels - c : CHUNK;
		memcpy(mean + c, load(k, x, (size_t)c, width, buffer), (size_t)width * sizeof *mean);
	}
#pragma omp parallel for num_threads(threads) if (threads > 1 && pieces > 1) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		int64_t at = p * STATS_VOXELS, end = voxels - at < STATS_VOXELS ? voxels : at + STATS_VOXELS;
		add_sums(x, channels, at, end, mean, sums + p * 2 * channels);
	}
	for (int64_t p = 1; p < pieces; p++)
		for (int64_t i = 0; i < 2 * channels; i++)
			sums[i] += sums[p * 2 * channels + i];
	for (int64_t c = 0; c < channels; c++) {
		double offset = sums[c] / (double)voxels, square = sums[channels + c] / (double)voxels - offset * offset;
		mean[c] = (float)((double)mean[c] + offset);
		var[c] = square < 0 ? 0.0f : (float)square;
	}
}
