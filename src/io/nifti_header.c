#include "nifti_header.h"

#include "core/mem.h"
#include "formats.h"

#include <math.h>
#include <string.h>

/* Little helpers that read one field at an offset, swapping when the file's order is not ours. */
typedef struct fields {
	const unsigned char *bytes;
	bool swap;
} fields;

static uint64_t raw(fields f, size_t offset, size_t size)
{
	uint64_t value = 0;
	for (size_t i = 0; i < size; i++)
		value |= (uint64_t)f.bytes[offset + (f.swap ? size - 1 - i : i)] << 8 * i;
	return value;
}

static int64_t i16(fields f, size_t offset)
{
	return (int16_t)raw(f, offset, 2);
}

static int64_t i32(fields f, size_t offset)
{
	return (int32_t)raw(f, offset, 4);
}

static int64_t i64(fields f, size_t offset)
{
	return (int64_t)raw(f, offset, 8);
}

static double f32(fields f, size_t offset)
{
	uint32_t bits = (uint32_t)raw(f, offset, 4);
	float value;
	memcpy(&value, &bits, sizeof value);
	return (double)value;
}

static double f64(fields f, size_t offset)
{
	uint64_t bits = raw(f, offset, 8);
	double value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static oq_status refuse_magic(const char *path, const unsigned char *bytes, size_t count, const char *what, oq_error *err)
{
	return oq_fail(err, OQ_E_INPUT, "E_MAGIC", "%s: %s%s", path, what, oq_format_hint(bytes, count));
}

static oq_status parse1(fields f, const char *path, oq_nifti_header *h, oq_error *err)
{
	const unsigned char *magic = f.bytes + 344;
	if (!magic[0])
		return oq_fail(err, OQ_E_INPUT, "E_NO_ORIENTATION", "%s: is an ANALYZE image, which does not tell left from right; expected NIfTI", path);
	h->pair = !memcmp(magic, "ni1", 4);
	if (!h->pair && memcmp(magic, "n+1", 4))
		return refuse_magic(path, f.bytes, OQ_NIFTI1_BYTES, "NIfTI magic is damaged, expected \"n+1\" or \"ni1\"", err);
	for (size_t i = 0; i < 8; i++) {
		h->dim[i] = i16(f, 40 + 2 * i);
		h->pixdim[i] = f32(f, 76 + 4 * i);
	}
	h->datatype = (int)i16(f, 70);
	h->bitpix = (int)i16(f, 72);
	h->vox_offset = f32(f, 108);
	h->scl_slope = f32(f, 112);
	h->scl_inter = f32(f, 116);
	h->xyzt_units = f.bytes[123];
	h->qform_code = (int)i16(f, 252);
	h->sform_code = (int)i16(f, 254);
	for (size_t i = 0; i < 3; i++) {
		h->quatern[i] = f32(f, 256 + 4 * i);
		h->qoffset[i] = f32(f, 268 + 4 * i);
		for (size_t k = 0; k < 4; k++)
			h->srow[i][k] = f32(f, 280 + 16 * i + 4 * k);
	}
	return OQ_OK;
}

static oq_status parse2(fields f, const char *path, oq_nifti_header *h, oq_error *err)
{
	const unsigned char *magic = f.bytes + 4;
	h->pair = !memcmp(magic, "ni2", 4);
	if (!h->pair && memcmp(magic, "n+2", 4))
		return refuse_magic(path, f.bytes, OQ_NIFTI2_BYTES, "NIfTI-2 magic is damaged, expected \"n+2\" or \"ni2\"", err);
	if (memcmp(magic + 4, "\r\n\032\n", 4))
		return refuse_magic(path, f.bytes, OQ_NIFTI2_BYTES, "the line ends inside the NIfTI-2 magic were changed; a text-mode transfer damaged the file", err);
	for (size_t i = 0; i < 8; i++) {
		h->dim[i] = i64(f, 16 + 8 * i);
		h->pixdim[i] = f64(f, 104 + 8 * i);
	}
	h->datatype = (int)i16(f, 12);
	h->bitpix = (int)i16(f, 14);
	h->vox_offset = (double)i64(f, 168);
	h->scl_slope = f64(f, 176);
	h->scl_inter = f64(f, 184);
	h->qform_code = (int)i32(f, 344);
	h->sform_code = (int)i32(f, 348);
	for (size_t i = 0; i < 3; i++) {
		h->quatern[i] = f64(f, 352 + 8 * i);
		h->qoffset[i] = f64(f, 376 + 8 * i);
		for (size_t k = 0; k < 4; k++)
			h->srow[i][k] = f64(f, 400 + 32 * i + 8 * k);
	}
	h->xyzt_units = (int)i32(f, 500);
	return OQ_OK;
}

oq_status oq_nifti_header_parse(const unsigned char *bytes, size_t count, const char *path, oq_nifti_header *h, oq_error *err)
{
	bool big_machine = oq_machine_is_big_endian();
	*h = (oq_nifti_header){0};
	if (count >= 4) {
		for (int big = 0; big < 2 && !h->version; big++) {
			fields f = {.bytes = bytes, .swap = big != 0};
			int64_t size = i32(f, 0);
			/* "swapped" is about the voxels' order against ours. */
			h->swapped = (big != 0) != big_machine;
			h->version = size == OQ_NIFTI1_BYTES ? 1 : size == OQ_NIFTI2_BYTES ? 2 : 0;
		}
	}
	if (!h->version && (count >= OQ_NIFTI1_BYTES || oq_format_hint(bytes, count)[0]))
		return refuse_magic(path, bytes, count, "is not NIfTI: its header size field is neither 348 nor 540", err);
	size_t need = h->version == 2 ? OQ_NIFTI2_BYTES : OQ_NIFTI1_BYTES;
	if (count < need)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: has %zu bytes, a NIfTI header has %zu", path, count, need);
	fields f = {.bytes = bytes, .swap = h->swapped != big_machine};
	return h->version == 1 ? parse1(f, path, h, err) : parse2(f, path, h, err);
}

static const struct {
	int code;
	oq_dtype dtype;
} types[] = {{2, OQ_U8}, {4, OQ_I16}, {8, OQ_I32}, {16, OQ_F32}, {64, OQ_F64}, {256, OQ_I8}, {512, OQ_U16}, {768, OQ_U32}, {1024, OQ_I64}, {1280, OQ_U64}};

static oq_status check_type(const oq_nifti_header *h, const char *path, oq_volume *volume, oq_error *err)
{
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (types[i].code == h->datatype) {
			volume->dtype = types[i].dtype;
			if (h->bitpix != (int)(8 * oq_dtype_size(volume->dtype)))
				oq_notes_add(&volume->notes, "W_BITPIX", "bitpix is %d, its datatype has %zu; the datatype is followed", h->bitpix,
					8 * oq_dtype_size(volume->dtype));
			return OQ_OK;
		}
	return oq_fail(err, OQ_E_INPUT, "E_DTYPE", "%s: datatype %d is not a CT's: expected a scalar integer or float", path, h->datatype);
}

static oq_status check_dims(const oq_nifti_header *h, const char *path, int64_t which, oq_volume *volume, oq_error *err)
{
	if (h->dim[0] < 1 || h->dim[0] > 7)
		return oq_fail(err, OQ_E_INPUT, "E_DIMS", "%s: dim[0] is %lld, expected 3 (or 4 with one volume)", path, (long long)h->dim[0]);
	for (int i = 1; i <= h->dim[0]; i++)
		if (h->dim[i] < 1)
			return oq_fail(err, OQ_E_INPUT, "E_DIMS", "%s: dim[%d] is %lld, expected at least 1", path, i, (long long)h->dim[i]);
	size_t total;
	if (!oq_size_product(h->dim + 1, (int)h->dim[0], 16, &total))
		return oq_fail(err, OQ_E_INPUT, "E_OVERFLOW", "%s: the product of its dimensions overflows", path);
	for (int i = 5; i <= h->dim[0]; i++)
		if (h->dim[i] > 1)
			return oq_fail(err, OQ_E_INPUT, "E_DIMS", "%s: dim[%d] is %lld, expected a 3-D CT", path, i, (long long)h->dim[i]);
	int64_t volumes = h->dim[0] >= 4 ? h->dim[4] : 1;
	if (volumes > 1 && !which)
		return oq_fail(err, OQ_E_INPUT, "E_4D", "%s: holds %lld volumes, expected one, or the number of the one to take", path, (long long)volumes);
	if (which > volumes)
		return oq_fail(err, OQ_E_INPUT, "E_4D", "%s: holds %lld volumes, number %lld was asked for", path, (long long)volumes, (long long)which);
	if (h->dim[0] < 3)
		return oq_fail(err, OQ_E_INPUT, "E_DIMS", "%s: has %lld dimensions, expected a 3-D CT", path, (long long)h->dim[0]);
	memcpy(volume->dims, h->dim + 1, sizeof volume->dims);
	for (int i = 0; i < 3; i++)
		if (volume->dims[i] == 1)
			oq_notes_add(&volume->notes, "W_THIN", "axis %d has one voxel; patches are mostly padding", i);
	return OQ_OK;
}

static oq_status check_scaling(const oq_nifti_header *h, const char *path, oq_volume *volume, oq_error *err)
{
	double slope = h->scl_slope, inter = h->scl_inter;
	if (!isfinite(slope) || !isfinite(inter))
		return oq_fail(err, OQ_E_INPUT, "E_SCALE", "%s: scl_slope is %g and scl_inter is %g, expected finite numbers", path, slope, inter);
	if (slope == 0 && inter != 0)
		return oq_fail(err, OQ_E_INPUT, "E_SCALE_AMBIG", "%s: scl_slope is 0 with scl_inter %g: readers differ by this offset, set scl_slope to 1 or scl_inter to 0", path, inter);
	if (slope != 0 && fabs(slope) < 1e-30)
		return oq_fail(err, OQ_E_INPUT, "E_SCALE", "%s: scl_slope is %g, expected 0 or a normal number", path, slope);
	if (slope < 0)
		oq_notes_add(&volume->notes, "W_SCALE_NEG", "scl_slope is %g: the image is inverted", slope);
	volume->slope = slope == 0 ? 1 : slope;
	volume->inter = inter;
	return OQ_OK;
}

oq_status oq_nifti_check_image(const oq_nifti_header *h, const char *path, int64_t which, oq_volume *volume, size_t *byte_count, oq_error *err)
{
	OQ_TRY(check_dims(h, path, which, volume, err));
	OQ_TRY(check_type(h, path, volume, err));
	OQ_TRY(check_scaling(h, path, volume, err));
	return oq_size_product(volume->dims, 3, oq_dtype_size(volume->dtype), byte_count) ? OQ_OK
		: oq_fail(err, OQ_E_INPUT, "E_OVERFLOW", "%s: the product of its dimensions overflows", path);
}

#define MAX_OFFSET 1e12 /* a header extension of a terabyte is not an extension */

oq_status oq_nifti_check_offset(const oq_nifti_header *h, const char *path, oq_volume *volume, uint64_t *offset, oq_error *err)
{
	double least = h->pair ? 0 : h->version == 1 ? OQ_NIFTI1_BYTES + 4 : OQ_NIFTI2_BYTES + 4, value = h->vox_offset;
	if (!h->pair && value == 0) {
		oq_notes_add(&volume->notes, "W_OFFSET", "vox_offset is 0, taken as %g", least);
		value = least;
	}
	if (!(value >= least && value <= MAX_OFFSET) || value != floor(value))
		return oq_fail(err, OQ_E_INPUT, "E_OFFSET", "%s: vox_offset is %g, expected a whole number of at least %g", path, h->vox_offset, least);
	*offset = (uint64_t)value;
	return OQ_OK;
}
