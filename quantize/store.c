/* Writing a quantised package: the graph as it was, 8-bit codes with "#scale" and "#bias" beside them (or folded weights in 16 bits
 * with "#bias"), all other tensors as they were, and the record of how it was made. */
#include "plan.h"

#include "core/mem.h"
#include "core/sha256.h"
#include "folder.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct store {
	const oq_plan *plan;
	oq_folder folder;
	oq_safetensors_writer *writer;
	oq_json *hashes;
	uint64_t bytes;
	oq_error *err;
} store;

static const oq_plan_layer *layer_of(const oq_plan *plan, const char *tensor)
{
	for (int i = 0; i < plan->layer_count; i++)
		if (!strcmp(plan->layers[i].info.weight, tensor))
			return oq_plan_changes(&plan->layers[i]) ? &plan->layers[i] : NULL;
	return NULL;
}

static oq_dtype narrow_type(const oq_plan *plan)
{
	return plan->request->precision == OQ_PRECISION_INT8 ? OQ_I8 : plan->request->precision == OQ_PRECISION_F16 ? OQ_F16 : OQ_BF16;
}

#define STEM_WEIGHTS (1 << 18) /* what stays wide may not make the package large */

/* Weights of a product that no precision narrows: few, and every value of the network hangs on them. On a trained network a bfloat16
 * stem costs more fidelity than all other layers together. */
static bool is_stem(const oq_plan *plan, const oq_tensor_info *info)
{
	for (int i = 0; i < oq_nn_model_layers(plan->model); i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(plan->model, i, &layer);
		if (!strcmp(layer.weight, info->name))
			return !layer.quantizable && info->count <= STEM_WEIGHTS;
	}
	return false;
}

/* The codebook of a lookup, which an int8 package holds in 8 bits with a scale per row, unless it was asked to keep it. */
static bool is_codebook(const oq_plan *plan, const oq_tensor_info *info)
{
	const oq_json *nodes = oq_json_get(oq_json_get(oq_package_json(plan->package), "graph"), "nodes");
	bool found = false;
	for (const oq_json *node = oq_json_first(nodes); node && !plan->request->wide_codebook; node = oq_json_next(node)) {
		const char *tensor = oq_json_string(oq_json_get(node, "codebook"));
		found = found || (tensor && !strcmp(tensor, info->name));
	}
	return found && plan->request->precision == OQ_PRECISION_INT8 && info->rank >= 2 && info->count > 0;
}

static int64_t codebook_rows(const oq_tensor_info *info)
{
	return (int64_t)info->count / info->shape[info->rank - 1];
}

/* Type that a tensor is stored in: matrices are narrowed, vectors (biases, statistics) and stems are not. */
static oq_dtype stored_type(const oq_plan *plan, const oq_tensor_info *info)
{
	oq_dtype narrow = narrow_type(plan);
	const oq_plan_layer *layer = layer_of(plan, info->name);
	if (layer)
		return layer->kept ? OQ_BF16 : narrow;
	if (oq_nn_vector_find(plan->vectors, plan->vector_count, info->name))
		return OQ_F32;
	if (is_codebook(plan, info))
		return OQ_I8;
	bool narrows = narrow != OQ_I8 && info->rank > 1 && !is_stem(plan, info) && (info->dtype == OQ_F32 || info->dtype == OQ_BF16 || info->dtype == OQ_F16);
	return narrows ? narrow : info->dtype;
}

static oq_status companion_name(const store *s, const char *tensor, const char *suffix, char *out, size_t room)
{
	int length = snprintf(out, room, "%s#%s", tensor, suffix);
	return length > 0 && (size_t)length < room ? OQ_OK : oq_fail(s->err, OQ_E_MODEL, "E_TENSOR", "%s: the name of tensor %s is too long",
		s->plan->request->package, tensor);
}

static oq_status declare(store *s, const char *name, oq_dtype dtype, int rank, const int64_t *shape)
{
	size_t bytes;
	if (!oq_size_product(shape, rank, oq_dtype_size(dtype), &bytes))
		return oq_fail_memory(s->err, name, SIZE_MAX);
	s->bytes += bytes;
	return oq_safetensors_writer_declare(s->writer, name, dtype, rank, shape, s->err);
}

static oq_status declare_tensor(store *s, const oq_tensor_info *info)
{
	char name[512];
	const oq_plan_layer *layer = layer_of(s->plan, info->name);
	OQ_TRY(declare(s, info->name, stored_type(s->plan, info), info->rank, info->shape));
	if (is_codebook(s->plan, info)) {
		const int64_t rows = codebook_rows(info);
		OQ_TRY(companion_name(s, info->name, "scale", name, sizeof name));
		return declare(s, name, OQ_F32, 1, &rows);
	}
	if (!layer)
		return OQ_OK;
	if (layer->codes.codes && !layer->kept) {
		OQ_TRY(companion_name(s, info->name, "scale", name, sizeof name));
		OQ_TRY(declare(s, name, OQ_F32, 1, &layer->info.out));
	}
	OQ_TRY(companion_name(s, info->name, "bias", name, sizeof name));
	return declare(s, name, OQ_F32, 1, &layer->info.out);
}

