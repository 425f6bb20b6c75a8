/* Opening packages. model.json names a hash for every tensor; a tensor is hashed when it is read, so one flipped bit is
 * found, and named, before it is used. */
#include "core/package.h"

#include "core/file.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

struct oq_package {
	char *path;
	oq_json *json;
	char sha256[65];
	oq_safetensors *weights;
	const oq_json *hashes; /* in json */
};

static oq_status join(const char *folder, const char *name, char **out, oq_error *err)
{
	size_t room = strlen(folder) + strlen(name) + 2;
	*out = oq_alloc(room);
	if (!*out)
		return oq_fail_memory(err, folder, room);
	snprintf(*out, room, "%s/%s", folder, name);
	return OQ_OK;
}

static oq_status read_json(oq_package *package, oq_error *err)
{
	char *path = NULL, *text = NULL;
	size_t length;
	OQ_TRY(join(package->path, "model.json", &path, err));
	oq_status status = oq_file_read_all(path, OQ_JSON_MAX_BYTES, OQ_E_MODEL, &text, &length, err);
	if (status == OQ_OK)
		status = oq_json_parse(text, length, path, &package->json, err);
	if (status == OQ_OK) {
		oq_sha256 hash;
		oq_sha256_init(&hash);
		oq_sha256_update(&hash, text, length);
		oq_sha256_hex(&hash, package->sha256);
	}
	oq_free(text);
	oq_free(path);
	return status;
}

static oq_status check_version(const oq_package *package, oq_error *err)
{
	const char *format;
	int64_t version;
	OQ_TRY(oq_json_need_string(package->json, "format", package->path, &format, err));
	OQ_TRY(oq_json_need_int(package->json, "format_version", package->path, &version, err));
	if (strcmp(format, OQ_PACKAGE_FORMAT) || version != OQ_PACKAGE_VERSION)
		return oq_fail(err, OQ_E_MODEL, "E_VERSION", "%s: is \"%s\" version %lld, this program reads \"%s\" version %d", package->path, format,
			(long long)version, OQ_PACKAGE_FORMAT, OQ_PACKAGE_VERSION);
	return OQ_OK;
}

/* Every tensor has a hash and every hash a tensor. */
static oq_status check_hashes(const oq_package *package, oq_error *err)
{
	for (const oq_json *hash = oq_json_first(package->hashes); hash; hash = oq_json_next(hash)) {
		const char *hex = oq_json_string(hash);
		if (!hex || strlen(hex) != 64 || !oq_safetensors_find(package->weights, oq_json_key(hash)))
			return oq_fail(err, OQ_E_MODEL, "E_TENSOR", "%s: weights.sha256: %s has no tensor or no SHA-256", package->path, oq_json_key(hash));
	}
	for (int i = 0; i < oq_safetensors_count(package->weights); i++)
		if (!oq_json_get(package->hashes, oq_safetensors_at(package->weights, i)->name))
			return oq_fail(err, OQ_E_MODEL, "E_TENSOR", "%s: tensor %s is in the weights, but not in model.json", package->path,
				oq_safetensors_at(package->weights, i)->name);
	return OQ_OK;
}

static oq_status open_weights(oq_package *package, oq_error *err)
{
	const oq_json *weights;
	const char *name;
	char *path = NULL;
	OQ_TRY(oq_json_need_object(package->json, "weights", package->path, &weights, err));
	OQ_TRY(oq_json_need_string(weights, "file", "weights", &name, err));
	OQ_TRY(oq_json_need_object(weights, "sha256", "weights", &package->hashes, err));
	if (!name[0] || name[0] == '.' || strchr(name, '/'))
		return oq_fail(err, OQ_E_MODEL, "E_FIELD", "%s: weights.file is \"%s\", expected a plain file name", package->path, name);
	OQ_TRY(join(package->path, name, &path, err));
	oq_status status = oq_safetensors_open(path, &package->weights, err);
	oq_free(path);
	return status == OQ_OK ? check_hashes(package, err) : status;
}

