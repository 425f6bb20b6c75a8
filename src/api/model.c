/* Models and sessions. */
#include "internal.h"

#include "core/clock.h"
#include "core/mem.h"

#include <math.h>
#include <string.h>

/* The graph and the preprocessing must speak of the same patch, the graph and "embedding" of the same vector. */
static oq_status check_shapes(const oq_model *model, oq_error *err)
{
	const char *where = oq_package_path(model->package);
	const oq_json *embedding;
	int64_t size, shape[OQ_MAX_RANK];
	OQ_TRY(oq_json_need_object(oq_package_json(model->package), "embedding", where, &embedding, err));
	OQ_TRY(oq_json_need_int(embedding, "size", "embedding", &size, err));
	if (size != (int64_t)oq_nn_model_output_count(model->nn))
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: embedding.size is %lld, the graph makes %zu", where, (long long)size,
			oq_nn_model_output_count(model->nn));
	oq_nn_model_input_shape(model->nn, shape);
	const int64_t slice[4] = {3, 1, model->slices.size, model->slices.size};
	if (model->sliced ? memcmp(shape, slice, sizeof slice) : shape[0] != 1 || memcmp(shape + 1, model->spec.size, sizeof model->spec.size))
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: preprocessing.size is not the size of the graph's input", where);
	return OQ_OK;
}

static oq_status open_preprocessing(oq_model *model, const char *package, oq_error *err)
{
	const oq_json *preprocessing;
	OQ_TRY(oq_package_open(package, &model->package, err));
	OQ_TRY(oq_json_need_object(oq_package_json(model->package), "preprocessing", package, &preprocessing, err));
	OQ_TRY(oq_patch_spec_parse(preprocessing, package, &model->spec, err));
	return oq_slices_spec_parse(preprocessing, package, &model->slices, &model->sliced, err);
}

static oq_status open_model(oq_model *model, const char *package, const oq_model_options *asked, size_t most_weights, oq_error *err)
{
	const oq_nn_options options = {.threads_per_patch = model->threads_per_patch, .precision = asked ? asked->precision : OQ_PRECISION_PACKAGE,
		.strict = asked && asked->strict_precision, .convolution = asked ? asked->convolution : OQ_CONVOLUTION_AUTO,
		.most_weight_bytes = most_weights};
	OQ_TRY(open_preprocessing(model, package, err));
	OQ_TRY(oq_nn_model_open(model->package, &options, &model->nn, err));
	return check_shapes(model, err);
}

oq_status oq_model_open_within(const char *package, const oq_model_options *options, size_t most_weights, oq_model **out, oq_error *err)
{
	oq_model *model = oq_calloc(1, sizeof *model);
	if (!model)
		return oq_fail_memory(err, package, sizeof *model);
	double start = oq_seconds();
	const oq_float_state state = oq_float_enter(); /* folding and packing compute as well */
	model->threads_per_patch = options && options->threads_per_patch > 1 ? options->threads_per_patch : 1;
	oq_status status = open_model(model, package, options, most_weights, err);
	oq_float_leave(state);
	model->open_seconds = oq_seconds() - start;
	if (status == OQ_OK)
		*out = model;
	else
		oq_model_close(model);
	return status;
}

oq_status oq_model_open(const char *package, const oq_model_options *options, oq_model **out, oq_error *err)
{
	return oq_model_open_within(package, options, 0, out, err);
}

oq_status oq_model_open_preprocessing(const char *package, oq_model **out, oq_error *err)
{
	oq_model *model = oq_calloc(1, sizeof *model);
	if (!model)
		return oq_fail_memory(err, package, sizeof *model);
	oq_status status = open_preprocessing(model, package, err);
	if (status == OQ_OK)
		*out = model;
	else
		oq_model_close(model);
	return status;
}

void oq_model_close(oq_model *model)
{
	if (!model)
		return;
	oq_nn_model_close(model->nn);
	oq_package_close(model->package);
	oq_free(model);
}

int64_t oq_model_embedding_size(const oq_model *model)
{
	return (int64_t)oq_nn_model_output_count(model->nn);
}

void oq_model_patch_shape(const oq_model *model, int64_t shape[4])
{
	shape[0] = 1;
	memcpy(shape + 1, model->spec.size, sizeof model->spec.size);
}

size_t oq_model_patch_floats(const oq_model *model)
{
	return (size_t)(model->spec.size[0] * model->spec.size[1] * model->spec.size[2]);
}