static oq_status put(store *s, const char *name, const void *data, size_t bytes)
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, data, bytes);
	oq_sha256_hex(&hash, hex);
	if (!oq_json_add_string(s->hashes, name, hex))
		return oq_fail_memory(s->err, name, bytes);
	return oq_safetensors_writer_data(s->writer, data, bytes, s->err);
}

static void narrow_floats(oq_dtype dtype, size_t count, const float *values, uint16_t *out)
{
	for (size_t i = 0; i < count; i++)
		out[i] = dtype == OQ_F16 ? oq_f32_to_f16(values[i]) : oq_f32_to_bf16(values[i]);
}

/* Float32 values in 16 bits. float16 has little range: what does not fit is refused, not made infinite. */
static oq_status put_narrow(store *s, const char *name, oq_dtype dtype, size_t count, const float *values)
{
	uint16_t *narrow = oq_alloc(count * sizeof *narrow);
	if (!narrow)
		return oq_fail_memory(s->err, name, count * sizeof *narrow);
	narrow_floats(dtype, count, values, narrow);
	oq_status status = OQ_OK;
	for (size_t i = 0; i < count && dtype == OQ_F16 && status == OQ_OK; i++)
		if ((narrow[i] & 0x7fffu) == 0x7c00u)
			status = oq_fail(s->err, OQ_E_UNSUPPORTED, "E_PRECISION", "%s: tensor %s holds %g, which float16 cannot: use bf16", s->plan->request->package, name,
				(double)values[i]);
	if (status == OQ_OK)
		status = put(s, name, narrow, count * sizeof *narrow);
	oq_free(narrow);
	return status;
}

static oq_status put_codes(store *s, const oq_tensor_info *info, const oq_plan_layer *layer)
{
	char name[512];
	size_t row = (size_t)layer->info.out * sizeof(float);
	OQ_TRY(put(s, info->name, layer->codes.codes, info->count));
	OQ_TRY(companion_name(s, info->name, "scale", name, sizeof name));
	OQ_TRY(put(s, name, layer->codes.scale, row));
	OQ_TRY(companion_name(s, info->name, "bias", name, sizeof name));
	return put(s, name, layer->codes.bias, row);
}

/* A layer with everything folded in, rounded to bfloat16 with the calibration inputs in view. */
static oq_status put_calibrated(store *s, const oq_tensor_info *info, const oq_plan_layer *layer)
{
	char name[512];
	OQ_TRY(put(s, info->name, layer->narrow.narrow, info->count * sizeof *layer->narrow.narrow));
	OQ_TRY(companion_name(s, info->name, "bias", name, sizeof name));
	return put(s, name, layer->narrow.bias, (size_t)layer->info.out * sizeof(float));
}

/* A layer with everything folded in, each weight rounded to the nearest in 16 bits. */
static oq_status put_folded(store *s, const oq_tensor_info *info, const oq_plan_layer *layer)
{
	char name[512];
	float *weights = NULL, *bias = NULL;
	oq_status status = oq_plan_read_layer(s->plan, layer, &weights, &bias, s->err);
	if (status == OQ_OK)
		status = put_narrow(s, info->name, narrow_type(s->plan), info->count, weights);
	if (status == OQ_OK)
		status = companion_name(s, info->name, "bias", name, sizeof name);
	if (status == OQ_OK)
		status = put(s, name, bias, (size_t)layer->info.out * sizeof *bias);
	oq_free(weights);
	oq_free(bias);
	return status;
}

static oq_status put_copy(store *s, const oq_tensor_info *info)
{
	oq_dtype type = stored_type(s->plan, info);
	size_t bytes = type == info->dtype ? info->bytes : info->count * sizeof(float);
	void *data = oq_alloc(bytes);
	if (!data)
		return oq_fail_memory(s->err, info->name, bytes);
	oq_status status = type == info->dtype ? oq_package_read(s->plan->package, info->name, data, bytes, s->err)
		: oq_package_read_f32(s->plan->package, info->name, data, info->count, s->err);
	if (status == OQ_OK)
		status = type == info->dtype ? put(s, info->name, data, bytes) : put_narrow(s, info->name, type, info->count, data);
	oq_free(data);
	return status;
}

/* To the nearest of 255 steps that reach to the row's largest value. */
static void encode_row(int64_t channels, const float *row, int8_t *codes, float *scale)
{
	float most = 0;
	for (int64_t c = 0; c < channels; c++)
		most = fabsf(row[c]) > most ? fabsf(row[c]) : most;
	*scale = most > 0 ? most / 127.0f : 1.0f;
	for (int64_t c = 0; c < channels; c++)
		codes[c] = (int8_t)fminf(fmaxf(rintf(row[c] / *scale), -127.0f), 127.0f);
}

