#include "phantoms.h"

#include <math.h>

static const char *const names[OQ_PHANTOMS] = {"air", "water", "metal", "checkerboard", "hot voxel", "ramp", "noise 10 HU", "noise 50 HU", "noise 200 HU",
	"streaks", "sphere +150 HU", "sphere +300 HU", "half outside",
	"int16 extremes"};

const char *oq_phantom_name(int index)
{
	return names[index];
}

/* Standard normal by a counter, so that a voxel's noise depends on its place only. */
static double normal(int64_t index)
{
	double sum = 0;
	for (int i = 0; i < 12; i++) {
		uint64_t z = (uint64_t)(index * 12 + i + 1) * 0x9E3779B97F4A7C15u;
		z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
		z = (z ^ z >> 27) * 0x94D049BB133111EBu;
		sum += (double)((z ^ z >> 31) >> 11) * 0x1p-53;
	}
	return sum - 6; /* twelve uniform numbers have variance 1 */
}

static double sphere(const double x[3], double inside)
{
	return 40 + (x[0] * x[0] + x[1] * x[1] + x[2] * x[2] < 0.25 ? inside : 0);
}

/* HU at x, -1 to 1 along each axis; `at` are voxel indices. */
static double hounsfield(int index, const double x[3], const int64_t at[3], int64_t voxel, const int64_t size[3])
{
	switch (index) {
	case 0: return -1024;
	case 1: return 0;
	case 2: return 3071;
	case 3: return (at[0] + at[1] + at[2]) % 2 ? 1000 : -1000;
	case 4: return at[0] == size[0] / 2 && at[1] == size[1] / 2 && at[2] == size[2] / 2 ? 3071 : 40;
	case 5: return -1000 + 1000 * (x[2] + 1);
	case 6: return 40 + 10 * normal(voxel);
	case 7: return 40 + 50 * normal(voxel);
	case 8: return 40 + 200 * normal(voxel);
	case 9: return 40 + 800 * sin(12 * atan2(x[1], x[2]));
	case 10: return sphere(x, 150);
	case 11: return sphere(x, 300);
	case 12: return x[1] < 0 ? -1024 : 40 + 20 * normal(voxel);
	case 13: return (at[0] / 4 + at[1] / 4 + at[2] / 4) % 2 ? 32767 : -32768; /* the clip makes them the range's ends */
	default: return sphere(x, (index - OQ_PHANTOMS) * 300.0 / (OQ_RAMP_STEPS - 1));
	}
}

void oq_ramp_make(int step, const oq_patch_spec *spec, float *out)
{
	oq_phantom_make(OQ_PHANTOMS + step, spec, out);
}

void oq_phantom_make(int index, const oq_patch_spec *spec, float *out)
{
	const int64_t *n = spec->size;
	double gain = ((double)spec->out_max - (double)spec->out_min) / ((double)spec->hu_max - (double)spec->hu_min);
	int64_t voxel = 0;
	for (int64_t d = 0; d < n[0]; d++)
		for (int64_t h = 0; h < n[1]; h++)
			for (int64_t w = 0; w < n[2]; w++, voxel++) {
				const int64_t at[3] = {d, h, w};
				double x[3];
				for (int axis = 0; axis < 3; axis++)
					x[axis] = n[axis] > 1 ? 2 * (double)at[axis] / (double)(n[axis] - 1) - 1 : 0;
				double value = (hounsfield(index, x, at, voxel, n) - (double)spec->hu_min) * gain + (double)spec->out_min;
				out[voxel] = (float)fmin(fmax(value, (double)spec->out_min), (double)spec->out_max);
			}
}
