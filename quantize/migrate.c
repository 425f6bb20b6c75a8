/* Outlying channels move from activations into weights (the idea of SmoothQuant, arXiv:2211.10438): the gain and shift of a layer norm are
 * divided by a factor per channel and the columns of all linear layers that read it are multiplied by it, so the float network stays what it
 * was (to the bit: factors are powers of two) and running costs nothing. How far to move is measured, value by value, as the error of the products
 * in 8 bits on half of the calibration patches, and holds only if the other half says the same. */
#include "plan.h"

#include "core/mem.h"

#include <math.h>
#include <omp.h>
#include <string.h>

#define ROWS 64       /* sampled voxels of each half that products are made of */
#define LEAST_GAIN 0.02 /* of the error: less is the sample's accident */

/* Of the layers that read one value. */
typedef struct readers {
	int64_t in, out;
	float *weights; /* [out][in], of all of them */
	float *most;    /* [in]: largest magnitude of a column */
	double *energy; /* [in]: of a column */
} readers;

/* One half of the sampled voxels. */
typedef struct half {
	oq_observed view;  /* `rows` [ROWS][in] of its own; bounds of the whole value */
	float *products;   /* [out][ROWS], in float */
} half;

typedef struct trial {
	readers reads;
	half halves[2];
	float *factor, *columns, *row; /* [in], [in][ROWS], [in] */
	int64_t rows;
} trial;

/* sums[r] = sum over c of row[c] * columns[c][r] */
OQ_VECTORS static void multiply_row(int64_t in, const float *restrict row, const float *restrict columns, float *restrict sums)
{
	float sum[ROWS] = {0};
	for (int64_t c = 0; c < in; c++)
		for (int r = 0; r < ROWS; r++)
			sum[r] += row[c] * columns[c * ROWS + r];
	memcpy(sums, sum, sizeof sum);
}

static oq_status append_layer(const oq_plan *plan, const oq_plan_layer *layer, readers *reads, oq_error *err)
{
	float *weights = NULL, *bias = NULL;
	oq_status status = oq_plan_read_layer(plan, layer, &weights, &bias, err);
	if (status == OQ_OK) {
		memcpy(reads->weights + reads->out * reads->in, weights, (size_t)(layer->info.out * reads->in) * sizeof *weights);
		reads->out += layer->info.out;
	}
	oq_free(weights);
	oq_free(bias);
	return status;
}

static oq_status open_readers(const oq_plan *plan, int value, readers *reads, oq_error *err)
{
	int64_t in = reads->in = plan->values[value].channels, out = 0;
	for (int i = 0; i < plan->layer_count; i++)
		out += plan->layers[i].value == value ? plan->layers[i].info.out : 0;
	reads->weights = oq_alloc((size_t)(out * in) * sizeof *reads->weights);
	reads->most = oq_calloc((size_t)in, sizeof *reads->most);
	reads->energy = oq_calloc((size_t)in, sizeof *reads->energy);
	if (!reads->weights || !reads->most || !reads->energy)
		return oq_fail_memory(err, plan->values[value].value, (size_t)(out * in) * sizeof *reads->weights);
	for (int i = 0; i < plan->layer_count; i++)
		if (plan->layers[i].value == value)
			OQ_TRY(append_layer(plan, &plan->layers[i], reads, err));
	for (int64_t at = 0; at < out * in; at++) {
		float size = fabsf(reads->weights[at]);
		reads->most[at % in] = size > reads->most[at % in] ? size : reads->most[at % in];
		reads->energy[at % in] += (double)size * (double)size;
	}
	return OQ_OK;
}

/* Voxels of the even (which = 0) or odd inputs, spread evenly; of a single input, its even or odd voxels. */
static oq_status open_half(const oq_observed *value, int which, int64_t rows, half *h, oq_error *err)
{
	int64_t in = value->channels, taken = 0, of_half = 0, seen = 0;
	int64_t group = value->row_count > value->per_input ? value->per_input : 1;
	h->view = *value;
	h->view.rows = oq_alloc((size_t)(rows * in) * sizeof *h->view.rows);
	if (!h->view.rows)
		return oq_fail_memory(err, value->value, (size_t)(rows * in) * sizeof *h->view.rows);
	for (int64_t r = 0; r < value->row_count; r++)
		of_half += r / group % 2 == which;
	for (int64_t r = 0; r < value->row_count && taken < rows; r++)
		if (r / group % 2 == which && seen++ * rows / of_half >= taken)
			memcpy(h->view.rows + taken++ * in, value->rows + r * in, (size_t)in * sizeof *value->rows);
	h->view.row_count = h->view.per_input = taken;
	return OQ_OK;
}

