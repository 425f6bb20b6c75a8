/* Rounding column by column, where what one weight's rounding changes in the products is taken up by the weights still to be
 * rounded (the method of Frantar et al., GPTQ, arXiv:2210.17323, itself after Hassibi and Stork's optimal brain surgeon). The
 * quadratic form is the covariance of the layer's input channels, the same for every tap; means are left to the bias.
 * With H = L L' and M the inverse of L, channels are rounded from the last to the first: e = (w - rounded) / M[i][i], and
 * w[j] -= e * M[i][j] for j < i; the sum of e^2 is the energy lost. */
#include "rounding.h"

#include "core/dtype.h"
#include "core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DAMPING 0.01 /* of the mean variance, added to every variance: the samples are fewer than they ought to be */

OQ_VECTORS static void subtract_multiple(int64_t count, double factor, const double *restrict x, double *restrict y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] -= factor * x[i];
}

OQ_VECTORS static void subtract_multiple_f32(int64_t count, float factor, const float *restrict x, float *restrict y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] -= factor * x[i];
}

#define GROUP 1024 /* channels rounded together: the work grows with the cube of their number */

typedef struct form {
	int64_t n, stride;
	int64_t *order; /* [n]: channels by growing variance, so that the most important are rounded first */
	double *matrix; /* [n][n], lower triangle: covariance, then L, then its inverse */
	float *inverse; /* [n][n], the latter in float32 */
} form;

typedef struct variance {
	double value;
	int64_t channel;
} variance;

static int ascending(const void *a, const void *b)
{
	const variance *x = a, *y = b;
	return x->value != y->value ? (x->value > y->value) - (x->value < y->value) : (x->channel > y->channel) - (x->channel < y->channel);
}

/* Channels first, first+1, ... of the value. */
static void order_channels(form *f, const oq_observed *x, int64_t first, variance *all)
{
	for (int64_t i = 0; i < f->n; i++) {
		int64_t c = first + i;
		all[i] = (variance){.channel = c};
		for (int64_t r = 0; r < x->row_count; r++) {
			double d = (double)x->rows[r * f->stride + c] - x->mean[c];
			all[i].value += d * d;
		}
	}
	qsort(all, (size_t)f->n, sizeof *all, ascending);
	for (int64_t i = 0; i < f->n; i++)
		f->order[i] = all[i].channel;
}

static void fill_covariance(form *f, const oq_observed *x, double *row)
{
	int64_t n = f->n;
	memset(f->matrix, 0, (size_t)(n * n) * sizeof *f->matrix);
	for (int64_t r = 0; r < x->row_count; r++) {
		for (int64_t i = 0; i < n; i++)
			row[i] = (double)x->rows[r * f->stride + f->order[i]] - x->mean[f->order[i]];
		for (int64_t i = 0; i < n; i++)
			if (row[i] != 0)
				subtract_multiple(i + 1, -row[i], row, f->matrix + i * n);
	}
	double trace = 0;
	for (int64_t i = 0; i < n; i++)
		trace += f->matrix[i * n + i];
	for (int64_t i = 0; i < n; i++)
		f->matrix[i * n + i] += DAMPING * trace / (double)n + 1e-30;
}

/* matrix = L L', in place; `column` has room for n. The damping keeps every pivot positive. */
static void factorize(form *f, double *column)
{
	int64_t n = f->n;
	double *m = f->matrix;
	for (int64_t j = 0; j < n; j++) {
		double pivot = sqrt(m[j * n + j]);
		for (int64_t i = j; i < n; i++)
			column[i] = m[i * n + j] /= pivot;
		for (int64_t i = j + 1; i < n; i++)
			if (column[i] != 0)
				subtract_multiple(i - j, column[i], column + j + 1, m + i * n + j + 1);
	}
}

/* L to its inverse, in place, row by row; then to float32. */
static void invert(form *f, double *row)
{
	int64_t n = f->n;
	double *m = f->matrix;
	for (int64_t i = 0; i < n; i++) {
		memset(row, 0, (size_t)(i + 1) * sizeof *row);
		for (int64_t k = 0; k < i; k++)
			if (m[i * n + k] != 0)
				subtract_multiple(k + 1, m[i * n + k], m + k * n, row);
		double pivot = m[i * n + i];
		for (int64_t k = 0; k < i; k++)
			m[i * n + k] = row[k] / pivot;
		m[i * n + i] = 1 / pivot;
	}
	for (int64_t i = 0; i < n * n; i++)
		f->inverse[i] = (float)m[i];
}

