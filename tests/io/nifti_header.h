/* The header of a made-up scan, for tests of readers: NIfTI-1, LPS axes, 1 mm, origin 0. */
#ifndef OQ_TEST_NIFTI_HEADER_H
#define OQ_TEST_NIFTI_HEADER_H

#include <stdint.h>
#include <string.h>

/* type: NIfTI's code and bits of a voxel. Returns the bytes before the voxels. */
static inline size_t nifti_header(unsigned char h[352], const int16_t dim[8], const int16_t type[2])
{
	static const int32_t size = 348;
	static const int16_t codes[2] = {0, 1};
	static const float spacing[4] = {1, 1, 1, 1}, offset[3] = {352, 1, 0}, srow[12] = {-1, 0, 0, 0, 0, -1, 0, 0, 0, 0, 1, 0};
	memset(h, 0, 352);
	memcpy(h, &size, 4);
	memcpy(h + 40, dim, 8 * sizeof *dim);
	memcpy(h + 70, type, 2 * sizeof *type);
	memcpy(h + 76, spacing, sizeof spacing);
	memcpy(h + 108, offset, sizeof offset);
	h[123] = 2;
	memcpy(h + 252, codes, sizeof codes);
	memcpy(h + 280, srow, sizeof srow);
	memcpy(h + 344, "n+1", 4);
	return 352;
}

#endif
