/* Occlusion sensitivity, stage by stage, against MONAI on a small network (tests/data/eval/saliency.json). Tolerances are those stated there:
 * kernels 1e-6, mean embeddings 1e-5, distances 2e-6 (the reference works in float32, where 1 - cosine keeps about that much). */
#include "matrices.h"

#include "eval/rank.h"
#include "eval/saliency.h"

#define SIDE 24
#define VOXELS (SIDE * SIDE * SIDE)
#define WINDOWS 27
#define SIZE 4

static float *read_array(const char *name, size_t count)
{
	char path[1024];
	oq_npy *npy = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/%s.npy", OQ_TEST_DATA, name);
	OQ_REQUIRE(oq_npy_open(path, &npy, &err) == OQ_OK);
	OQ_REQUIRE(npy->count == count);
	float *data = oq_alloc(count * sizeof *data);
	OQ_REQUIRE(data && oq_npy_read_f32(npy, 0, count, data, &err) == OQ_OK);
	oq_npy_close(npy);
	return data;
}

static void check_array(const char *what, const float *got, const float *want, size_t count, double tolerance)
{
	double worst = 0;
	for (size_t i = 0; i < count; i++)
		worst = fmax(worst, fabs((double)got[i] - (double)want[i]));
	if (worst > tolerance)
		fprintf(stderr, "%s differs by %g\n", what, worst);
	OQ_CHECK(worst <= tolerance);
}

/* The golden's network: a convolution of stride 2 with four kernels, ReLU, mean. */
static void embed(const oq_json *golden, const float *patch, float *out)
{
	static const double bias[SIZE] = {0.1, -0.2, 0.3, 0.05};
	double weights[SIZE * 27];
	int n = 0, steps = (SIDE - 3) / 2 + 1;
	for (const oq_json *w = oq_json_first(oq_json_get(golden, "weights")); w && n < SIZE * 27; w = oq_json_next(w))
		weights[n++] = oq_json_number(w);
	for (int c = 0; c < SIZE; c++) {
		double sum = 0;
		for (int i = 0; i < steps * steps * steps; i++) {
			double value = bias[c];
			const float *corner = patch + 2 * ((i / steps / steps * SIDE + i / steps % steps) * SIDE + i % steps);
			for (int k = 0; k < 27; k++)
				value += weights[c * 27 + k] * (double)corner[(k / 9 * SIDE + k / 3 % 3) * SIDE + k % 3];
			sum += fmax(value, 0);
		}
		out[c] = (float)(sum / (steps * steps * steps));
	}
}

static void read_rows(const oq_json *rows, float *out)
{
	for (const oq_json *row = oq_json_first(rows); row; row = oq_json_next(row))
		for (const oq_json *v = oq_json_first(row); v; v = oq_json_next(v))
			*out++ = (float)oq_json_number(v);
}

static void check_windows(const oq_saliency_plan *plan, const oq_json *golden)
{
	int64_t window = 0;
	OQ_CHECK_INT(plan->windows, WINDOWS);
	for (const oq_json *row = oq_json_first(oq_json_get(golden, "window_starts")); row; row = oq_json_next(row)) {
		int64_t start[3];
		int axis = 0;
		oq_saliency_start(plan, window++, start);
		for (const oq_json *v = oq_json_first(row); v && axis < 3; v = oq_json_next(v))
			OQ_CHECK_INT(start[axis++], oq_json_number(v));
	}
	OQ_CHECK_INT(window, WINDOWS);
}

static void check_embeddings(const oq_saliency_plan *plan, const oq_json *golden, const float *want)
{
	float *volume = read_array("sal_volume", VOXELS), *faded = oq_alloc(VOXELS * sizeof *faded), base[SIZE];
	int c = 0;
	embed(golden, volume, base);
	for (const oq_json *v = oq_json_first(oq_json_get(golden, "embedding")); v && c < SIZE; v = oq_json_next(v), c++)
		OQ_CHECK_NEAR((double)base[c], oq_json_number(v), 1e-6);
	for (int64_t w = 0; w < WINDOWS; w++) {
		float got[SIZE];
		OQ_CHECK(oq_saliency_occlude(plan, volume, w, faded));
		embed(golden, faded, got);
		check_array("window embedding", got, want + w * SIZE, SIZE, 1e-6);
	}
	oq_free(volume);
	oq_free(faded);
}

