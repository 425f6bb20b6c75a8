/* Ensembles of kNN models: votes weighted by how much models agree on neighbours, or stacked by a logistic regression. */
#include "evaluate.h"

#include "core/mem.h"
#include "eval/fidelity.h"
#include "eval/logistic.h"

#include <stdio.h>
#include <string.h>

#define NEIGHBOURS 10

typedef struct votes_of_all {
	oq_evaluation *e;
	oq_knn_votes *votes;  /* [models][splits] */
	const double *shared; /* [models] weights for every split; NULL: of each split's training rows */
} votes_of_all;

static const oq_knn_votes *votes_at(const votes_of_all *v, int model, int split)
{
	return &v->votes[model * v->e->split_count + split];
}

/* The single models at k = 10, and one entry more. */
static oq_status open_votes(votes_of_all *v, const char *name, int most, oq_error *err)
{
	oq_evaluation *e = v->e;
	int models = e->options->count;
	if (models < 2)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "ensemble: %d model, expected at least 2", models);
	v->votes = oq_calloc((size_t)(models * e->split_count), sizeof *v->votes);
	if (!v->votes)
		return oq_fail_memory(err, "ensemble", (size_t)(models * e->split_count) * sizeof *v->votes);
	OQ_TRY(oq_add_entries(e, models + 1, err));
	snprintf(e->entries[models].name, sizeof e->entries[models].name, "%s", name);
	for (int m = 0; m < models; m++) {
		snprintf(e->entries[m].name, sizeof e->entries[m].name, "%s", e->names[m]);
		e->entries[m].model = m;
		OQ_TRY(oq_knn_vote(&e->matrices[m], e->endpoint.class, e->splits, e->split_count, most, e->threads, v->votes + m * e->split_count, err));
	}
	return OQ_OK;
}

static void close_votes(votes_of_all *v)
{
	for (int i = 0; i < v->e->options->count * v->e->split_count && v->votes; i++)
		oq_knn_votes_free(&v->votes[i]);
	oq_free(v->votes);
}

/* A single model's outcome at k. */
static oq_status judge_single(const votes_of_all *v, int model, int which, oq_error *err)
{
	const oq_evaluation *e = v->e;
	const oq_split *split = &e->splits[which];
	const oq_knn_votes *votes = votes_at(v, model, which);
	oq_outcome *out = &e->entries[model].outcomes[which];
	double *val = oq_alloc((size_t)(split->val * oq_outputs(e)) * sizeof *val);
	if (!val)
		return oq_fail_memory(err, "ensemble", (size_t)(split->val * oq_outputs(e)) * sizeof *val);
	oq_knn_shares(votes, 0, split->val, NEIGHBOURS, e->endpoint.classes, val);
	oq_status status = oq_area_of(e, oq_split_val(split), split->val, val, &out->auc_val, err);
	oq_free(val);
	out->k = NEIGHBOURS;
	out->ties = oq_knn_ties(votes, split->val, split->test, NEIGHBOURS);
	if (status == OQ_OK)
		status = oq_open_scores(e, which, out, err);
	if (status != OQ_OK)
		return status;
	oq_knn_shares(votes, split->val, split->test, NEIGHBOURS, e->endpoint.classes, out->scores);
	return oq_judge_test(e, which, out, err);
}

/* Some rows of a matrix, or all (rows NULL: a view). */
static oq_status take_rows(const oq_matrix *x, const int64_t *rows, int64_t count, oq_matrix *out, float **own, oq_error *err)
{
	*own = NULL;
	*out = *x;
	if (!rows)
		return OQ_OK;
	*own = oq_alloc((size_t)(count * x->columns) * sizeof **own);
	if (!*own)
		return oq_fail_memory(err, "ensemble", (size_t)(count * x->columns) * sizeof **own);
	for (int64_t i = 0; i < count; i++)
		memcpy(*own + i * x->columns, oq_matrix_row(x, rows[i]), (size_t)x->columns * sizeof **own);
	*out = (oq_matrix){*own, count, x->columns};
	return OQ_OK;
}

/* The reference's weights: the mean over models of the neighbours shared with each (a count of 10; with itself, it says 1), to a sum of 1. */
static void weigh(int32_t *const *nearest, int64_t rows, int models, double *weights)
{
	double sum = 0;
	for (int a = 0; a < models; a++) {
		weights[a] = 1;
		for (int b = 0; b < models; b++) {
			int64_t common = 0;
			for (int64_t r = 0; r < rows && b != a; r++)
				for (int i = 0; i < NEIGHBOURS; i++)
					for (int j = 0; j < NEIGHBOURS; j++)
						common += nearest[a][r * NEIGHBOURS + i] == nearest[b][r * NEIGHBOURS + j];
			weights[a] += (double)common / (double)rows;
		}
		weights[a] /= models;
		sum += weights[a];
	}
	for (int a = 0; a < models; a++)
		weights[a] /= sum;
}

