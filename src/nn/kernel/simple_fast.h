/* The memory-bound kernels for one instruction set: the including source defines LANES (floats per register), TABLE (the name
 * of its row) and is compiled with that set's options. Vectors of the compiler's own; each element sees the same operations in the same order
 * as in the plain twin, and what is left over at the end of a row goes one by one. */
#include "act.h"
#include "simple_isa.h"

#include <string.h>

#define HALF (LANES / 2)
typedef float halves __attribute__((vector_size(HALF * 4)));
typedef double doubles __attribute__((vector_size(HALF * 8)));
typedef float floats __attribute__((vector_size(LANES * 4)));
typedef int32_t lanes __attribute__((vector_size(LANES * 4)));

static inline floats load(const float *x)
{
	floats v;
	memcpy(&v, x, sizeof v);
	return v;
}

static inline void store(float *y, floats v)
{
	memcpy(y, &v, sizeof v);
}

static inline floats choose(lanes where, floats yes, floats no)
{
	return (floats)(((lanes)yes & where) | ((lanes)no & ~where));
}

/* oq_act of a register: `slope` in all lanes, `keep` no bits for relu (whose products may be NaN) and all bits else. */
typedef struct activation {
	floats slope;
	lanes keep;
} activation;

static inline activation make_activation(float slope)
{
	const floats zero = {0};
	activation a = {.slope = zero + slope};
	a.keep = a.slope != zero;
	return a;
}

static inline floats activate(floats v, activation a)
{
	const floats zero = {0};
	return choose(v <= zero, (floats)((lanes)(v * a.slope) & a.keep), v);
}

static inline doubles load_doubles(const float *x)
{
	halves v;
	memcpy(&v, x, sizeof v);
	return __builtin_convertvector(v, doubles);
}

static inline void add_halves(double *to, floats v)
{
	halves low, high;
	doubles d;
	memcpy(&low, &v, sizeof low);
	memcpy(&high, (const char *)&v + sizeof low, sizeof high);
	memcpy(&d, to, sizeof d);
	d += __builtin_convertvector(low, doubles);
	memcpy(to, &d, sizeof d);
	memcpy(&d, to + HALF, sizeof d);
	d += __builtin_convertvector(high, doubles);
	memcpy(to + HALF, &d, sizeof d);
}

/* LANES channels at a time. */
static void center_sums_lanes(int64_t voxels, int64_t stride, const float *x, const float *center, double *sum, double *square)
{
	const floats c = load(center), zero = {0};
	for (int64_t v = 0; v < voxels; v += OQ_FEW_VOXELS) {
		floats s = zero, q = zero;
		for (int64_t i = v; i < voxels && i < v + OQ_FEW_VOXELS; i++) {
			floats d = load(x + i * stride) - c;
			s += d;
			q += d * d;
		}
		add_halves(sum, s);
		add_halves(square, q);
	}
}

static void center_sums(int64_t voxels, int64_t channels, int64_t stride, const float *x, const float *center, double *sum, double *square)
{
	int64_t c = 0;
	for (; c + LANES <= channels; c += LANES)
		center_sums_lanes(voxels, stride, x + c, center + c, sum + c, square + c);
	for (; c < channels; c++)
		for (int64_t v = 0; v < voxels; v += OQ_FEW_VOXELS) {
			float s = 0, q = 0;
			for (int64_t i = v; i < voxels && i < v + OQ_FEW_VOXELS; i++) {
				float d = x[i * stride + c] - center[c];
				s += d;
				q += d * d;
			}
			sum[c] += (double)s;
			square[c] += (double)q;
		}
}

static void scale_shift_voxels(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y)
{
	const activation a = make_activation(slope);
	for (int64_t v = 0; v < voxels; v++, x += channels, y += channels) {
		int64_t c = 0;
		for (; c + LANES <= channels; c += LANES)
			store(y + c, activate(load(x + c) * load(scale + c) + load(shift + c), a));
		for (; c < channels; c++)
			y[c] = oq_act(x[c] * scale[c] + shift[c], slope);
	}
}

