/* Pooling against naive loops in double. */
#include "harness.h"

#include "kernel/simple.h"
#include "simple_isa.h"

static int64_t volume(const int64_t extent[3])
{
	return extent[0] * extent[1] * extent[2];
}

/* Maximum and mean over the real voxels of one window. */
static void naive_window(const oq_pool_shape *s, const float *x, const int64_t out[3], int64_t c, float *most, double *mean)
{
	double sum = 0;
	int64_t real = 0;
	*most = -INFINITY;
	for (int64_t t = 0; t < volume(s->kernel); t++) {
		const int64_t tap[3] = {t / (s->kernel[1] * s->kernel[2]), t / s->kernel[2] % s->kernel[1], t % s->kernel[2]};
		int64_t at[3];
		bool inside = true;
		for (int i = 0; i < 3; i++) {
			at[i] = out[i] * s->stride[i] + tap[i] - s->pad_low[i];
			inside = inside && at[i] >= 0 && at[i] < s->in[i];
		}
		if (!inside)
			continue;
		float v = x[((at[0] * s->in[1] + at[1]) * s->in[2] + at[2]) * s->channels + c];
		*most = isnan(v) || v > *most ? v : *most;
		sum += (double)v;
		real++;
	}
	*mean = real ? sum / (double)real : 0;
}

static void check_shape(const oq_pool_shape *s, value_kind kind)
{
	int64_t inputs = volume(s->in) * s->channels, outputs = volume(s->out) * s->channels;
	float *x = random_values(inputs, kind), *most = aligned_values(outputs), *mean = aligned_values(outputs), *other = aligned_values(outputs);
	oq_max_pool(s, x, most, 1);
	oq_avg_pool(s, x, mean, 1);
	for (int64_t i = 0; i < outputs; i++) {
		int64_t v = i / s->channels;
		const int64_t out[3] = {v / (s->out[1] * s->out[2]), v / s->out[2] % s->out[1], v % s->out[2]};
		float want;
		double want_mean;
		naive_window(s, x, out, i % s->channels, &want, &want_mean);
		OQ_CHECK(same_bits("max pool", 1, &most[i], &want));
		float rounded = (float)want_mean;
		OQ_CHECK(same_bits("avg pool", 1, &mean[i], &rounded)); /* the same sums in the same order, in double */
	}
	for (int threads = 2; threads <= 4; threads++) {
		oq_max_pool(s, x, other, threads);
		OQ_CHECK(same_bits("max pool over threads", outputs, other, most));
		oq_avg_pool(s, x, other, threads);
		OQ_CHECK(same_bits("avg pool over threads", outputs, other, mean));
	}
	free(x);
	free(most);
	free(mean);
	free(other);
}

static void check_pools(void)
{
	for (int i = 0; i < 60; i++) {
		oq_pool_shape s = {.channels = 1 + random_below(i % 4 ? 40 : 300)};
		for (int a = 0; a < 3; a++) {
			s.in[a] = 1 + random_below(7);
			s.kernel[a] = 1 + random_below(4);
			s.stride[a] = 1 + random_below(3);
			s.pad_low[a] = random_below((uint32_t)s.kernel[a]);
			s.out[a] = (s.in[a] + s.pad_low[a] - 1) / s.stride[a] + 1; /* the last window may be mostly padding */
		}
		check_shape(&s, i % 3 ? VALUES_UNIT : VALUES_WILD);
	}
}

/* Runs of a few voxels, with a gap behind the channels of each. */
static void check_runs(int64_t voxels, int64_t channels, value_kind kind)
{
	int64_t stride = channels + 3;
	float *x = random_values(voxels * stride, kind), *start = random_values(channels, kind), *want = aligned_values(channels);
	float *got = aligned_values(channels);
	double want_sums[80] = {0};
	memcpy(want, start, (size_t)channels * sizeof *want);
	oq_simple_for(OQ_ISA_PLAIN)->max_run(voxels, channels, stride, x, want);
	oq_simple_for(OQ_ISA_PLAIN)->sum_run(voxels, channels, stride, x, want_sums);
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		double sums[80] = {0};
		memcpy(got, start, (size_t)channels * sizeof *got);
		oq_simple_for(isa)->max_run(voxels, channels, stride, x, got);
		OQ_CHECK(same_bits("max_run", channels, got, want));
		oq_simple_for(isa)->sum_run(voxels, channels, stride, x, sums);
		for (int64_t c = 0; c < channels; c++)
			OQ_CHECK(sums[c] == want_sums[c] || (isnan(sums[c]) && isnan(want_sums[c])));
	}
	free(x);
	free(start);
	free(want);
	free(got);
}

static void check_twins(void)
{
	for (int64_t channels = 1; channels < 80; channels++) {
		check_runs(random_below(6), channels, VALUES_UNIT);
		check_runs(random_below(6), channels, VALUES_WILD);
	}
}

static void check_global(void)
{
	static const int64_t shapes[][2] = {{1, 1}, {1, 500}, {27, 2048}, {216, 3}, {5000, 129}};
	for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
		int64_t voxels = shapes[i][0], channels = shapes[i][1];
		float *x = random_values(voxels * channels, VALUES_POSITIVE), *y = aligned_values(channels);
		for (int threads = 1; threads <= 4; threads++) {
			oq_global_avg_pool(voxels, channels, x, y, threads);
			for (int64_t c = 0; c < channels; c++) {
				double sum = 0;
				for (int64_t v = 0; v < voxels; v++)
					sum += (double)x[v * channels + c];
				OQ_CHECK(y[c] == (float)(sum / (double)voxels));
			}
		}
		free(x);
		free(y);
	}
}

static void time_pools(void)
{
	const oq_pool_shape s = {.channels = 64, .in = {48, 48, 48}, .out = {24, 24, 24}, .kernel = {3, 3, 3}, .stride = {2, 2, 2}, .pad_low = {1, 1, 1}};
	float *x = random_values(volume(s.in) * 64, VALUES_UNIT), *y = aligned_values(volume(s.out) * 64);
	double best[3] = {INFINITY, INFINITY, INFINITY};
	for (int repeat = 0; repeat < 10; repeat++) {
		double t0 = now_seconds();
		oq_max_pool(&s, x, y, 1);
		double t1 = now_seconds();
		oq_avg_pool(&s, x, y, 1);
		double t2 = now_seconds();
		oq_global_avg_pool(27, 2048, x, y, 1);
		best[0] = fmin(best[0], t1 - t0);
		best[1] = fmin(best[1], t2 - t1);
		best[2] = fmin(best[2], now_seconds() - t2);
	}
	printf("pools, ms: max k3 s2 64@48^3 %.2f, avg the same %.2f, global 2048@3^3 %.4f\n", 1e3 * best[0], 1e3 * best[1], 1e3 * best[2]);
	free(x);
	free(y);
}

static const kernel_case cases[] = {{"pools", check_pools, time_pools}, {"pool_twins", check_twins, NULL}, {"pool_global", check_global, NULL},
	{NULL, NULL, NULL}};
const kernel_family pool_family = KERNEL_FAMILY(cases);
