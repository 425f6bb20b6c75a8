/* F6: what a task makes of the difference. Every probe is asked about rows of patients it was not trained on, first with the reference's embeddings,
 * then with the candidate's: by the old probe, trained on the reference, and by a new one, trained on the candidate. */
#include "gate_parts.h"

#include "core/mem.h"
#include "eval/cox.h"
#include "eval/inference.h"
#include "eval/logistic.h"
#include "eval/splits.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEIGHBOURS 15
#define FOLDS 5
#define PENALTY 0.01     /* C of the logistic probe on standardised dimensions */
#define RIDGE 3.0        /* of the Cox probe, per training event */
#define RESAMPLES 1000   /* of patients, for the concordance's standard error */
#define POWER 2.49       /* standard errors: 80 % power at a one-sided 5 %, 1.645 + 0.842 */

typedef struct context {
	const oq_gate_input *in;
	const oq_gate_endpoint *endpoint;
	const int64_t *group;    /* [rows] */
	uint8_t *class;          /* [rows] */
	oq_split splits[FOLDS];
	double *scores;          /* [3][rows]: reference, candidate by the old probe, candidate by a new one */
	double *b, *scale;       /* [columns], [2][columns] */
	double *time;            /* [rows] room */
	bool *event;             /* [rows] */
} context;

/* Who trains and who is asked: pairs of matrices in the order of context.scores. */
static const oq_matrix *trained_on(const context *c, int which)
{
	return which == 2 ? &c->in->candidate : &c->in->reference;
}

static const oq_matrix *asked(const context *c, int which)
{
	return which == 0 ? &c->in->reference : &c->in->candidate;
}

/* Share of positive labels among the nearest rows of other patients. */
static void vote(const context *c, const int32_t *nearest, int64_t k, double *score)
{
	for (int64_t r = 0; r < c->in->reference.rows; r++) {
		int64_t used = 0, positive = 0;
		for (int64_t i = 0; i < k && used < NEIGHBOURS; i++) {
			int32_t other = nearest[r * k + i];
			if (c->group[other] == c->group[r])
				continue;
			positive += c->endpoint->label[other];
			used++;
		}
		score[r] = used ? (double)positive / (double)used : 0.5;
	}
}

static oq_status score_neighbours(context *c, oq_error *err)
{
	int64_t rows = c->in->reference.rows, k = rows - 1 < 4 * NEIGHBOURS ? rows - 1 : 4 * NEIGHBOURS; /* more than are used: the own patient's fall out */
	int32_t *nearest = oq_alloc((size_t)(rows * k) * sizeof *nearest);
	oq_status status = nearest ? OQ_OK : oq_fail_memory(err, "gate", (size_t)(rows * k) * sizeof *nearest);
	for (int i = 0; i < 3 && status == OQ_OK; i++) {
		status = oq_nearest(asked(c, i), trained_on(c, i), k, c->in->threads, nearest, err);
		if (status == OQ_OK)
			vote(c, nearest, k, c->scores + i * rows);
	}
	oq_free(nearest);
	return status;
}

/* Finite also where a probability is 0 or 1 to the last bit. */
static double log_odds(double p)
{
	double inside = fmin(fmax(p, 1e-15), 1 - 1e-15);
	return log(inside / (1 - inside));
}

/* Log odds of the test rows of every fold. */
static oq_status score_logistic(context *c, oq_error *err)
{
	int64_t rows = c->in->reference.rows, columns = c->in->reference.columns;
	for (int f = 0; f < FOLDS; f++)
		for (int trained = 0; trained < 3; trained += 2) {
			const oq_split *s = &c->splits[f];
			oq_logistic model = {0};
			oq_logistic_problem problem = {.features = {trained_on(c, trained), c->scale, c->scale + columns}, .rows = s->rows, .count = s->train + s->val,
				.class = c->class, .classes = 2, .c = PENALTY, .threads = c->in->threads};
			oq_features_standardise(problem.features.x, s->rows, problem.count, c->scale, c->scale + columns);
			oq_status status = oq_logistic_fit(&problem, &model, err);
			for (int i = trained; i < trained + (trained ? 1 : 2) && status == OQ_OK; i++) {
				const oq_features of = {asked(c, i), c->scale, c->scale + columns};
				status = oq_logistic_scores(&model, &of, oq_split_test(s), s->test, c->in->threads, c->time, err);
				for (int64_t t = 0; t < s->test; t++)
					c->scores[i * rows + oq_split_test(s)[t]] = log_odds(c->time[t]);
			}
			oq_logistic_free(&model);
			OQ_TRY(status);
		}
	return OQ_OK;
}