#define PATTERN 128 /* floats */

static void scale_shift_act(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y)
{
	int64_t together = PATTERN / channels; /* voxels that are treated as one with repeated scales, where channels are few */
	if (together > 1 && channels % LANES) {
		float scales[PATTERN], shifts[PATTERN];
		for (int64_t i = 0; i < together * channels; i++) {
			scales[i] = scale[i % channels];
			shifts[i] = shift[i % channels];
		}
		int64_t groups = voxels / together, done = groups * together;
		scale_shift_voxels(groups, together * channels, x, scales, shifts, slope, y);
		x += done * channels;
		y += done * channels;
		voxels -= done;
	}
	scale_shift_voxels(voxels, channels, x, scale, shift, slope, y);
}

static void act(int64_t count, const float *x, float slope, float *y)
{
	const activation a = make_activation(slope);
	int64_t i = 0;
	for (; i + LANES <= count; i += LANES)
		store(y + i, activate(load(x + i), a));
	for (; i < count; i++)
		y[i] = oq_act(x[i], slope);
}

static void add_act(int64_t count, const float *a, const float *b, float slope, float *y)
{
	const activation act = make_activation(slope);
	int64_t i = 0;
	for (; i + LANES <= count; i += LANES)
		store(y + i, activate(load(a + i) + load(b + i), act));
	for (; i < count; i++)
		y[i] = oq_act(a[i] + b[i], slope);
}

static void max_lanes(int64_t voxels, int64_t stride, const float *x, float *y)
{
	floats most = load(y);
	for (int64_t v = 0; v < voxels; v++) {
		floats value = load(x + v * stride);
		most = choose((value > most) | (value != value), value, most);
	}
	store(y, most);
}

static void max_run(int64_t voxels, int64_t channels, int64_t stride, const float *x, float *y)
{
	int64_t c = 0;
	for (; c + LANES <= channels; c += LANES)
		max_lanes(voxels, stride, x + c, y + c);
	for (; c < channels; c++)
		for (int64_t v = 0; v < voxels; v++) {
			float value = x[v * stride + c];
			y[c] = value > y[c] || value != value ? value : y[c];
		}
}

static void sum_lanes(int64_t voxels, int64_t stride, const float *x, double *sums)
{
	doubles s0, s1;
	memcpy(&s0, sums, sizeof s0);
	memcpy(&s1, sums + HALF, sizeof s1);
	for (int64_t v = 0; v < voxels; v++) {
		s0 += load_doubles(x + v * stride);
		s1 += load_doubles(x + v * stride + HALF);
	}
	memcpy(sums, &s0, sizeof s0);
	memcpy(sums + HALF, &s1, sizeof s1);
}

static void sum_run(int64_t voxels, int64_t channels, int64_t stride, const float *x, double *sums)
{
	int64_t c = 0;
	for (; c + LANES <= channels; c += LANES)
		sum_lanes(voxels, stride, x + c, sums + c);
	for (; c < channels; c++)
		for (int64_t v = 0; v < voxels; v++)
			sums[c] += (double)x[v * stride + c];
}

static void finish_row(int64_t cols, const float *sum, const float *bias, const float *residual, float slope, float *y)
{
	const activation a = make_activation(slope);
	int64_t j = 0;
	for (; j + LANES <= cols; j += LANES) {
		floats v = load(sum + j) + load(bias + j);
		store(y + j, activate(residual ? v + load(residual + j) : v, a));
	}
	for (; j < cols; j++) {
		float v = sum[j] + bias[j];
		y[j] = oq_act(residual ? v + residual[j] : v, slope);
	}
}

static void finish(int64_t rows, int64_t cols, const float *sum, const oq_finish *to)
{
	for (int64_t r = 0; r < rows; r++)
		finish_row(cols, sum + r * 32, to->bias, to->residual ? to->residual + r * to->stride : NULL, to->slope, to->y + r * to->stride);
}

const oq_simple_kernels TABLE = {center_sums, scale_shift_act, act, add_act, max_run, sum_run, finish};
