/* Conversion: the graph of the recipe's family says which tensors are needed; a source (checkpoint or synthetic rule) gives
 * them one at a time; each is hashed and written. The package is built beside its place and put there by one rename. */
#include "quantize/convert.h"

#include "arch/arch.h"
#include "core/package.h"
#include "core/sha256.h"
#include "folder.h"
#include "recipe.h"
#include "source.h"

#include <stdio.h>
#include <string.h>

typedef struct conversion {
	const oq_convert_request *request;
	oq_recipe *recipe;
	oq_json *graph, *hashes;
	oq_source *source;
	oq_folder folder;
	uint64_t weight_bytes;
	oq_error *err;
} conversion;

static oq_status no_memory(const conversion *c)
{
	return oq_fail_memory(c->err, c->request->output, 0);
}

/* Float tensors keep their type; doubles become float32, which is what the networks were trained in. */
static oq_dtype stored_type(const oq_tensor_info *info)
{
	return info->dtype == OQ_F64 ? OQ_F32 : info->dtype;
}

static oq_status write_tensor(const conversion *c, oq_safetensors_writer *writer, const oq_tensor_info *info, int index, oq_error *err)
{
	size_t bytes = info->count * oq_dtype_size(stored_type(info));
	unsigned char *data = oq_alloc(info->bytes > bytes ? info->bytes : bytes);
	if (!data)
		return oq_fail_memory(err, info->name, info->bytes);
	oq_status status = oq_source_read(c->source, index, data, err);
	if (status == OQ_OK && info->dtype == OQ_F64) {
		float *narrow = oq_alloc(bytes);
		if (narrow) {
			oq_dtype_to_f32(OQ_F64, data, info->count, narrow);
			memcpy(data, narrow, bytes);
			oq_free(narrow);
		} else {
			status = oq_fail_memory(err, info->name, bytes);
		}
	}
	if (status == OQ_OK) {
		char hex[65];
		oq_sha256 hash;
		oq_sha256_init(&hash);
		oq_sha256_update(&hash, data, bytes);
		oq_sha256_hex(&hash, hex);
		status = oq_json_add_string(c->hashes, info->name, hex) ? oq_safetensors_writer_data(writer, data, bytes, err) : no_memory(c);
	}
	oq_free(data);
	return status;
}

static oq_status write_weights(conversion *c)
{
	oq_safetensors_writer *writer = NULL;
	OQ_TRY(oq_safetensors_writer_open(c->folder.weights_path, &writer, c->err));
	oq_status status = OQ_OK;
	int count = oq_source_count(c->source);
	for (int i = 0; i < count && status == OQ_OK; i++) {
		const oq_tensor_info *info = oq_source_at(c->source, i);
		c->weight_bytes += info->count * oq_dtype_size(stored_type(info));
		status = oq_safetensors_writer_declare(writer, info->name, stored_type(info), info->rank, info->shape, c->err);
	}
	for (int i = 0; i < count && status == OQ_OK; i++)
		status = write_tensor(c, writer, oq_source_at(c->source, i), i, c->err);
	if (status == OQ_OK)
		return oq_safetensors_writer_commit(writer, c->err);
	oq_safetensors_writer_abort(writer);
	return status;
}

/* Fields of the recipe that a package carries along. */
static bool add_model(const conversion *c, oq_json *root)
{
	static const char *const fields[] = {"name", "title", "family", "paper", "code", "code_license", "weights_license", "notes"};
	oq_json *model = oq_json_add_object(root, "model");
	bool good = model != NULL;
	for (size_t i = 0; i < sizeof fields / sizeof *fields && good; i++) {
		const oq_json *value = oq_json_get(oq_recipe_json(c->recipe), fields[i]);
		if (value)
			good = oq_json_add(model, fields[i], oq_json_copy(value));
	}
	return good && oq_json_add(root, "preprocessing", oq_json_copy(oq_json_get(oq_recipe_json(c->recipe), "preprocessing")))
		&& oq_json_add(root, "embedding", oq_json_copy(oq_json_get(oq_recipe_json(c->recipe), "embedding")));
}

static bool add_weights(conversion *c, oq_json *root)
{
	oq_json *weights = oq_json_add_object(root, "weights");
	bool good = oq_json_add_string(weights, "file", "weights.safetensors") && oq_json_add_int(weights, "bytes", (int64_t)c->weight_bytes);
	good = oq_json_add(weights, "sha256", c->hashes) && good;
	c->hashes = NULL; /* owned by the document now, or freed */
	return good;
}

static oq_status write_model(conversion *c)
{
	char version[32];
	snprintf(version, sizeof version, "%d.%d.%d", OQ_VERSION_MAJOR, OQ_VERSION_MINOR, OQ_VERSION_PATCH);
	oq_json *root = oq_json_object();
	oq_json *provenance = NULL;
	bool good = oq_json_add_string(root, "format", OQ_PACKAGE_FORMAT) && oq_json_add_int(root, "format_version", OQ_PACKAGE_VERSION)
		&& add_model(c, root) && oq_json_add(root, "graph", oq_json_copy(c->graph)) && add_weights(c, root);
	if (good)
		provenance = oq_json_add_object(root, "provenance");
	good = good && oq_json_add_string(provenance, "tool", "oncoquant") && oq_json_add_string(provenance, "tool_version", version)
		&& oq_json_add_string(provenance, "recipe", oq_recipe_name(c->recipe)) && oq_json_add_string(provenance, "recipe_sha256", oq_recipe_sha256(c->recipe))
		&& oq_source_describe(c->source, provenance);
	oq_status status = good ? oq_folder_write_model(&c->folder, root, c->err) : no_memory(c);
	oq_json_free(root);
	return status;
}

static oq_status convert(conversion *c)
{
	OQ_TRY(oq_folder_check(c->request->output, c->err));
	OQ_TRY(oq_recipe_load(c->request->recipe, &c->recipe, c->err));
	OQ_TRY(oq_arch_build(c->recipe->family, c->recipe->parameters, c->recipe->where, &c->graph, c->err));
	const oq_json *tensors = oq_json_get(c->graph, "tensors");
	OQ_TRY(c->request->checkpoint ? oq_source_open_checkpoint(c->recipe, tensors, c->request->checkpoint, &c->source, c->err)
		: oq_source_open_synthetic(c->recipe, tensors, c->request->seed, &c->source, c->err));
	OQ_TRY(oq_folder_open(c->request->output, &c->folder, c->err));
	c->hashes = oq_json_object();
	if (!c->hashes)
		return no_memory(c);
	OQ_TRY(write_weights(c));
	OQ_TRY(write_model(c));
	return oq_folder_commit(&c->folder, c->err);
}

oq_status oq_convert_package(const oq_convert_request *request, oq_error *err)
{
	conversion c = {.request = request, .err = err};
	oq_status status = convert(&c);
	oq_folder_close(&c.folder);
	oq_json_free(c.hashes);
	oq_json_free(c.graph);
	oq_source_close(c.source);
	oq_recipe_free(c.recipe);
	return status;
}
