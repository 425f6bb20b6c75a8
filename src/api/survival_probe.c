/* From embeddings to risks: Cox with a ridge, the ridge chosen by the likelihood of a fold that neither trains nor tests. */
#include "survival.h"

#include "core/mem.h"
#include "eval/splits.h"

#include <math.h>
#include <string.h>

/* Strongest first: each answer is where the next one starts. Multiples of the training events, which the curvature of the likelihood grows with. */
static const double ridges[] = {30, 10, 3, 1, 0.3, 0.1, 0.03};
#define RIDGES (sizeof ridges / sizeof *ridges)
#define ENOUGH 2 /* ridges running that are worse than the best so far: weaker ones, which take longest, are no longer tried */

/* A part of a split: its cases' times and risks. */
typedef struct part {
	const int64_t *index;        /* among the run's rows */
	int64_t count;
	double *time, *risk;
	bool *event;
	int64_t *row;                /* of the embeddings */
} part;

/* One probe and its room. */
typedef struct probe {
	const oq_survival_run *run;
	const oq_matrix *x;
	oq_split *splits;
	double *values, *b, *at;     /* [2][rows]; [columns] each: the best ridge's coefficients, the one at hand's */
	int64_t *row;                /* [rows] */
	bool *event;                 /* [rows] */
	double *c;                   /* [splits] concordance of the test fold; NaN without pairs */
	part train, chooser, test;
} probe;

static void fill(const oq_survival_run *run, part *p)
{
	for (int64_t i = 0; i < p->count; i++) {
		p->time[i] = run->time[p->index[i]];
		p->event[i] = run->event[p->index[i]];
		p->row[i] = run->line[p->index[i]];
	}
}

static double dot(const float *x, const double *b, int64_t n)
{
	double sum = 0;
	for (int64_t d = 0; d < n; d++)
		sum += (double)x[d] * b[d];
	return sum;
}

static void apply(const oq_matrix *x, const double *b, part *p)
{
	for (int64_t i = 0; i < p->count; i++)
		p->risk[i] = dot(oq_matrix_row(x, p->row[i]), b, x->columns);
}

/* Coefficients of the ridge that is best for the chooser. */
static oq_status choose(probe *p, double *ridge, oq_error *err)
{
	const oq_survival seen = {p->train.time, p->train.event, p->train.count}, held = {p->chooser.time, p->chooser.event, p->chooser.count};
	size_t bytes = (size_t)p->x->columns * sizeof *p->b;
	int64_t events = 0;
	double best = -INFINITY;
	int worse = 0;
	for (int64_t i = 0; i < p->train.count; i++)
		events += p->train.event[i];
	memset(p->at, 0, bytes);
	for (size_t i = 0; i < RIDGES && worse < ENOUGH; i++) {
		const oq_cox_ridge fit = {p->x, p->train.row, ridges[i] * (double)(events ? events : 1), p->run->threads};
		double likelihood;
		OQ_TRY(oq_cox_ridge_fit(&seen, &fit, p->at, err));
		apply(p->x, p->at, &p->chooser);
		OQ_TRY(oq_cox_likelihood(&held, p->chooser.risk, &likelihood, err));
		bool better = i == 0 || likelihood > best; /* the strongest stands where no ridge gives a likelihood above 0 */
		worse = better ? 0 : worse + 1;
		if (better) {
			best = likelihood;
			*ridge = ridges[i];
			memcpy(p->b, p->at, bytes);
		}
	}
	return OQ_OK;
}

