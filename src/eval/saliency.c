/* Windows, the fading kernel, and the map. Everything in double except what is multiplied into the patch, which is float32 as in the
 * reference. A voxel's mean embedding is never formed: with b the patch's embedding and e_w those of its windows, cosines come from the
 * dot products b.e_w and e_v.e_w, which are few. */
#include "eval/saliency.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define TRUNCATED 4.0      /* standard deviations of the smoothing kernel, as MONAI's GaussianSmooth */
#define LEAST_WEIGHT 1e-3  /* of the importance map, as MONAI's sliding windows */

/* Integral of a Gaussian over the voxel at distance `x`. */
static double voxel_gaussian(double x, double sigma)
{
	double t = sqrt(0.5) / sigma;
	return fabs(x) <= floor(sigma * TRUNCATED + 0.5) ? 0.5 * (erf(t * (x + 0.5)) - erf(t * (x - 0.5))) : 0;
}

/* The kernel: an impulse at index window/2, smoothed with sigma window/4, negated and scaled to 0..1. */
static void fill_kernels(oq_saliency_plan *p)
{
	int64_t n = p->window, middle = n / 2;
	double sigma = 0.25 * (double)n, spread = 0.125 * (double)n, centre = 0.5 * (double)(n - 1);
	double low = pow(voxel_gaussian((double)middle, sigma), 3), high = pow(voxel_gaussian(0, sigma), 3);
	for (int64_t i = 0; i < n * n * n; i++) {
		const int64_t at[3] = {i / (n * n), i / n % n, i % n};
		double smooth = 1, square = 0;
		for (int a = 0; a < 3; a++) {
			smooth *= voxel_gaussian((double)(at[a] - middle), sigma);
			square += ((double)at[a] - centre) * ((double)at[a] - centre);
		}
		p->kernel[i] = (float)((high - smooth) / (high - low));
		p->importance[i] = (float)fmax(exp(-square / (2 * spread * spread)), LEAST_WEIGHT);
	}
}

static oq_status place_windows(oq_saliency_plan *p, double overlap, oq_error *err)
{
	int64_t interval = (int64_t)((double)p->window * (1 - overlap));
	if (2 * interval < p->window) /* or more than three windows would lie over a voxel of an axis */
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "saliency: windows of %lld voxels cannot overlap by %g, expected at most a half", (long long)p->window, overlap);
	p->windows = 1;
	for (int a = 0; a < 3; a++) {
		int64_t last = p->size[a] - p->window, start = 0;
		if (last < 0 || last / interval + 2 > OQ_SALIENCY_STARTS)
			return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "saliency: axis %d of the patch has %lld voxels, expected at least the window's %lld and at most %d windows",
				a, (long long)p->size[a], (long long)p->window, OQ_SALIENCY_STARTS);
		for (; start < last; start += interval)
			p->starts[a][p->count[a]++] = start;
		p->starts[a][p->count[a]++] = last;
		p->windows *= p->count[a];
	}
	return OQ_OK;
}

oq_status oq_saliency_plan_open(const int64_t size[3], int64_t window, double overlap, oq_saliency_plan **out, oq_error *err)
{
	if (window < 2 || window > 64 || !(overlap >= 0 && overlap < 1))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "saliency: window %lld, overlap %g, expected 2 to 64 voxels and 0 to below 1", (long long)window, overlap);
	size_t cube = (size_t)(window * window * window);
	oq_saliency_plan *plan = oq_calloc(1, sizeof *plan);
	if (plan) {
		plan->kernel = oq_alloc(cube * sizeof *plan->kernel);
		plan->importance = oq_alloc(cube * sizeof *plan->importance);
	}
	oq_status status = plan && plan->kernel && plan->importance ? OQ_OK : oq_fail_memory(err, "saliency", cube * sizeof(float));
	if (status == OQ_OK) {
		memcpy(plan->size, size, sizeof plan->size);
		plan->window = window;
		fill_kernels(plan);
		status = place_windows(plan, overlap, err);
	}
	if (status == OQ_OK)
		*out = plan;
	else
		oq_saliency_plan_close(plan);
	return status;
}

void oq_saliency_plan_close(oq_saliency_plan *plan)
{
	if (!plan)
		return;
	oq_free(plan->kernel);
	oq_free(plan->importance);
	oq_free(plan);
}

void oq_saliency_start(const oq_saliency_plan *p, int64_t window, int64_t start[3])
{
	start[2] = p->starts[2][window % p->count[2]];
	start[1] = p->starts[1][window / p->count[2] % p->count[1]];
	start[0] = p->starts[0][window / (p->count[2] * p->count[1])];
}

bool oq_saliency_occlude(const oq_saliency_plan *p, const float *patch, int64_t window, float *out)
{
	int64_t start[3], n = p->window;
	bool changed = false;
	oq_saliency_start(p, window, start);
	memcpy(out, patch, (size_t)(p->size[0] * p->size[1] * p->size[2]) * sizeof *out);
	for (int64_t i = 0; i < n; i++)
		for (int64_t j = 0; j < n; j++) {
			float *row = out + ((start[0] + i) * p->size[1] + start[1] + j) * p->size[2] + start[2];
			const float *kernel = p->kernel + (i * n + j) * n;
			for (int64_t k = 0; k < n; k++) {
				float faded = row[k] * kernel[k];
				changed |= faded < row[k] || faded > row[k];
				row[k] = faded;
			}
		}
	return changed;
}

