/* safetensors writer: a header from all declarations, then each tensor's bytes in the same order. Equal input gives equal bytes. */
#include "core/file.h"
#include "core/mem.h"
#include "core/safetensors.h"

#include <stdlib.h>
#include <string.h>

struct oq_safetensors_writer {
	char *path;
	oq_outfile *file;
	oq_json *header;
	uint64_t declared, written; /* bytes of tensor data */
	bool header_written;
};

oq_status oq_safetensors_writer_open(const char *path, oq_safetensors_writer **out, oq_error *err)
{
	oq_safetensors_writer *writer = oq_calloc(1, sizeof *writer);
	if (!writer)
		return oq_fail_memory(err, path, sizeof *writer);
	writer->path = oq_strdup(path);
	writer->header = oq_json_object();
	oq_status status = writer->path && writer->header ? oq_outfile_open(path, &writer->file, err) : oq_fail_memory(err, path, strlen(path));
	if (status == OQ_OK)
		*out = writer;
	else
		oq_safetensors_writer_abort(writer);
	return status;
}

oq_status oq_safetensors_writer_declare(oq_safetensors_writer *writer, const char *name, oq_dtype dtype, int rank, const int64_t *shape, oq_error *err)
{
	size_t bytes;
	if (writer->header_written || oq_json_get(writer->header, name))
		return oq_fail(err, OQ_E_INTERNAL, "E_SAFETENSORS", "%s: tensor %s: declared twice or too late", writer->path, name);
	if (rank > OQ_MAX_RANK || !oq_size_product(shape, rank, oq_dtype_size(dtype), &bytes))
		return oq_fail(err, OQ_E_MODEL, "E_SAFETENSORS", "%s: tensor %s: its size overflows", writer->path, name);
	const int64_t span[2] = {(int64_t)writer->declared, (int64_t)(writer->declared + bytes)};
	oq_json *entry = oq_json_add_object(writer->header, name);
	bool good = entry && oq_json_add_string(entry, "dtype", oq_dtype_name(dtype)) && oq_json_add_ints(entry, "shape", shape, rank)
		&& oq_json_add_ints(entry, "data_offsets", span, 2);
	writer->declared += bytes;
	return good ? OQ_OK : oq_fail_memory(err, writer->path, 256);
}

static oq_status write_header(oq_safetensors_writer *writer, oq_error *err)
{
	char *text = NULL;
	OQ_TRY(oq_json_print(writer->header, false, &text, err));
	size_t length = strlen(text), padded = (length + 7) / 8 * 8;
	unsigned char prefix[8];
	for (int i = 0; i < 8; i++)
		prefix[i] = (unsigned char)((uint64_t)padded >> 8 * i);
	oq_status status = oq_outfile_write(writer->file, prefix, sizeof prefix, err);
	if (status == OQ_OK)
		status = oq_outfile_write(writer->file, text, length, err);
	if (status == OQ_OK)
		status = oq_outfile_write(writer->file, "       ", padded - length, err);
	oq_free(text);
	writer->header_written = true;
	return status;
}

oq_status oq_safetensors_writer_data(oq_safetensors_writer *writer, const void *data, size_t bytes, oq_error *err)
{
	if (!writer->header_written)
		OQ_TRY(write_header(writer, err));
	writer->written += bytes;
	return oq_outfile_write(writer->file, data, bytes, err);
}

oq_status oq_safetensors_writer_commit(oq_safetensors_writer *writer, oq_error *err)
{
	oq_status status = writer->header_written ? OQ_OK : write_header(writer, err);
	if (status == OQ_OK && writer->written != writer->declared)
		status = oq_fail(err, OQ_E_INTERNAL, "E_SAFETENSORS", "%s: %llu bytes were declared, %llu written", writer->path,
			(unsigned long long)writer->declared, (unsigned long long)writer->written);
	if (status == OQ_OK) {
		status = oq_outfile_commit(writer->file, err);
		writer->file = NULL;
	}
	oq_safetensors_writer_abort(writer);
	return status;
}

void oq_safetensors_writer_abort(oq_safetensors_writer *writer)
{
	if (!writer)
		return;
	oq_outfile_abort(writer->file);
	oq_json_free(writer->header);
	oq_free(writer->path);
	oq_free(writer);
}