static oq_status make_form(const oq_observed *x, int64_t first, form *f, oq_error *err)
{
	size_t n = (size_t)(x->channels - first < GROUP ? x->channels - first : GROUP);
	*f = (form){.n = (int64_t)n, .stride = x->channels, .order = oq_alloc(n * sizeof *f->order), .matrix = oq_alloc(n * n * sizeof *f->matrix),
		.inverse = oq_alloc(n * n * sizeof *f->inverse)};
	double *row = oq_alloc(n * sizeof *row);
	variance *all = oq_alloc(n * sizeof *all);
	bool good = f->order && f->matrix && f->inverse && row && all;
	if (good) {
		order_channels(f, x, first, all);
		fill_covariance(f, x, row);
		factorize(f, row);
		invert(f, row);
	}
	oq_free(row);
	oq_free(all);
	return good ? OQ_OK : oq_fail_memory(err, x->value, n * n * sizeof *f->matrix);
}

static void free_form(form *f)
{
	oq_free(f->order);
	oq_free(f->matrix);
	oq_free(f->inverse);
}

/* The scale of one output channel whose codes lie nearest, by least squares over twenty shrunken ranges: clipping the largest weight may
 * serve the others. */
static float choose_scale(const float *w, int64_t count, int most)
{
	const float to_integer = 12582912.0f;
	float largest = 0, best = 0;
	double least = INFINITY;
	for (int64_t i = 0; i < count; i++)
		largest = fabsf(w[i]) > largest ? fabsf(w[i]) : largest;
	if (!(largest > 0))
		return 1.0f; /* a channel of zeros */
	for (int step = 0; step < 20; step++) {
		float scale = largest * (1.0f - 0.02f * (float)step) / (float)most, limit = (float)most;
		double error = 0;
		for (int64_t i = 0; i < count; i++) {
			float code = w[i] / scale;
			code = code > limit ? limit : code < -limit ? -limit : code;
			double e = (double)((code + to_integer - to_integer) * scale - w[i]);
			error += e * e;
		}
		if (error < least) {
			least = error;
			best = scale;
		}
	}
	return best;
}

/* The values that a weight may be rounded to: multiples of a scale, or bfloat16. */
typedef struct grid {
	float scale;
	int most; /* largest multiple; 0: bfloat16 */
} grid;

static float nearest(const grid *g, float w)
{
	if (!g->most)
		return oq_bf16_to_f32(oq_f32_to_bf16(w));
	long code = lrintf(w / g->scale);
	return g->scale * (float)(code > g->most ? g->most : code < -g->most ? -g->most : code);
}

/* One output channel of one tap. row [n] in the order of the form becomes what its weights are rounded to. */
static double round_row(const form *f, const grid *g, float *row)
{
	double lost = 0;
	for (int64_t i = f->n - 1; i >= 0; i--) {
		const float *m = f->inverse + i * f->n;
		float rounded = nearest(g, row[i]), e = (row[i] - rounded) / m[i];
		lost += (double)e * (double)e;
		subtract_multiple_f32(i, e, m, row);
		row[i] = rounded;
	}
	return lost;
}

/* Energy of the products of one row: |L' w|^2 with L the inverse's inverse is not at hand, so the diagonal stands for it. */
static double row_energy(const form *f, const double *spread, const float *row)
{
	double sum = 0;
	for (int64_t i = 0; i < f->n; i++)
		sum += spread[f->order[i]] * (double)row[i] * (double)row[i];
	return sum;
}

static void spread_of(const oq_observed *x, double *spread)
{
	memset(spread, 0, (size_t)x->channels * sizeof *spread);
	for (int64_t r = 0; r < x->row_count; r++)
		for (int64_t c = 0; c < x->channels; c++) {
			double d = (double)x->rows[r * x->channels + c] - x->mean[c];
			spread[c] += d * d;
		}
}

/* Room for one row of a group. */
typedef struct rounding_room {
	float *row;      /* [in] */
	double *spread;  /* [in] */
} rounding_room;

/* Rounds room->row, the weights of one tap of one output channel for the channels of one group; returns the energy lost. */
static double round_channels(const oq_rounding *r, const form *f, const grid *g, const rounding_room *room)
{
	double lost = 0;
	if (!r->plain)
		return round_row(f, g, room->row);
	for (int64_t i = 0; i < f->n; i++) {
		float rounded = nearest(g, room->row[i]);
		double e = (double)(room->row[i] - rounded);
		lost += e * e * room->spread[f->order[i]];
		room->row[i] = rounded;
	}
	return lost;
}

