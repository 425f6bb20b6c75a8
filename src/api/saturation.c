#include "saturation.h"

#include "core/mem.h"

#include <math.h>
#include <string.h>

typedef struct tally {
	int64_t codes, clipped;
	double worst; /* share of one patch */
} tally;

typedef struct observed {
	float low, high; /* of the value of that name: beyond them a code is clipped */
} observed;

struct oq_saturation {
	const oq_model *candidate;
	oq_nn_model *model;    /* the same network with its 8-bit layers' inputs kept readable */
	oq_nn_session **sessions;
	const char **names;    /* [count + 1] of values, NULL at the end */
	observed *values;      /* [count] */
	int count, lanes;
	tally *tallies;        /* [2: patches, phantoms][lanes][count] */
	float **inputs, **embeddings; /* [lanes] */
};

static const oq_json *quantization_of(const oq_model *model)
{
	return oq_json_get(oq_package_json(model->package), "quantization");
}

/* Values of the package's record and the bounds that their scales and zeros mean; the engine has checked the record when it opened the model. */
static oq_status read_values(oq_saturation *s, oq_error *err)
{
	const oq_json *values = oq_json_get(quantization_of(s->candidate), "values");
	size_t room = (size_t)oq_json_count(values);
	s->names = oq_calloc(room + 1, sizeof *s->names);
	s->values = oq_calloc(room, sizeof *s->values);
	if (!s->names || !s->values)
		return oq_fail_memory(err, oq_package_path(s->candidate->package), room);
	for (const oq_json *entry = oq_json_first(values); entry; entry = oq_json_next(entry)) {
		double scale = oq_json_number(oq_json_first(entry)), zero = oq_json_number(oq_json_next(oq_json_first(entry)));
		s->names[s->count] = oq_json_key(entry);
		s->values[s->count++] = (observed){.low = (float)(scale * (-0.5 - zero)), .high = (float)(scale * (255.5 - zero))};
	}
	return OQ_OK;
}

static oq_status open_lanes(oq_saturation *s, oq_error *err)
{
	size_t lanes = (size_t)s->lanes;
	s->sessions = oq_calloc(lanes, sizeof(oq_nn_session *));
	s->inputs = oq_calloc(lanes, sizeof *s->inputs);
	s->embeddings = oq_calloc(lanes, sizeof *s->embeddings);
	s->tallies = oq_calloc(2 * lanes * (size_t)s->count, sizeof *s->tallies);
	if (!s->sessions || !s->inputs || !s->embeddings || !s->tallies)
		return oq_fail_memory(err, "saturation", lanes * (size_t)s->count * sizeof *s->tallies);
	for (size_t i = 0; i < lanes; i++) {
		s->inputs[i] = oq_alloc_aligned(oq_nn_model_input_count(s->model) * sizeof(float));
		s->embeddings[i] = oq_alloc(oq_nn_model_output_count(s->model) * sizeof(float));
		if (!s->inputs[i] || !s->embeddings[i])
			return oq_fail_memory(err, "saturation", oq_nn_model_input_count(s->model) * sizeof(float));
		OQ_TRY(oq_nn_session_open(s->model, &s->sessions[i], err));
	}
	return OQ_OK;
}

oq_status oq_saturation_open(const oq_model *candidate, int lanes, oq_saturation **out, oq_error *err)
{
	oq_precision asked;
	const char *why;
	if (oq_nn_model_precision(candidate->nn, &asked, &why) != OQ_PRECISION_INT8)
		return OQ_OK;
	oq_saturation *s = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, "saturation", sizeof *s);
	s->candidate = candidate;
	s->lanes = lanes;
	oq_status status = read_values(s, err);
	if (status == OQ_OK) {
		const oq_nn_options options = {.keep = s->names, .convolution = oq_nn_model_convolution(candidate->nn)};
		status = oq_nn_model_open(candidate->package, &options, &s->model, err);
	}
	if (status == OQ_OK)
		status = open_lanes(s, err);
	if (status == OQ_OK)
		*out = s;
	else
		oq_saturation_close(s);
	return status;
}

static void count_value(const observed *v, const float *data, int64_t count, tally *t)
{
	int64_t clipped = 0;
	for (int64_t i = 0; i < count; i++)
		clipped += data[i] < v->low || data[i] > v->high;
	t->codes += count;
	t->clipped += clipped;
	t->worst = fmax(t->worst, (double)clipped / (double)count);
}

/* What the network is given of a patch. */
static oq_status make_input(const oq_saturation *s, int lane, const float *patch, oq_error *err)
{
	const oq_model *m = s->candidate;
	if (m->sliced)
		return oq_model_slice(m, patch, m->spec.size[1] / 2, s->inputs[lane], err);
	memcpy(s->inputs[lane], patch, oq_nn_model_input_count(s->model) * sizeof *patch);
	return OQ_OK;
}

