/* From a float package to a smaller one: observe, choose ranges, round weights, search, store. */
#include "quantize/quantize.h"

#include "core/mem.h"
#include "folder.h"
#include "plan.h"

#include <math.h>
#include <omp.h>
#include <string.h>

static oq_status fail_first(oq_status *status, oq_status mine, const oq_error *own, oq_error *err)
{
#pragma omp critical(oq_quantize)
	if (*status == OQ_OK && mine != OQ_OK) {
		*status = mine;
		if (err)
			*err = *own;
	}
	return *status;
}

/* A tensor that two layers share is left alone. */
static bool shares_weight(const oq_nn_model *model, int index, const char *weight)
{
	for (int i = 0; i < oq_nn_model_layers(model); i++) {
		oq_nn_layer other;
		oq_nn_model_layer(model, i, &other);
		if (i != index && !strcmp(other.weight, weight))
			return true;
	}
	return false;
}

static int find_value(const char *const *names, int count, const char *name)
{
	for (int i = 0; i < count; i++)
		if (!strcmp(names[i], name))
			return i;
	return -1;
}

/* The layers to quantise and the names of their inputs ([layer_count + 1], NULL-terminated). */
static oq_status list_layers(oq_plan *plan, const char **names, oq_error *err)
{
	for (int i = 0; i < oq_nn_model_layers(plan->model); i++) {
		oq_plan_layer layer = {.index = i, .error = NAN};
		oq_nn_model_layer(plan->model, i, &layer.info);
		if (!layer.info.quantizable || shares_weight(plan->model, i, layer.info.weight))
			continue;
		layer.value = find_value(names, plan->value_count, layer.info.input);
		if (layer.value < 0) {
			layer.value = plan->value_count;
			names[plan->value_count++] = layer.info.input;
		}
		plan->layers[plan->layer_count++] = layer;
	}
	if (!plan->layer_count)
		return oq_fail(err, OQ_E_MODEL, "E_GRAPH", "%s: has no layer that can be quantised", plan->request->package);
	return OQ_OK;
}

/* energy[c] += squares of the weights that read channel c */
static void add_energy(const oq_nn_layer *layer, const float *weights, double *energy)
{
	for (int64_t o = 0; o < layer->out; o++)
		for (int64_t c = 0; c < layer->in; c++)
			for (int64_t t = 0; t < layer->taps; t++) {
				double w = (double)weights[(o * layer->in + c) * layer->taps + t];
				energy[c] += w * w;
			}
}

static oq_status choose_range(oq_plan *plan, int value, oq_error *err)
{
	double *energy = oq_calloc((size_t)plan->values[value].channels, sizeof *energy);
	oq_status status = energy ? OQ_OK : oq_fail_memory(err, plan->values[value].value, 0);
	for (int i = 0; i < plan->layer_count && status == OQ_OK; i++) {
		float *weights = NULL, *bias = NULL;
		if (plan->layers[i].value != value)
			continue;
		status = oq_plan_read_layer(plan, &plan->layers[i], &weights, &bias, err);
		if (status == OQ_OK)
			add_energy(&plan->layers[i].info, weights, energy);
		oq_free(weights);
		oq_free(bias);
	}
	if (status == OQ_OK)
		status = oq_range_choose(&plan->values[value], energy, &plan->ranges[value], err);
	oq_free(energy);
	return status;
}

/* Which results a layer needs: codes for int8; bfloat16 where it may be kept, or for a package of bfloat16. */
static oq_status round_layer(oq_plan *plan, oq_plan_layer *layer, oq_error *err)
{
	const oq_quantize_request *request = plan->request;
	float *weights = NULL, *bias = NULL;
	double *share = oq_alloc((size_t)layer->info.taps * sizeof *share), *lost = oq_alloc((size_t)layer->info.in * sizeof *lost);
	oq_status status = share && lost ? oq_plan_read_layer(plan, layer, &weights, &bias, err) : oq_fail_memory(err, layer->info.node, 0);
	if (status == OQ_OK) {
		bool int8 = request->precision == OQ_PRECISION_INT8;
		oq_nn_model_layer_taps(plan->model, layer->index, share);
		oq_range_lost(&plan->values[layer->value], &plan->ranges[layer->value], lost);
		const oq_rounding r = {.in = layer->info.in, .out = layer->info.out, .taps = layer->info.taps, .weights = weights, .bias = bias, .share = share,
			.input = &plan->values[layer->value], .lost = lost, .bits = request->weight_bits, .plain = request->plain_rounding};
		status = oq_round_weights(&r, int8 ? &layer->codes : NULL, int8 && request->speed_share <= 0 ? NULL : &layer->narrow, err);
	}
	oq_free(weights);
	oq_free(bias);
	oq_free(share);
	oq_free(lost);
	return status;
}

