/* What the figures are worth: intervals that count the cases, and paired tests of every two rows of the result. */
#include "evaluate.h"

#include "core/mem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define RESAMPLES 2000

/* Test cases per training case, the largest of all splits: what overlapping splits are corrected with. */
static double share_of(const oq_evaluation *e)
{
	double most = 0;
	for (int i = 0; i < e->split_count; i++)
		most = fmax(most, (double)e->splits[i].test / (double)e->splits[i].train);
	return most;
}

static oq_status summarise(const oq_evaluation *e, oq_entry *entry, oq_error *err)
{
	double *areas = oq_alloc((size_t)e->split_count * sizeof *areas);
	if (!areas)
		return oq_fail_memory(err, "evaluate", (size_t)e->split_count * sizeof *areas);
	for (int i = 0; i < e->split_count; i++)
		areas[i] = entry->outcomes[i].auc_test;
	entry->plain = (oq_mean){.value = areas[0], .sd = NAN, .se = NAN, .interval = {NAN, NAN}};
	entry->corrected = entry->plain.interval;
	if (e->split_count > 1) {
		entry->plain = oq_mean_of_splits(areas, e->split_count, 0, 0.95);
		entry->corrected = oq_mean_of_splits(areas, e->split_count, share_of(e), 0.95).interval;
	}
	oq_free(areas);
	return OQ_OK;
}

/* Rows that were tested, in order. */
typedef struct cases {
	oq_evaluation *e;
	int64_t count;
	bool *label;     /* [count] */
	int64_t *group;  /* [count] */
	int64_t *at;     /* [rows]: place among the tested, or -1 */
	int64_t **level; /* [entries][count]: rank of a score among the different ones, from 0 */
	int64_t *levels; /* [entries]: how many there are */
} cases;

static oq_status open_cases(cases *c, oq_error *err)
{
	oq_evaluation *e = c->e;
	size_t rows = (size_t)e->endpoint.rows;
	c->label = oq_alloc(rows * sizeof *c->label);
	c->group = oq_alloc(rows * sizeof *c->group);
	c->at = oq_alloc(rows * sizeof *c->at);
	c->level = oq_calloc((size_t)e->entry_count, sizeof *c->level);
	c->levels = oq_calloc((size_t)e->entry_count, sizeof *c->levels);
	if (!c->label || !c->group || !c->at || !c->level || !c->levels)
		return oq_fail_memory(err, "evaluate", rows * sizeof *c->group);
	for (int64_t r = 0; r < e->endpoint.rows; r++) {
		c->at[r] = e->tested[r] ? c->count : -1;
		if (!e->tested[r])
			continue;
		c->label[c->count] = e->endpoint.class[r] == 1;
		c->group[c->count++] = e->endpoint.group[r];
	}
	return OQ_OK;
}

static void close_cases(cases *c)
{
	for (int i = 0; i < c->e->entry_count && c->level; i++)
		oq_free(c->level[i]);
	oq_free(c->level);
	oq_free(c->levels);
	oq_free(c->label);
	oq_free(c->group);
	oq_free(c->at);
}

typedef struct scored {
	double score;
	int64_t row;
} scored;

static int ascending(const void *a, const void *b)
{
	double x = ((const scored *)a)->score, y = ((const scored *)b)->score;
	return (x > y) - (x < y);
}

static oq_status rank(cases *c, int which, oq_error *err)
{
	const double *score = c->e->entries[which].pooled;
	scored *sorted = oq_alloc((size_t)c->count * sizeof *sorted);
	c->level[which] = oq_alloc((size_t)c->count * sizeof **c->level);
	if (!sorted || !c->level[which]) {
		oq_free(sorted);
		return oq_fail_memory(err, "bootstrap", (size_t)c->count * sizeof *sorted);
	}
	for (int64_t i = 0; i < c->count; i++)
		sorted[i] = (scored){score[i], i};
	qsort(sorted, (size_t)c->count, sizeof *sorted, ascending);
	for (int64_t i = 0; i < c->count; i++) {
		c->levels[which] += i > 0 && sorted[i].score > sorted[i - 1].score;
		c->level[which][sorted[i].row] = c->levels[which];
	}
	c->levels[which]++;
	oq_free(sorted);
	return OQ_OK;
}

