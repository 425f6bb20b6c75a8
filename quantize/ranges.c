#include "ranges.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BINS 2048
#define CODES 256

typedef struct interval {
	float low, high;
	const char *observer;
} interval;

/* 0 is always a code: padding is zeros. */
static void codes_of(const interval *range, float *scale, int32_t *zero)
{
	float low = range->low < 0 ? range->low : 0, high = range->high > 0 ? range->high : 0;
	*scale = high > low ? (high - low) / 255.0f : 1.0f;
	*zero = (int32_t)lrintf(-low / *scale);
	*zero = *zero < 0 ? 0 : *zero > 255 ? 255 : *zero;
}

float oq_through_codes(float x, float scale, int32_t zero)
{
	const float to_integer = 12582912.0f; /* 1.5 * 2^23: rounds to nearest, ties to even, without a call */
	float code = x / scale;
	code = code < (float)-zero ? (float)-zero : code > (float)(255 - zero) ? (float)(255 - zero) : code;
	return (code + to_integer - to_integer) * scale;
}

/* Energy of the change in the products, relative to that of the products, as if channels erred independently; of the input that
 * suffers most: an average would clip what only some patches reach. */
static double error_of(const oq_observed *value, const double *energy, float scale, int32_t zero)
{
	double worst = 0;
	for (int64_t first = 0; first < value->row_count; first += value->per_input) {
		double error = 0, size = 0;
		for (int64_t r = first; r < first + value->per_input && r < value->row_count; r++)
			for (int64_t c = 0; c < value->channels; c++) {
				float x = value->rows[r * value->channels + c];
				double e = (double)(oq_through_codes(x, scale, zero) - x);
				error += energy[c] * e * e;
				size += energy[c] * (double)x * (double)x;
			}
		worst = size > 0 && error / size > worst ? error / size : worst;
	}
	return sqrt(worst);
}

static int ascending(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;
	return (x > y) - (x < y);
}

static interval between_quantiles(const float *sorted, int64_t count, double share, const char *observer)
{
	int64_t cut = (int64_t)((1 - share) * 0.5 * (double)count);
	return (interval){.low = sorted[cut], .high = sorted[count - 1 - cut], .observer = observer};
}

/* Kullback-Leibler divergence of the histogram below `bins` (what lies above falls into the last bin) from its image in 128
 * steps: the entropy observer, on magnitudes. */
static double divergence(const double *histogram, int bins)
{
	enum { STEPS = 128 };
	double total = 0, above = 0, sum = 0;
	for (int i = 0; i < BINS; i++) {
		total += histogram[i];
		above += i >= bins ? histogram[i] : 0;
	}
	for (int step = 0; step < STEPS; step++) {
		int first = step * bins / STEPS, last = (step + 1) * bins / STEPS, filled = 0;
		double mass = 0;
		for (int i = first; i < last; i++) {
			mass += histogram[i];
			filled += histogram[i] > 0;
		}
		for (int i = first; i < last; i++) {
			double p = histogram[i] + (i == bins - 1 ? above : 0), q = histogram[i] > 0 ? mass / filled : 0;
			if (p > 0)
				sum += p / total * log(p / (q > 0 ? q : 1e-9));
		}
	}
	return sum;
}

static interval least_divergence(const oq_observed *value)
{
	double histogram[BINS] = {0};
	float most = fmaxf(fabsf(value->low), fabsf(value->high));
	int64_t count = value->row_count * value->channels;
	for (int64_t i = 0; i < count && most > 0; i++) {
		int bin = (int)(fabsf(value->rows[i]) / most * (BINS - 1));
		histogram[bin] += value->rows[i] != 0; /* zeros are exact in any case */
	}
	int best = BINS;
	double least = INFINITY;
	for (int bins = CODES; bins <= BINS; bins += 32) {
		double d = divergence(histogram, bins);
		if (d < least) {
			least = d;
			best = bins;
		}
	}
	float limit = most * (float)best / BINS;
	return (interval){.low = fmaxf(value->low, -limit), .high = fminf(value->high, limit), .observer = "entropy"};
}

#define LEAST_SHARE 0.8f /* of the observed range: what is clipped is lost in the same direction in every layer, and adds up as rounding does not */

static void try_interval(const oq_observed *value, const double *energy, const interval *range, oq_range *best)
{
	oq_range candidate = {.observer = range->observer};
	const interval allowed = {.low = fminf(range->low, value->low * LEAST_SHARE), .high = fmaxf(range->high, value->high * LEAST_SHARE)};
	codes_of(&allowed, &candidate.scale, &candidate.zero);
	candidate.error = error_of(value, energy, candidate.scale, candidate.zero);
	if (!best->observer || candidate.error < best->error)
		*best = candidate;
}

oq_status oq_range_choose(const oq_observed *value, const double *energy, oq_range *out, oq_error *err)
{
	*out = (oq_range){0};
	interval range = {value->low, value->high, "min-max"};
	try_interval(value, energy, &range, out);
	int64_t count = value->row_count * value->channels;
	float *sorted = oq_alloc((size_t)count * sizeof *sorted);
	if (!sorted)
		return oq_fail_memory(err, value->value, (size_t)count * sizeof *sorted);
	memcpy(sorted, value->rows, (size_t)count * sizeof *sorted);
	qsort(sorted, (size_t)count, sizeof *sorted, ascending);
	range = between_quantiles(sorted, count, 0.9999, "percentile 99.99");
	try_interval(value, energy, &range, out);
	range = between_quantiles(sorted, count, 0.99999, "percentile 99.999");
	try_interval(value, energy, &range, out);
	oq_free(sorted);
	range = least_divergence(value);
	try_interval(value, energy, &range, out);
	for (int step = 1; step <= 4; step++) {
		float shrink = 1.0f - 0.05f * (float)step;
		range = (interval){value->low * shrink, value->high * shrink, "least squares"};
		try_interval(value, energy, &range, out);
	}
	return OQ_OK;
}

void oq_range_lost(const oq_observed *value, const oq_range *range, double *lost)
{
	memset(lost, 0, (size_t)value->channels * sizeof *lost);
	for (int64_t r = 0; r < value->row_count; r++)
		for (int64_t c = 0; c < value->channels; c++) {
			float x = value->rows[r * value->channels + c];
			lost[c] += (double)(x - oq_through_codes(x, range->scale, range->zero)) / (double)value->row_count;
		}
}
