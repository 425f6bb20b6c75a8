/* Which layers to keep in float. Every layer is put into 8 bits alone, all others in float32; the squared error of the embedding on
 * calibration inputs, per multiplication that keeping the layer would make slower, is its rank. (Taking one layer out of the quantised network would
 * be the wrong measure: whatever changes early makes all later layers round anew, which moves the embedding as far as all errors together; alone, the
 * errors of a deep network add up to the whole within a tenth or two.) Layers are kept in that order until the allowed share of speed is used up;
 * of all plans tried within the share, the one with the least error wins. Costs are counted, not timed, so that the same input gives the same package. */
#include "plan.h"

#include "core/dtype.h"
#include "core/mem.h"
#include "core/sha256.h"

#include <math.h>
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INPUTS 8       /* calibration inputs that every trial runs */
/* Measured on an AVX512-BF16 processor, in the time of an 8-bit product of as many multiplications, with what it takes to convert what is read and written: */
#define KEPT_COST 2.3 /* of a product that is kept: in bfloat16 */
#define STEM_COST 9.0 /* of one that never is quantised: float32, with few channels */

typedef struct search {
	oq_plan *plan;
	int64_t inputs;
	size_t in, out;
	float *data;      /* [inputs][in] */
	float *reference; /* [inputs][out]: float embeddings */
	float *trial;     /* [inputs][out] */
	oq_nn_range *ranges;
	oq_nn_codes *codes;
	float **owned;    /* weights of float layers in a trial, and biases */
	int owned_count;
} search;

static oq_status run_all(const search *s, const oq_nn_model *model, float *embeddings, oq_error *err)
{
	oq_status status = OQ_OK;
	int lanes = s->plan->request->threads > 1 ? s->plan->request->threads : 1;
#pragma omp parallel num_threads(lanes) shared(status)
	{
		oq_nn_session *session = NULL;
		oq_error own = {0};
		oq_status mine = oq_nn_session_open(model, &session, &own);
#pragma omp for schedule(static, 1)
		for (int64_t i = 0; i < s->inputs; i++)
			if (mine == OQ_OK)
				mine = oq_nn_session_run(session, s->data + (size_t)i * s->in, embeddings + (size_t)i * s->out, &own);
		if (mine != OQ_OK) {
#pragma omp critical(oq_search)
			{
				status = mine;
				if (err)
					*err = own;
			}
		}
		oq_nn_session_close(session);
	}
	return status;
}

/* Mean over the inputs of |trial - reference|^2 / |reference - mean|^2. */
static double error_of(const search *s)
{
	double sum = 0;
	double *mean = oq_calloc(s->out, sizeof *mean);
	if (!mean)
		return NAN;
	for (int64_t i = 0; i < s->inputs; i++)
		for (size_t k = 0; k < s->out; k++)
			mean[k] += (double)s->reference[(size_t)i * s->out + k] / (double)s->inputs;
	for (int64_t i = 0; i < s->inputs; i++) {
		double error = 0, size = 0;
		for (size_t k = 0; k < s->out; k++) {
			size_t at = (size_t)i * s->out + k;
			double x = (double)s->reference[at], e = (double)s->trial[at] - x;
			error += e * e;
			size += (x - mean[k]) * (x - mean[k]);
		}
		sum += size > 0 ? error / size : 0;
	}
	oq_free(mean);
	return sum / (double)s->inputs;
}

/* A layer left in float, as the package will hold it: rounded to bfloat16. */
static oq_status float_layer(search *s, const oq_plan_layer *layer, oq_nn_codes *out, oq_error *err)
{
	size_t count = (size_t)(layer->info.out * layer->info.in * layer->info.taps);
	float *weights = s->owned[s->owned_count++] = oq_alloc(count * sizeof *weights);
	if (!weights)
		return oq_fail_memory(err, layer->info.node, count * sizeof *weights);
	for (size_t i = 0; i < count; i++)
		weights[i] = oq_bf16_to_f32(layer->narrow.narrow[i]);
	*out = (oq_nn_codes){.node = layer->info.node, .weights = weights, .bias = layer->narrow.bias};
	return OQ_OK;
}

