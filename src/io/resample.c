#include "resample.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

#define MAX_BLOCK ((size_t)1 << 28) /* floats; a patch of 64 mm at 0.1 mm */

/* The voxels that a region can touch, converted to HU, on array axes [S][P][L], zero outside the scan. */
typedef struct block {
	int64_t first[3], size[3]; /* on array axes L,P,S */
	float *hu;
} block;

/* Bounding box of the region's corners under an affine map, one voxel wider at the high end for interpolation. */
static void bound(const oq_target_grid *t, const int64_t low[3], const int64_t high[3], block *b)
{
	for (int i = 0; i < 3; i++) {
		double least = t->to_source[i][3], most = least;
		for (int k = 0; k < 3; k++) {
			double a = t->to_source[i][k] * (double)low[k], z = t->to_source[i][k] * (double)(high[k] - 1);
			least += fmin(a, z);
			most += fmax(a, z);
		}
		b->first[i] = (int64_t)floor(least - 1e-6);
		b->size[i] = (int64_t)floor(most + 1e-6) + 2 - b->first[i];
	}
}

/* The part of the block that lies in the scan, as indices along the file's axis behind an array axis. */
static void in_file(const oq_lps_grid *lps, const block *b, int axis, int64_t *from, int64_t *to)
{
	int64_t first = b->first[axis] < 0 ? 0 : b->first[axis], end = b->first[axis] + b->size[axis];
	end = end < lps->size[axis] ? end : lps->size[axis];
	*from = lps->flip[axis] ? lps->size[axis] - end : first;
	*to = lps->flip[axis] ? lps->size[axis] - first : end;
}

void oq_resample_slices(const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3], const int64_t high[3], int64_t *first, int64_t *end)
{
	block b;
	bound(target, low, high, &b);
	for (int axis = 0; axis < 3; axis++)
		if (lps->source[axis] == 2)
			in_file(lps, &b, axis, first, end);
}

/* Rows of the file are converted whole, then scattered to their place. */
static oq_status fill(const oq_volume *v, const oq_lps_grid *lps, block *b, oq_error *err)
{
	int64_t from[3], to[3], stride[3], array_of[3]; /* per file axis */
	const int64_t place[3] = {1, b->size[0], b->size[0] * b->size[1]};
	for (int axis = 0; axis < 3; axis++) {
		int file = lps->source[axis];
		in_file(lps, b, axis, &from[file], &to[file]);
		stride[file] = lps->flip[axis] ? -place[axis] : place[axis];
		array_of[file] = axis;
	}
	if (to[0] <= from[0] || to[1] <= from[1] || to[2] <= from[2])
		return OQ_OK;
	OQ_TRY(oq_volume_need(v, from[2], to[2], err));
	int64_t origin = 0, count = to[0] - from[0];
	for (int file = 0; file < 3; file++) {
		int64_t axis = array_of[file], array_index = lps->flip[axis] ? lps->size[axis] - 1 - from[file] : from[file];
		origin += (array_index - b->first[axis]) * place[axis];
	}
	float *row = oq_alloc((size_t)count * sizeof *row);
	if (!row)
		return oq_fail_memory(err, "resampling", (size_t)count * sizeof *row);
	size_t item = oq_dtype_size(v->dtype);
	bool scaled = v->slope != 1 || v->inter != 0;
	for (int64_t k = from[2]; k < to[2]; k++)
		for (int64_t j = from[1]; j < to[1]; j++) {
			size_t at = (size_t)((k * v->dims[1] + j) * v->dims[0] + from[0]);
			oq_dtype_to_f32(v->dtype, (const unsigned char *)v->voxels + at * item, (size_t)count, row);
			float *out = b->hu + origin + (k - from[2]) * stride[2] + (j - from[1]) * stride[1];
			for (int64_t i = 0; i < count; i++)
				out[i * stride[0]] = scaled ? (float)((double)row[i] * v->slope + v->inter) : row[i];
		}
	oq_free(row);
	return OQ_OK;
}

/* One target axis of an axis-aligned scan: lower neighbour (in the block) and weight of the upper one. */
typedef struct taps {
	int64_t *index;
	double *weight;
} taps;

static void make_taps(const oq_target_grid *t, int axis, int64_t low, int64_t count, int64_t first, const taps *out)
{
	for (int64_t d = 0; d < count; d++) {
		double q = t->to_source[axis][axis] * (double)(low + d) + t->to_source[axis][3], base = floor(q);
		out->index[d] = (int64_t)base - first;
		out->weight[d] = q - base;
	}
}

/* Three passes, one per axis: along L into rows, along P into planes, along S into the result [R][A][S]. */
static void interpolate(const block *b, const taps x[3], const int64_t n[3], double *rows, double *planes, float *out)
{
	for (int64_t line = 0; line < b->size[1] * b->size[2]; line++)
		for (int64_t d = 0; d < n[0]; d++) {
			const float *p = b->hu + line * b->size[0] + x[0].index[d];
			rows[line * n[0] + d] = (double)p[0] * (1 - x[0].weight[d]) + (double)p[1] * x[0].weight[d];
		}
	for (int64_t s = 0; s < b->size[2]; s++)
		for (int64_t d = 0; d < n[1]; d++) {
			const double *p = rows + (s * b->size[1] + x[1].index[d]) * n[0];
			double *y = planes + (s * n[1] + d) * n[0], w = x[1].weight[d];
			for (int64_t i = 0; i < n[0]; i++)
				y[i] = p[i] * (1 - w) + p[i + n[0]] * w;
		}
	for (int64_t d = 0; d < n[2]; d++)
		for (int64_t a = 0; a < n[1]; a++) {
			const double *p = planes + (x[2].index[d] * n[1] + a) * n[0];
			double w = x[2].weight[d];
			for (int64_t r = 0; r < n[0]; r++)
				out[(r * n[1] + a) * n[2] + d] = (float)(p[r] * (1 - w) + p[r + n[0] * n[1]] * w);
		}
}