/* Risks of the test rows of every fold, against the mean of those trained on. */
static oq_status score_cox(context *c, oq_error *err)
{
	int64_t rows = c->in->reference.rows, columns = c->in->reference.columns;
	for (int f = 0; f < FOLDS; f++)
		for (int trained = 0; trained < 3; trained += 2) {
			const oq_split *s = &c->splits[f];
			int64_t count = s->train + s->val, events = 0;
			for (int64_t i = 0; i < count; i++) {
				c->time[i] = c->endpoint->time[s->rows[i]];
				c->event[i] = c->endpoint->event[s->rows[i]];
				events += c->event[i];
			}
			const oq_survival seen = {c->time, c->event, count};
			const oq_cox_ridge ridge = {trained_on(c, trained), s->rows, RIDGE * (double)(events ? events : 1), c->in->threads};
			memset(c->b, 0, (size_t)columns * sizeof *c->b);
			OQ_TRY(oq_cox_ridge_fit(&seen, &ridge, c->b, err));
			for (int i = trained; i < trained + (trained ? 1 : 2); i++) {
				double mean = 0;
				for (int64_t t = 0; t < count + s->test; t++) {
					const float *x = oq_matrix_row(t < count ? trained_on(c, trained) : asked(c, i), s->rows[t]);
					double risk = 0;
					for (int64_t d = 0; d < columns; d++)
						risk += (double)x[d] * c->b[d];
					if (t < count)
						mean += risk / (double)count;
					else
						c->scores[i * rows + s->rows[t]] = risk - mean;
				}
			}
		}
	return OQ_OK;
}

typedef struct decided {
	double score;
	bool label;
} decided;

static int descending(const void *a, const void *b)
{
	double x = ((const decided *)a)->score, y = ((const decided *)b)->score;
	return (x < y) - (x > y);
}

/* Sensitivity + specificity - 1 is greatest when scores of this and above count as positive; the highest such score. */
static oq_status youden(const double *score, const bool *label, int64_t count, double *threshold, oq_error *err)
{
	decided *cases = oq_calloc((size_t)count, sizeof *cases);
	double best = -INFINITY, positives = 0, hit = 0, alarm = 0;
	if (!cases)
		return oq_fail_memory(err, "gate", (size_t)count * sizeof *cases);
	for (int64_t i = 0; i < count; i++) {
		cases[i] = (decided){score[i], label[i]};
		positives += label[i];
	}
	qsort(cases, (size_t)count, sizeof *cases, descending);
	for (int64_t i = 0; i < count; i++) {
		hit += cases[i].label;
		alarm += !cases[i].label;
		bool last = i + 1 == count || cases[i + 1].score < cases[i].score; /* equal scores are decided alike */
		double gain = hit / positives - alarm / ((double)count - positives);
		if (last && gain > best) {
			best = gain;
			*threshold = cases[i].score;
		}
	}
	oq_free(cases);
	return OQ_OK;
}

/* Decisions and log odds of the old logistic probe. */
static oq_status compare_decisions(const context *c, oq_gate_endpoint_result *out, oq_error *err)
{
	int64_t rows = c->in->reference.rows;
	const double *old = c->scores, *new = c->scores + rows;
	double n = (double)rows, mx = 0, my = 0, xx = 0, xy = 0;
	OQ_TRY(youden(old, c->endpoint->label, rows, &out->threshold, err));
	for (int64_t r = 0; r < rows; r++) {
		bool before = old[r] >= out->threshold, after = new[r] >= out->threshold;
		out->flips_up += after && !before;
		out->flips_down += before && !after;
		mx += old[r] / n;
		my += new[r] / n;
	}
	for (int64_t r = 0; r < rows; r++) {
		xx += (old[r] - mx) * (old[r] - mx);
		xy += (old[r] - mx) * (new[r] - my);
	}
	out->flip_share = (double)(out->flips_up + out->flips_down) / n;
	out->mcnemar_p = oq_mcnemar_exact(out->flips_up, out->flips_down);
	out->calibration_slope = xx > 0 ? xy / xx : NAN;
	return OQ_OK;
}

