#include "geometry.h"

#include <math.h>
#include <string.h>

void oq_affine_invert(const double m[3][4], double out[3][4])
{
	double c[3][3];
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 3; k++)
			c[i][k] = m[(i + 1) % 3][(k + 1) % 3] * m[(i + 2) % 3][(k + 2) % 3] - m[(i + 1) % 3][(k + 2) % 3] * m[(i + 2) % 3][(k + 1) % 3];
	double determinant = m[0][0] * c[0][0] + m[0][1] * c[0][1] + m[0][2] * c[0][2];
	for (int i = 0; i < 3; i++) {
		out[i][3] = 0;
		for (int k = 0; k < 3; k++) {
			out[i][k] = c[k][i] / determinant;
			out[i][3] -= out[i][k] * m[k][3];
		}
	}
}

/* For each file axis, in order, the world axis that it runs along most; a world axis is given away once. */
static void nearest_axes(const oq_volume *v, int world_of[3])
{
	bool taken[3] = {false, false, false};
	for (int file = 0; file < 3; file++) {
		int best = -1;
		for (int world = 0; world < 3; world++)
			if (!taken[world] && (best < 0 || fabs(v->affine[world][file]) > fabs(v->affine[best][file])))
				best = world;
		taken[best] = true;
		world_of[file] = best;
	}
}

void oq_lps_grid_of(const oq_volume *v, oq_lps_grid *g)
{
	static const double towards[3] = {-1, -1, 1}; /* L, P, S in RAS millimetres */
	int world_of[3];
	nearest_axes(v, world_of);
	for (int file = 0; file < 3; file++) {
		int axis = world_of[file];
		g->source[axis] = file;
		g->size[axis] = v->dims[file];
		g->flip[axis] = v->affine[axis][file] * towards[axis] < 0;
	}
	for (int i = 0; i < 3; i++) {
		g->affine[i][3] = v->affine[i][3];
		for (int axis = 0; axis < 3; axis++) {
			double step = v->affine[i][g->source[axis]];
			g->affine[i][axis] = g->flip[axis] ? -step : step;
			if (g->flip[axis])
				g->affine[i][3] += step * (double)(g->size[axis] - 1);
		}
	}
}

static void apply(const double m[3][4], const double x[3], double out[3])
{
	for (int i = 0; i < 3; i++)
		out[i] = m[i][0] * x[0] + m[i][1] * x[1] + m[i][2] * x[2] + m[i][3];
}

/* Size from the extent of the eight corners; origin at the corner that is the minimum on every axis, when there is one. */
static void place_grid(const oq_lps_grid *lps, oq_target_grid *g)
{
	double corners[8][3], scaled[8][3], low[3], high[3];
	for (int c = 0; c < 8; c++) {
		const double index[3] = {c >> 2 & 1 ? (double)(lps->size[0] - 1) : 0, c >> 1 & 1 ? (double)(lps->size[1] - 1) : 0,
			c & 1 ? (double)(lps->size[2] - 1) : 0};
		apply(lps->affine, index, corners[c]);
		for (int i = 0; i < 3; i++) {
			scaled[c][i] = corners[c][i] / g->spacing[i];
			low[i] = c && low[i] < scaled[c][i] ? low[i] : scaled[c][i];
			high[i] = c && high[i] > scaled[c][i] ? high[i] : scaled[c][i];
		}
	}
	for (int i = 0; i < 3; i++)
		g->size[i] = (int64_t)rint(high[i] - low[i] + 1); /* ties to even, as NumPy rounds */
	for (int c = 0; c < 8; c++) {
		bool least = true;
		for (int i = 0; i < 3; i++)
			least &= fabs(scaled[c][i] - low[i]) <= 1e-8;
		if (least) {
			memcpy(g->origin, corners[c], sizeof g->origin);
			return;
		}
	}
	/* Oblique scans have no such corner: the centres are aligned (with n/2 on both sides, as the reference does). */
	const double middle[3] = {(double)lps->size[0] / 2, (double)lps->size[1] / 2, (double)lps->size[2] / 2};
	double centre[3];
	apply(lps->affine, middle, centre);
	for (int i = 0; i < 3; i++)
		g->origin[i] = centre[i] - g->spacing[i] * ((double)g->size[i] / 2);
}

void oq_target_grid_of(const oq_lps_grid *lps, const oq_patch_spec *spec, oq_target_grid *g)
{
	double inverse[3][4], exact[3][4];
	memcpy(g->spacing, spec->spacing_mm, sizeof g->spacing);
	place_grid(lps, g);
	oq_affine_invert(lps->affine, inverse);
	for (int i = 0; i < 3; i++) {
		for (int k = 0; k < 3; k++)
			exact[i][k] = inverse[i][k] * g->spacing[k];
		exact[i][3] = inverse[i][0] * g->origin[0] + inverse[i][1] * g->origin[1] + inverse[i][2] * g->origin[2] + inverse[i][3];
	}
	/* MONAI up to 1.5 normalises the affine as if voxels had corners (align_corners False) and samples as if they had not, so
	 * the whole volume is slightly stretched: p = d*N/(N-1) - 1/2, s = X*p, q = (s + 1/2)*(n-1)/n. One affine again. */
	bool stretched = spec->resample == OQ_RESAMPLE_REFERENCE;
	for (int i = 0; i < 3; i++) {
		double n = (double)lps->size[i], shrink = stretched ? (n - 1) / n : 1;
		g->to_source[i][3] = stretched ? (exact[i][3] + 0.5) * shrink : exact[i][3];
		for (int k = 0; k < 3; k++) {
			double size = (double)g->size[k], stretch = stretched && g->size[k] > 1 ? size / (size - 1) : 1;
			g->to_source[i][k] = exact[i][k] * stretch * shrink;
			if (stretched)
				g->to_source[i][3] -= 0.5 * exact[i][k] * shrink;
		}
	}
}