static oq_status resample_aligned(const oq_target_grid *t, const block *b, const int64_t low[3], const int64_t n[3], float *out, oq_error *err)
{
	size_t rows = (size_t)(b->size[1] * b->size[2] * n[0]), planes = (size_t)(b->size[2] * n[1] * n[0]), most = (size_t)(n[0] + n[1] + n[2]);
	double *room = oq_alloc((rows + planes + most) * sizeof *room);
	int64_t *index = oq_alloc(most * sizeof *index);
	oq_status status = room && index ? OQ_OK : oq_fail_memory(err, "resampling", (rows + planes) * sizeof *room);
	if (status == OQ_OK) {
		taps x[3];
		int64_t at = 0;
		for (int axis = 0; axis < 3; at += n[axis++]) {
			x[axis] = (taps){.index = index + at, .weight = room + rows + planes + at};
			make_taps(t, axis, low[axis], n[axis], b->first[axis], &x[axis]);
		}
		interpolate(b, x, n, room, room + rows, out);
	}
	oq_free(room);
	oq_free(index);
	return status;
}

/* Continuous source index on one axis of a target index. */
static double position(const oq_target_grid *t, int axis, const double d[3])
{
	return t->to_source[axis][0] * d[0] + t->to_source[axis][1] * d[1] + t->to_source[axis][2] * d[2] + t->to_source[axis][3];
}

/* Any rotation: eight neighbours at every position. */
static void resample_oblique(const oq_target_grid *t, const block *b, const int64_t low[3], const int64_t n[3], float *out)
{
	const int64_t step[3] = {1, b->size[0], b->size[0] * b->size[1]};
	for (int64_t v = 0; v < n[0] * n[1] * n[2]; v++) {
		const double d[3] = {(double)(low[0] + v / (n[1] * n[2])), (double)(low[1] + v / n[2] % n[1]), (double)(low[2] + v % n[2])};
		double w[3], sum = 0;
		int64_t at = 0;
		for (int i = 0; i < 3; i++) {
			double q = position(t, i, d), base = floor(q);
			w[i] = q - base;
			at += ((int64_t)base - b->first[i]) * step[i];
		}
		for (int c = 0; c < 8; c++) {
			double weight = (c & 1 ? w[0] : 1 - w[0]) * (c & 2 ? w[1] : 1 - w[1]) * (c & 4 ? w[2] : 1 - w[2]);
			sum += weight * (double)b->hu[at + (c & 1 ? step[0] : 0) + (c & 2 ? step[1] : 0) + (c & 4 ? step[2] : 0)];
		}
		out[v] = (float)sum;
	}
}

/* Off-axis terms that move no position by more than a billionth of a voxel are rounding of a quaternion. */
static bool aligned(const oq_target_grid *t)
{
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			if (i != k && fabs(t->to_source[i][k]) * (double)t->size[k] > 1e-9)
				return false;
	return true;
}

static bool inside_axis(double q, int64_t size)
{
	return q >= -0.5 && q <= (double)size - 0.5;
}

int64_t oq_resample_inside(const oq_lps_grid *lps, const oq_target_grid *t, const int64_t low[3], const int64_t high[3])
{
	int64_t inside = 1;
	for (int i = 0; i < 3 && aligned(t); i++) {
		int64_t count = 0;
		for (int64_t d = low[i]; d < high[i]; d++)
			count += inside_axis(t->to_source[i][i] * (double)d + t->to_source[i][3], lps->size[i]);
		inside *= count;
	}
	if (aligned(t))
		return inside;
	inside = 0;
	for (int64_t x = low[0]; x < high[0]; x++)
		for (int64_t y = low[1]; y < high[1]; y++)
			for (int64_t z = low[2]; z < high[2]; z++) {
				const double d[3] = {(double)x, (double)y, (double)z};
				inside += inside_axis(position(t, 0, d), lps->size[0]) && inside_axis(position(t, 1, d), lps->size[1])
					&& inside_axis(position(t, 2, d), lps->size[2]);
			}
	return inside;
}

oq_status oq_resample_region(const oq_volume *volume, const oq_lps_grid *lps, const oq_target_grid *target, const int64_t low[3],
	const int64_t high[3], float *out, oq_error *err)
{
	block b;
	size_t bytes;
	const int64_t n[3] = {high[0] - low[0], high[1] - low[1], high[2] - low[2]};
	bound(target, low, high, &b);
	if (!oq_size_product(b.size, 3, sizeof *b.hu, &bytes) || bytes > MAX_BLOCK * sizeof *b.hu)
		return oq_fail(err, OQ_E_INPUT, "E_SIZE", "resampling: the region covers %lld x %lld x %lld voxels of the scan, too many", (long long)b.size[0],
			(long long)b.size[1], (long long)b.size[2]);
	b.hu = oq_alloc(bytes);
	if (!b.hu)
		return oq_fail_memory(err, "resampling", bytes);
	memset(b.hu, 0, bytes);
	oq_status status = fill(volume, lps, &b, err);
	if (status == OQ_OK && aligned(target))
		status = resample_aligned(target, &b, low, n, out, err);
	else if (status == OQ_OK)
		resample_oblique(target, &b, low, n, out);
	oq_free(b.hu);
	return status;
}
