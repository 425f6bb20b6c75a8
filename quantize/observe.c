#include "observe.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

/* What one input says of one value. */
typedef struct partial {
	float *low, *high; /* [channels] */
	double *sum;       /* [channels] */
	int64_t voxels;
} partial;

typedef struct lane {
	oq_nn_session *session;
	float *input, *embedding;
	partial *parts; /* one per value */
	oq_status status;
	oq_error err;
} lane;

typedef struct observer {
	const oq_quantize_request *request;
	oq_nn_model *model;
	const char *const *names;
	oq_observed *out;
	int count, lanes;
	int64_t per_input; /* rows sampled of every input */
	lane *lane;
} observer;

/* Which voxel is row `r` of input `index`: spread by a fixed mixing function, so that nothing depends on the order of runs. */
static int64_t sample_voxel(int64_t index, int64_t r, int64_t voxels)
{
	uint64_t z = (uint64_t)(index * 4096 + r) * 0x9E3779B97F4A7C15u;
	z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9u;
	z = (z ^ z >> 27) * 0x94D049BB133111EBu;
	return (int64_t)((z ^ z >> 31) % (uint64_t)voxels);
}

/* data [channels][voxels] */
static void observe_value(const observer *o, int64_t index, const float *data, int64_t voxels, oq_observed *value, partial *part)
{
	part->voxels = voxels;
	for (int64_t c = 0; c < value->channels; c++) {
		const float *x = data + c * voxels;
		double sum = 0;
		float low = x[0], high = x[0];
		for (int64_t v = 0; v < voxels; v++) {
			sum += (double)x[v];
			low = x[v] < low ? x[v] : low;
			high = x[v] > high ? x[v] : high;
		}
		part->sum[c] = sum;
		part->low[c] = low;
		part->high[c] = high;
	}
	for (int64_t r = 0; r < o->per_input; r++) {
		int64_t row = index * o->per_input + r, voxel = sample_voxel(index, r, voxels);
		for (int64_t c = 0; c < value->channels && row < OQ_SAMPLE_ROWS; c++)
			value->rows[row * value->channels + c] = data[c * voxels + voxel];
	}
}

static oq_status observe_input(const observer *o, lane *own, int64_t index)
{
	OQ_TRY(o->request->calibration.read(o->request->calibration.context, index, own->input, &own->err));
	OQ_TRY(oq_nn_session_run(own->session, own->input, own->embedding, &own->err));
	for (int i = 0; i < o->count; i++) {
		const float *data;
		int rank;
		int64_t shape[OQ_MAX_RANK], voxels = 1;
		OQ_TRY(oq_nn_session_value(own->session, o->names[i], &data, &rank, shape, &own->err));
		for (int axis = 1; axis < rank; axis++)
			voxels *= shape[axis];
		observe_value(o, index, data, voxels, &o->out[i], &own->parts[i]);
	}
	return OQ_OK;
}

/* Adds what the lanes have seen, in the order of the inputs. */
static void merge(const observer *o, const lane *own, bool first)
{
	for (int i = 0; i < o->count; i++) {
		oq_observed *value = &o->out[i];
		const partial *part = &own->parts[i];
		for (int64_t c = 0; c < value->channels; c++) {
			value->lowest[c] = first || part->low[c] < value->lowest[c] ? part->low[c] : value->lowest[c];
			value->highest[c] = first || part->high[c] > value->highest[c] ? part->high[c] : value->highest[c];
			value->mean[c] += part->sum[c] / (double)part->voxels;
		}
	}
}

void oq_observed_bounds(oq_observed *value)
{
	value->low = value->lowest[0];
	value->high = value->highest[0];
	for (int64_t c = 1; c < value->channels; c++) {
		value->low = value->lowest[c] < value->low ? value->lowest[c] : value->low;
		value->high = value->highest[c] > value->high ? value->highest[c] : value->high;
	}
}

static oq_status run_inputs(observer *o, oq_error *err)
{
	int64_t total = o->request->calibration.count;
	for (int64_t at = 0; at < total; at += o->lanes) {
		int64_t now = total - at < o->lanes ? total - at : o->lanes;
		if (o->request->cancel && *o->request->cancel)
			return oq_fail(err, OQ_E_RESOURCE, "E_CANCELLED", "%s: calibration was interrupted", o->request->package);
#pragma omp parallel for num_threads(o->lanes) schedule(static, 1)
		for (int64_t k = 0; k < now; k++)
			o->lane[k].status = observe_input(o, &o->lane[k], at + k);
		for (int64_t k = 0; k < now; k++) {
			if (o->lane[k].status != OQ_OK) {
				if (err)
					*err = o->lane[k].err;
				return o->lane[k].status;
			}
			merge(o, &o->lane[k], at + k == 0);
		}
		if (o->request->progress)
			o->request->progress(o->request->progress_context, "observing", at + now, total);
	}
	for (int i = 0; i < o->count; i++) {
		for (int64_t c = 0; c < o->out[i].channels; c++)
			o->out[i].mean[c] /= (double)total;
		oq_observed_bounds(&o->out[i]);
	}
	return OQ_OK;
}