static void free_float_layers(search *s)
{
	for (int i = 0; i < s->owned_count; i++)
		oq_free(s->owned[i]);
	s->owned_count = 0;
}

static oq_nn_codes codes_of(const oq_plan_layer *layer)
{
	return (oq_nn_codes){.node = layer->info.node, .codes = layer->codes.codes, .scale = layer->codes.scale, .bias = layer->codes.bias};
}

/* s->trial of the network with s->codes [count]. */
static oq_status run_codes(search *s, int count, bool wide, oq_error *err)
{
	const oq_plan *plan = s->plan;
	const oq_nn_quantization q = {.ranges = s->ranges, .range_count = plan->value_count, .layers = s->codes, .layer_count = count,
		.vectors = plan->vectors, .vector_count = plan->vector_count};
	const oq_nn_options options = {.precision = OQ_PRECISION_INT8, .quantization = &q, .wide = wide};
	oq_nn_model *model = NULL;
	OQ_TRY(oq_nn_model_open(plan->package, &options, &model, err));
	oq_status status = run_all(s, model, s->trial, err);
	oq_nn_model_close(model);
	return status;
}

/* The network with all layers in 8 bits that are not kept. */
static oq_status try_plan(search *s, oq_error *err)
{
	const oq_plan *plan = s->plan;
	oq_status status = OQ_OK;
	for (int i = 0; i < plan->layer_count && status == OQ_OK; i++)
		if (plan->layers[i].kept)
			status = float_layer(s, &plan->layers[i], &s->codes[i], err);
		else
			s->codes[i] = codes_of(&plan->layers[i]);
	if (status == OQ_OK)
		status = run_codes(s, plan->layer_count, false, err);
	free_float_layers(s);
	return status;
}

/* A layer in float32 with the factors that its codes have, too. */
static oq_status wide_layer(search *s, const oq_plan_layer *layer, oq_nn_codes *out, oq_error *err)
{
	float **weights = &s->owned[s->owned_count], **bias = weights + 1;
	s->owned_count += 2;
	OQ_TRY(oq_plan_read_layer(s->plan, layer, weights, bias, err));
	*out = (oq_nn_codes){.node = layer->info.node, .weights = *weights, .bias = *bias};
	return OQ_OK;
}

/* The network with one layer in 8 bits. The others are those of the source; where channels are scaled, with their factors, which only undo
 * each other together. */
static oq_status try_alone(search *s, int alone, oq_error *err)
{
	const oq_plan *plan = s->plan;
	oq_status status = OQ_OK;
	int count = 0;
	for (int i = 0; i < plan->layer_count && status == OQ_OK; i++)
		if (i == alone)
			s->codes[count++] = codes_of(&plan->layers[i]);
		else if (plan->layers[i].divide || plan->layers[i].multiply)
			status = wide_layer(s, &plan->layers[i], &s->codes[count++], err);
	if (status == OQ_OK)
		status = run_codes(s, count, true, err);
	free_float_layers(s);
	return status;
}

/* The error with one layer in 8 bits (alone >= 0) or of the plan as it is: measured before an interruption, or now. */
static oq_status measure(search *s, const char *name, int alone, double *error, oq_error *err)
{
	const oq_quantize_request *request = s->plan->request;
	if (oq_state_find(s->plan->search, name, error))
		return OQ_OK;
	if (request->cancel && *request->cancel)
		return oq_fail(err, OQ_E_RESOURCE, "E_CANCELLED", "%s: the search was interrupted; the same command goes on from here", request->package);
	OQ_TRY(alone >= 0 ? try_alone(s, alone, err) : try_plan(s, err));
	*error = error_of(s);
	return oq_state_add(s->plan->search, name, *error, err);
}

