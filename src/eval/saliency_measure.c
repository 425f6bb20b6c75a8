/* What a map says in numbers: where its mass lies, where it points, and whether the embedding follows it. */
#include "core/mem.h"
#include "eval/saliency.h"

#include <math.h>
#include <stdlib.h>

int64_t oq_saliency_argmax(const float *map, int64_t count)
{
	int64_t best = 0;
	for (int64_t i = 1; i < count; i++)
		best = map[i] > map[best] ? i : best;
	return best;
}

void oq_saliency_focus_measure(const float *map, const bool *inside, int64_t count, oq_saliency_focus *out)
{
	double all = 0, within = 0;
	int64_t voxels = 0;
	for (int64_t i = 0; i < count; i++) {
		all += (double)map[i];
		within += inside[i] ? (double)map[i] : 0;
		voxels += inside[i];
	}
	*out = (oq_saliency_focus){.mass = all > 0 ? within / all : NAN, .volume = (double)voxels / (double)count, .hit = inside[oq_saliency_argmax(map, count)]};
}

typedef struct placed {
	float value;
	int64_t index;
} placed;

static int greatest_first(const void *a, const void *b)
{
	const placed *x = a, *y = b;
	int by_value = (x->value < y->value) - (x->value > y->value);
	return by_value ? by_value : (x->index > y->index) - (x->index < y->index);
}

oq_status oq_saliency_order(const float *map, int64_t count, int64_t *order, oq_error *err)
{
	placed *room = oq_alloc((size_t)count * sizeof *room);
	if (!room)
		return oq_fail_memory(err, "saliency", (size_t)count * sizeof *room);
	for (int64_t i = 0; i < count; i++)
		room[i] = (placed){map[i], i};
	qsort(room, (size_t)count, sizeof *room, greatest_first);
	for (int64_t i = 0; i < count; i++)
		order[i] = room[i].index;
	oq_free(room);
	return OQ_OK;
}

double oq_saliency_distance(const float *a, const float *b, int64_t size)
{
	double ab = 0, aa = 0, bb = 0;
	for (int64_t i = 0; i < size; i++) {
		ab += (double)a[i] * (double)b[i];
		aa += (double)a[i] * (double)a[i];
		bb += (double)b[i] * (double)b[i];
	}
	return aa > 0 && bb > 0 ? fmax(1 - ab / sqrt(aa * bb), 0) : NAN;
}

double oq_saliency_area(const double *x, const double *y, int count)
{
	double sum = 0;
	for (int i = 1; i < count; i++)
		sum += 0.5 * (x[i] - x[i - 1]) * (y[i] + y[i - 1]);
	return sum;
}