static oq_status compare_classes(const context *c, const char *kind, oq_gate_endpoint_result *out, oq_error *err)
{
	int64_t rows = c->in->reference.rows;
	for (int i = 1; i < 3; i++) {
		oq_auc_pair pair;
		OQ_TRY(oq_auc_compare_patients(c->scores, c->scores + i * rows, c->endpoint->label, c->group, rows, &pair, err));
		out->probes[out->probe_count++] = (oq_gate_probe){.kind = kind, .retrained = i == 2, .reference = pair.a.auc, .candidate = pair.b.auc,
			.difference = pair.difference, .se = pair.se};
	}
	return OQ_OK;
}

/* Concordance of the three scores on a resample. */
static oq_status concordances(void *context_, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	const context *c = context_;
	int64_t rows = c->in->reference.rows;
	double *time = oq_alloc((size_t)(2 * count) * sizeof *time), *score = time + count;
	bool *event = oq_alloc((size_t)count * sizeof *event);
	oq_status status = time && event ? OQ_OK : oq_fail_memory(err, "gate", (size_t)(2 * count) * sizeof *time);
	for (int i = 0; i < 3 && status == OQ_OK; i++) {
		oq_concordance one;
		for (int64_t k = 0; k < count; k++) {
			time[k] = c->endpoint->time[row[k]];
			event[k] = c->endpoint->event[row[k]];
			score[k] = c->scores[i * rows + row[k]];
		}
		oq_error own = {0};
		status = oq_concordance_measure(&(oq_survival){time, event, count}, score, OQ_CONCORDANCE_HARRELL, INFINITY, &one, &own);
		values[i] = one.c;
		if (status != OQ_OK && !strcmp(own.code, "E_EVENTS")) {
			values[0] = NAN; /* another resample */
			status = OQ_OK;
			break;
		}
		if (status != OQ_OK && err)
			*err = own;
	}
	oq_free(time);
	oq_free(event);
	return status;
}

static double sd_of_difference(const double *a, const double *b, int count)
{
	double mean = 0, square = 0;
	for (int i = 0; i < count; i++)
		mean += (b[i] - a[i]) / count;
	for (int i = 0; i < count; i++)
		square += (b[i] - a[i] - mean) * (b[i] - a[i] - mean);
	return sqrt(square / (count - 1));
}

static oq_status compare_survival(context *c, oq_gate_endpoint_result *out, oq_error *err)
{
	int64_t rows = c->in->reference.rows;
	const oq_survival all = {c->endpoint->time, c->endpoint->event, rows};
	const oq_bootstrap plan = {.rows = rows, .group = c->group, .resamples = RESAMPLES, .threads = c->in->threads};
	double *draws = oq_alloc(3 * RESAMPLES * sizeof *draws);
	oq_concordance whole[3];
	oq_status status = draws ? oq_bootstrap_run(&plan, concordances, c, 3, draws, NULL, err) : oq_fail_memory(err, "gate", 3 * RESAMPLES * sizeof *draws);
	for (int i = 0; i < 3 && status == OQ_OK; i++) {
		status = oq_concordance_measure(&all, c->scores + i * rows, OQ_CONCORDANCE_HARRELL, INFINITY, &whole[i], err);
		if (status == OQ_OK && i)
			out->probes[out->probe_count++] = (oq_gate_probe){.kind = "Cox", .retrained = i == 2, .reference = whole[0].c, .candidate = whole[i].c,
				.difference = whole[i].c - whole[0].c, .se = sd_of_difference(draws, draws + i * RESAMPLES, RESAMPLES)};
	}
	oq_free(draws);
	return status;
}

oq_status oq_gate_check_endpoint(const oq_gate_endpoint *e, int64_t rows, int64_t *positives, oq_error *err)
{
	*positives = 0;
	for (int64_t r = 0; r < rows; r++)
		*positives += e->label ? e->label[r] : e->event[r];
	int64_t negatives = rows - *positives, least = e->label && negatives < *positives ? negatives : *positives;
	return least >= FOLDS ? OQ_OK : oq_fail(err, OQ_E_INPUT, "E_LABELS", "endpoint %s: %lld positive and %lld negative cases, expected at least %d to train probes on",
		e->name, (long long)*positives, (long long)negatives, FOLDS);
}

