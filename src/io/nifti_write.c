/* The header is filled field by field over the standard's own struct; voxels are compressed plane by plane, so that memory does not grow with the scan. */
#include "io/nifti.h"

#include "core/file.h"
#include "core/mem.h"

#include <assert.h>
#include <nifti2_io.h>
#include <string.h>
#include <zlib.h>

#define CHUNK ((size_t)256 << 10)
#define VOXEL_OFFSET 352 /* header, and four bytes that announce no extension */

static_assert(sizeof(nifti_1_header) == 348, "the header of the standard");

static oq_status fill_header(const char *path, const oq_volume *v, double greatest, nifti_1_header *h, oq_error *err)
{
	nifti_dmat44 m = {{{0}}};
	double quatern[3], offset[3], step[3], qfac;
	*h = (nifti_1_header){.sizeof_hdr = 348, .dim = {3, 1, 1, 1, 1, 1, 1, 1}, .datatype = 16, .bitpix = 32, .pixdim = {1, 1, 1, 1, 1, 1, 1, 1},
		.vox_offset = VOXEL_OFFSET, .scl_slope = 1, .cal_max = (float)greatest, .xyzt_units = 2, .qform_code = 1, .sform_code = 1, .magic = "n+1"};
	for (int i = 0; i < 3; i++) {
		if (v->dims[i] > 32767)
			return oq_fail(err, OQ_E_UNSUPPORTED, "E_DIMS", "%s: axis %d has %lld voxels, NIfTI-1 holds at most 32767", path, i, (long long)v->dims[i]);
		h->dim[1 + i] = (short)v->dims[i];
		h->pixdim[1 + i] = (float)v->spacing_mm[i];
		memcpy(m.m[i], v->affine[i], sizeof m.m[i]);
		float *row = i == 0 ? h->srow_x : i == 1 ? h->srow_y : h->srow_z;
		for (int k = 0; k < 4; k++)
			row[k] = (float)v->affine[i][k];
	}
	m.m[3][3] = 1;
	/* Scans are right-angled (E_SHEAR), so that a rotation says the same as the matrix. */
	nifti_dmat44_to_quatern(m, &quatern[0], &quatern[1], &quatern[2], &offset[0], &offset[1], &offset[2], &step[0], &step[1], &step[2], &qfac);
	h->pixdim[0] = (float)qfac;
	h->quatern_b = (float)quatern[0];
	h->quatern_c = (float)quatern[1];
	h->quatern_d = (float)quatern[2];
	h->qoffset_x = (float)offset[0];
	h->qoffset_y = (float)offset[1];
	h->qoffset_z = (float)offset[2];
	return OQ_OK;
}

typedef struct packer {
	oq_outfile *file;
	z_stream z;
	unsigned char *out;
	oq_error *err;
} packer;

static oq_status pack(packer *p, const void *data, size_t bytes, int flush)
{
	/* zlib reads next_in only; without ZLIB_CONST its type does not say so. */
	union { const void *in; unsigned char *out; } input = {data};
	p->z.next_in = input.out;
	p->z.avail_in = (uInt)bytes;
	do {
		p->z.next_out = p->out;
		p->z.avail_out = (uInt)CHUNK;
		if (deflate(&p->z, flush) == Z_STREAM_ERROR)
			return oq_fail(p->err, OQ_E_INTERNAL, "E_GZ", "nifti: the compressor failed");
		OQ_TRY(oq_outfile_write(p->file, p->out, CHUNK - p->z.avail_out, p->err));
	} while (p->z.avail_out == 0);
	return OQ_OK;
}

static oq_status pack_volume(packer *p, const oq_volume *v, const nifti_1_header *header, float *plane, oq_plane_source source, void *context)
{
	static const unsigned char no_extension[4] = {0};
	OQ_TRY(pack(p, header, sizeof *header, Z_NO_FLUSH));
	OQ_TRY(pack(p, no_extension, sizeof no_extension, Z_NO_FLUSH));
	for (int64_t k = 0; k < v->dims[2]; k++) {
		source(context, k, plane);
		for (int64_t j = 0; j < v->dims[1]; j++) /* rows: a plane may exceed what zlib counts */
			OQ_TRY(pack(p, plane + j * v->dims[0], (size_t)v->dims[0] * sizeof *plane, Z_NO_FLUSH));
	}
	return pack(p, no_extension, 0, Z_FINISH);
}

oq_status oq_nifti_write_f32(const char *path, const oq_volume *v, double greatest, oq_plane_source source, void *context, oq_error *err)
{
	nifti_1_header header;
	size_t plane_bytes = 0;
	OQ_TRY(fill_header(path, v, greatest, &header, err));
	if (!oq_size_product(v->dims, 2, sizeof(float), &plane_bytes))
		return oq_fail_memory(err, path, plane_bytes);
	packer p = {.err = err, .out = oq_alloc(CHUNK)};
	float *plane = oq_alloc(plane_bytes);
	/* 15 = the largest window, 16 = gzip; its header holds no time, so that the bytes depend on the input only */
	bool ready = p.out && plane && deflateInit2(&p.z, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK;
	oq_status status = ready ? oq_outfile_open(path, &p.file, err) : oq_fail_memory(err, path, plane_bytes);
	if (status == OQ_OK)
		status = pack_volume(&p, v, &header, plane, source, context);
	if (status == OQ_OK)
		status = oq_outfile_commit(p.file, err);
	else
		oq_outfile_abort(p.file);
	if (ready)
		deflateEnd(&p.z);
	oq_free(p.out);
	oq_free(plane);
	return status;
}
