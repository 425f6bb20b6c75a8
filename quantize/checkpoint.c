#include "checkpoint.h"

#include "core/file.h"
#include "core/mem.h"
#include "pickle.h"
#include "zip.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_PICKLE ((uint64_t)256 << 20)

struct oq_checkpoint {
	char *path, *root;         /* root: folder of the archive, "archive/" */
	oq_safetensors *flat;      /* either this */
	oq_zip *zip;               /* or this */
	oq_arena arena;
	oq_tensor_info *tensors;
	const oq_pickle_value **values; /* beside `tensors`, of the archive */
	const char **skipped;
	int count, skipped_count;
};

static oq_status bad(const oq_checkpoint *c, const char *what, oq_error *err)
{
	return oq_fail(err, OQ_E_MODEL, "E_CHECKPOINT", "%s: %s", c->path, what);
}

/* PyTorch archives hold NAME/data.pkl, NAME/data/KEY, NAME/version and perhaps NAME/byteorder. */
static oq_status find_root(oq_checkpoint *c, oq_error *err)
{
	static const char tail[] = "/data.pkl";
	for (int i = 0; i < oq_zip_count(c->zip); i++) {
		const char *name = oq_zip_at(c->zip, i)->name;
		size_t length = strlen(name);
		if (length >= sizeof tail - 1 && !strcmp(name + length - (sizeof tail - 1), tail) && strchr(name, '/') == name + length - (sizeof tail - 1)) {
			c->root = oq_arena_strdup(&c->arena, name);
			if (!c->root)
				return oq_fail_memory(err, c->path, length);
			c->root[length - strlen("data.pkl")] = 0;
			return OQ_OK;
		}
	}
	return bad(c, "is a zip archive without data.pkl, expected one written by torch.save", err);
}

static const oq_zip_entry *find_in_root(const oq_checkpoint *c, const char *prefix, const char *name)
{
	char full[512];
	int length = snprintf(full, sizeof full, "%s%s%s", c->root, prefix, name);
	return length > 0 && (size_t)length < sizeof full ? oq_zip_find(c->zip, full) : NULL;
}

static oq_status check_byte_order(const oq_checkpoint *c, oq_error *err)
{
	const oq_zip_entry *entry = find_in_root(c, "", "byteorder");
	char order[16] = {0};
	if (!entry)
		return OQ_OK;
	if (entry->size >= sizeof order)
		return bad(c, "its byteorder record is damaged", err);
	OQ_TRY(oq_zip_read(c->zip, entry, order, err));
	return strcmp(order, "little") ? bad(c, "was written on a big-endian machine, expected little-endian", err) : OQ_OK;
}

static oq_status read_pickle(oq_checkpoint *c, const oq_pickle_value **root, oq_error *err)
{
	const oq_zip_entry *entry = find_in_root(c, "", "data.pkl");
	if (entry->size > MAX_PICKLE)
		return bad(c, "its data.pkl is larger than 256 MiB", err);
	void *bytes = oq_alloc((size_t)entry->size);
	if (!bytes)
		return oq_fail_memory(err, c->path, (size_t)entry->size);
	oq_status status = oq_zip_read(c->zip, entry, bytes, err);
	if (status == OQ_OK)
		status = oq_pickle_parse(bytes, (size_t)entry->size, c->path, &c->arena, root, err);
	oq_free(bytes);
	return status;
}

static oq_status descend(const oq_checkpoint *c, const char *nesting, bool optional, const oq_pickle_value **root, oq_error *err)
{
	const oq_pickle_value *inner = nesting ? oq_pickle_get(*root, nesting) : NULL;
	if (nesting && !inner && !optional)
		return oq_fail(err, OQ_E_MODEL, "E_CHECKPOINT", "%s: has no entry \"%s\", where this model keeps its weights", c->path, nesting);
	*root = inner ? inner : *root;
	return (*root)->kind == OQ_PICKLE_DICT ? OQ_OK : bad(c, "does not hold a dictionary of tensors", err);
}