static oq_status run_endpoint(context *c, oq_gate_endpoint_result *out, oq_error *err)
{
	const oq_gate_endpoint *e = c->endpoint;
	int64_t rows = c->in->reference.rows;
	*out = (oq_gate_endpoint_result){.name = e->name, .survival = !e->label, .flip_share = NAN, .mcnemar_p = NAN, .threshold = NAN, .calibration_slope = NAN};
	OQ_TRY(oq_gate_check_endpoint(e, rows, &out->positives, err));
	out->negatives = rows - out->positives;
	for (int64_t r = 0; r < rows; r++)
		c->class[r] = e->label ? e->label[r] : e->event[r];
	OQ_TRY(oq_split_grouped(c->class, c->group, rows, FOLDS, 0, 0, c->splits, err));
	if (!e->label) {
		OQ_TRY(score_cox(c, err));
		return compare_survival(c, out, err);
	}
	OQ_TRY(score_neighbours(c, err));
	OQ_TRY(compare_classes(c, "kNN", out, err));
	OQ_TRY(score_logistic(c, err));
	OQ_TRY(compare_decisions(c, out, err));
	return compare_classes(c, "logistic", out, err);
}

/* Holm over all probes of all endpoints, and what could have been seen. */
static oq_status correct(double margin, oq_gate_result *out, oq_error *err)
{
	double p[OQ_GATE_ENDPOINTS * OQ_GATE_PROBES], adjusted[OQ_GATE_ENDPOINTS * OQ_GATE_PROBES];
	int count = 0, at = 0;
	for (int e = 0; e < out->endpoint_count; e++)
		for (int i = 0; i < out->endpoints[e].probe_count; i++) {
			oq_gate_probe *probe = &out->endpoints[e].probes[i];
			probe->p = p[count++] = oq_noninferiority(probe->difference, probe->se, INFINITY, margin);
			out->detectable_margin = isnan(probe->se) ? INFINITY : fmax(out->detectable_margin, POWER * probe->se); /* not known: nothing could be seen */
		}
	OQ_TRY(oq_holm(p, count, adjusted, err));
	for (int e = 0; e < out->endpoint_count; e++)
		for (int i = 0; i < out->endpoints[e].probe_count; i++)
			out->endpoints[e].probes[i].p_adjusted = adjusted[at++];
	return OQ_OK;
}

static oq_status run_endpoints(context *c, oq_gate_result *out, oq_error *err)
{
	for (int e = 0; e < c->in->endpoint_count; e++) {
		c->endpoint = &c->in->endpoints[e];
		oq_status status = run_endpoint(c, &out->endpoints[e], err);
		for (int f = 0; f < FOLDS; f++)
			oq_split_free(&c->splits[f]);
		memset(c->splits, 0, sizeof c->splits);
		OQ_TRY(status);
		out->endpoint_count++;
	}
	return OQ_OK;
}

oq_status oq_gate_endpoints(const oq_gate_input *in, const oq_gate_limits *limits, oq_gate_result *out, oq_error *err)
{
	size_t rows = (size_t)in->reference.rows, columns = (size_t)in->reference.columns;
	if (in->endpoint_count > OQ_GATE_ENDPOINTS)
		return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%d endpoints, expected at most %d", in->endpoint_count, OQ_GATE_ENDPOINTS);
	int64_t *unit = oq_alloc(2 * rows * sizeof *unit);
	context c = {.in = in, .group = unit, .class = oq_alloc(rows), .event = oq_alloc(rows * sizeof *c.event)};
	c.scores = oq_calloc(4 * rows + 3 * columns, sizeof *c.scores);
	oq_status status = unit && c.class && c.event && c.scores ? OQ_OK : oq_fail_memory(err, "gate", (4 * rows + 3 * columns) * sizeof *c.scores);
	if (status == OQ_OK) {
		oq_gate_units(in, unit);
		c.time = c.scores + 3 * rows;
		c.b = c.time + rows;
		c.scale = c.b + columns;
		status = run_endpoints(&c, out, err);
	}
	if (status == OQ_OK)
		status = correct(limits->auc_margin, out, err);
	oq_free(unit);
	oq_free(c.class);
	oq_free(c.event);
	oq_free(c.scores);
	return status;
}
