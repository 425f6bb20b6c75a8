/* Elementwise kernels, channel statistics and layout changes over threads: work is cut into pieces whose size does not depend on
 * `threads`, and what pieces sum up is added in the order of the pieces. */
#include "kernel/simple.h"

#include "simple_isa.h"

#include <string.h>

const oq_simple_kernels *oq_simple_for(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return &oq_simple_avx512;
	if (isa == OQ_ISA_AVX2)
		return &oq_simple_avx2;
#endif
	(void)isa;
	return &oq_simple_plain;
}

const oq_simple_kernels *oq_simple_best(void)
{
#ifdef OQ_KERNEL_X86
	if (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl"))
		return &oq_simple_avx512;
	if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
		return &oq_simple_avx2;
#endif
	return &oq_simple_plain;
}

#define PIECE 16384 /* floats per piece of elementwise work: 64 KiB in, small beside L2, large beside the cost of a thread */

void oq_scale_shift_act(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y, int threads)
{
	const oq_simple_kernels *kernels = oq_simple_best();
	int64_t piece = channels < PIECE ? PIECE / channels : 1, pieces = (voxels + piece - 1) / piece;
#pragma omp parallel for num_threads(threads) if (threads > 1 && pieces > 1) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		int64_t at = p * piece, count = voxels - at < piece ? voxels - at : piece;
		if (scale)
			kernels->scale_shift_act(count, channels, x + at * channels, scale, shift, slope, y + at * channels);
		else
			kernels->act(count * channels, x + at * channels, slope, y + at * channels);
	}
}

void oq_add_act(size_t count, const float *a, const float *b, float slope, float *y, int threads)
{
	const oq_simple_kernels *kernels = oq_simple_best();
	int64_t total = (int64_t)count, pieces = (total + PIECE - 1) / PIECE;
#pragma omp parallel for num_threads(threads) if (threads > 1 && pieces > 1) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		int64_t at = p * PIECE;
		kernels->add_act(total - at < PIECE ? total - at : PIECE, a + at, b + at, slope, y + at);
	}
}

#define STATS_VOXELS 1024 /* per partial sum */

static int64_t stats_pieces(int64_t voxels)
{
	return (voxels + STATS_VOXELS - 1) / STATS_VOXELS;
}

size_t oq_channel_stats_scratch(int64_t voxels, int64_t channels)
{
	return (size_t)(stats_pieces(voxels) * 2 * channels) * sizeof(double) + sizeof(double); /* the last for alignment */
}

void oq_channel_stats(int64_t voxels, int64_t channels, const float *x, float *mean, float *var, void *scratch, int threads)
{
	const oq_simple_kernels *kernels = oq_simple_best();
	double *sums = (double *)(((uintptr_t)scratch + sizeof(double) - 1) & ~(uintptr_t)(sizeof(double) - 1)); /* [piece][2][channels] */
	int64_t pieces = stats_pieces(voxels);
#pragma omp parallel for num_threads(threads) if (threads > 1 && pieces > 1) schedule(static)
	for (int64_t p = 0; p < pieces; p++) {
		int64_t at = p * STATS_VOXELS, count = voxels - at < STATS_VOXELS ? voxels - at : STATS_VOXELS;
		double *part = sums + p * 2 * channels;
		memset(part, 0, (size_t)(2 * channels) * sizeof *part);
		kernels->center_sums(count, channels, channels, x + at * channels, x, part, part + channels);
	}
	for (int64_t p = 1; p < pieces; p++)
		for (int64_t i = 0; i < 2 * channels; i++)
			sums[i] += sums[p * 2 * channels + i];
	for (int64_t c = 0; c < channels; c++) {
		double offset = sums[c] / (double)voxels, square = sums[channels + c] / (double)voxels - offset * offset;
		mean[c] = (float)((double)x[c] + offset);
		var[c] = square < 0 ? 0.0f : (float)square; /* rounding may take it below 0; NaN stays */
	}
}

#define TILE 32 /* of a transposition: 32 rows of two cache lines on both sides stay in L1 */

/* y [n][m] = x [m][n] transposed. */
static void transpose(int64_t m, int64_t n, const float *x, float *y)
{
	if (m == 1 || n == 1) {
		memcpy(y, x, (size_t)(m * n) * sizeof *y);
		return;
	}
	for (int64_t i0 = 0; i0 < m; i0 += TILE)
		for (int64_t j0 = 0; j0 < n; j0 += TILE) {
			int64_t i1 = i0 + TILE < m ? i0 + TILE : m, j1 = j0 + TILE < n ? j0 + TILE : n;
			for (int64_t j = j0; j < j1; j++)
				for (int64_t i = i0; i < i1; i++)
					y[j * m + i] = x[i * n + j];
		}
}

void oq_channels_last(int64_t channels, int64_t voxels, const float *x, float *y)
{
	transpose(channels, voxels, x, y);
}

void oq_channels_first(int64_t channels, int64_t voxels, const float *x, float *y)
{
	transpose(voxels, channels, x, y);
}