static void check_means(const oq_saliency_plan *plan, const float *embeddings)
{
	float *want = read_array("sal_occ_map", SIZE * VOXELS), *got = oq_calloc(SIZE * VOXELS, sizeof *got);
	for (int64_t i = 0; i < VOXELS; i++) {
		const int64_t at[3] = {i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE};
		int64_t windows[27];
		double weights[27];
		int count = oq_saliency_weights(plan, at, windows, weights);
		for (int c = 0; c < SIZE; c++)
			for (int k = 0; k < count; k++)
				got[c * VOXELS + i] += (float)(weights[k] * (double)embeddings[windows[k] * SIZE + c]);
	}
	check_array("occlusion map", got, want, SIZE * VOXELS, 1e-5);
	oq_free(want);
	oq_free(got);
}

static void check_map(const oq_saliency_plan *plan, const oq_json *golden, const float *embeddings)
{
	float *want = read_array("sal_distance", VOXELS), *map = oq_alloc(VOXELS * sizeof *map), *again = oq_alloc(VOXELS * sizeof *again), base[SIZE];
	oq_error err;
	int c = 0;
	double rho;
	for (const oq_json *v = oq_json_first(oq_json_get(golden, "embedding")); v && c < SIZE; v = oq_json_next(v))
		base[c++] = (float)oq_json_number(v);
	OQ_REQUIRE(oq_saliency_map(plan, OQ_SALIENCY_OF_MEAN, base, embeddings, SIZE, 1, map, &err) == OQ_OK);
	OQ_REQUIRE(oq_saliency_map(plan, OQ_SALIENCY_OF_MEAN, base, embeddings, SIZE, 3, again, &err) == OQ_OK);
	OQ_CHECK(!memcmp(map, again, VOXELS * sizeof *map));
	check_array("distance", map, want, VOXELS, 2e-6);
	const int64_t peak[3] = {5, 13, 12};
	OQ_CHECK_INT(oq_saliency_argmax(map, VOXELS), (peak[0] * SIDE + peak[1]) * SIDE + peak[2]);
	/* The mean of distances against the definition, in a corner that one window covers: there both variants are that window's distance. */
	OQ_REQUIRE(oq_saliency_map(plan, OQ_SALIENCY_MEAN_OF, base, embeddings, SIZE, 2, again, &err) == OQ_OK);
	OQ_CHECK_NEAR((double)again[0], oq_saliency_distance(base, embeddings, SIZE), 1e-7);
	OQ_CHECK_NEAR((double)again[0], (double)map[0], 1e-7);
	for (int64_t i = 0; i < VOXELS; i += 97) {
		const int64_t at[3] = {i / SIDE / SIDE, i / SIDE % SIDE, i % SIDE};
		int64_t windows[27];
		double weights[27], mean = 0;
		int count = oq_saliency_weights(plan, at, windows, weights);
		for (int k = 0; k < count; k++)
			mean += weights[k] * oq_saliency_distance(base, embeddings + windows[k] * SIZE, SIZE);
		OQ_CHECK_NEAR((double)again[i], mean, 1e-8);
		/* Averaging vectors of like length hides part of their angles. */
		OQ_CHECK(map[i] <= again[i] + 1e-7f);
	}
	OQ_REQUIRE(oq_spearman(map, map, VOXELS, &rho, &err) == OQ_OK);
	OQ_CHECK_NEAR(rho, 1, 1e-12);
	memset(base, 0, sizeof base);
	OQ_CHECK_INT(oq_saliency_map(plan, OQ_SALIENCY_OF_MEAN, base, embeddings, SIZE, 1, map, &err), OQ_E_INPUT);
	oq_free(want);
	oq_free(map);
	oq_free(again);
}

