/* .npy (NumPy format 1.0 and 2.0): strict reader of little-endian C-order arrays, streaming writer of float32. */
#ifndef OQ_IO_NPY_H
#define OQ_IO_NPY_H

#include "core/dtype.h"
#include "core/file.h"

typedef struct oq_npy {
	int fd;
	oq_dtype dtype; /* F16, F32, F64, and the integer types */
	int rank;
	int64_t shape[8];
	size_t count;
	uint64_t data_offset;
	char *path;
} oq_npy;

/* Header only; the file's size must be exactly header + data. Status OQ_E_INPUT on bad files. */
oq_status oq_npy_open(const char *path, oq_npy **out, oq_error *err);
/* `count` elements from flat index `first`, converted to float32. */
oq_status oq_npy_read_f32(const oq_npy *npy, size_t first, size_t count, float *dst, oq_error *err);
void oq_npy_close(oq_npy *npy);

/* Header of a C-order '<f4' array, padded to 64 bytes; returns its length or 0 when it does not fit `capacity`. */
size_t oq_npy_header(const int64_t *shape, int rank, char *buffer, size_t capacity);

#endif
