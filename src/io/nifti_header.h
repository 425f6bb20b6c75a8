/* The fields of a NIfTI-1 or NIfTI-2 header that a CT needs, in native byte order, each still unchecked. */
#ifndef OQ_IO_NIFTI_HEADER_H
#define OQ_IO_NIFTI_HEADER_H

#include "core/notes.h"
#include "io/volume.h"

#define OQ_NIFTI1_BYTES 348
#define OQ_NIFTI2_BYTES 540

typedef struct oq_nifti_header {
	int version;       /* 1 or 2 */
	bool swapped;      /* the file's byte order is not ours */
	bool pair;         /* magic of a .hdr/.img pair */
	int64_t dim[8];
	int datatype, bitpix;
	double pixdim[8];
	double vox_offset;
	double scl_slope, scl_inter;
	int xyzt_units;
	int qform_code, sform_code;
	double quatern[3], qoffset[3];
	double srow[3][4];
} oq_nifti_header;

/* `bytes`: at least 348, or 540 for NIfTI-2. Checks magic only: E_MAGIC, E_NO_ORIENTATION (ANALYZE), E_TRUNCATED. */
oq_status oq_nifti_header_parse(const unsigned char *bytes, size_t count, const char *path, oq_nifti_header *out, oq_error *err);

/* dims, type, scaling into `volume`; *byte_count is the size of the voxels of one volume, before anything is allocated. `which`: of several
 * volumes, from 1; 0 refuses several. */
oq_status oq_nifti_check_image(const oq_nifti_header *header, const char *path, int64_t which, oq_volume *volume, size_t *byte_count, oq_error *err);
/* Where the voxels begin in the file. */
oq_status oq_nifti_check_offset(const oq_nifti_header *header, const char *path, oq_volume *volume, uint64_t *offset, oq_error *err);
/* affine and spacing into `volume`, by the rule. */
oq_status oq_nifti_check_geometry(const oq_nifti_header *header, const char *path, const oq_volume_options *options, oq_volume *volume, oq_error *err);

#endif