/* rows [count], or NULL for all. */
static oq_status find_weights(const oq_evaluation *e, const int64_t *rows, int64_t count, int threads, double *weights, oq_error *err)
{
	int models = e->options->count;
	int32_t *nearest[OQ_EVALUATE_MODELS] = {NULL};
	oq_status status = OQ_OK;
	for (int m = 0; m < models && status == OQ_OK; m++) {
		oq_matrix some;
		float *own;
		status = take_rows(&e->matrices[m], rows, count, &some, &own, err);
		nearest[m] = oq_alloc((size_t)count * NEIGHBOURS * sizeof **nearest);
		if (status == OQ_OK && !nearest[m])
			status = oq_fail_memory(err, "ensemble", (size_t)count * NEIGHBOURS * sizeof **nearest);
		if (status == OQ_OK)
			status = oq_nearest(&some, &some, NEIGHBOURS, threads, nearest[m], err);
		oq_free(own);
	}
	if (status == OQ_OK)
		weigh(nearest, count, models, weights);
	for (int m = 0; m < models; m++)
		oq_free(nearest[m]);
	return status;
}

/* The weighted mean of shares of rows first to first+count-1. room [count][outputs] */
static void mix(const votes_of_all *v, int which, int64_t first, int64_t count, const double *weights, double *room, double *out)
{
	int64_t size = count * oq_outputs(v->e);
	memset(out, 0, (size_t)size * sizeof *out);
	for (int m = 0; m < v->e->options->count; m++) {
		oq_knn_shares(votes_at(v, m, which), first, count, NEIGHBOURS, v->e->endpoint.classes, room);
		for (int64_t i = 0; i < size; i++)
			out[i] += weights[m] * room[i];
	}
}

static oq_status align_split(void *context, int which, int threads, oq_error *err)
{
	const votes_of_all *v = context;
	const oq_evaluation *e = v->e;
	const oq_split *split = &e->splits[which];
	int models = e->options->count;
	int64_t most = split->val > split->test ? split->val : split->test;
	oq_outcome *out = &e->entries[models].outcomes[which];
	for (int m = 0; m < models; m++)
		OQ_TRY(judge_single(v, m, which, err));
	OQ_TRY(oq_open_scores(e, which, out, err));
	out->k = NEIGHBOURS;
	out->weights = oq_alloc((size_t)models * sizeof *out->weights);
	double *room = oq_alloc(2 * (size_t)(most * oq_outputs(e)) * sizeof *room), *val = room + most * oq_outputs(e);
	oq_status status = out->weights && room ? OQ_OK : oq_fail_memory(err, "ensemble", 2 * (size_t)(most * oq_outputs(e)) * sizeof *room);
	if (status == OQ_OK && v->shared)
		memcpy(out->weights, v->shared, (size_t)models * sizeof *out->weights);
	else if (status == OQ_OK)
		status = find_weights(e, split->rows, split->train, threads, out->weights, err);
	if (status == OQ_OK) {
		mix(v, which, 0, split->val, out->weights, room, val);
		status = oq_area_of(e, oq_split_val(split), split->val, val, &out->auc_val, err);
		mix(v, which, split->val, split->test, out->weights, room, out->scores);
	}
	oq_free(room);
	return status == OQ_OK ? oq_judge_test(e, which, out, err) : status;
}

oq_status oq_probe_alignment(oq_evaluation *e, oq_error *err)
{
	votes_of_all v = {.e = e};
	double weights[OQ_EVALUATE_MODELS];
	oq_status status = open_votes(&v, "alignment ensemble", NEIGHBOURS, err);
	if (status == OQ_OK && oq_is_paper(e)) { /* of all rows, test rows too, as the reference has it */
		status = find_weights(e, NULL, e->endpoint.rows, e->threads, weights, err);
		v.shared = weights;
	}
	if (status == OQ_OK)
		status = oq_each_split(e, align_split, &v, err);
	close_votes(&v);
	return status;
}

/* Shares of class 1 of every model, [val + test][models], as the stacked regression's features. */
static void fill_features(const votes_of_all *v, int which, int k, double *room, float *features)
{
	const oq_split *split = &v->e->splits[which];
	int models = v->e->options->count;
	int64_t queries = split->val + split->test;
	for (int m = 0; m < models; m++) {
		oq_knn_shares(votes_at(v, m, which), 0, queries, k, 2, room);
		for (int64_t q = 0; q < queries; q++)
			features[q * models + m] = (float)room[q];
	}
}