/* How many nodes of each op the graph has. */
static bool add_op_counts(oq_json *root, const oq_json *graph)
{
	oq_json *counts = oq_json_add_object(root, "ops");
	const oq_json *nodes = oq_json_get(graph, "nodes");
	bool good = counts != NULL;
	for (const oq_json *node = oq_json_first(nodes); node && good; node = oq_json_next(node)) {
		const char *op = oq_json_string(oq_json_get(node, "op"));
		if (oq_json_get(counts, op))
			continue;
		int64_t count = 0;
		for (const oq_json *other = node; other; other = oq_json_next(other))
			count += !strcmp(oq_json_string(oq_json_get(other, "op")), op);
		good = oq_json_add_int(counts, op, count);
	}
	return good;
}

oq_status oq_model_json(const oq_model *model, char **json, oq_error *err)
{
	static const char *const copied[] = {"model", "preprocessing", "embedding", "provenance"};
	const oq_json *document = oq_package_json(model->package);
	oq_json *root = oq_json_object();
	bool good = oq_json_add_string(root, "package_sha256", oq_package_sha256(model->package));
	for (size_t i = 0; i < sizeof copied / sizeof *copied && good; i++)
		if (oq_json_get(document, copied[i]))
			good = oq_json_add(root, copied[i], oq_json_copy(oq_json_get(document, copied[i])));
	double parameters = 0;
	const oq_safetensors *weights = oq_package_weights(model->package);
	for (int i = 0; i < oq_safetensors_count(weights); i++)
		parameters += (double)oq_safetensors_at(weights, i)->count;
	good = good && oq_json_add_int(root, "nodes", oq_json_count(oq_json_get(oq_json_get(document, "graph"), "nodes")))
		&& add_op_counts(root, oq_json_get(document, "graph")) && oq_json_add_int(root, "tensors", oq_safetensors_count(weights))
		&& oq_json_add_number(root, "parameters", parameters) && oq_json_add_int(root, "steps", oq_nn_model_steps(model->nn))
		&& oq_json_add_number(root, "weight_bytes", (double)oq_nn_model_weight_bytes(model->nn))
		&& oq_json_add_number(root, "session_bytes", (double)oq_nn_model_session_bytes(model->nn))
		&& oq_json_add_number(root, "open_seconds", model->open_seconds) && oq_add_precision(root, model) && oq_add_convolutions(root, model)
		&& oq_add_environment(root, model->threads_per_patch);
	return oq_finish_json(root, good, json, err);
}

/* What a lane needs to cut slices: 8-bit planes, one normalised slice, one slice's vector, their sum. */
struct oq_slice_room {
	unsigned char *planes;
	float *slice, *vector;
	double *sum;
};

static oq_status open_rooms(oq_session *session, int lanes, oq_error *err)
{
	const oq_model *model = session->model;
	const int64_t *size = model->spec.size;
	if (!model->sliced)
		return OQ_OK;
	size_t planes = (size_t)(size[0] * (size[2] + model->slices.size)), slice = oq_nn_model_input_count(model->nn) * sizeof(float);
	size_t outputs = oq_nn_model_output_count(model->nn);
	session->rooms = oq_calloc((size_t)lanes, sizeof *session->rooms);
	for (int i = 0; session->rooms && i < lanes; i++) {
		struct oq_slice_room *room = &session->rooms[i];
		*room = (struct oq_slice_room){.planes = oq_alloc(planes), .slice = oq_alloc_aligned(slice), .vector = oq_alloc(outputs * sizeof(float)),
			.sum = oq_alloc(outputs * sizeof(double))};
		if (!room->planes || !room->slice || !room->vector || !room->sum)
			return oq_fail_memory(err, "session", slice);
	}
	return session->rooms ? OQ_OK : oq_fail_memory(err, "session", (size_t)lanes * sizeof *session->rooms);
}

static void close_rooms(oq_session *session, int lanes)
{
	for (int i = 0; session->rooms && i < lanes; i++) {
		oq_free(session->rooms[i].planes);
		oq_free_aligned(session->rooms[i].slice);
		oq_free(session->rooms[i].vector);
		oq_free(session->rooms[i].sum);
	}
	oq_free(session->rooms);
}

