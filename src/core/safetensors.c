/* safetensors reader. The data section must be covered by the tensors exactly: no hole, no overlap, nothing behind it, so
 * that one file cannot mean two things to two readers. */
#include "core/safetensors.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_HEADER ((uint64_t)100 << 20)

struct oq_safetensors {
	char *path;
	int fd;
	oq_arena arena;
	oq_tensor_info *tensors; /* by offset */
	const oq_tensor_info **by_name;
	int count;
};

static oq_status bad(const oq_safetensors *file, const char *tensor, oq_error *err, const char *what)
{
	return oq_fail(err, OQ_E_MODEL, "E_SAFETENSORS", "%s: tensor %s: %s", file->path, tensor, what);
}

static oq_status parse_shape(const oq_safetensors *file, const oq_json *shape, oq_tensor_info *info, oq_error *err)
{
	info->rank = oq_json_count(shape);
	if (!oq_json_is_array(shape) || info->rank > OQ_MAX_RANK)
		return bad(file, info->name, err, "its shape is not an array of at most 8 extents");
	int axis = 0;
	for (const oq_json *extent = oq_json_first(shape); extent; extent = oq_json_next(extent), axis++) {
		double value = oq_json_is_number(extent) ? oq_json_number(extent) : -1;
		if (!(value >= 0 && value <= 9007199254740992.0) || value != (double)(int64_t)value)
			return bad(file, info->name, err, "an extent of its shape is not a whole number");
		info->shape[axis] = (int64_t)value;
	}
	if (!oq_size_product(info->shape, info->rank, oq_dtype_size(info->dtype), &info->bytes))
		return bad(file, info->name, err, "its size overflows");
	info->count = info->bytes / oq_dtype_size(info->dtype);
	return OQ_OK;
}

static oq_status parse_tensor(oq_safetensors *file, const oq_json *json, oq_tensor_info *info, uint64_t data_offset, oq_error *err)
{
	static const char *const known[] = {"dtype", "shape", "data_offsets", NULL};
	const char *dtype;
	int64_t span[2];
	info->name = oq_arena_strdup(&file->arena, oq_json_key(json));
	if (!info->name)
		return oq_fail_memory(err, file->path, strlen(oq_json_key(json)));
	OQ_TRY(oq_json_only_keys(json, known, info->name, err));
	OQ_TRY(oq_json_need_string(json, "dtype", info->name, &dtype, err));
	if (!oq_dtype_parse(dtype, &info->dtype))
		return bad(file, info->name, err, "its dtype is unknown");
	OQ_TRY(parse_shape(file, oq_json_get(json, "shape"), info, err));
	OQ_TRY(oq_json_need_ints(json, "data_offsets", info->name, span, 2, err));
	if (span[0] < 0 || span[1] < span[0] || (uint64_t)(span[1] - span[0]) != info->bytes)
		return bad(file, info->name, err, "its byte range does not hold its shape");
	info->offset = data_offset + (uint64_t)span[0];
	return OQ_OK;
}

static int compare_offsets(const void *a, const void *b)
{
	const oq_tensor_info *x = a, *y = b;
	if (x->offset != y->offset)
		return x->offset < y->offset ? -1 : 1;
	return x->bytes < y->bytes ? -1 : x->bytes > y->bytes; /* empty tensors first */
}

static int compare_names(const void *a, const void *b)
{
	return strcmp((*(const oq_tensor_info *const *)a)->name, (*(const oq_tensor_info *const *)b)->name);
}

static oq_status check_cover(oq_safetensors *file, uint64_t data_offset, uint64_t file_size, oq_error *err)
{
	uint64_t at = data_offset;
	qsort(file->tensors, (size_t)file->count, sizeof *file->tensors, compare_offsets);
	for (int i = 0; i < file->count; at += file->tensors[i++].bytes)
		if (file->tensors[i].offset != at)
			return bad(file, file->tensors[i].name, err, file->tensors[i].offset < at ? "it overlaps another tensor" : "there is a hole before it");
	if (at != file_size)
		return oq_fail(err, OQ_E_MODEL, at > file_size ? "E_MODEL_TRUNCATED" : "E_SAFETENSORS",
			"%s: has %llu bytes, its tensors end at %llu", file->path, (unsigned long long)file_size, (unsigned long long)at);
	for (int i = 0; i < file->count; i++)
		file->by_name[i] = &file->tensors[i];
	qsort(file->by_name, (size_t)file->count, sizeof *file->by_name, compare_names);
	return OQ_OK;
}