static oq_status describe(const oq_checkpoint *c, const char *name, const oq_pickle_value *value, oq_tensor_info *info, oq_error *err)
{
	*info = (oq_tensor_info){.name = name, .dtype = value->storage->dtype, .rank = value->rank};
	memcpy(info->shape, value->shape, (size_t)value->rank * sizeof *value->shape);
	if (!oq_size_product(info->shape, info->rank, 1, &info->count) || !oq_size_mul(info->count, oq_dtype_size(info->dtype), &info->bytes))
		return oq_fail(err, OQ_E_MODEL, "E_CHECKPOINT", "%s: tensor %s: its size overflows", c->path, name);
	const oq_zip_entry *data = find_in_root(c, "data/", value->storage->text);
	if (!data || data->size / oq_dtype_size(info->dtype) < (uint64_t)value->storage->integer)
		return oq_fail(err, OQ_E_MODEL, "E_CHECKPOINT", "%s: tensor %s: its storage %s is missing or too short", c->path, name, value->storage->text);
	return OQ_OK;
}

static oq_status list_tensors(oq_checkpoint *c, const oq_pickle_value *dict, oq_error *err)
{
	size_t entries = dict->count / 2;
	c->tensors = oq_calloc(entries, sizeof *c->tensors);
	c->values = oq_calloc(entries, sizeof *c->values);
	c->skipped = oq_calloc(entries, sizeof *c->skipped);
	if (!c->tensors || !c->values || !c->skipped)
		return oq_fail_memory(err, c->path, entries * sizeof *c->tensors);
	for (size_t i = 0; i < dict->count; i += 2) {
		const oq_pickle_value *key = dict->items[i], *value = dict->items[i + 1];
		if (key->kind == OQ_PICKLE_STRING && value->kind == OQ_PICKLE_TENSOR) {
			OQ_TRY(describe(c, key->text, value, &c->tensors[c->count], err));
			c->values[c->count++] = value;
		} else {
			c->skipped[c->skipped_count++] = key->kind == OQ_PICKLE_STRING ? key->text : "(no name)";
		}
	}
	return c->count ? OQ_OK : bad(c, "holds no tensors where this model keeps its weights", err);
}

static oq_status open_archive(oq_checkpoint *c, const char *nesting, bool optional, oq_error *err)
{
	const oq_pickle_value *root = NULL;
	OQ_TRY(oq_zip_open(c->path, &c->zip, err));
	OQ_TRY(find_root(c, err));
	OQ_TRY(check_byte_order(c, err));
	OQ_TRY(read_pickle(c, &root, err));
	OQ_TRY(descend(c, nesting, optional, &root, err));
	return list_tensors(c, root, err);
}

static oq_status open_flat(oq_checkpoint *c, oq_error *err)
{
	OQ_TRY(oq_safetensors_open(c->path, &c->flat, err));
	c->count = oq_safetensors_count(c->flat);
	c->tensors = oq_calloc((size_t)c->count, sizeof *c->tensors);
	if (!c->tensors)
		return oq_fail_memory(err, c->path, (size_t)c->count * sizeof *c->tensors);
	for (int i = 0; i < c->count; i++)
		c->tensors[i] = *oq_safetensors_at(c->flat, i);
	return OQ_OK;
}

