/* Perturbations work in place; one line of voxels at a time is copied out. */
#include "eval/perturb.h"

#include "core/mem.h"
#include "eval/random.h"
#include "pcg.h"

#include <math.h>
#include <string.h>

#define MAX_SIGMA 20.0
#define MAX_FACTOR 8.0

void oq_perturb_noise(float *patch, int64_t count, double sd, uint64_t key)
{
	for (int64_t i = 0; i < count; i++)
		patch[i] += (float)(sd * oq_random_normal(key, (uint64_t)i));
}

void oq_perturb_offset(float *patch, int64_t count, double offset)
{
	for (int64_t i = 0; i < count; i++)
		patch[i] += (float)offset;
}

void oq_perturb_clip(float *patch, int64_t count, double low, double high)
{
	for (int64_t i = 0; i < count; i++)
		patch[i] = patch[i] < (float)low ? (float)low : patch[i] > (float)high ? (float)high : patch[i];
}

/* What is done to each line of `count` values: from `in` to `out`, both doubles. */
typedef struct filter {
	void (*run)(const struct filter *filter, const double *in, int64_t count, double *out);
	double width;
	double *room; /* of the longest line, or of the kernel */
} filter;

static void filter_axis(float *patch, const int64_t size[3], int axis, const filter *f, double *in, double *out)
{
	int64_t stride = axis == 0 ? size[1] * size[2] : axis == 1 ? size[2] : 1, count = size[axis], lines = size[0] * size[1] * size[2] / count;
	for (int64_t line = 0; line < lines; line++) {
		float *first = patch + line / stride * stride * count + line % stride;
		for (int64_t i = 0; i < count; i++)
			in[i] = (double)first[i * stride];
		f->run(f, in, count, out);
		for (int64_t i = 0; i < count; i++)
			first[i * stride] = (float)out[i];
	}
}

static oq_status filter_all(float *patch, const int64_t size[3], filter *f, size_t room, oq_error *err)
{
	size_t longest = 0;
	for (int axis = 0; axis < 3; axis++)
		longest = (size_t)size[axis] > longest ? (size_t)size[axis] : longest;
	double *lines = oq_alloc((3 * longest + room) * sizeof *lines);
	if (!lines)
		return oq_fail_memory(err, "perturbation", (3 * longest + room) * sizeof *lines);
	f->room = lines + 2 * longest;
	for (int axis = 0; axis < 3; axis++)
		filter_axis(patch, size, axis, f, lines, lines + longest);
	oq_free(lines);
	return OQ_OK;
}

static int64_t clamp(int64_t i, int64_t count)
{
	return i < 0 ? 0 : i >= count ? count - 1 : i;
}

static void blur_line(const filter *f, const double *in, int64_t count, double *out)
{
	int64_t radius = (int64_t)ceil(4 * f->width);
	double sum = 0, *kernel = f->room;
	for (int64_t k = -radius; k <= radius; k++) {
		kernel[k + radius] = exp(-0.5 * (double)(k * k) / (f->width * f->width));
		sum += kernel[k + radius];
	}
	for (int64_t i = 0; i < count; i++) {
		out[i] = 0;
		for (int64_t k = -radius; k <= radius; k++)
			out[i] += kernel[k + radius] / sum * in[clamp(i + k, count)];
	}
}

oq_status oq_perturb_blur(float *patch, const int64_t size[3], double sigma, oq_error *err)
{
	if (!(sigma > 0 && sigma <= MAX_SIGMA))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "blur: sigma is %g voxels, expected more than 0, at most %g", sigma, MAX_SIGMA);
	filter f = {.run = blur_line, .width = sigma};
	return filter_all(patch, size, &f, 2 * (size_t)ceil(4 * sigma) + 1, err);
}

/* Voxel centres of both grids cover the same extent. */
static void resize_line(const double *in, int64_t count, double *out, int64_t wanted)
{
	for (int64_t i = 0; i < wanted; i++) {
		double at = ((double)i + 0.5) * (double)count / (double)wanted - 0.5;
		int64_t below = (int64_t)floor(at);
		double share = at - (double)below;
		out[i] = (1 - share) * in[clamp(below, count)] + share * in[clamp(below + 1, count)];
	}
}

static void resample_line(const filter *f, const double *in, int64_t count, double *out)
{
	int64_t coarse = (int64_t)lround((double)count / f->width);
	coarse = coarse < 1 ? 1 : coarse;
	resize_line(in, count, f->room, coarse);
	resize_line(f->room, coarse, out, count);
}

oq_status oq_perturb_resample(float *patch, const int64_t size[3], double factor, oq_error *err)
{
	if (!(factor >= 1 && factor <= MAX_FACTOR))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "resampling: the factor is %g, expected 1 to %g", factor, MAX_FACTOR);
	filter f = {.run = resample_line, .width = factor};
	return filter_all(patch, size, &f, 0, err);
}

oq_status oq_control_apply(oq_control control, bool outside, const bool *inside, float *patch, int64_t count, uint32_t seed, oq_error *err)
{
	if (count > UINT32_MAX)
		return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "negative control: a patch has %lld voxels, expected fewer than 2^32", (long long)count);
	float *region = oq_alloc((size_t)count * sizeof *region);
	oq_pcg pcg;
	int64_t n = 0;
	if (!region)
		return oq_fail_memory(err, "negative control", (size_t)count * sizeof *region);
	for (int64_t i = 0; i < count; i++)
		if (inside[i] != outside)
			region[n++] = patch[i];
	oq_pcg_seed(&pcg, seed);
	for (int64_t i = n - 1; i > 0 && control == OQ_CONTROL_SHUFFLED; i--) {
		int64_t j = oq_pcg_interval(&pcg, (uint32_t)i);
		float moved = region[i];
		region[i] = region[j];
		region[j] = moved;
	}
	for (int64_t i = 0, k = 0; i < count; i++)
		if (inside[i] != outside)
			patch[i] = control == OQ_CONTROL_SHUFFLED ? region[k++] : region[oq_pcg_integer(&pcg, (uint32_t)(n - 1))];
	oq_free(region);
	return OQ_OK;
}