oq_status oq_package_open(const char *directory, oq_package **out, oq_error *err)
{
	oq_package *package = oq_calloc(1, sizeof *package);
	if (!package)
		return oq_fail_memory(err, directory, sizeof *package);
	package->path = oq_strdup(directory);
	oq_status status = package->path ? read_json(package, err) : oq_fail_memory(err, directory, strlen(directory));
	if (status == OQ_OK)
		status = check_version(package, err);
	if (status == OQ_OK)
		status = open_weights(package, err);
	if (status == OQ_OK)
		*out = package;
	else
		oq_package_close(package);
	return status;
}

void oq_package_close(oq_package *package)
{
	if (!package)
		return;
	oq_safetensors_close(package->weights);
	oq_json_free(package->json);
	oq_free(package->path);
	oq_free(package);
}

const char *oq_package_path(const oq_package *package)
{
	return package->path;
}

const oq_json *oq_package_json(const oq_package *package)
{
	return package->json;
}

const char *oq_package_sha256(const oq_package *package)
{
	return package->sha256;
}

const oq_safetensors *oq_package_weights(const oq_package *package)
{
	return package->weights;
}

static oq_status find(const oq_package *package, const char *tensor, const oq_tensor_info **info, oq_error *err)
{
	*info = oq_safetensors_find(package->weights, tensor);
	return *info ? OQ_OK : oq_fail(err, OQ_E_MODEL, "E_TENSOR", "%s: tensor %s is not in the weights", package->path, tensor);
}

static oq_status check_hash(const oq_package *package, const oq_tensor_info *info, const void *bytes, oq_error *err)
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, bytes, info->bytes);
	oq_sha256_hex(&hash, hex);
	if (strcmp(hex, oq_json_string(oq_json_get(package->hashes, info->name))))
		return oq_fail(err, OQ_E_MODEL, "E_CHECKSUM", "%s: tensor %s: its SHA-256 is not the one in model.json; the file is damaged or was replaced",
			package->path, info->name);
	return OQ_OK;
}

oq_status oq_package_read(const oq_package *package, const char *tensor, void *dst, size_t bytes, oq_error *err)
{
	const oq_tensor_info *info;
	OQ_TRY(find(package, tensor, &info, err));
	if (info->bytes != bytes)
		return oq_fail(err, OQ_E_INTERNAL, "E_TENSOR", "%s: tensor %s has %zu bytes, %zu were asked for", package->path, tensor, info->bytes, bytes);
	OQ_TRY(oq_safetensors_read(package->weights, info, dst, err));
	return check_hash(package, info, dst, err);
}

static oq_status check_finite(const oq_package *package, const char *tensor, const float *values, size_t count, oq_error *err)
{
	for (size_t i = 0; i < count; i++)
		if (!isfinite(values[i]))
			return oq_fail(err, OQ_E_MODEL, "E_NONFINITE", "%s: tensor %s[%zu] is %g, expected a finite number", package->path, tensor, i,
				(double)values[i]);
	return OQ_OK;
}

oq_status oq_package_read_f32(const oq_package *package, const char *tensor, float *dst, size_t count, oq_error *err)
{
	const oq_tensor_info *info;
	OQ_TRY(find(package, tensor, &info, err));
	if (info->count != count || (info->dtype != OQ_F32 && info->dtype != OQ_BF16 && info->dtype != OQ_F16))
		return oq_fail(err, OQ_E_MODEL, "E_TENSOR", "%s: tensor %s is %s with %zu elements, expected %zu floats", package->path, tensor,
			oq_dtype_name(info->dtype), info->count, count);
	if (info->dtype == OQ_F32) {
		OQ_TRY(oq_package_read(package, tensor, dst, info->bytes, err));
		return check_finite(package, tensor, dst, count, err);
	}
	void *raw = oq_alloc(info->bytes);
	if (!raw)
		return oq_fail_memory(err, tensor, info->bytes);
	oq_status status = oq_package_read(package, tensor, raw, info->bytes, err);
	if (status == OQ_OK)
		oq_dtype_to_f32(info->dtype, raw, count, dst);
	oq_free(raw);
	return status == OQ_OK ? check_finite(package, tensor, dst, count, err) : status;
}