oq_status oq_saturation_count(oq_saturation *s, int lane, const float *patch, bool phantom, oq_error *err)
{
	tally *tallies = s->tallies + ((phantom ? s->lanes : 0) + lane) * s->count;
	OQ_TRY(make_input(s, lane, patch, err));
	const oq_float_state state = oq_float_enter();
	oq_status status = oq_nn_session_run(s->sessions[lane], s->inputs[lane], s->embeddings[lane], err);
	oq_float_leave(state);
	for (int i = 0; i < s->count && status == OQ_OK; i++) {
		const float *data;
		int rank;
		int64_t shape[OQ_MAX_RANK], count = 1;
		status = oq_nn_session_value(s->sessions[lane], s->names[i], &data, &rank, shape, err);
		for (int axis = 0; status == OQ_OK && axis < rank; axis++)
			count *= shape[axis];
		if (status == OQ_OK)
			count_value(&s->values[i], data, count, &tallies[i]);
	}
	return status;
}

/* Sums and largest shares do not depend on which lane saw which patch. */
static tally tally_of(const oq_saturation *s, int value, bool phantom)
{
	tally sum = {0};
	for (int lane = 0; lane < s->lanes; lane++) {
		const tally *t = &s->tallies[((phantom ? s->lanes : 0) + lane) * s->count + value];
		sum.codes += t->codes;
		sum.clipped += t->clipped;
		sum.worst = fmax(sum.worst, t->worst);
	}
	return sum;
}

static double share_of(const tally *t)
{
	return t->codes ? (double)t->clipped / (double)t->codes : 0;
}

double oq_saturation_worst(const oq_saturation *s, bool phantom)
{
	double worst = 0;
	for (int i = 0; i < s->count; i++) {
		tally t = tally_of(s, i, phantom);
		worst = fmax(worst, share_of(&t));
	}
	return worst;
}

static const char *weight_of(const oq_saturation *s, const char *node)
{
	for (int i = 0; i < oq_nn_model_layers(s->model); i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(s->model, i, &layer);
		if (!strcmp(layer.node, node))
			return layer.weight;
	}
	return "";
}

/* The share of a layer's weights at its outermost codes: the largest of each output channel, and those that were clipped. NaN: not known. */
static double share_outermost(const oq_saturation *s, const char *node)
{
	const char *weight = weight_of(s, node);
	const oq_tensor_info *info = oq_safetensors_find(oq_package_weights(s->candidate->package), weight);
	int most = oq_json_number(oq_json_get(quantization_of(s->candidate), "weight_bits")) < 8 ? 63 : 127;
	int8_t *codes = info && info->dtype == OQ_I8 ? oq_alloc(info->bytes) : NULL;
	size_t outermost = 0;
	oq_error ignored;
	bool read = codes && oq_package_read(s->candidate->package, weight, codes, info->bytes, &ignored) == OQ_OK;
	for (size_t i = 0; read && i < info->count; i++)
		outermost += codes[i] >= most || codes[i] <= -most;
	oq_free(codes);
	return read ? (double)outermost / (double)info->count : NAN;
}

static bool describe_layer(const oq_saturation *s, const oq_json *layer, oq_json *layers)
{
	const char *input = oq_json_string(oq_json_get(layer, "input"));
	int value = 0;
	while (value < s->count && strcmp(s->names[value], input))
		value++;
	if (value == s->count)
		return true;
	tally patches = tally_of(s, value, false), phantoms = tally_of(s, value, true);
	oq_json *json = oq_json_add_object(layers, oq_json_key(layer));
	return oq_json_add_number(json, "patches", share_of(&patches)) && oq_json_add_number(json, "patch_worst", patches.worst)
		&& oq_json_add_number(json, "phantoms", share_of(&phantoms)) && oq_json_add_number(json, "phantom_worst", phantoms.worst)
		&& oq_json_add_number(json, "weights_outermost", share_outermost(s, oq_json_key(layer)));
}

bool oq_saturation_describe(const oq_saturation *s, oq_json *root)
{
	oq_json *json = oq_json_add_object(root, "saturation"), *layers;
	bool good = oq_json_add_number(json, "limit", OQ_SATURATION_LIMIT) && oq_json_add_number(json, "patches", oq_saturation_worst(s, false))
		&& oq_json_add_number(json, "phantoms", oq_saturation_worst(s, true)) && (layers = oq_json_add_object(json, "layers"));
	const oq_json *record = oq_json_get(quantization_of(s->candidate), "layers");
	for (const oq_json *layer = oq_json_first(record); layer && good; layer = oq_json_next(layer)) {
		const char *precision = oq_json_string(oq_json_get(layer, "precision"));
		if (precision && !strcmp(precision, "int8") && oq_json_string(oq_json_get(layer, "input")))
			good = describe_layer(s, layer, layers);
	}
	return good;
}

void oq_saturation_close(oq_saturation *s)
{
	if (!s)
		return;
	for (int i = 0; i < s->lanes; i++) {
		if (s->sessions)
			oq_nn_session_close(s->sessions[i]);
		if (s->inputs)
			oq_free_aligned(s->inputs[i]);
		if (s->embeddings)
			oq_free(s->embeddings[i]);
	}
	oq_nn_model_close(s->model);
	oq_free((void *)s->sessions);
	oq_free((void *)s->inputs);
	oq_free((void *)s->embeddings);
	oq_free((void *)s->names);
	oq_free(s->values);
	oq_free(s->tallies);
	oq_free(s);
}