/* columns [in][ROWS] of a half, divided by the factors and, with a range, rounded to its codes; missing rows are 0. */
static void turn(const trial *t, const half *h, const oq_range *range)
{
	int64_t in = t->reads.in;
	for (int64_t c = 0; c < in; c++)
		for (int64_t r = 0; r < ROWS; r++) {
			float x = r < h->view.row_count ? h->view.rows[r * in + c] / t->factor[c] : 0;
			t->columns[c * ROWS + r] = range ? oq_through_codes(x, range->scale, range->zero) : x;
		}
}

/* Row `o` of the weights times the factors, each to the nearest of the codes that reach to the largest. */
static void round_row(const trial *t, int64_t o, float most_code)
{
	float most = 0;
	for (int64_t c = 0; c < t->reads.in; c++) {
		t->row[c] = t->reads.weights[o * t->reads.in + c] * t->factor[c];
		most = fabsf(t->row[c]) > most ? fabsf(t->row[c]) : most;
	}
	float scale = most > 0 ? most / most_code : 1;
	for (int64_t c = 0; c < t->reads.in; c++)
		t->row[c] = rintf(t->row[c] / scale) * scale;
}

/* Relative L2 error of the products of one half with the range given. */
static double error_of(const trial *t, const half *h, const oq_range *range, float most_code)
{
	double error = 0, size = 0;
	turn(t, h, range);
	for (int64_t o = 0; o < t->reads.out; o++) {
		float sums[ROWS];
		round_row(t, o, most_code);
		multiply_row(t->reads.in, t->row, t->columns, sums);
		for (int64_t r = 0; r < h->view.row_count; r++) {
			double x = (double)h->products[o * ROWS + r], e = (double)sums[r] - x;
			error += e * e;
			size += x * x;
		}
	}
	return size > 0 ? sqrt(error / size) : 0;
}

static oq_status multiply_half(const trial *t, half *h, const char *where, oq_error *err)
{
	size_t count = (size_t)(t->reads.out * ROWS);
	h->products = oq_alloc(count * sizeof *h->products);
	if (!h->products)
		return oq_fail_memory(err, where, count * sizeof *h->products);
	turn(t, h, NULL);
	for (int64_t o = 0; o < t->reads.out; o++)
		multiply_row(t->reads.in, t->reads.weights + o * t->reads.in, t->columns, h->products + o * ROWS);
	return OQ_OK;
}

/* Of the channel's size, `share`; against it, the rest of the size of its weights; as a power of two. */
static void set_factors(const trial *t, const oq_observed *value, double share)
{
	for (int64_t c = 0; c < t->reads.in; c++) {
		double size = (double)oq_plan_largest(value, c), weight = (double)t->reads.most[c];
		bool free = share > 0 && size > 0 && weight > 0;
		t->factor[c] = free ? (float)exp2(rint(share * log2(size) - (1 - share) * log2(weight))) : 1.0f;
	}
}

/* The range that the value would get, by the first half, for channels divided by t->factor. */
static oq_status range_of(const trial *t, const oq_observed *value, double *energy, oq_range *range, oq_error *err)
{
	const half *h = &t->halves[0];
	oq_observed view = h->view;
	view.low = view.high = 0;
	view.rows = oq_alloc((size_t)(view.row_count * view.channels) * sizeof *view.rows);
	if (!view.rows)
		return oq_fail_memory(err, value->value, (size_t)(view.row_count * view.channels) * sizeof *view.rows);
	for (int64_t c = 0; c < view.channels; c++) {
		energy[c] = t->reads.energy[c] * (double)t->factor[c] * (double)t->factor[c];
		view.low = fminf(view.low, value->lowest[c] / t->factor[c]);
		view.high = fmaxf(view.high, value->highest[c] / t->factor[c]);
		for (int64_t r = 0; r < view.row_count; r++)
			view.rows[r * view.channels + c] = h->view.rows[r * view.channels + c] / t->factor[c];
	}
	oq_status status = oq_range_choose(&view, energy, range, err);
	oq_free(view.rows);
	return status;
}

/* Both halves' errors with that share. */
static oq_status try_share(const trial *t, const oq_plan *plan, int value, double share, double error[2], oq_error *err)
{
	oq_range range;
	double *energy = oq_alloc((size_t)t->reads.in * sizeof *energy);
	oq_status status = energy ? OQ_OK : oq_fail_memory(err, plan->values[value].value, (size_t)t->reads.in * sizeof *energy);
	set_factors(t, &plan->values[value], share);
	if (status == OQ_OK)
		status = range_of(t, &plan->values[value], energy, &range, err);
	for (int i = 0; i < 2 && status == OQ_OK; i++)
		error[i] = error_of(t, &t->halves[i], &range, plan->request->weight_bits == 7 ? 63.0f : 127.0f);
	oq_free(energy);
	return status;
}