int oq_saliency_weights(const oq_saliency_plan *p, const int64_t at[3], int64_t windows[27], double weights[27])
{
	int64_t over[3][3], n = p->window;
	int found[3] = {0}, count = 0;
	double sum = 0;
	for (int a = 0; a < 3; a++)
		for (int64_t i = 0; i < p->count[a] && found[a] < 3; i++)
			if (p->starts[a][i] <= at[a] && at[a] < p->starts[a][i] + n)
				over[a][found[a]++] = i;
	for (int i = 0; i < found[0]; i++)
		for (int j = 0; j < found[1]; j++)
			for (int k = 0; k < found[2]; k++) {
				const int64_t d0 = at[0] - p->starts[0][over[0][i]], d1 = at[1] - p->starts[1][over[1][j]], d2 = at[2] - p->starts[2][over[2][k]];
				windows[count] = (over[0][i] * p->count[1] + over[1][j]) * p->count[2] + over[2][k];
				weights[count] = (double)p->importance[(d0 * n + d1) * n + d2];
				sum += weights[count++];
			}
	for (int i = 0; i < count; i++)
		weights[i] /= sum;
	return count;
}

/* Dot products of the windows' embeddings with each other and, in the last row, with the patch's; its own last. */
typedef struct products {
	int64_t windows;
	double *gram; /* [windows + 1][windows + 1] */
} products;

static double product(const products *g, int64_t i, int64_t j)
{
	return g->gram[i * (g->windows + 1) + j];
}

static double dot(const float *a, const float *b, int64_t n)
{
	double sum = 0;
	for (int64_t i = 0; i < n; i++)
		sum += (double)a[i] * (double)b[i];
	return sum;
}

/* Which pairs of windows ever meet in a voxel? Only theirs are needed. */
static bool are_neighbours(const oq_saliency_plan *p, int64_t v, int64_t w)
{
	int64_t a[3], b[3];
	oq_saliency_start(p, v, a);
	oq_saliency_start(p, w, b);
	for (int i = 0; i < 3; i++)
		if (a[i] - b[i] >= p->window || b[i] - a[i] >= p->window)
			return false;
	return true;
}

static oq_status make_products(const oq_saliency_plan *p, const float *base, const float *embeddings, int64_t size, int threads, products *g, oq_error *err)
{
	int64_t n = p->windows;
	bool good = true;
	*g = (products){.windows = n, .gram = oq_calloc((size_t)((n + 1) * (n + 1)), sizeof(double))};
	if (!g->gram)
		return oq_fail_memory(err, "saliency", (size_t)((n + 1) * (n + 1)) * sizeof(double));
#pragma omp parallel for num_threads(threads) schedule(dynamic, 4) reduction(&& : good)
	for (int64_t i = 0; i <= n; i++) {
		const float *row = i < n ? embeddings + i * size : base;
		for (int64_t j = 0; j <= i; j++)
			if (i == n || are_neighbours(p, i, j))
				g->gram[i * (n + 1) + j] = g->gram[j * (n + 1) + i] = dot(row, j < n ? embeddings + j * size : base, size);
		good = good && product(g, i, i) > 0 && isfinite(product(g, i, i));
	}
	if (good)
		return OQ_OK;
	oq_free(g->gram);
	return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "saliency: an embedding is zero or not finite, expected one that has a direction");
}

/* 1 - cosine of the patch's embedding and the mean of the windows over a voxel. */
static double of_mean(const products *g, const int64_t *windows, const double *weights, int count)
{
	double along = 0, square = 0;
	for (int i = 0; i < count; i++) {
		along += weights[i] * product(g, g->windows, windows[i]);
		for (int j = 0; j < count; j++)
			square += weights[i] * weights[j] * product(g, windows[i], windows[j]);
	}
	return square > 0 ? 1 - along / sqrt(square * product(g, g->windows, g->windows)) : 1;
}

static double mean_of(const products *g, const int64_t *windows, const double *weights, int count)
{
	double sum = 0;
	for (int i = 0; i < count; i++)
		sum += weights[i] * (1 - product(g, g->windows, windows[i]) / sqrt(product(g, windows[i], windows[i]) * product(g, g->windows, g->windows)));
	return sum;
}

oq_status oq_saliency_map(const oq_saliency_plan *p, oq_saliency_kind kind, const float *base, const float *embeddings, int64_t size, int threads,
	float *map, oq_error *err)
{
	products g;
	OQ_TRY(make_products(p, base, embeddings, size, threads, &g, err));
#pragma omp parallel for num_threads(threads) schedule(static)
	for (int64_t i = 0; i < p->size[0] * p->size[1]; i++)
		for (int64_t k = 0; k < p->size[2]; k++) {
			const int64_t at[3] = {i / p->size[1], i % p->size[1], k};
			int64_t windows[27];
			double weights[27];
			int count = oq_saliency_weights(p, at, windows, weights);
			double value = (kind == OQ_SALIENCY_OF_MEAN ? of_mean : mean_of)(&g, windows, weights, count);
			map[i * p->size[2] + k] = (float)fmax(value, 0); /* below 0 by rounding only */
		}
	oq_free(g.gram);
	return OQ_OK;
}
