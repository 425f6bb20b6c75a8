/* What every format's geometry must pass. Refuses what would put a lesion elsewhere: absurd spacing, axes that are not
 * independent or not at right angles, an origin metres away. */
#include "affine.h"

#include <math.h>

#define MIN_SPACING 0.05
#define MAX_SPACING 20.0
#define MAX_ORIGIN 1e5
#define SHEAR_TOLERANCE 1e-3 /* cosine between two axes; rounding of float32 headers stays below 1e-5 */

oq_status oq_spacing_check(const char *path, const char *what, const double spacing[3], oq_error *err)
{
	for (int i = 0; i < 3; i++)
		if (!(spacing[i] >= MIN_SPACING && spacing[i] <= MAX_SPACING))
			return oq_fail(err, OQ_E_INPUT, "E_SPACING", "%s: %s of axis %d is %g mm, expected %g to %g", path, what, i, spacing[i], MIN_SPACING, MAX_SPACING);
	return OQ_OK;
}

void oq_affine_norms(const oq_affine *a, double norms[3])
{
	const double(*m)[4] = a->m;
	for (int k = 0; k < 3; k++)
		norms[k] = sqrt(m[0][k] * m[0][k] + m[1][k] * m[1][k] + m[2][k] * m[2][k]);
}

static double determinant(const oq_affine *a)
{
	const double(*m)[4] = a->m;
	return m[0][0] * (m[1][1] * m[2][2] - m[1][2] * m[2][1]) - m[0][1] * (m[1][0] * m[2][2] - m[1][2] * m[2][0])
		+ m[0][2] * (m[1][0] * m[2][1] - m[1][1] * m[2][0]);
}

oq_status oq_affine_check(const char *path, const char *which, const oq_affine *a, oq_notes *notes, oq_error *err)
{
	const double(*m)[4] = a->m;
	double norms[3];
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4; k++)
			if (!isfinite(m[i][k]))
				return oq_fail(err, OQ_E_INPUT, "E_AFFINE_NONFINITE", "%s: %s[%d][%d] is %g, expected a finite number", path, which, i, k, m[i][k]);
	oq_affine_norms(a, norms);
	double volume = norms[0] * norms[1] * norms[2];
	if (!(volume > 0) || fabs(determinant(a)) < 1e-6 * volume)
		return oq_fail(err, OQ_E_INPUT, "E_AFFINE_SINGULAR", "%s: its %s is singular, expected three independent axes", path, which);
	for (int i = 0; i < 3; i++)
		if (fabs(m[i][3]) > MAX_ORIGIN)
			return oq_fail(err, OQ_E_INPUT, "E_AFFINE_RANGE", "%s: %s puts the origin at %g mm, expected within %g", path, which, m[i][3], MAX_ORIGIN);
	for (int i = 0; i < 3; i++)
		for (int k = i + 1; k < 3; k++) {
			double dot = m[0][i] * m[0][k] + m[1][i] * m[1][k] + m[2][i] * m[2][k];
			if (fabs(dot) <= SHEAR_TOLERANCE * norms[i] * norms[k])
				continue;
			if (!notes)
				return oq_fail(err, OQ_E_INPUT, "E_SHEAR", "%s: %s is sheared (axes %d and %d have cosine %.4f, a tilted gantry?), expected right angles",
					path, which, i, k, dot / (norms[i] * norms[k]));
			oq_notes_add(notes, "W_SHEAR", "its %s is sheared (axes %d and %d have cosine %.4f, a tilted gantry?)", which, i, k, dot / (norms[i] * norms[k]));
		}
	return OQ_OK;
}