oq_status oq_model_slice(const oq_model *model, const float *patch, int64_t index, float *input, oq_error *err)
{
	const int64_t *size = model->spec.size;
	size_t bytes = (size_t)(size[0] * (size[2] + model->slices.size));
	unsigned char *room = oq_alloc(bytes);
	if (!room)
		return oq_fail_memory(err, "slice", bytes);
	oq_slice_make(patch, size, index, &model->slices, room, input);
	oq_free(room);
	return OQ_OK;
}

/* Whether two patches have the same slice `index`. */
static bool same_slice(const int64_t size[3], const float *a, const float *b, int64_t index)
{
	bool same = true;
	for (int64_t r = 0; r < size[0] && same; r++) {
		int64_t at = (r * size[1] + index) * size[2];
		same = !memcmp(a + at, b + at, (size_t)size[2] * sizeof *a);
	}
	return same;
}

static oq_status run_slice(oq_session *session, int lane, const float *patch, int64_t index, float *vector, oq_error *err)
{
	const oq_model *model = session->model;
	const struct oq_slice_room *room = &session->rooms[lane];
	oq_slice_make(patch, model->spec.size, index, &model->slices, room->planes, room->slice);
	return oq_nn_session_run(session->nn[lane], room->slice, vector, err);
}

/* Slice by slice; the mean of the vectors, summed in double in slice order. */
static oq_status run_slices(oq_session *session, int lane, const float *patch, float *embedding, oq_error *err)
{
	const oq_model *model = session->model;
	const struct oq_slice_room *room = &session->rooms[lane];
	size_t outputs = oq_nn_model_output_count(model->nn);
	memset(room->sum, 0, outputs * sizeof *room->sum);
	for (int64_t i = 0; i < model->spec.size[1]; i++) {
		bool known = session->vectors && same_slice(model->spec.size, patch, session->base, i);
		const float *vector = known ? session->vectors + (size_t)i * outputs : room->vector;
		if (!known)
			OQ_TRY(run_slice(session, lane, patch, i, room->vector, err));
		for (size_t k = 0; k < outputs; k++)
			room->sum[k] += (double)vector[k];
	}
	for (size_t k = 0; k < outputs; k++)
		embedding[k] = (float)(room->sum[k] / (double)model->spec.size[1]);
	return OQ_OK;
}

/* int8 has no code for other values and would make something of them. */
static oq_status check_finite(const oq_session *session, const float *patch, oq_error *err)
{
	for (size_t i = 0, count = oq_model_patch_floats(session->model); i < count; i++)
		if (!isfinite(patch[i]))
			return oq_fail(err, OQ_E_INPUT, "E_NONFINITE", "patch: value %zu is %g, expected a finite number", i, (double)patch[i]);
	return OQ_OK;
}

oq_status oq_session_lane(oq_session *session, int lane, const float *patch, float *embedding, oq_error *err)
{
	OQ_TRY(check_finite(session, patch, err));
	const oq_float_state state = oq_float_enter();
	oq_status status = session->model->sliced ? run_slices(session, lane, patch, embedding, err) : oq_nn_session_run(session->nn[lane], patch, embedding, err);
	oq_float_leave(state);
	return status;
}

static oq_status follow_slices(oq_session *session, const float *patch, oq_error *err)
{
	const oq_model *model = session->model;
	size_t outputs = oq_nn_model_output_count(model->nn);
	memcpy(session->base, patch, oq_model_patch_floats(model) * sizeof *patch);
	for (int64_t i = 0; i < model->spec.size[1]; i++)
		OQ_TRY(run_slice(session, 0, patch, i, session->vectors + (size_t)i * outputs, err));
	return OQ_OK;
}

oq_status oq_session_follow(oq_session *session, const float *patch, float *embedding, oq_error *err)
{
	OQ_TRY(check_finite(session, patch, err));
	const oq_float_state state = oq_float_enter();
	oq_status status = session->reuse ? oq_nn_reuse_patch(session->reuse, patch, embedding, err) : session->vectors ? follow_slices(session, patch, err) : OQ_OK;
	oq_float_leave(state);
	return status != OQ_OK || session->reuse ? status : oq_session_lane(session, 0, patch, embedding, err);
}