/* Every voxel is covered, weights add up, no more than 27 windows meet, for awkward sizes, too. */
static void check_cover(int64_t d, int64_t h, int64_t w, int64_t window)
{
	const int64_t size[3] = {d, h, w};
	oq_saliency_plan *plan = NULL;
	oq_error err;
	OQ_REQUIRE(oq_saliency_plan_open(size, window, OQ_SALIENCY_OVERLAP, &plan, &err) == OQ_OK);
	for (int64_t i = 0; i < d * h * w; i++) {
		const int64_t at[3] = {i / (h * w), i / w % h, i % w};
		int64_t windows[27];
		double weights[27], sum = 0;
		int count = oq_saliency_weights(plan, at, windows, weights), over = 0;
		for (int k = 0; k < count; k++)
			sum += weights[k];
		for (int64_t k = 0; k < plan->windows; k++) {
			int64_t start[3];
			oq_saliency_start(plan, k, start);
			over += at[0] >= start[0] && at[0] < start[0] + window && at[1] >= start[1] && at[1] < start[1] + window && at[2] >= start[2] && at[2] < start[2] + window;
		}
		OQ_CHECK_INT(count, over);
		OQ_CHECK_NEAR(sum, 1, 1e-12);
	}
	oq_saliency_plan_close(plan);
}

static void check_measures(void)
{
	const float map[6] = {0, 1, 3, 2, 3, 1}, other[6] = {0, 2, 5, 4, 6, 1};
	const bool inside[6] = {false, false, true, true, false, false};
	const double x[3] = {0, 0.5, 1}, y[3] = {0, 1, 1};
	int64_t order[6];
	double rho;
	oq_error err;
	oq_saliency_focus focus;
	oq_saliency_focus_measure(map, inside, 6, &focus);
	OQ_CHECK_NEAR(focus.mass, 0.5, 1e-15);
	OQ_CHECK_NEAR(focus.volume, 1.0 / 3, 1e-15);
	OQ_CHECK(focus.hit);
	OQ_REQUIRE(oq_saliency_order(map, 6, order, &err) == OQ_OK);
	const int64_t want[6] = {2, 4, 3, 1, 5, 0};
	for (int i = 0; i < 6; i++)
		OQ_CHECK_INT(order[i], want[i]);
	OQ_CHECK_NEAR(oq_saliency_area(x, y, 3), 0.75, 1e-15);
	/* scipy.stats.spearmanr of the two lists above */
	OQ_REQUIRE(oq_spearman(map, other, 6, &rho, &err) == OQ_OK);
	OQ_CHECK_NEAR(rho, 0.9710083124552245, 1e-12);
}

int main(void)
{
	const int64_t size[3] = {SIDE, SIDE, SIDE}, small[3] = {SIDE, 11, SIDE};
	oq_saliency_plan *plan = NULL;
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/saliency.json", &golden, &err) == OQ_OK);
	OQ_REQUIRE(oq_saliency_plan_open(size, OQ_SALIENCY_WINDOW, OQ_SALIENCY_OVERLAP, &plan, &err) == OQ_OK);
	float *kernel = read_array("sal_mul_kernel", 1728), *importance = read_array("sal_importance", 1728), embeddings[WINDOWS * SIZE];
	check_array("kernel", plan->kernel, kernel, 1728, 1e-6);
	check_array("importance", plan->importance, importance, 1728, 1e-6);
	read_rows(oq_json_get(golden, "window_embeddings"), embeddings);
	check_windows(plan, golden);
	check_embeddings(plan, golden, embeddings);
	check_means(plan, embeddings);
	check_map(plan, golden, embeddings);
	check_cover(22, 12, 31, 12);
	check_cover(7, 9, 6, 5);
	check_measures();
	OQ_CHECK_INT(oq_saliency_plan_open(small, OQ_SALIENCY_WINDOW, OQ_SALIENCY_OVERLAP, &plan, &err), OQ_E_INPUT);
	OQ_CHECK_INT(oq_saliency_plan_open(size, 12, 0.6, &plan, &err), OQ_E_USAGE);
	oq_saliency_plan_close(plan);
	oq_free(kernel);
	oq_free(importance);
	oq_json_free(golden);
	return oq_checks_done();
}
