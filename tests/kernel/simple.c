/* Elementwise kernels, statistics and layout changes against their plain twins and double. */
#include "harness.h"

#include "kernel/simple.h"
#include "simple_isa.h"

static const int64_t shapes[][2] = {{1, 1}, {1, 7}, {5, 1}, {1, 300}, {27, 3}, {4097, 1}, {1000, 17}, {1025, 32}, {2049, 48}, {3000, 5}, {64, 2048}};
#define SHAPES (sizeof shapes / sizeof *shapes)
static const float slopes[] = {1.0f, 0.0f, 0.01f};

static double act(double v, float slope)
{
	return v <= 0 ? (slope == 0.0f ? 0 : v * (double)slope) : v;
}

static void check_scale_shift(int64_t voxels, int64_t channels, float slope, value_kind kind)
{
	int64_t count = voxels * channels;
	float *x = random_values(count, kind), *scale = random_values(channels, kind), *shift = random_values(channels, kind);
	float *want = aligned_values(count), *got = aligned_values(count);
	oq_simple_for(OQ_ISA_PLAIN)->scale_shift_act(voxels, channels, x, scale, shift, slope, want);
	for (int64_t i = 0; kind == VALUES_UNIT && i < count; i++) { /* two roundings, then a third in the slope */
		double v = (double)x[i] * (double)scale[i % channels] + (double)shift[i % channels];
		OQ_CHECK_NEAR((double)want[i], act(v, slope), 3 * 0x1p-24 * 2);
	}
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_simple_for(isa)->scale_shift_act(voxels, channels, x, scale, shift, slope, got);
		OQ_CHECK(same_bits("scale_shift_act", count, got, want));
	}
	for (int threads = 1; threads <= 4; threads++) {
		memcpy(got, x, (size_t)count * sizeof *got);
		oq_scale_shift_act(voxels, channels, got, scale, shift, slope, got, threads);
		OQ_CHECK(same_bits("scale_shift_act in place", count, got, want));
	}
	free(x);
	free(scale);
	free(shift);
	free(want);
	free(got);
}

static void check_act_and_add(int64_t count, float slope, value_kind kind)
{
	float *a = random_values(count, kind), *b = random_values(count, kind), *want = aligned_values(count), *got = aligned_values(count);
	oq_simple_for(OQ_ISA_PLAIN)->act(count, a, slope, want);
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_simple_for(isa)->act(count, a, slope, got);
		OQ_CHECK(same_bits("act", count, got, want));
	}
	oq_scale_shift_act(count, 1, a, NULL, NULL, slope, got, 2);
	OQ_CHECK(same_bits("act over threads", count, got, want));
	oq_simple_for(OQ_ISA_PLAIN)->add_act(count, a, b, slope, want);
	for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
		oq_simple_for(isa)->add_act(count, a, b, slope, got);
		OQ_CHECK(same_bits("add_act", count, got, want));
	}
	oq_add_act((size_t)count, a, b, slope, a, 3);
	OQ_CHECK(same_bits("add_act in place", count, a, want));
	free(a);
	free(b);
	free(want);
	free(got);
}

static void check_elementwise(void)
{
	for (size_t i = 0; i < SHAPES; i++)
		for (int s = 0; s < 3; s++)
			for (int kind = VALUES_UNIT; kind <= VALUES_WILD; kind += VALUES_WILD) {
				check_scale_shift(shapes[i][0], shapes[i][1], slopes[s], (value_kind)kind);
				check_act_and_add(shapes[i][0] * shapes[i][1], slopes[s], (value_kind)kind);
			}
}

static void check_activation_values(void)
{
	const float x[] = {-INFINITY, INFINITY, NAN, -0.0f, -1e-45f, -2.0f};
	float y[6];
	oq_scale_shift_act(6, 1, x, NULL, NULL, 0.0f, y, 1);
	OQ_CHECK(y[0] == 0 && y[1] == INFINITY && isnan(y[2]) && y[3] == 0 && y[4] == 0 && y[5] == 0);
	oq_scale_shift_act(6, 1, x, NULL, NULL, 0.5f, y, 1);
	OQ_CHECK(y[0] == -INFINITY && y[1] == INFINITY && isnan(y[2]) && y[5] == -1.0f);
	oq_scale_shift_act(6, 1, x, NULL, NULL, 1.0f, y, 1);
	OQ_CHECK(same_bits("identity", 6, y, x));
}

/* Two passes in long double. */
static void naive_stats(int64_t voxels, int64_t channels, const float *x, int64_t c, double *mean, double *var)
{
	long double sum = 0, square = 0;
	for (int64_t v = 0; v < voxels; v++)
		sum += (long double)x[v * channels + c];
	sum /= (long double)voxels;
	for (int64_t v = 0; v < voxels; v++)
		square += ((long double)x[v * channels + c] - sum) * ((long double)x[v * channels + c] - sum);
	*mean = (double)sum;
	*var = (double)(square / (long double)voxels);
}