static oq_status put_codebook(store *s, const oq_tensor_info *info)
{
	char name[512];
	int64_t rows = codebook_rows(info), channels = info->shape[info->rank - 1];
	float *values = oq_alloc(info->count * sizeof *values), *scale = oq_alloc((size_t)rows * sizeof *scale);
	int8_t *codes = oq_alloc(info->count);
	oq_status status = values && scale && codes ? OQ_OK : oq_fail_memory(s->err, info->name, info->count * sizeof *values);
	if (status == OQ_OK)
		status = oq_package_read_f32(s->plan->package, info->name, values, info->count, s->err);
	for (int64_t r = 0; r < rows && status == OQ_OK; r++)
		encode_row(channels, values + r * channels, codes + r * channels, &scale[r]);
	if (status == OQ_OK)
		status = put(s, info->name, codes, info->count);
	if (status == OQ_OK)
		status = companion_name(s, info->name, "scale", name, sizeof name);
	if (status == OQ_OK)
		status = put(s, name, scale, (size_t)rows * sizeof *scale);
	oq_free(values);
	oq_free(scale);
	oq_free(codes);
	return status;
}

static oq_status put_tensor(store *s, const oq_tensor_info *info)
{
	if (is_codebook(s->plan, info))
		return put_codebook(s, info);
	const oq_plan_layer *layer = layer_of(s->plan, info->name);
	const float *vector = oq_nn_vector_find(s->plan->vectors, s->plan->vector_count, info->name);
	if (vector)
		return put(s, info->name, vector, info->count * sizeof *vector);
	if (!layer)
		return put_copy(s, info);
	if (layer->codes.codes && !layer->kept)
		return put_codes(s, info, layer);
	return layer->narrow.narrow ? put_calibrated(s, info, layer) : put_folded(s, info, layer);
}

static oq_status write_weights(store *s)
{
	const oq_safetensors *weights = oq_package_weights(s->plan->package);
	OQ_TRY(oq_safetensors_writer_open(s->folder.weights_path, &s->writer, s->err));
	oq_status status = OQ_OK;
	int count = oq_safetensors_count(weights);
	for (int i = 0; i < count && status == OQ_OK; i++)
		status = declare_tensor(s, oq_safetensors_at(weights, i));
	for (int i = 0; i < count && status == OQ_OK; i++)
		status = put_tensor(s, oq_safetensors_at(weights, i));
	if (status == OQ_OK)
		return oq_safetensors_writer_commit(s->writer, s->err);
	oq_safetensors_writer_abort(s->writer);
	return status;
}

static bool add_quantization(const store *s, oq_json *root)
{
	char version[32];
	snprintf(version, sizeof version, "%d.%d.%d", OQ_VERSION_MAJOR, OQ_VERSION_MINOR, OQ_VERSION_PATCH);
	const oq_plan *plan = s->plan;
	oq_json *q = oq_json_add_object(root, "quantization");
	bool good = oq_json_add_string(q, "precision", plan->request->precision == OQ_PRECISION_INT8 ? "int8"
		: plan->request->precision == OQ_PRECISION_F16 ? "f16" : "bf16") && oq_json_add_string(q, "tool_version", version)
		&& oq_json_add_string(q, "source_package_sha256", oq_package_sha256(plan->package));
	return good && (!plan->request->calibration.count || oq_plan_describe(plan, q));
}

static oq_status write_model(store *s)
{
	oq_json *root = oq_json_object();
	bool good = root != NULL;
	const oq_json *document = oq_package_json(s->plan->package);
	for (const oq_json *entry = oq_json_first(document); entry && good; entry = oq_json_next(entry)) {
		if (!strcmp(oq_json_key(entry), "weights")) {
			oq_json *weights = oq_json_add_object(root, "weights");
			good = oq_json_add_string(weights, "file", "weights.safetensors") && oq_json_add_int(weights, "bytes", (int64_t)s->bytes)
				&& oq_json_add(weights, "sha256", oq_json_copy(s->hashes));
		} else {
			good = oq_json_add(root, oq_json_key(entry), oq_json_copy(entry));
		}
	}
	good = good && add_quantization(s, root);
	oq_status status = good ? oq_folder_write_model(&s->folder, root, s->err) : oq_fail_memory(s->err, s->plan->request->output, 0);
	oq_json_free(root);
	return status;
}

oq_status oq_plan_store(const oq_plan *plan, oq_error *err)
{
	store s = {.plan = plan, .err = err, .hashes = oq_json_object()};
	oq_status status = s.hashes ? oq_folder_open(plan->request->output, &s.folder, err) : oq_fail_memory(err, plan->request->output, 0);
	if (status == OQ_OK)
		status = write_weights(&s);
	if (status == OQ_OK)
		status = write_model(&s);
	if (status == OQ_OK)
		status = oq_folder_commit(&s.folder, err);
	oq_folder_close(&s.folder);
	oq_json_free(s.hashes);
	return status;
}