/* What stacking one split works with: rows are the split's val and test rows in turn. */
typedef struct stack {
	double *room;     /* [val + test] */
	float *features;  /* [val + test][models] */
	uint8_t *class;   /* [val + test] */
	int64_t *number;  /* [val + test]: 0, 1, ... */
	double *val;      /* [val] */
} stack;

static oq_status try_stack(const votes_of_all *v, int which, int k, double c, const stack *s, oq_error *err)
{
	const oq_evaluation *e = v->e;
	const oq_split *split = &e->splits[which];
	int models = e->options->count;
	oq_outcome *out = &e->entries[models].outcomes[which];
	oq_matrix x = {s->features, split->val + split->test, models};
	oq_logistic_problem p = {.features.x = &x, .rows = s->number, .count = split->val, .class = s->class, .classes = 2, .c = c, .balanced = true, .threads = 1};
	oq_logistic model;
	double area;
	oq_status status = oq_logistic_fit(&p, &model, err);
	if (status == OQ_OK)
		status = oq_logistic_scores(&model, &p.features, s->number, split->val, 1, s->val, err);
	if (status == OQ_OK)
		status = oq_area_of(e, oq_split_val(split), split->val, s->val, &area, err);
	if (status == OQ_OK && (!out->k || area > out->auc_val)) {
		out->k = k;
		out->c = c;
		out->auc_val = area;
		memcpy(out->weights, model.weights, (size_t)models * sizeof *out->weights);
		status = oq_logistic_scores(&model, &p.features, s->number + split->val, split->test, 1, out->scores, err);
	}
	oq_logistic_free(&model);
	return status;
}

/* The reference chooses k and C by the AUC on the very rows that the regression was fitted to; the strict protocol takes k = 10 and C = 1. */
static oq_status stack_all(const votes_of_all *v, int which, const stack *s, oq_error *err)
{
	static const int ks[4] = {5, 10, 15, 25};
	static const double cs[3] = {0.25, 1, 4};
	bool paper = oq_is_paper(v->e);
	for (int i = paper ? 0 : 1; i < (paper ? 4 : 2); i++) {
		fill_features(v, which, ks[i], s->room, s->features);
		for (int j = paper ? 0 : 1; j < (paper ? 3 : 2); j++)
			OQ_TRY(try_stack(v, which, ks[i], cs[j], s, err));
	}
	return oq_judge_test(v->e, which, &v->e->entries[v->e->options->count].outcomes[which], err);
}

static oq_status stack_split(void *context, int which, int threads, oq_error *err)
{
	const votes_of_all *v = context;
	const oq_evaluation *e = v->e;
	const oq_split *split = &e->splits[which];
	int models = e->options->count;
	size_t queries = (size_t)(split->val + split->test);
	oq_outcome *out = &e->entries[models].outcomes[which];
	(void)threads;
	for (int m = 0; m < models; m++)
		OQ_TRY(judge_single(v, m, which, err));
	OQ_TRY(oq_open_scores(e, which, out, err));
	out->weights = oq_calloc((size_t)models, sizeof *out->weights);
	stack s = {.room = oq_alloc(queries * sizeof *s.room), .features = oq_alloc(queries * (size_t)models * sizeof *s.features), .class = oq_alloc(queries),
		.number = oq_alloc(queries * sizeof *s.number), .val = oq_alloc(queries * sizeof *s.val)};
	bool good = out->weights && s.room && s.features && s.class && s.number && s.val;
	for (int64_t q = 0; good && q < (int64_t)queries; q++) {
		s.class[q] = e->endpoint.class[oq_split_val(split)[q]];
		s.number[q] = q;
	}
	oq_status status = good ? stack_all(v, which, &s, err) : oq_fail_memory(err, "ensemble", queries * (size_t)models * sizeof *s.features);
	oq_free(s.room);
	oq_free(s.features);
	oq_free(s.class);
	oq_free(s.number);
	oq_free(s.val);
	return status;
}

oq_status oq_probe_stacking(oq_evaluation *e, oq_error *err)
{
	votes_of_all v = {.e = e};
	if (e->endpoint.classes != 2)
		return oq_fail(err, OQ_E_INPUT, "E_LABELS", "stacking: %d classes, expected 2", e->endpoint.classes);
	oq_status status = open_votes(&v, "stacking ensemble", oq_is_paper(e) ? 25 : NEIGHBOURS, err);
	if (status == OQ_OK)
		status = oq_each_split(e, stack_split, &v, err);
	close_votes(&v);
	return status;
}
