/* safetensors: strict reader (every byte of the data accounted for, no overlaps, no unknown dtypes) and streaming writer.
 * Tensors are read with pread into memory of the caller, so a file that changes while it is in use cannot crash or mix. */
#ifndef OQ_CORE_SAFETENSORS_H
#define OQ_CORE_SAFETENSORS_H

#include "core/dtype.h"
#include "core/json.h"

#define OQ_MAX_RANK 8

typedef struct oq_tensor_info {
	const char *name;
	oq_dtype dtype;
	int rank;
	int64_t shape[OQ_MAX_RANK]; /* zero extents allowed */
	size_t count;               /* product of the shape */
	size_t bytes;
	uint64_t offset; /* in the file */
} oq_tensor_info;

typedef struct oq_safetensors oq_safetensors;

/* Errors have status OQ_E_MODEL (OQ_E_RESOURCE where the system refused). */
oq_status oq_safetensors_open(const char *path, oq_safetensors **out, oq_error *err);
void oq_safetensors_close(oq_safetensors *file);
int oq_safetensors_count(const oq_safetensors *file);
const oq_tensor_info *oq_safetensors_at(const oq_safetensors *file, int index); /* in order of offset */
const oq_tensor_info *oq_safetensors_find(const oq_safetensors *file, const char *name); /* NULL when absent */
/* Raw bytes into `buffer` (info->bytes). */
oq_status oq_safetensors_read(const oq_safetensors *file, const oq_tensor_info *info, void *buffer, oq_error *err);

/* Writer: declare every tensor first (the order is the order in the file), then write each one's bytes in that order, then commit. */
typedef struct oq_safetensors_writer oq_safetensors_writer;
oq_status oq_safetensors_writer_open(const char *path, oq_safetensors_writer **out, oq_error *err);
oq_status oq_safetensors_writer_declare(oq_safetensors_writer *writer, const char *name, oq_dtype dtype, int rank, const int64_t *shape, oq_error *err);
oq_status oq_safetensors_writer_data(oq_safetensors_writer *writer, const void *data, size_t bytes, oq_error *err); /* next tensor, may be given in parts */
oq_status oq_safetensors_writer_commit(oq_safetensors_writer *writer, oq_error *err); /* frees in every case */
void oq_safetensors_writer_abort(oq_safetensors_writer *writer);

#endif