/* AUC of the drawn rows by counting cases per level: no sorting. NaN when a class is missing. */
static oq_status areas_of_draw(void *context, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	const cases *c = context;
	for (int i = 0; i < c->e->entry_count; i++) {
		int64_t (*at)[2] = oq_calloc((size_t)c->levels[i], sizeof *at), below = 0, twice = 0, total[2] = {0};
		if (!at)
			return oq_fail_memory(err, "bootstrap", (size_t)c->levels[i] * sizeof *at);
		for (int64_t k = 0; k < count; k++)
			at[c->level[i][row[k]]][c->label[row[k]]]++;
		for (int64_t l = 0; l < c->levels[i]; l++) {
			twice += at[l][1] * (2 * below + at[l][0]);
			below += at[l][0];
			total[1] += at[l][1];
		}
		total[0] = below;
		values[i] = total[0] && total[1] ? (double)twice / (2 * (double)total[0] * (double)total[1]) : NAN;
		oq_free(at);
	}
	return OQ_OK;
}

static oq_status resample(cases *c, oq_error *err)
{
	oq_evaluation *e = c->e;
	double *draws = oq_alloc((size_t)e->entry_count * RESAMPLES * sizeof *draws);
	oq_bootstrap plan = {.rows = c->count, .group = c->group, .seed = e->options->seed, .resamples = RESAMPLES, .threads = e->threads};
	oq_status status = draws ? OQ_OK : oq_fail_memory(err, "bootstrap", (size_t)e->entry_count * RESAMPLES * sizeof *draws);
	for (int i = 0; i < e->entry_count && status == OQ_OK; i++)
		status = rank(c, i, err);
	if (status == OQ_OK)
		status = oq_bootstrap_run(&plan, areas_of_draw, c, e->entry_count, draws, NULL, err);
	for (int i = 0; i < e->entry_count && status == OQ_OK; i++)
		e->entries[i].bootstrap = oq_bootstrap_interval(draws + (int64_t)i * RESAMPLES, RESAMPLES, 0.95);
	e->resamples = RESAMPLES;
	oq_free(draws);
	return status;
}

/* Every tested row's mean score over its splits. */
static oq_status pool(const cases *c, oq_entry *entry, oq_error *err)
{
	const oq_evaluation *e = c->e;
	entry->pooled = oq_calloc((size_t)c->count, sizeof *entry->pooled);
	if (!entry->pooled)
		return oq_fail_memory(err, "evaluate", (size_t)c->count * sizeof *entry->pooled);
	for (int i = 0; i < e->split_count; i++)
		for (int64_t t = 0; t < e->splits[i].test; t++) {
			int64_t row = oq_split_test(&e->splits[i])[t];
			entry->pooled[c->at[row]] += entry->outcomes[i].scores[t] / (double)e->tested[row];
		}
	oq_auc_pair pair;
	OQ_TRY(oq_auc_compare_patients(entry->pooled, entry->pooled, c->label, c->group, c->count, &pair, err));
	entry->auc = pair.a;
	return OQ_OK;
}

/* Every two entries with as many shots. */
static oq_status compare(const cases *c, oq_error *err)
{
	oq_evaluation *e = c->e;
	int most = e->entry_count * (e->entry_count - 1) / 2, count = 0;
	e->comparisons = oq_calloc((size_t)most, sizeof *e->comparisons);
	double *p = oq_alloc(2 * (size_t)most * sizeof *p);
	oq_status status = e->comparisons && p ? OQ_OK : oq_fail_memory(err, "evaluate", (size_t)most * sizeof *e->comparisons);
	for (int a = 0; a < e->entry_count && status == OQ_OK; a++)
		for (int b = a + 1; b < e->entry_count && status == OQ_OK; b++) {
			if (e->entries[a].shots != e->entries[b].shots)
				continue;
			oq_comparison *one = &e->comparisons[count];
			one->a = a;
			one->b = b;
			status = oq_auc_compare_patients(e->entries[a].pooled, e->entries[b].pooled, c->label, c->group, c->count, &one->pair, err);
			p[count++] = one->pair.p;
		}
	if (status == OQ_OK && count)
		status = oq_holm(p, count, p + most, err);
	for (int i = 0; i < count && status == OQ_OK; i++)
		e->comparisons[i].holm = p[most + i];
	e->comparison_count = status == OQ_OK ? count : 0;
	oq_free(p);
	return status;
}

oq_status oq_evaluate_infer(oq_evaluation *e, oq_error *err)
{
	cases c = {.e = e};
	for (int i = 0; i < e->entry_count; i++)
		OQ_TRY(summarise(e, &e->entries[i], err));
	if (oq_is_paper(e) || e->endpoint.classes > 2)
		return OQ_OK;
	oq_status status = open_cases(&c, err);
	for (int i = 0; i < e->entry_count && status == OQ_OK; i++)
		status = pool(&c, &e->entries[i], err);
	if (status == OQ_OK)
		status = resample(&c, err);
	if (status == OQ_OK)
		status = compare(&c, err);
	close_cases(&c);
	return status;
}