oq_status oq_session_open_reusing(const oq_model *model, int lanes, const oq_nn_reuse *reuse, oq_session **out, oq_error *err)
{
	if (lanes < 1 || lanes > 4096)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "session: %d lanes were asked for, expected 1 to 4096", lanes);
	oq_session *session = oq_calloc(1, sizeof *session);
	if (session)
		session->nn = oq_calloc((size_t)lanes, sizeof(oq_nn_session *));
	oq_status status = session && session->nn ? OQ_OK : oq_fail_memory(err, "session", sizeof *session);
	if (session)
		session->model = model;
	for (int i = 0; i < lanes && status == OQ_OK; i++) {
		status = reuse ? oq_nn_session_open_reusing(reuse, &session->nn[i], err) : oq_nn_session_open(model->nn, &session->nn[i], err);
		session->lanes += status == OQ_OK;
	}
	if (status == OQ_OK)
		status = open_rooms(session, lanes, err);
	if (status == OQ_OK)
		*out = session;
	else
		oq_session_close(session);
	return status;
}

oq_status oq_session_open(const oq_model *model, int lanes, oq_session **out, oq_error *err)
{
	return oq_session_open_reusing(model, lanes, NULL, out, err);
}

void oq_session_close(oq_session *session)
{
	if (!session)
		return;
	for (int i = 0; i < session->lanes; i++)
		oq_nn_session_close(session->nn[i]);
	close_rooms(session, session->lanes);
	oq_nn_reuse_close(session->reuse);
	oq_free(session->base);
	oq_free(session->vectors);
	oq_free((void *)session->nn);
	oq_free(session);
}

oq_status oq_session_run_from(oq_session *session, oq_patch_source source, void *context, int64_t count, float *embeddings, oq_error *err)
{
	size_t out = oq_nn_model_output_count(session->model->nn);
	oq_status status = OQ_OK;
	if (session->lanes == 1 || count == 1) {
		for (int64_t i = 0; i < count && status == OQ_OK; i++)
			status = oq_session_lane(session, 0, source(context, i, 0), embeddings + (size_t)i * out, err);
		return status;
	}
	int64_t next = 0;
#pragma omp parallel num_threads(session->lanes) shared(next, status)
	{
		/* One lane per thread; a loop schedule would give a lane's number no fixed thread when nested. */
		int lane;
#pragma omp critical(oq_lane)
		lane = (int)next++;
		oq_error own = {0};
#pragma omp for schedule(dynamic)
		for (int64_t i = 0; i < count; i++) {
			if (own.status != OQ_OK)
				continue;
			oq_status one = oq_session_lane(session, lane, source(context, i, lane), embeddings + (size_t)i * out, &own);
			if (one == OQ_OK)
				continue;
			own.status = one;
#pragma omp critical(oq_lane)
			{
				status = one;
				if (err)
					*err = own;
			}
		}
	}
	return status;
}

/* Patches that lie one behind the other. */
typedef struct patch_row {
	const float *patches;
	size_t floats;
} patch_row;

static const float *next_patch(void *context, int64_t index, int lane)
{
	const patch_row *row = context;
	(void)lane;
	return row->patches + (size_t)index * row->floats;
}

oq_status oq_session_run(oq_session *session, const float *patches, int64_t count, float *embeddings, oq_error *err)
{
	patch_row row = {patches, oq_model_patch_floats(session->model)};
	return oq_session_run_from(session, next_patch, &row, count, embeddings, err);
}

void oq_session_profile(oq_session *session, bool on)
{
	for (int i = 0; i < session->lanes; i++)
		oq_nn_session_profile(session->nn[i], on);
	if (on)
		oq_nn_session_measure_peaks(session->nn[0]); /* which reports the steps */
}

oq_status oq_session_steps_json(const oq_session *session, char **json, oq_error *err)
{
	oq_json *array = oq_json_array();
	bool good = array != NULL;
	for (int i = 0; i < oq_nn_model_steps(session->model->nn) && good; i++) {
		oq_nn_step_info info;
		oq_nn_session_step(session->nn[0], i, &info);
		oq_json *step = oq_json_add_object(array, NULL);
		good = oq_json_add_string(step, "name", info.name) && oq_json_add_string(step, "op", info.op)
			&& oq_json_add_string(step, "implementation", info.implementation) && oq_json_add_string(step, "precision", info.precision)
			&& oq_json_add_number(step, "ms", info.ms) && oq_json_add_number(step, "gflop", info.gflop) && oq_json_add_number(step, "bytes", info.bytes);
		if (good && info.peak_gflops > 0)
			good = oq_json_add_number(step, "peak_gflops", info.peak_gflops);
	}
	return oq_finish_json(array, good, json, err);
}