static oq_status open_trial(const oq_plan *plan, int value, trial *t, oq_error *err)
{
	const oq_observed *v = &plan->values[value];
	size_t in = (size_t)v->channels;
	OQ_TRY(open_readers(plan, value, &t->reads, err));
	t->factor = oq_alloc(in * sizeof *t->factor);
	t->columns = oq_alloc(in * ROWS * sizeof *t->columns);
	t->row = oq_alloc(in * sizeof *t->row);
	if (!t->factor || !t->columns || !t->row)
		return oq_fail_memory(err, v->value, in * ROWS * sizeof *t->columns);
	set_factors(t, v, 0);
	for (int i = 0; i < 2; i++) {
		OQ_TRY(open_half(v, i, v->row_count / 2 < ROWS ? v->row_count / 2 : ROWS, &t->halves[i], err));
		OQ_TRY(multiply_half(t, &t->halves[i], v->value, err));
	}
	return OQ_OK;
}

static void close_trial(trial *t)
{
	for (int i = 0; i < 2; i++) {
		oq_free(t->halves[i].view.rows);
		oq_free(t->halves[i].products);
	}
	oq_free(t->reads.weights);
	oq_free(t->reads.most);
	oq_free(t->reads.energy);
	oq_free(t->factor);
	oq_free(t->columns);
	oq_free(t->row);
}

/* plan->factors[value], if one of the shares helps on both halves. */
static oq_status choose_share(oq_plan *plan, int value, trial *t, oq_error *err)
{
	static const double shares[] = {0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9};
	oq_migration *m = &plan->migrations[value];
	double none[2], error[2], best[2] = {INFINITY, INFINITY};
	OQ_TRY(try_share(t, plan, value, 0, none, err));
	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
		OQ_TRY(try_share(t, plan, value, shares[i], error, err));
		if (error[0] < best[0]) {
			memcpy(best, error, sizeof best);
			m->share = shares[i];
		}
	}
	m->before = none[1];
	m->error = best[1];
	if (best[0] > (1 - LEAST_GAIN) * none[0] || best[1] > (1 - LEAST_GAIN) * none[1]) {
		m->share = 0;
		return OQ_OK;
	}
	set_factors(t, &plan->values[value], m->share);
	plan->factors[value] = t->factor;
	t->factor = NULL;
	return OQ_OK;
}

/* A linear layer that reads the value and knows its norm; or NULL: it has none, or somebody else reads it, too. */
static const oq_nn_layer *reader_of(const oq_plan *plan, int value)
{
	const oq_nn_layer *found = NULL;
	for (int i = 0; i < plan->layer_count; i++) {
		if (plan->layers[i].value != value)
			continue;
		if (plan->layers[i].info.taps != 1)
			return NULL;
		found = &plan->layers[i].info;
	}
	return found && found->gain && oq_plan_owns(plan, value) ? found : NULL;
}

static oq_status migrate(oq_plan *plan, int value, oq_error *err)
{
	trial t = {0};
	if (!reader_of(plan, value) || plan->values[value].row_count < 2)
		return OQ_OK;
	oq_status status = open_trial(plan, value, &t, err);
	if (status == OQ_OK)
		status = choose_share(plan, value, &t, err);
	close_trial(&t);
	return status;
}

/* The norm's tensor, divided. */
static oq_status add_vector(oq_plan *plan, const char *tensor, const oq_observed *value, const float *factor, oq_error *err)
{
	size_t count = (size_t)value->channels;
	float *values = oq_alloc(count * sizeof *values);
	if (!values)
		return oq_fail_memory(err, tensor, count * sizeof *values);
	plan->vectors[plan->vector_count++] = (oq_nn_vector){tensor, values};
	OQ_TRY(oq_package_read_f32(plan->package, tensor, values, count, err));
	for (size_t c = 0; c < count; c++)
		values[c] /= factor[c];
	return OQ_OK;
}

oq_status oq_plan_migrate(oq_plan *plan, int threads, oq_error *err)
{
	oq_status status = OQ_OK;
	if (!plan->request->migrate || plan->request->precision != OQ_PRECISION_INT8)
		return OQ_OK;
#pragma omp parallel for num_threads(threads) schedule(dynamic)
	for (int i = 0; i < plan->value_count; i++) {
		oq_error own = {0};
		oq_status mine = migrate(plan, i, &own);
		if (mine != OQ_OK) {
#pragma omp critical(oq_migrate)
			{
				status = mine;
				if (err)
					*err = own;
			}
		}
	}
	for (int i = 0; i < plan->value_count && status == OQ_OK; i++) {
		const oq_nn_layer *reader = plan->migrations[i].share > 0 ? reader_of(plan, i) : NULL;
		if (!reader)
			continue;
		oq_plan_divide(plan, i);
		status = add_vector(plan, reader->gain, &plan->values[i], plan->factors[i], err);
		if (status == OQ_OK && reader->shift)
			status = add_vector(plan, reader->shift, &plan->values[i], plan->factors[i], err);
	}
	return status;
}