static oq_status open_search(search *s, oq_error *err)
{
	const oq_plan *plan = s->plan;
	const oq_calibration *from = &plan->request->calibration;
	s->inputs = from->count < INPUTS ? from->count : INPUTS;
	s->in = oq_nn_model_input_count(plan->model);
	s->out = oq_nn_model_output_count(plan->model);
	s->data = oq_alloc_aligned((size_t)s->inputs * s->in * sizeof(float));
	s->reference = oq_alloc((size_t)s->inputs * s->out * sizeof(float));
	s->trial = oq_alloc((size_t)s->inputs * s->out * sizeof(float));
	s->ranges = oq_calloc((size_t)plan->value_count, sizeof *s->ranges);
	s->codes = oq_calloc((size_t)plan->layer_count, sizeof *s->codes);
	s->owned = oq_calloc(2 * (size_t)plan->layer_count, sizeof *s->owned);
	if (!s->data || !s->reference || !s->trial || !s->ranges || !s->codes || !s->owned)
		return oq_fail_memory(err, plan->request->package, (size_t)s->inputs * s->in * sizeof(float));
	for (int i = 0; i < plan->value_count; i++)
		s->ranges[i] = (oq_nn_range){.value = plan->values[i].value, .scale = plan->ranges[i].scale, .zero = plan->ranges[i].zero};
	for (int64_t i = 0; i < s->inputs; i++) /* spread over all of them */
		OQ_TRY(from->read(from->context, i * from->count / s->inputs, s->data + (size_t)i * s->in, err));
	return run_all(s, plan->model, s->reference, err);
}

typedef struct rank {
	double value;
	int layer;
} rank;

static int larger_first(const void *a, const void *b)
{
	const rank *x = a, *y = b;
	return x->value != y->value ? (x->value < y->value) - (x->value > y->value) : x->layer - y->layer;
}

static oq_status measure_layers(search *s, rank *ranks, oq_error *err)
{
	oq_plan *plan = s->plan;
	for (int i = 0; i < plan->layer_count; i++) {
		oq_plan_layer *layer = &plan->layers[i];
		OQ_TRY(measure(s, layer->info.node, i, &layer->error, err));
		ranks[i] = (rank){layer->error / layer->info.gflop, i};
		if (plan->request->progress)
			plan->request->progress(plan->request->progress_context, "measuring layers", i + 1, plan->layer_count);
	}
	qsort(ranks, (size_t)plan->layer_count, sizeof *ranks, larger_first);
	return OQ_OK;
}

/* Layers in the order of their ranks, until the share of speed is used up; returns how many. */
static int choose_kept(oq_plan *plan, const rank *ranks, double share)
{
	double total = 0, used = 0;
	int kept = 0;
	for (int i = 0; i < oq_nn_model_layers(plan->model); i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(plan->model, i, &layer);
		total += layer.gflop * (layer.quantizable ? 1 : STEM_COST);
	}
	/* A plan with `used` more time has 1/(1+used/total) of the speed. */
	double budget = total * (1 / (1 - share) - 1);
	for (int i = 0; i < plan->layer_count; i++) {
		oq_plan_layer *layer = &plan->layers[ranks[i].layer];
		double cost = layer->info.gflop * (KEPT_COST - 1);
		layer->kept = used + cost <= budget;
		used += layer->kept ? cost : 0;
		kept += layer->kept;
	}
	return kept;
}

static oq_status try_share(search *s, const rank *ranks, double share, oq_trade *trade, oq_error *err)
{
	char name[48];
	snprintf(name, sizeof name, "#share %.17g", share);
	*trade = (oq_trade){.speed_share = share, .kept = choose_kept(s->plan, ranks, share)};
	return measure(s, name, -1, &trade->error, err);
}