/* The channels of a value are known once it has been computed; a layer that reads it knows them, too. */
static int64_t channels_of(const oq_nn_model *model, const char *value)
{
	for (int i = 0; i < oq_nn_model_layers(model); i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(model, i, &layer);
		if (!strcmp(layer.input, value))
			return layer.in;
	}
	return 0;
}

static oq_status make_room(observer *o, oq_error *err)
{
	int64_t total = o->request->calibration.count;
	o->per_input = OQ_SAMPLE_ROWS / total > 1 ? OQ_SAMPLE_ROWS / total : 1;
	o->lane = oq_calloc((size_t)o->lanes, sizeof *o->lane);
	bool good = o->lane != NULL;
	for (int i = 0; i < o->count && good; i++) {
		oq_observed *value = &o->out[i];
		*value = (oq_observed){.value = o->names[i], .channels = channels_of(o->model, o->names[i]), .per_input = o->per_input};
		value->row_count = total * o->per_input < OQ_SAMPLE_ROWS ? total * o->per_input : OQ_SAMPLE_ROWS;
		value->mean = oq_calloc((size_t)value->channels, sizeof *value->mean);
		value->rows = oq_calloc((size_t)(OQ_SAMPLE_ROWS * value->channels), sizeof *value->rows);
		value->lowest = oq_calloc((size_t)value->channels, sizeof *value->lowest);
		value->highest = oq_calloc((size_t)value->channels, sizeof *value->highest);
		good = value->mean && value->rows && value->lowest && value->highest;
	}
	for (int k = 0; k < o->lanes && good; k++) {
		lane *own = &o->lane[k];
		own->input = oq_alloc_aligned(oq_nn_model_input_count(o->model) * sizeof(float));
		own->embedding = oq_alloc(oq_nn_model_output_count(o->model) * sizeof(float));
		own->parts = oq_calloc((size_t)o->count, sizeof *own->parts);
		good = own->input && own->embedding && own->parts;
		for (int i = 0; i < o->count && good; i++)
			good = (own->parts[i].sum = oq_alloc((size_t)o->out[i].channels * sizeof(double))) != NULL
				&& (own->parts[i].low = oq_alloc((size_t)o->out[i].channels * sizeof(float))) != NULL
				&& (own->parts[i].high = oq_alloc((size_t)o->out[i].channels * sizeof(float))) != NULL;
	}
	if (!good)
		return oq_fail_memory(err, o->request->package, 0);
	for (int k = 0; k < o->lanes; k++)
		OQ_TRY(oq_nn_session_open(o->model, &o->lane[k].session, err));
	return OQ_OK;
}

static void close_lanes(observer *o)
{
	for (int k = 0; o->lane && k < o->lanes; k++) {
		oq_nn_session_close(o->lane[k].session);
		for (int i = 0; o->lane[k].parts && i < o->count; i++) {
			oq_free(o->lane[k].parts[i].sum);
			oq_free(o->lane[k].parts[i].low);
			oq_free(o->lane[k].parts[i].high);
		}
		oq_free(o->lane[k].parts);
		oq_free_aligned(o->lane[k].input);
		oq_free(o->lane[k].embedding);
	}
	oq_free(o->lane);
}

oq_status oq_observe(const oq_package *package, const oq_quantize_request *request, const char *const *names, int count, oq_observed *out, oq_error *err)
{
	observer o = {.request = request, .names = names, .out = out, .count = count, .lanes = request->threads > 1 ? request->threads : 1};
	const oq_nn_options options = {.keep = names, .precision = OQ_PRECISION_F32};
	OQ_TRY(oq_nn_model_open(package, &options, &o.model, err));
	oq_status status = make_room(&o, err);
	if (status == OQ_OK)
		status = run_inputs(&o, err);
	close_lanes(&o);
	oq_nn_model_close(o.model);
	return status;
}

void oq_observed_free(oq_observed *observed, int count)
{
	for (int i = 0; observed && i < count; i++) {
		oq_free(observed[i].mean);
		oq_free(observed[i].rows);
		oq_free(observed[i].lowest);
		oq_free(observed[i].highest);
	}
	oq_free(observed);
}
