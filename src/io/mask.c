/* Masks: one pass over the voxels, in whole numbers, so that the centroid is the same on every machine. */
#include "io/mask.h"

#include "core/mem.h"

#include <math.h>

#define GRID_TOLERANCE 0.01  /* of the smallest voxel edge, at any corner: float32 headers of one grid agree to far less */
#define WHOLE_TOLERANCE 1e-3 /* masks that went through a float file */

typedef struct search {
	const oq_volume *mask;
	const char *name;
	int64_t label; /* 0 until the first is met, when none was named */
	bool named;
	int64_t sum[3];
	oq_mask_found *found;
	oq_error *err;
} search;

static oq_status check_grid(const search *s, const oq_volume *scan)
{
	const oq_volume *m = s->mask;
	double edge = fmin(fmin(scan->spacing_mm[0], scan->spacing_mm[1]), scan->spacing_mm[2]), worst = 0;
	for (int i = 0; i < 3; i++)
		if (m->dims[i] != scan->dims[i])
			return oq_fail(s->err, OQ_E_INPUT, "E_MASK_GEOMETRY", "%s: mask has %lld x %lld x %lld voxels, its scan %lld x %lld x %lld", s->name,
				(long long)m->dims[0], (long long)m->dims[1], (long long)m->dims[2], (long long)scan->dims[0], (long long)scan->dims[1],
				(long long)scan->dims[2]);
	for (int corner = 0; corner < 8; corner++) {
		double ijk[3], a[3], b[3];
		for (int i = 0; i < 3; i++)
			ijk[i] = corner >> i & 1 ? (double)(m->dims[i] - 1) : 0;
		oq_volume_to_ras(m, ijk, a);
		oq_volume_to_ras(scan, ijk, b);
		worst = fmax(worst, sqrt((a[0] - b[0]) * (a[0] - b[0]) + (a[1] - b[1]) * (a[1] - b[1]) + (a[2] - b[2]) * (a[2] - b[2])));
	}
	if (worst > GRID_TOLERANCE * edge)
		return oq_fail(s->err, OQ_E_INPUT, "E_MASK_GEOMETRY", "%s: mask lies up to %.3g mm from its scan's grid, expected the same grid", s->name, worst);
	return OQ_OK;
}

static void take(search *s, const int64_t at[3])
{
	oq_mask_found *f = s->found;
	for (int i = 0; i < 3; i++) {
		f->low[i] = !f->voxels || at[i] < f->low[i] ? at[i] : f->low[i];
		f->high[i] = !f->voxels || at[i] > f->high[i] ? at[i] : f->high[i];
		s->sum[i] += at[i];
	}
	f->voxels++;
}

/* One row of voxels along i. */
static oq_status look_at_row(search *s, int64_t j, int64_t k, const float *raw)
{
	const oq_volume *m = s->mask;
	for (int64_t i = 0; i < m->dims[0]; i++) {
		double value = (double)raw[i] * m->slope + m->inter, whole = rint(value);
		if (!(fabs(value - whole) <= WHOLE_TOLERANCE && fabs(whole) < 0x1p53))
			return oq_fail(s->err, OQ_E_INPUT, "E_MASK_VALUES", "%s: mask holds %g, expected whole numbers", s->name, value);
		int64_t label = (int64_t)whole;
		if (!label || (s->named && label != s->label))
			continue;
		if (s->label && label != s->label)
			return oq_fail(s->err, OQ_E_INPUT, "E_MASK_LABELS", "%s: mask holds labels %lld and %lld, expected one, or the number of the one to take", s->name,
				(long long)s->label, (long long)label);
		s->label = label;
		take(s, (const int64_t[3]){i, j, k});
	}
	return OQ_OK;
}

static oq_status look_at_all(search *s)
{
	const oq_volume *m = s->mask;
	size_t item = oq_dtype_size(m->dtype), row = (size_t)m->dims[0];
	float *raw = oq_alloc(row * sizeof *raw);
	if (!raw)
		return oq_fail_memory(s->err, s->name, row * sizeof *raw);
	oq_status status = OQ_OK;
	for (int64_t k = 0; k < m->dims[2] && status == OQ_OK; k++)
		for (int64_t j = 0; j < m->dims[1] && status == OQ_OK; j++) {
			oq_dtype_to_f32(m->dtype, (const unsigned char *)m->voxels + (size_t)(k * m->dims[1] + j) * row * item, row, raw);
			status = look_at_row(s, j, k, raw);
		}
	oq_free(raw);
	return status;
}

oq_status oq_mask_find(const oq_volume *mask, const oq_volume *scan, const char *name, int64_t label, bool box_centre, oq_mask_found *out, oq_error *err)
{
	search s = {.mask = mask, .name = name, .label = label, .named = label != 0, .found = out, .err = err};
	*out = (oq_mask_found){0};
	OQ_TRY(check_grid(&s, scan));
	OQ_TRY(look_at_all(&s));
	if (!out->voxels)
		return label ? oq_fail(err, OQ_E_INPUT, "E_MASK_EMPTY", "%s: mask has no voxel of label %lld", name, (long long)label)
			: oq_fail(err, OQ_E_INPUT, "E_MASK_EMPTY", "%s: mask is empty", name);
	for (int i = 0; i < 3; i++) {
		out->ijk[i] = box_centre ? (double)(out->low[i] + out->high[i]) / 2 : (double)s.sum[i] / (double)out->voxels;
		out->touches_border = out->touches_border || out->low[i] == 0 || out->high[i] == mask->dims[i] - 1;
	}
	return OQ_OK;
}