/* Adds the test rows' risks, against the mean of those trained on, to sum. */
static oq_status run_split(probe *p, int split, double *sum, double *ridge, oq_error *err)
{
	part *const parts[] = {&p->train, &p->chooser, &p->test};
	const oq_split *s = &p->splits[split];
	const part sizes[] = {{.index = s->rows, .count = s->train}, {.index = oq_split_val(s), .count = s->val}, {.index = oq_split_test(s), .count = s->test}};
	int64_t at = 0;
	for (int k = 0; k < 3; k++) {
		*parts[k] = (part){sizes[k].index, sizes[k].count, p->values + 2 * at, p->values + 2 * at + sizes[k].count, p->event + at, p->row + at};
		at += sizes[k].count;
		fill(p->run, parts[k]);
	}
	OQ_TRY(choose(p, ridge, err));
	double mean = 0;
	apply(p->x, p->b, &p->train);
	apply(p->x, p->b, &p->test);
	for (int64_t i = 0; i < p->train.count; i++)
		mean += p->train.risk[i] / (double)p->train.count;
	for (int64_t i = 0; i < p->test.count; i++)
		sum[p->test.index[i]] += p->test.risk[i] - mean;
	const oq_survival tested = {p->test.time, p->test.event, p->test.count};
	oq_concordance harrell;
	oq_error own = {0};
	oq_status status = oq_concordance_measure(&tested, p->test.risk, OQ_CONCORDANCE_HARRELL, INFINITY, &harrell, &own);
	p->c[split] = status == OQ_OK ? harrell.c : NAN;
	if (status == OQ_OK || !strcmp(own.code, "E_EVENTS"))
		return OQ_OK;
	if (err)
		*err = own;
	return status;
}

static oq_status make_splits(const oq_survival_run *run, oq_split *splits, int folds, int repeats, oq_error *err)
{
	uint8_t *class = oq_alloc((size_t)run->rows);
	oq_status status = class ? OQ_OK : oq_fail_memory(err, "survival", (size_t)run->rows);
	for (int64_t i = 0; i < run->rows && class; i++)
		class[i] = run->event[i];
	for (int r = 0; r < repeats && status == OQ_OK; r++)
		status = oq_split_grouped(class, run->patient, run->rows, folds, run->options->seed, r, splits + r * folds, err);
	oq_free(class);
	return status;
}

static oq_status open_probe(probe *p, int splits, oq_risk *risk, oq_error *err)
{
	size_t rows = (size_t)p->run->rows, columns = (size_t)p->x->columns, count = (size_t)splits;
	p->splits = oq_calloc(count, sizeof *p->splits);
	p->values = oq_alloc((2 * rows + 2 * columns + count) * sizeof *p->values);
	p->row = oq_alloc(rows * sizeof *p->row);
	p->event = oq_alloc(rows * sizeof *p->event);
	risk->values = oq_calloc(rows, sizeof *risk->values);
	risk->ridges = oq_calloc(count, sizeof *risk->ridges);
	if (!p->splits || !p->values || !p->row || !p->event || !risk->values || !risk->ridges)
		return oq_fail_memory(err, risk->name, (2 * rows + 2 * columns) * sizeof *p->values);
	p->b = p->values + 2 * rows;
	p->at = p->b + columns;
	p->c = p->at + columns;
	return OQ_OK;
}

/* The folds' mean; folds share their training rows: test / train = 1 / (folds - 2). */
static void summarise(probe *p, int splits, int folds, oq_risk *risk)
{
	int known = 0;
	for (int s = 0; s < splits; s++)
		if (!isnan(p->c[s]))
			p->c[known++] = p->c[s];
	risk->folds = oq_mean_of_splits(p->c, known, 1 / (double)(folds - 2), 0.95);
	risk->probed = true;
	risk->size = p->x->columns;
}

oq_status oq_survival_probe(oq_survival_run *run, const oq_matrix *embeddings, oq_risk *risk, oq_error *err)
{
	int folds = run->options->folds ? run->options->folds : 5, repeats = run->options->repeats ? run->options->repeats : 5;
	if (folds < 3 || folds > 100 || repeats < 1 || repeats > 100)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "survival: %d folds, %d repeats, expected 3 to 100 and 1 to 100", folds, repeats);
	probe p = {.run = run, .x = embeddings};
	run->split_count = folds * repeats;
	oq_status status = open_probe(&p, run->split_count, risk, err);
	if (status == OQ_OK)
		status = make_splits(run, p.splits, folds, repeats, err);
	for (int s = 0; s < run->split_count && status == OQ_OK; s++)
		status = run_split(&p, s, risk->values, &risk->ridges[s], err);
	for (int64_t i = 0; i < run->rows && status == OQ_OK; i++)
		risk->values[i] /= repeats;
	if (status == OQ_OK)
		summarise(&p, run->split_count, folds, risk);
	for (int s = 0; s < run->split_count && p.splits; s++)
		oq_split_free(&p.splits[s]);
	oq_free(p.splits);
	oq_free(p.values);
	oq_free(p.row);
	oq_free(p.event);
	return status;
}