/* Lists what is better than everything faster: the others nobody would choose. Least share first. */
static void keep_pareto(oq_plan *plan)
{
	int count = 0;
	for (int i = 0; i < plan->trade_count; i++)
		if (!count || plan->trades[i].error < plan->trades[count - 1].error)
			plan->trades[count++] = plan->trades[i];
	plan->trade_count = count;
}

/* What a user may choose from: the error at several shares of speed and at the one that was asked for. */
static oq_status keep_layers(search *s, oq_error *err)
{
	static const double shares[] = {0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.48};
	oq_plan *plan = s->plan;
	double asked = plan->request->speed_share;
	rank *ranks = oq_alloc((size_t)plan->layer_count * sizeof *ranks);
	if (!ranks)
		return oq_fail_memory(err, plan->request->package, 0);
	oq_status status = measure_layers(s, ranks, err);
	bool listed = false;
	for (size_t i = 0; i < sizeof shares / sizeof *shares && status == OQ_OK; i++) {
		if (!listed && asked < shares[i])
			status = try_share(s, ranks, asked, &plan->trades[plan->trade_count++], err);
		listed = listed || asked <= shares[i];
		if (status == OQ_OK)
			status = try_share(s, ranks, shares[i], &plan->trades[plan->trade_count++], err);
	}
	if (status == OQ_OK && !listed)
		status = try_share(s, ranks, asked, &plan->trades[plan->trade_count++], err);
	keep_pareto(plan);
	int best = 0;
	for (int i = 0; i < plan->trade_count && plan->trades[i].speed_share <= asked; i++)
		best = i;
	if (status == OQ_OK) {
		choose_kept(plan, ranks, plan->trades[best].speed_share);
		plan->error = plan->trades[best].error;
	}
	oq_free(ranks);
	return status;
}

/* Everything that a measured number depends on. */
static oq_status name_search(const oq_plan *plan, char key[65], oq_error *err)
{
	const oq_quantize_request *request = plan->request;
	char version[32], isa[48], text[256];
	char *described = NULL;
	if (request->described)
		OQ_TRY(oq_json_print(request->described, false, &described, err));
	oq_nn_backend(version, isa);
	int length = snprintf(text, sizeof text, "alone 3: %d.%d.%d %s %s %s %d %d %d %d %lld", OQ_VERSION_MAJOR, OQ_VERSION_MINOR, OQ_VERSION_PATCH, version, isa,
		oq_package_sha256(plan->package), request->weight_bits, request->plain_rounding, request->equalise, request->migrate, (long long)request->calibration.count);
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, text, (size_t)length);
	if (described)
		oq_sha256_update(&hash, described, strlen(described));
	oq_sha256_hex(&hash, key);
	oq_free(described);
	return OQ_OK;
}

static oq_status open_state(search *s, oq_error *err)
{
	char key[65], path[4096];
	size_t length = strlen(s->plan->request->output);
	while (length > 1 && s->plan->request->output[length - 1] == '/')
		length--;
	if (length + sizeof ".state" > sizeof path)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "%s: the path is too long", s->plan->request->output);
	snprintf(path, sizeof path, "%.*s.state", (int)length, s->plan->request->output);
	OQ_TRY(name_search(s->plan, key, err));
	return oq_state_open(path, key, &s->plan->search, err);
}

oq_status oq_plan_search(oq_plan *plan, oq_error *err)
{
	search s = {.plan = plan};
	oq_status status = open_search(&s, err);
	if (status == OQ_OK)
		status = try_plan(&s, err);
	if (status == OQ_OK)
		plan->error = plan->error_fast = error_of(&s);
	if (status == OQ_OK && plan->request->speed_share > 0) {
		status = open_state(&s, err);
		if (status == OQ_OK)
			status = keep_layers(&s, err);
	}
	oq_free_aligned(s.data);
	oq_free(s.reference);
	oq_free(s.trial);
	oq_free(s.ranges);
	oq_free(s.codes);
	oq_free((void *)s.owned);
	return status;
}