/* The codes or the bfloat16 of one tap of one output channel, the channels of one group. */
static void round_group(const oq_rounding *r, oq_rounded *to, const form *f, int64_t o, int64_t t, const rounding_room *room)
{
	const int64_t first = o * r->in * r->taps + t;
	const grid g = {.scale = to->codes ? to->scale[o] : 0, .most = to->codes ? r->bits == 7 ? 63 : 127 : 0};
	for (int64_t i = 0; i < f->n; i++)
		room->row[i] = r->weights[first + f->order[i] * r->taps];
	to->size += row_energy(f, room->spread, room->row);
	to->lost += round_channels(r, f, &g, room);
	for (int64_t i = 0; i < f->n; i++) {
		int64_t c = f->order[i], at = first + c * r->taps;
		double mean = r->input->mean[c], kept = to->codes ? mean - r->lost[c] : mean;
		if (to->codes)
			to->codes[at] = (int8_t)lrintf(room->row[i] / g.scale);
		else
			to->narrow[at] = oq_f32_to_bf16(room->row[i]);
		to->shift[o] += r->share[t] * (mean * (double)r->weights[at] - kept * (double)room->row[i]);
	}
}

static oq_status round_groups(const oq_rounding *r, oq_rounded *const *to, const rounding_room *room, oq_error *err)
{
	spread_of(r->input, room->spread);
	for (int64_t first = 0; first < r->in; first += GROUP) {
		form f = {0};
		oq_status status = make_form(r->input, first, &f, err);
		for (int k = 0; to[k] && status == OQ_OK; k++)
			for (int64_t o = 0; o < r->out; o++)
				for (int64_t t = 0; t < r->taps; t++)
					round_group(r, to[k], &f, o, t, room);
		free_form(&f);
		OQ_TRY(status);
	}
	return OQ_OK;
}

static oq_status open_result(const oq_rounding *r, bool codes, oq_rounded *to, oq_error *err)
{
	size_t out = (size_t)r->out, count = out * (size_t)(r->in * r->taps);
	to->shift = oq_calloc(out, sizeof *to->shift);
	to->bias = oq_alloc(out * sizeof *to->bias);
	bool good = to->shift && to->bias;
	if (good && codes)
		good = (to->codes = oq_alloc(count)) && (to->scale = oq_alloc(out * sizeof *to->scale));
	else if (good)
		good = (to->narrow = oq_alloc(count * sizeof *to->narrow)) != NULL;
	if (!good)
		return oq_fail_memory(err, r->input->value, count);
	for (int64_t o = 0; o < r->out && codes; o++)
		to->scale[o] = choose_scale(r->weights + o * r->in * r->taps, r->in * r->taps, r->bits == 7 ? 63 : 127);
	return OQ_OK;
}

static void finish_result(const oq_rounding *r, oq_rounded *to)
{
	for (int64_t o = 0; o < r->out; o++)
		to->bias[o] = (float)((double)r->bias[o] + to->shift[o]);
	to->error = to->size > 0 ? sqrt(to->lost / to->size) : 0;
}

oq_status oq_round_weights(const oq_rounding *r, oq_rounded *codes, oq_rounded *narrow, oq_error *err)
{
	const rounding_room room = {.row = oq_alloc((size_t)r->in * sizeof *room.row), .spread = oq_alloc((size_t)r->in * sizeof *room.spread)};
	oq_rounded *const wanted[] = {codes ? codes : narrow, codes ? narrow : NULL, NULL};
	oq_status status = room.row && room.spread ? OQ_OK : oq_fail_memory(err, r->input->value, (size_t)r->in * sizeof *room.spread);
	for (int i = 0; wanted[i] && status == OQ_OK; i++)
		status = open_result(r, wanted[i] == codes, wanted[i], err);
	if (status == OQ_OK)
		status = round_groups(r, wanted, &room, err);
	for (int i = 0; wanted[i] && status == OQ_OK; i++)
		finish_result(r, wanted[i]);
	oq_free(room.row);
	oq_free(room.spread);
	return status;
}

void oq_rounded_free(oq_rounded *rounded)
{
	oq_free(rounded->codes);
	oq_free(rounded->narrow);
	oq_free(rounded->scale);
	oq_free(rounded->bias);
	oq_free(rounded->shift);
	*rounded = (oq_rounded){0};
}
