/* Masks: centroid and box centre of a label, and every mask that is refused (rows M22 of the project's list of bad inputs). */
#include "check.h"

#include "io/mask.h"

#define N 6

typedef struct pair {
	oq_volume scan, mask;
	float voxels[N * N * N];
} pair;

/* Two volumes on one grid of 0.7 x 0.7 x 2.5 mm, the mask all 0. */
static void start(pair *p)
{
	*p = (pair){0};
	oq_volume v = {.dims = {N, N, N}, .dtype = OQ_F32, .slope = 1, .spacing_mm = {0.7, 0.7, 2.5}, .affine = {{-0.7, 0, 0, 10}, {0, -0.7, 0, 20}, {0, 0, 2.5, 30}}};
	p->scan = p->mask = v;
	p->mask.voxels = p->voxels;
}

static void put(pair *p, int i, int j, int k, float value)
{
	p->voxels[(k * N + j) * N + i] = value;
}

static void check(const pair *p, int64_t label, bool box, const char *code, const double expected[3], bool border)
{
	oq_mask_found found;
	oq_error err = {0};
	oq_status status = oq_mask_find(&p->mask, &p->scan, "mask", label, box, &found, &err);
	OQ_CHECK_STR(status == OQ_OK ? "" : err.code, code);
	OQ_CHECK(status == OQ_OK || (status == OQ_E_INPUT && !strncmp(err.message, "mask: ", 6)));
	if (status != OQ_OK || !expected)
		return;
	for (int i = 0; i < 3; i++)
		OQ_CHECK_NEAR(found.ijk[i], expected[i], 0);
	OQ_CHECK_INT(found.touches_border, border);
}

int main(void)
{
	pair p;
	start(&p);
	check(&p, 0, false, "E_MASK_EMPTY", NULL, false);
	/* An L of three voxels: the centroid is not the centre of the box. */
	put(&p, 1, 1, 2, 1);
	put(&p, 2, 1, 2, 1);
	put(&p, 1, 4, 2, 1);
	check(&p, 0, false, "", (const double[3]){4.0 / 3, 2, 2}, false);
	check(&p, 0, true, "", (const double[3]){1.5, 2.5, 2}, false);
	check(&p, 2, false, "E_MASK_EMPTY", NULL, false);
	/* Several labels: one must be named. */
	put(&p, 4, 4, 5, 3);
	check(&p, 0, false, "E_MASK_LABELS", NULL, false);
	check(&p, 1, false, "", (const double[3]){4.0 / 3, 2, 2}, false);
	check(&p, 3, true, "", (const double[3]){4, 4, 5}, true);
	/* Masks that went through floats. */
	put(&p, 4, 4, 5, 0.9995f);
	check(&p, 0, false, "", NULL, true);
	put(&p, 4, 4, 5, 0.5f);
	check(&p, 0, false, "E_MASK_VALUES", NULL, false);
	put(&p, 4, 4, 5, 1e30f); /* whole, but no label that an int64_t holds */
	check(&p, 0, false, "E_MASK_VALUES", NULL, false);
	/* Another grid: a voxel more, half a voxel away, turned. */
	start(&p);
	put(&p, 1, 1, 1, 1);
	p.scan.dims[2] = N + 1;
	check(&p, 0, false, "E_MASK_GEOMETRY", NULL, false);
	start(&p);
	put(&p, 1, 1, 1, 1);
	p.mask.affine[0][3] += 0.35;
	check(&p, 0, false, "E_MASK_GEOMETRY", NULL, false);
	start(&p);
	put(&p, 1, 1, 1, 1);
	p.mask.affine[0][0] = 0.7;
	check(&p, 0, false, "E_MASK_GEOMETRY", NULL, false);
	/* Rounding of a float32 header is no difference. */
	start(&p);
	put(&p, 1, 1, 1, 1);
	p.mask.affine[0][3] += 3e-5;
	check(&p, 0, false, "", (const double[3]){1, 1, 1}, false);
	return oq_checks_done();
}