/* Content decides: zip archives begin with "PK", old PyTorch files with a pickled magic number, tar files name "ustar". */
static oq_status open_by_content(oq_checkpoint *c, const char *nesting, bool optional, oq_error *err)
{
	uint64_t size;
	unsigned char head[16] = {0};
	int fd = oq_file_open(c->path, OQ_E_MODEL, &size, err);
	if (fd < 0)
		return OQ_E_MODEL;
	oq_status status = oq_file_read_at(fd, c->path, head, size < sizeof head ? (size_t)size : sizeof head, 0, OQ_E_MODEL, err);
	close(fd);
	if (status != OQ_OK)
		return status;
	if (!memcmp(head, "PK", 2))
		return open_archive(c, nesting, optional, err);
	if (size >= 16 && head[8] == '{')
		return open_flat(c, err);
	if (!memcmp(head, "\x80\x02\x8a\x0al\xfc\x9c\x46", 8))
		return bad(c, "is in PyTorch's format of before 2020; load it once in PyTorch 1.6 or newer and torch.save its state dictionary again", err);
	return oq_fail(err, OQ_E_MODEL, size < 16 ? "E_MODEL_TRUNCATED" : "E_CHECKPOINT", "%s: is neither a PyTorch archive nor safetensors (%llu bytes)", c->path,
		(unsigned long long)size);
}

oq_status oq_checkpoint_open(const char *path, const char *nesting, bool optional, oq_checkpoint **out, oq_error *err)
{
	oq_checkpoint *c = oq_calloc(1, sizeof *c);
	if (!c)
		return oq_fail_memory(err, path, sizeof *c);
	c->path = oq_strdup(path);
	oq_status status = c->path ? open_by_content(c, nesting, optional, err) : oq_fail_memory(err, path, strlen(path));
	if (status == OQ_OK)
		*out = c;
	else
		oq_checkpoint_close(c);
	return status;
}

void oq_checkpoint_close(oq_checkpoint *c)
{
	if (!c)
		return;
	oq_safetensors_close(c->flat);
	oq_zip_close(c->zip);
	oq_free(c->tensors);
	oq_free(c->values);
	oq_free(c->skipped);
	oq_free(c->path);
	oq_arena_free(&c->arena);
	oq_free(c);
}

int oq_checkpoint_count(const oq_checkpoint *c)
{
	return c->count;
}

const oq_tensor_info *oq_checkpoint_at(const oq_checkpoint *c, int index)
{
	return &c->tensors[index];
}

const char *oq_checkpoint_skipped(const oq_checkpoint *c, int index)
{
	return index < c->skipped_count ? c->skipped[index] : NULL;
}

static bool row_major(const oq_pickle_value *value)
{
	int64_t expected = 1;
	for (int i = value->rank - 1; i >= 0; i--) {
		if (value->shape[i] != 1 && value->stride[i] != expected)
			return false;
		expected *= value->shape[i];
	}
	return true;
}

/* Strided elements of `storage` into row-major order. Bounds were checked when the tensor was described. */
static void gather(const oq_pickle_value *value, size_t count, size_t item, const unsigned char *storage, unsigned char *out)
{
	int64_t index[OQ_PICKLE_MAX_RANK] = {0};
	for (size_t n = 0; n < count; n++, out += item) {
		int64_t at = value->integer;
		for (int i = 0; i < value->rank; i++)
			at += index[i] * value->stride[i];
		memcpy(out, storage + (size_t)at * item, item);
		for (int i = value->rank - 1; i >= 0 && ++index[i] == value->shape[i]; i--)
			index[i] = 0;
	}
}

oq_status oq_checkpoint_read(const oq_checkpoint *c, int index, void *buffer, oq_error *err)
{
	const oq_tensor_info *info = &c->tensors[index];
	if (c->flat)
		return oq_safetensors_read(c->flat, info, buffer, err);
	if (!info->count)
		return OQ_OK;
	const oq_pickle_value *value = c->values[index];
	const oq_zip_entry *data = find_in_root(c, "data/", value->storage->text);
	if (row_major(value) && value->integer == 0 && data->size == info->bytes)
		return oq_zip_read(c->zip, data, buffer, err);
	unsigned char *storage = oq_alloc((size_t)data->size);
	if (!storage)
		return oq_fail_memory(err, info->name, (size_t)data->size);
	oq_status status = oq_zip_read(c->zip, data, storage, err);
	if (status == OQ_OK)
		gather(value, info->count, oq_dtype_size(info->dtype), storage, buffer);
	oq_free(storage);
	return status;
}