static void tell(const oq_plan *plan, const char *stage, int64_t done, int64_t total)
{
	if (plan->request->progress) {
#pragma omp critical(oq_quantize_progress)
		plan->request->progress(plan->request->progress_context, stage, done, total);
	}
}

static oq_status choose_ranges(oq_plan *plan, int threads, oq_error *err)
{
	oq_status status = OQ_OK;
	int done = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
	for (int i = 0; i < plan->value_count; i++) {
		oq_error own = {0};
		if (status == OQ_OK)
			fail_first(&status, choose_range(plan, i, &own), &own, err);
#pragma omp atomic
		done++;
		tell(plan, "choosing ranges", done, plan->value_count);
	}
	return status;
}

static oq_status round_layers(oq_plan *plan, int threads, oq_error *err)
{
	oq_status status = OQ_OK;
	int done = 0;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
	for (int i = 0; i < plan->layer_count; i++) {
		oq_error own = {0};
		if (status == OQ_OK && !(plan->request->cancel && *plan->request->cancel))
			fail_first(&status, round_layer(plan, &plan->layers[i], &own), &own, err);
#pragma omp atomic
		done++;
		tell(plan, "rounding weights", done, plan->layer_count);
	}
	if (status == OQ_OK && plan->request->cancel && *plan->request->cancel)
		return oq_fail(err, OQ_E_RESOURCE, "E_CANCELLED", "%s: quantisation was interrupted", plan->request->package);
	return status;
}

/* Rounding with the calibration inputs in view. */
static oq_status calibrate(oq_plan *plan, const char *const *names, oq_error *err)
{
	int threads = plan->request->threads > 1 ? plan->request->threads : 1;
	plan->values = oq_calloc((size_t)plan->value_count, sizeof *plan->values);
	plan->ranges = oq_calloc((size_t)plan->value_count, sizeof *plan->ranges);
	plan->factors = oq_calloc((size_t)plan->value_count, sizeof *plan->factors);
	plan->migrations = oq_calloc((size_t)plan->value_count, sizeof *plan->migrations);
	plan->vectors = oq_calloc(2 * (size_t)plan->value_count, sizeof *plan->vectors);
	if (!plan->values || !plan->ranges || !plan->factors || !plan->migrations || !plan->vectors)
		return oq_fail_memory(err, plan->request->package, 0);
	OQ_TRY(oq_observe(plan->package, plan->request, names, plan->value_count, plan->values, err));
	OQ_TRY(oq_plan_equalise(plan, err));
	OQ_TRY(oq_plan_migrate(plan, threads, err));
	oq_plan_link_factors(plan);
	OQ_TRY(choose_ranges(plan, threads, err));
	OQ_TRY(round_layers(plan, threads, err));
	return plan->request->precision == OQ_PRECISION_INT8 ? oq_plan_search(plan, err) : OQ_OK;
}

static oq_status make_plan(oq_plan *plan, oq_error *err)
{
	const oq_quantize_request *request = plan->request;
	const oq_nn_options options = {.precision = OQ_PRECISION_F32};
	OQ_TRY(oq_folder_check(request->output, err));
	OQ_TRY(oq_package_open(request->package, &plan->package, err));
	OQ_TRY(oq_nn_model_open(plan->package, &options, &plan->model, err));
	size_t layers = (size_t)oq_nn_model_layers(plan->model);
	const char **names = oq_calloc(layers + 1, sizeof *names);
	plan->layers = oq_calloc(layers, sizeof *plan->layers);
	oq_status status = names && plan->layers ? list_layers(plan, names, err) : oq_fail_memory(err, request->package, layers);
	if (status == OQ_OK && request->calibration.count)
		status = calibrate(plan, names, err);
	oq_free((void *)names);
	return status == OQ_OK ? oq_plan_store(plan, err) : status;
}

static bool describe_layer(const oq_plan *plan, const oq_plan_layer *layer, oq_json *layers)
{
	oq_json *json = oq_json_add_object(layers, layer->info.node);
	bool narrow = layer->kept || !layer->codes.codes;
	bool good = oq_json_add_string(json, "precision", narrow ? "bf16" : "int8") && oq_json_add_string(json, "input", layer->info.input)
		&& oq_json_add_number(json, "weight_error", narrow ? layer->narrow.error : layer->codes.error) && oq_json_add_number(json, "gflop", layer->info.gflop);
	if (good && layer->codes.codes)
		good = oq_json_add_string(json, "observer", plan->ranges[layer->value].observer)
			&& oq_json_add_number(json, "input_error", plan->ranges[layer->value].error);
	return good && (isnan(layer->error) || oq_json_add_number(json, "squared_error_alone", layer->error));
}