static void check_stats_of(int64_t voxels, int64_t channels, float *x, bool finite)
{
	float *want = aligned_values(2 * channels), *got = aligned_values(2 * channels);
	void *scratch = aligned_values((int64_t)(oq_channel_stats_scratch(voxels, channels) / sizeof(float)) + 2);
	oq_channel_stats(voxels, channels, x, want, want + channels, scratch, 1);
	for (int64_t c = 0; finite && c < channels; c++) {
		double mean, var;
		naive_stats(voxels, channels, x, c, &mean, &var);
		/* Sixteen differences from the first voxel are summed in float32: each sum errs by at most 16 * 2^-24 of its terms' sizes. */
		double spread = var + ((double)x[c] - mean) * ((double)x[c] - mean);
		OQ_CHECK_NEAR((double)want[c], mean, 0x1p-24 * fabs(mean) + 0x1p-20 * sqrt(spread));
		OQ_CHECK_NEAR((double)want[channels + c], var, 0x1p-19 * spread);
	}
	for (int threads = 2; threads <= 4; threads++) {
		oq_channel_stats(voxels, channels, x, got, got + channels, (char *)scratch + 4, threads); /* scratch of any alignment */
		OQ_CHECK(same_bits("stats over threads", 2 * channels, got, want));
	}
	free(want);
	free(got);
	free(scratch);
}

static void check_stats(void)
{
	for (size_t i = 0; i < SHAPES; i++) {
		int64_t voxels = shapes[i][0], channels = shapes[i][1], count = voxels * channels;
		float *x = random_values(count, VALUES_UNIT);
		check_stats_of(voxels, channels, x, true);
		for (int64_t j = 0; j < count; j++) /* a mean 10000 times the deviation */
			x[j] = 1e4f + x[j];
		check_stats_of(voxels, channels, x, true);
		for (int64_t j = 0; j < count; j++) /* constant channels: the variance is exactly 0 */
			x[j] = 0.1f * (float)(j % channels);
		check_stats_of(voxels, channels, x, true);
		free(x);
		x = random_values(count, VALUES_WILD);
		check_stats_of(voxels, channels, x, false);
		free(x);
	}
}

static void check_sums_twins(void)
{
	for (size_t i = 0; i < SHAPES; i++) {
		int64_t voxels = shapes[i][0], channels = shapes[i][1];
		float *x = random_values(voxels * channels, VALUES_UNIT);
		double *want = calloc((size_t)channels * 2, sizeof *want), *got = calloc((size_t)channels * 2, sizeof *got);
		OQ_REQUIRE(want && got);
		oq_simple_for(OQ_ISA_PLAIN)->center_sums(voxels, channels, channels, x, x, want, want + channels);
		for (oq_isa isa = OQ_ISA_AVX2; isa <= best_isa(); isa++) {
			memset(got, 0, (size_t)channels * 2 * sizeof *got);
			oq_simple_for(isa)->center_sums(voxels, channels, channels, x, x, got, got + channels);
			OQ_CHECK(!memcmp(got, want, (size_t)channels * 2 * sizeof *got));
		}
		free(x);
		free(want);
		free(got);
	}
}

static void check_layout(void)
{
	for (size_t i = 0; i < SHAPES; i++) {
		int64_t voxels = shapes[i][0], channels = shapes[i][1], count = voxels * channels;
		float *x = random_values(count, VALUES_UNIT), *last = aligned_values(count), *back = aligned_values(count);
		oq_channels_last(channels, voxels, x, last);
		bool right = true;
		for (int64_t v = 0; v < voxels; v++)
			for (int64_t c = 0; c < channels; c++)
				right = right && last[v * channels + c] == x[c * voxels + v];
		OQ_CHECK(right);
		oq_channels_first(channels, voxels, last, back);
		OQ_CHECK(same_bits("layout and back", count, back, x));
		free(x);
		free(last);
		free(back);
	}
}

static void time_simple(void)
{
	static const int64_t sizes[][2] = {{110592, 32}, {13824, 64}, {1728, 128}, {216, 256}};
	printf("simple: GB/s read and written (statistics: read), 1 thread\n%8s %6s %10s %10s %10s\n", "voxels", "chan", "stats", "scale", "add");
	for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
		int64_t voxels = sizes[i][0], channels = sizes[i][1], count = voxels * channels;
		float *x = random_values(count, VALUES_UNIT), *y = random_values(count, VALUES_UNIT), *mean = aligned_values(2 * channels);
		void *scratch = aligned_values((int64_t)(oq_channel_stats_scratch(voxels, channels) / sizeof(float)) + 1);
		double best[3] = {INFINITY, INFINITY, INFINITY};
		for (int repeat = 0; repeat < 20; repeat++) {
			double t0 = now_seconds();
			oq_channel_stats(voxels, channels, x, mean, mean + channels, scratch, 1);
			double t1 = now_seconds();
			oq_scale_shift_act(voxels, channels, x, mean, mean, 0.0f, y, 1);
			double t2 = now_seconds();
			oq_add_act((size_t)count, x, y, 0.0f, y, 1);
			double t3 = now_seconds();
			best[0] = fmin(best[0], t1 - t0);
			best[1] = fmin(best[1], t2 - t1);
			best[2] = fmin(best[2], t3 - t2);
		}
		double gb = 4e-9 * (double)count;
		printf("%8lld %6lld %10.1f %10.1f %10.1f\n", (long long)voxels, (long long)channels, gb / best[0], 2 * gb / best[1], 3 * gb / best[2]);
		free(x);
		free(y);
		free(mean);
		free(scratch);
	}
}

static const kernel_case cases[] = {{"elementwise", check_elementwise, time_simple}, {"activation_values", check_activation_values, NULL},
	{"stats", check_stats, NULL}, {"sums", check_sums_twins, NULL}, {"layout", check_layout, NULL}, {NULL, NULL, NULL}};
const kernel_family simple_family = KERNEL_FAMILY(cases);