static oq_status check_metadata(const oq_safetensors *file, const oq_json *metadata, oq_error *err)
{
	for (const oq_json *entry = oq_json_first(metadata); entry; entry = oq_json_next(entry))
		if (!oq_json_is_object(metadata) || !oq_json_is_string(entry))
			return bad(file, "__metadata__", err, "is not a map of strings");
	return OQ_OK;
}

static oq_status parse_header(oq_safetensors *file, const oq_json *header, uint64_t data_offset, uint64_t file_size, oq_error *err)
{
	if (!oq_json_is_object(header))
		return oq_fail(err, OQ_E_MODEL, "E_SAFETENSORS", "%s: its header is not an object", file->path);
	size_t count = (size_t)oq_json_count(header);
	file->tensors = oq_calloc(count, sizeof *file->tensors);
	file->by_name = oq_calloc(count, sizeof *file->by_name);
	if (!file->tensors || !file->by_name)
		return oq_fail_memory(err, file->path, count * sizeof *file->tensors);
	for (const oq_json *entry = oq_json_first(header); entry; entry = oq_json_next(entry)) {
		if (!strcmp(oq_json_key(entry), "__metadata__"))
			OQ_TRY(check_metadata(file, entry, err));
		else
			OQ_TRY(parse_tensor(file, entry, &file->tensors[file->count++], data_offset, err));
	}
	return check_cover(file, data_offset, file_size, err);
}

static oq_status open_file(oq_safetensors *file, oq_error *err)
{
	uint64_t size;
	unsigned char prefix[8];
	file->fd = oq_file_open(file->path, OQ_E_MODEL, &size, err);
	if (file->fd < 0)
		return OQ_E_MODEL;
	if (size < 8)
		return oq_fail(err, OQ_E_MODEL, "E_MODEL_TRUNCATED", "%s: has %llu bytes, expected a safetensors file", file->path, (unsigned long long)size);
	OQ_TRY(oq_file_read_at(file->fd, file->path, prefix, sizeof prefix, 0, OQ_E_MODEL, err));
	uint64_t length = 0;
	for (int i = 7; i >= 0; i--)
		length = length << 8 | prefix[i];
	if (length > MAX_HEADER || length > size - 8)
		return oq_fail(err, OQ_E_MODEL, "E_MODEL_TRUNCATED", "%s: declares a header of %llu bytes, the file has %llu", file->path,
			(unsigned long long)length, (unsigned long long)size);
	char *text = oq_alloc((size_t)length + 1);
	if (!text)
		return oq_fail_memory(err, file->path, (size_t)length);
	oq_json *header = NULL;
	oq_status status = oq_file_read_at(file->fd, file->path, text, (size_t)length, 8, OQ_E_MODEL, err);
	if (status == OQ_OK)
		status = oq_json_parse(text, (size_t)length, file->path, &header, err);
	oq_free(text);
	if (status == OQ_OK)
		status = parse_header(file, header, 8 + length, size, err);
	oq_json_free(header);
	return status;
}

oq_status oq_safetensors_open(const char *path, oq_safetensors **out, oq_error *err)
{
	oq_safetensors *file = oq_calloc(1, sizeof *file);
	if (!file)
		return oq_fail_memory(err, path, sizeof *file);
	file->fd = -1;
	file->path = oq_strdup(path);
	oq_status status = file->path ? open_file(file, err) : oq_fail_memory(err, path, strlen(path));
	if (status == OQ_OK)
		*out = file;
	else
		oq_safetensors_close(file);
	return status;
}

void oq_safetensors_close(oq_safetensors *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		close(file->fd);
	oq_free(file->path);
	oq_free(file->tensors);
	oq_free(file->by_name);
	oq_arena_free(&file->arena);
	oq_free(file);
}

int oq_safetensors_count(const oq_safetensors *file)
{
	return file->count;
}

const oq_tensor_info *oq_safetensors_at(const oq_safetensors *file, int index)
{
	return &file->tensors[index];
}

const oq_tensor_info *oq_safetensors_find(const oq_safetensors *file, const char *name)
{
	const oq_tensor_info key = {.name = name}, *pointer = &key;
	const oq_tensor_info *const *found = bsearch(&pointer, file->by_name, (size_t)file->count, sizeof *file->by_name, compare_names);
	return found ? *found : NULL;
}

oq_status oq_safetensors_read(const oq_safetensors *file, const oq_tensor_info *info, void *buffer, oq_error *err)
{
	return oq_file_read_at(file->fd, file->path, buffer, info->bytes, info->offset, OQ_E_MODEL, err);
}