/* By value, where there was something to move: the share of the difference in size, and the errors of the products without and with it. */
static bool describe_migrations(const oq_plan *plan, oq_json *out)
{
	oq_json *all = plan->request->migrate ? oq_json_add_object(out, "migrated") : NULL;
	bool good = all || !plan->request->migrate;
	for (int i = 0; i < plan->value_count && good; i++) {
		const oq_migration *m = &plan->migrations[i];
		oq_json *one = m->share > 0 ? oq_json_add_object(all, plan->values[i].value) : NULL;
		good = !(m->share > 0) || (oq_json_add_number(one, "share", m->share) && oq_json_add_number(one, "error_without", m->before)
			&& oq_json_add_number(one, "error", m->error));
	}
	return good;
}

/* What only 8 bits have: ranges, and errors measured through the network. */
static bool describe_int8(const oq_plan *plan, oq_json *out)
{
	bool good = oq_json_add_int(out, "weight_bits", plan->request->weight_bits) && oq_json_add_number(out, "rms_error", sqrt(plan->error))
		&& oq_json_add_number(out, "rms_error_all_int8", sqrt(plan->error_fast));
	oq_json *trades = good && plan->trade_count ? oq_json_add_array(out, "trades") : NULL;
	for (int i = 0; i < plan->trade_count && good; i++) {
		oq_json *trade = oq_json_add_object(trades, NULL);
		good = oq_json_add_number(trade, "keep_share", plan->trades[i].speed_share) && oq_json_add_int(trade, "layers_kept", plan->trades[i].kept)
			&& oq_json_add_number(trade, "rms_error", sqrt(plan->trades[i].error));
	}
	good = good && describe_migrations(plan, out);
	oq_json *values = good ? oq_json_add_object(out, "values") : NULL;
	for (int i = 0; i < plan->value_count && values && good; i++) {
		oq_json *pair = oq_json_add_array(values, plan->values[i].value);
		good = oq_json_add_number(pair, NULL, (double)plan->ranges[i].scale) && oq_json_add_int(pair, NULL, plan->ranges[i].zero);
	}
	return good && values;
}

bool oq_plan_describe(const oq_plan *plan, oq_json *out)
{
	bool good = oq_json_add_string(out, "rounding", plan->request->plain_rounding ? "nearest" : "gptq") && oq_json_add_bool(out, "equalised", plan->request->equalise)
		&& oq_json_add_bool(out, "wide_codebook", plan->request->wide_codebook);
	if (good && plan->request->precision == OQ_PRECISION_INT8)
		good = describe_int8(plan, out);
	if (good && plan->request->described)
		good = oq_json_add(out, "calibration", oq_json_copy(plan->request->described));
	oq_json *layers = good ? oq_json_add_object(out, "layers") : NULL;
	for (int i = 0; i < plan->layer_count && layers && good; i++)
		good = describe_layer(plan, &plan->layers[i], layers);
	return good && layers;
}

static void close_plan(oq_plan *plan, bool written)
{
	for (int i = 0; plan->layers && i < plan->layer_count; i++) {
		oq_rounded_free(&plan->layers[i].codes);
		oq_rounded_free(&plan->layers[i].narrow);
	}
	oq_free(plan->layers);
	oq_observed_free(plan->values, plan->value_count);
	for (int i = 0; plan->factors && i < plan->value_count; i++)
		oq_free(plan->factors[i]);
	oq_free((void *)plan->factors);
	for (int i = 0; i < plan->vector_count; i++)
		oq_free((void *)(uintptr_t)plan->vectors[i].values);
	oq_free(plan->vectors);
	oq_free(plan->migrations);
	oq_free(plan->ranges);
	oq_state_close(plan->search, written);
	oq_nn_model_close(plan->model);
	oq_package_close(plan->package);
}

oq_status oq_quantize_package(const oq_quantize_request *request, oq_json **report, oq_error *err)
{
	oq_plan plan = {.request = request};
	bool int8 = request->precision == OQ_PRECISION_INT8;
	if (request->precision < OQ_PRECISION_BF16 || (int8 && (request->calibration.count < 1 || (request->weight_bits != 7 && request->weight_bits != 8)))
		|| !(request->speed_share >= 0 && request->speed_share < 1))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "%s: expected bf16, f16 or int8 with calibration inputs, 7 or 8 bits, and a share of speed of 0 to 1",
			request->package);
	oq_status status = make_plan(&plan, err);
	bool written = status == OQ_OK;
	if (status == OQ_OK && report && request->calibration.count) {
		*report = oq_json_object();
		status = *report && oq_plan_describe(&plan, *report) ? OQ_OK : oq_fail_memory(err, request->package, 0);
	}
	close_plan(&plan, written);
	return status;
}
