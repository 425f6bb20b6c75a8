/* From header fields to one affine in millimetres (RAS+). libnifti turns quaternions into matrices; choosing between qform
 * and sform, and refusing what readers disagree on, is ours (docs/formats.md). */
#include "affine.h"
#include "nifti_header.h"

#include <math.h>
#include <nifti2_io.h>
#include <string.h>

#define SPACING_NOTED 1e-2     /* relative; some writers round pixdim to two digits */
#define SPACING_TOLERANCE 5e-2 /* beyond this the two are different scans */
#define CONFLICT_MM 0.1        /* corner of the volume under qform and sform */

/* Metres and micrometres become millimetres, as ITK does it. */
static double unit_factor(const oq_nifti_header *h, oq_volume *volume)
{
	int unit = h->xyzt_units & 7;
	double factor = unit == 1 ? 1e3 : unit == 3 ? 1e-3 : 1;
	if (factor != 1)
		oq_notes_add(&volume->notes, "W_UNITS", "lengths are in %s, converted to millimetres", unit == 1 ? "metres" : "micrometres");
	return factor;
}

static oq_status qform_affine(const oq_nifti_header *h, const char *path, double factor, oq_volume *volume, oq_affine *out, oq_error *err)
{
	double norm = 0, qfac = h->pixdim[0];
	for (int i = 0; i < 3; i++) {
		if (!isfinite(h->quatern[i]) || !isfinite(h->qoffset[i]))
			return oq_fail(err, OQ_E_INPUT, "E_AFFINE_NONFINITE", "%s: quatern or qoffset %d is not a finite number", path, i);
		norm += h->quatern[i] * h->quatern[i];
	}
	if (norm > 1 + 1e-4)
		return oq_fail(err, OQ_E_INPUT, "E_AFFINE", "%s: its quaternion has a squared norm of %g, expected at most 1", path, norm);
	if (qfac != 1 && qfac != -1 && qfac != 0)
		oq_notes_add(&volume->notes, "W_QFAC", "qfac is %g, taken as 1", qfac);
	nifti_dmat44 m = nifti_quatern_to_dmat44(h->quatern[0], h->quatern[1], h->quatern[2], h->qoffset[0], h->qoffset[1], h->qoffset[2],
		h->pixdim[1], h->pixdim[2], h->pixdim[3], qfac == -1 ? -1.0 : 1.0);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4; k++)
			out->m[i][k] = m.m[i][k] * factor;
	return oq_affine_check(path, "qform", out, NULL, err);
}

static oq_status sform_affine(const oq_nifti_header *h, const char *path, double factor, bool allow_shear, oq_volume *volume, oq_affine *out, oq_error *err)
{
	double norms[3];
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4; k++)
			out->m[i][k] = h->srow[i][k] * factor;
	OQ_TRY(oq_affine_check(path, "sform", out, allow_shear ? &volume->notes : NULL, err));
	oq_affine_norms(out, norms);
	for (int i = 0; i < 3; i++) {
		double pixdim = h->pixdim[1 + i] * factor;
		if (fabs(norms[i] - pixdim) > SPACING_NOTED * pixdim)
			oq_notes_add(&volume->notes, "W_SPACING_MISMATCH", "axis %d has %g mm in the sform and %g mm in pixdim; the sform was followed", i, norms[i], pixdim);
		if (fabs(norms[i] - pixdim) > SPACING_TOLERANCE * pixdim)
			return oq_fail(err, OQ_E_INPUT, "E_SPACING_MISMATCH", "%s: axis %d has %g mm in the sform and %g mm in pixdim", path, i, norms[i], pixdim);
	}
	return OQ_OK;
}

/* The largest distance between the places of a corner voxel under the two transforms. */
static double conflict(const oq_affine *a, const oq_affine *b, const int64_t dims[3])
{
	double worst = 0;
	for (int corner = 0; corner < 8; corner++) {
		double square = 0;
		for (int i = 0; i < 3; i++) {
			double d = a->m[i][3] - b->m[i][3];
			for (int k = 0; k < 3; k++)
				d += (a->m[i][k] - b->m[i][k]) * (corner >> k & 1 ? (double)(dims[k] - 1) : 0.0);
			square += d * d;
		}
		worst = fmax(worst, sqrt(square));
	}
	return worst;
}

static oq_status check_codes(const oq_nifti_header *h, const char *path, bool assume, oq_error *err)
{
	if (h->qform_code < 0 || h->qform_code > 5 || h->sform_code < 0 || h->sform_code > 5)
		return oq_fail(err, OQ_E_INPUT, "E_XFORM_CODE", "%s: qform_code is %d and sform_code is %d, expected 0 to 5", path, h->qform_code, h->sform_code);
	if (!h->qform_code && !h->sform_code && !assume)
		return oq_fail(err, OQ_E_INPUT, "E_NO_ORIENTATION", "%s: has neither qform nor sform: left and right are unknown", path);
	return OQ_OK;
}

/* What ITK, and so the reference pipeline, makes of a header without qform and sform: LPS axes, the first voxel at 0. */
static oq_status assume_affine(const char *path, const double pixdim[3], oq_volume *volume, oq_error *err)
{
	oq_notes_add(&volume->notes, "W_ORIENTATION", "has neither qform nor sform; axes L, P, S were assumed, as ITK does");
	for (int i = 0; i < 3; i++) {
		volume->affine[i][i] = i < 2 ? -pixdim[i] : pixdim[i];
		volume->spacing_mm[i] = pixdim[i];
	}
	return oq_spacing_check(path, "pixdim", pixdim, err);
}

oq_status oq_nifti_check_geometry(const oq_nifti_header *h, const char *path, const oq_volume_options *options, oq_volume *volume, oq_error *err)
{
	static const oq_volume_options none;
	oq_affine q, s;
	options = options ? options : &none;
	OQ_TRY(check_codes(h, path, options->assume_orientation, err));
	double factor = unit_factor(h, volume);
	const double pixdim[3] = {h->pixdim[1] * factor, h->pixdim[2] * factor, h->pixdim[3] * factor};
	OQ_TRY(oq_spacing_check(path, "pixdim", pixdim, err));
	if (!h->qform_code && !h->sform_code)
		return assume_affine(path, pixdim, volume, err);
	if (h->qform_code)
		OQ_TRY(qform_affine(h, path, factor, volume, &q, err));
	if (h->sform_code)
		OQ_TRY(sform_affine(h, path, factor, options->allow_shear, volume, &s, err));
	/* ITK follows a scanner-anatomical sform, and else the qform when there is one; nibabel follows the sform always. */
	bool use_sform = h->sform_code && (!h->qform_code || h->sform_code == 1 || options->geometry == OQ_GEOMETRY_NIBABEL);
	double distance = h->qform_code && h->sform_code ? conflict(&q, &s, volume->dims) : 0;
	if (distance > CONFLICT_MM && options->geometry == OQ_GEOMETRY_STRICT)
		return oq_fail(err, OQ_E_INPUT, "E_QS_MISMATCH", "%s: qform and sform differ by up to %.1f mm", path, distance);
	if (distance > CONFLICT_MM)
		oq_notes_add(&volume->notes, "W_QS_MISMATCH", "qform and sform differ by up to %.1f mm; the %s was followed", distance, use_sform ? "sform" : "qform");
	memcpy(volume->affine, (use_sform ? &s : &q)->m, sizeof volume->affine);
	oq_affine_norms(use_sform ? &s : &q, volume->spacing_mm);
	return oq_spacing_check(path, "spacing", volume->spacing_mm, err);
}
