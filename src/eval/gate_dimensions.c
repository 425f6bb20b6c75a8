/* The gate dimension by dimension: a mean over dimensions cannot see a few that are lost. */
#include "gate_parts.h"

#include "core/mem.h"
#include "eval/inference.h"
#include "eval/quantile.h"
#include "eval/reliability.h"

#include <math.h>

#define LEVEL 0.05

typedef struct context {
	const oq_gate_input *in;
	const int64_t *unit;
	int64_t units;
	double *values, *sums; /* [rows * (1 + draws)], [units] */
} context;

static double at(const oq_matrix *m, int64_t row, int64_t column)
{
	return (double)oq_matrix_row(m, row)[column];
}

/* Mean squared error of one dimension over half the mean squared difference of two equals; NaN when neither differs. */
static double ratio_of(const context *c, const oq_matrix *other, int64_t d)
{
	const oq_matrix *x = &c->in->reference;
	int64_t draws = other->rows / x->rows;
	double error = 0, noise = 0;
	for (int64_t r = 0; r < x->rows; r++) {
		double e = at(&c->in->candidate, r, d) - at(x, r, d);
		error += e * e;
		for (int64_t k = 0; k < draws; k++) {
			double n = at(other, k * x->rows + r, d) - at(x, r, d);
			noise += n * n / 2 / (double)draws;
		}
	}
	return noise > 0 ? error / noise : error > 0 ? INFINITY : NAN;
}

static double share_above(const context *c, const oq_matrix *other, double limit)
{
	int64_t above = 0, known = 0;
	for (int64_t d = 0; d < c->in->reference.columns; d++) {
		double ratio = ratio_of(c, other, d);
		known += !isnan(ratio);
		above += ratio > limit;
	}
	return known ? (double)above / (double)known : 0;
}

/* ICC(2,1) of `first` and the yardstick's other measurements. */
static double icc_of(const context *c, const oq_matrix *first, const oq_matrix *other, int64_t d)
{
	int64_t rows = first->rows, sessions = 1 + other->rows / rows;
	for (int64_t r = 0; r < rows; r++) {
		c->values[r * sessions] = at(first, r, d);
		for (int64_t k = 1; k < sessions; k++)
			c->values[r * sessions + k] = at(other, (k - 1) * rows + r, d);
	}
	return oq_icc_measure(c->values, rows, sessions).agreement;
}

static void measure_icc(const context *c, const oq_matrix *other, double *drops, oq_gate_result *out)
{
	int64_t known = 0;
	for (int64_t d = 0; d < c->in->reference.columns; d++) {
		double drop = icc_of(c, &c->in->reference, other, d) - icc_of(c, &c->in->candidate, other, d);
		if (!isnan(drop))
			drops[known++] = drop;
	}
	oq_sort_doubles(drops, known);
	out->icc_drop_median = known ? oq_quantile(drops, known, 0.5) : NAN;
	out->icc_drop_max = known ? drops[known - 1] : NAN;
}

/* p that the bias of a dimension is outside of +-margin standard deviations; patients, not rows, are independent. NaN when nothing varies. */
static double bias_p(const context *c, int64_t d, double margin)
{
	const oq_matrix *x = &c->in->reference, *q = &c->in->candidate;
	double n = (double)x->rows, units = (double)c->units, mean = 0, spread = 0, bias = 0, square = 0;
	for (int64_t r = 0; r < x->rows; r++) {
		mean += at(x, r, d) / n;
		bias += (at(q, r, d) - at(x, r, d)) / n;
	}
	for (int64_t u = 0; u < c->units; u++)
		c->sums[u] = 0;
	for (int64_t r = 0; r < x->rows; r++) {
		spread += (at(x, r, d) - mean) * (at(x, r, d) - mean) / n;
		c->sums[c->unit[r]] += at(q, r, d) - at(x, r, d) - bias;
	}
	for (int64_t u = 0; u < c->units; u++)
		square += c->sums[u] * c->sums[u];
	if (!(spread > 0) || c->units < 2)
		return NAN;
	return oq_equivalence(bias, sqrt(square * units / (units - 1)) / n, units - 1, margin * sqrt(spread));
}

static oq_status measure_bias(const context *c, double margin, double *p, oq_gate_result *out, oq_error *err)
{
	int64_t columns = c->in->reference.columns, known = 0, shown = 0;
	double *adjusted = p + columns;
	for (int64_t d = 0; d < columns; d++)
		p[d] = bias_p(c, d, margin);
	OQ_TRY(oq_holm(p, (int)columns, adjusted, err));
	for (int64_t d = 0; d < columns; d++) {
		known += !isnan(adjusted[d]);
		shown += adjusted[d] <= LEVEL;
	}
	out->bias_equivalent = known ? (double)shown / (double)known : NAN;
	return OQ_OK;
}

oq_status oq_gate_dimensions(const oq_gate_input *in, const oq_gate_limits *limits, oq_gate_result *out, oq_error *err)
{
	int64_t rows = in->reference.rows, columns = in->reference.columns;
	const oq_matrix *yardstick = in->retest.data ? &in->retest : in->jitter.data ? &in->jitter : NULL;
	size_t sessions = 1 + (yardstick ? (size_t)(yardstick->rows / rows) : 0);
	int64_t *unit = oq_alloc(2 * (size_t)rows * sizeof *unit);
	double *room = oq_alloc(((size_t)rows * (sessions + 1) + 2 * (size_t)columns) * sizeof *room);
	oq_status status = unit && room ? OQ_OK : oq_fail_memory(err, "gate", (size_t)rows * sizeof *room);
	if (status == OQ_OK) {
		context c = {.in = in, .unit = unit, .units = oq_gate_units(in, unit), .sums = room, .values = room + rows};
		double *figures = c.values + (size_t)rows * sessions;
		if (in->retest.data)
			out->retest_dimensions = share_above(&c, &in->retest, limits->dimension_ratio);
		if (in->jitter.data)
			out->jitter_dimensions = share_above(&c, &in->jitter, limits->dimension_ratio);
		if (yardstick)
			measure_icc(&c, yardstick, figures, out);
		status = measure_bias(&c, limits->bias_equivalence, figures, out, err);
	}
	oq_free(unit);
	oq_free(room);
	return status;
}
