/* Pillow's resize for 8-bit images, restated: two passes (horizontal first), each rounded to 8 bits; bicubic kernel with
 * a = -0.5 and support 2; weights normalised in double, then in 22-bit fixed point, rounded half away from zero. Bit-exact. */
#include "io/slices.h"

#include <math.h>

#define TAPS 5
#define PRECISION 22

oq_status oq_slices_spec_parse(const oq_json *preprocessing, const char *where, oq_slices_spec *out, bool *present, oq_error *err)
{
	const oq_json *slices = oq_json_get(preprocessing, "slices");
	double mean[3], std[3];
	*present = slices != NULL;
	if (!slices)
		return OQ_OK;
	OQ_TRY(oq_json_need_int(slices, "size", where, &out->size, err));
	OQ_TRY(oq_json_need_numbers(slices, "mean", where, mean, 3, err));
	OQ_TRY(oq_json_need_numbers(slices, "std", where, std, 3, err));
	for (int i = 0; i < 3; i++) {
		out->mean[i] = (float)mean[i];
		out->std[i] = (float)std[i];
		if (!(std[i] > 0) || out->size < 1 || out->size > 4096)
			return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: slices.size or slices.std is out of range", where);
	}
	return OQ_OK;
}

static double bicubic(double x)
{
	const double a = -0.5;
	x = fabs(x);
	if (x < 1)
		return ((a + 2) * x - (a + 3)) * x * x + 1;
	return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

typedef struct taps {
	int64_t first;
	int count, weight[TAPS];
} taps;

/* Which of `in` samples make output `at` of `out`; only enlarging, where the support is 2. */
static taps taps_of(int64_t at, int64_t in, int64_t out)
{
	taps t;
	double scale = (double)in / (double)out, centre = ((double)at + 0.5) * scale, weights[TAPS], sum = 0;
	int64_t low = (int64_t)(centre - 2 + 0.5), high = (int64_t)(centre + 2 + 0.5);
	low = centre - 2 + 0.5 < 0 ? 0 : low;
	high = high > in ? in : high;
	t.first = low;
	t.count = (int)(high - low);
	for (int k = 0; k < t.count; k++) {
		weights[k] = bicubic((double)(k + low) - centre + 0.5);
		sum += weights[k];
	}
	for (int k = 0; k < t.count; k++) {
		double fixed = weights[k] / sum * (1 << PRECISION);
		t.weight[k] = (int)(fixed < 0 ? fixed - 0.5 : fixed + 0.5);
	}
	return t;
}

static unsigned char weigh(const taps *t, const unsigned char *in, int64_t stride)
{
	int sum = 1 << (PRECISION - 1);
	for (int k = 0; k < t->count; k++)
		sum += in[(t->first + k) * stride] * t->weight[k];
	sum >>= PRECISION;
	return (unsigned char)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

void oq_slice_make(const float *patch, const int64_t n[3], int64_t index, const oq_slices_spec *spec, unsigned char *room, float *out)
{
	unsigned char *plane = room, *wide = room + n[0] * n[2]; /* [n0][n2], [n0][size] */
	int64_t size = spec->size;
	for (int64_t r = 0; r < n[0]; r++)
		for (int64_t c = 0; c < n[2]; c++)
			plane[r * n[2] + c] = (unsigned char)(patch[(r * n[1] + index) * n[2] + c] * 255.0f); /* truncated, as NumPy does */
	for (int64_t x = 0; x < size; x++) {
		const taps t = taps_of(x, n[2], size);
		for (int64_t r = 0; r < n[0]; r++)
			wide[r * size + x] = weigh(&t, plane + r * n[2], 1);
	}
	for (int64_t y = 0; y < size; y++) {
		const taps t = taps_of(y, n[0], size);
		for (int64_t x = 0; x < size; x++) {
			float value = (float)weigh(&t, wide + x, size) / 255.0f;
			for (int c = 0; c < 3; c++)
				out[(c * size + y) * size + x] = (value - spec->mean[c]) / spec->std[c];
		}
	}
}
