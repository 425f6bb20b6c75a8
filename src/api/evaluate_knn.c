/* Nearest neighbours: on all training rows, or on a few of each class. */
#include "evaluate.h"

#include "core/mem.h"

#include <stdio.h>

#define NEIGHBOURS 50

/* The reference keeps the first best in the order of its grid; the strict protocol the smallest k of the best. */
static oq_status best_k(const oq_evaluation *e, const double *areas, int most, int *k, oq_error *err)
{
	int order[OQ_KNN_MOST], best = 0;
	for (int i = 0; i < most; i++)
		order[i] = i + 1;
	if (oq_is_paper(e))
		OQ_TRY(oq_grid_order(most, order, err));
	for (int i = 1; i < most; i++)
		if (areas[order[i] - 1] > areas[order[best] - 1])
			best = i;
	*k = order[best];
	return OQ_OK;
}

/* k of `least` to votes->most by the validation rows. */
static oq_status choose_k(const oq_evaluation *e, const oq_split *split, const oq_knn_votes *votes, int least, oq_outcome *out, oq_error *err)
{
	double areas[OQ_KNN_MOST] = {0}, *shares = oq_alloc((size_t)(split->val * oq_outputs(e)) * sizeof *shares);
	oq_status status = shares ? OQ_OK : oq_fail_memory(err, "kNN", (size_t)(split->val * oq_outputs(e)) * sizeof *shares);
	for (int k = least; k <= votes->most && status == OQ_OK; k++) {
		oq_knn_shares(votes, 0, split->val, k, e->endpoint.classes, shares);
		status = oq_area_of(e, oq_split_val(split), split->val, shares, &areas[k - 1], err);
	}
	oq_free(shares);
	out->k = least;
	if (status == OQ_OK && least < votes->most)
		status = best_k(e, areas, votes->most, &out->k, err);
	out->auc_val = areas[out->k - 1];
	return status;
}

static oq_status judge(const oq_evaluation *e, int which, const oq_knn_votes *votes, int least, oq_outcome *out, oq_error *err)
{
	const oq_split *split = &e->splits[which];
	OQ_TRY(choose_k(e, split, votes, least, out, err));
	OQ_TRY(oq_open_scores(e, which, out, err));
	out->ties = oq_knn_ties(votes, split->val, split->test, out->k);
	oq_knn_shares(votes, split->val, split->test, out->k, e->endpoint.classes, out->scores);
	return oq_judge_test(e, which, out, err);
}

/* The largest k: as asked for; the strict protocol's default gives way to small training sets. */
static int most_of(const oq_evaluation *e)
{
	int most = e->options->most_neighbours ? e->options->most_neighbours : NEIGHBOURS;
	for (int i = 0; i < e->split_count && !e->options->most_neighbours && !oq_is_paper(e); i++)
		most = e->splits[i].train < most ? (int)e->splits[i].train : most;
	return most;
}

typedef struct judging {
	const oq_evaluation *e;
	const oq_knn_votes *votes;
	oq_entry *entry;
	int least;
} judging;

static oq_status judge_split(void *context, int split, int threads, oq_error *err)
{
	const judging *j = context;
	(void)threads;
	return judge(j->e, split, &j->votes[split], j->least, &j->entry->outcomes[split], err);
}

/* Votes on `splits` (of the evaluation, or with fewer training rows), k from least to most. */
static oq_status run(const oq_evaluation *e, const oq_split *splits, int least, int most, oq_entry *entry, oq_error *err)
{
	oq_knn_votes *votes = oq_calloc((size_t)e->split_count, sizeof *votes);
	oq_status status = votes ? oq_knn_vote(&e->matrices[entry->model], e->endpoint.class, splits, e->split_count, most, e->threads, votes, err)
		: oq_fail_memory(err, "kNN", (size_t)e->split_count * sizeof *votes);
	judging j = {e, votes, entry, least};
	if (status == OQ_OK)
		status = oq_each_split(e, judge_split, &j, err);
	for (int i = 0; i < e->split_count && votes; i++)
		oq_knn_votes_free(&votes[i]);
	oq_free(votes);
	return status;
}

oq_status oq_probe_knn(oq_evaluation *e, oq_error *err)
{
	OQ_TRY(oq_add_entries(e, e->options->count, err));
	for (int m = 0; m < e->options->count; m++) {
		snprintf(e->entries[m].name, sizeof e->entries[m].name, "%s", e->names[m]);
		e->entries[m].model = m;
		OQ_TRY(run(e, e->splits, 1, most_of(e), &e->entries[m], err));
	}
	return OQ_OK;
}

/* The split with `shots` training rows of each class. */
static oq_status thin_out(const oq_evaluation *e, int which, int shots, oq_split *out, oq_error *err)
{
	const oq_split *split = &e->splits[which];
	int64_t few = (int64_t)shots * e->endpoint.classes, others = split->val + split->test;
	/* the reference seeds with the number of the run, the strict protocol does not repeat itself with another seed */
	uint32_t seed = oq_is_paper(e) ? (uint32_t)which : (uint32_t)(e->options->seed * 10007 + (uint64_t)which);
	out->rows = oq_alloc((size_t)(few + others) * sizeof *out->rows);
	if (!out->rows)
		return oq_fail_memory(err, "few-shot", (size_t)(few + others) * sizeof *out->rows);
	OQ_TRY(oq_few_shot_draw(split, e->endpoint.class, e->endpoint.classes, shots, seed, out->rows, err));
	for (int64_t i = 0; i < few; i++)
		out->rows[i] = split->rows[out->rows[i]];
	for (int64_t i = 0; i < others; i++)
		out->rows[few + i] = oq_split_val(split)[i];
	out->train = few;
	out->val = split->val;
	out->test = split->test;
	return OQ_OK;
}

/* The reference chooses k up to 2 shots on the whole validation fold, which is more than a few shots; the strict protocol takes k = shots. */
static oq_status run_shots(const oq_evaluation *e, oq_entry *entry, oq_error *err)
{
	int shots = entry->shots, most = !oq_is_paper(e) ? shots : 2 * shots < NEIGHBOURS ? 2 * shots : NEIGHBOURS;
	oq_split *splits = oq_calloc((size_t)e->split_count, sizeof *splits);
	oq_status status = splits ? OQ_OK : oq_fail_memory(err, "few-shot", (size_t)e->split_count * sizeof *splits);
	for (int i = 0; i < e->split_count && status == OQ_OK; i++)
		status = thin_out(e, i, shots, &splits[i], err);
	if (status == OQ_OK)
		status = run(e, splits, oq_is_paper(e) ? 1 : shots, most, entry, err);
	for (int i = 0; i < e->split_count && splits; i++)
		oq_split_free(&splits[i]);
	oq_free(splits);
	return status;
}

oq_status oq_probe_few_shot(oq_evaluation *e, oq_error *err)
{
	static const int reference[3] = {1, 5, 10};
	const int *shots = e->options->shots ? &e->options->shots : reference;
	int kinds = e->options->shots ? 1 : 3;
	OQ_TRY(oq_add_entries(e, kinds * e->options->count, err));
	for (int m = 0; m < e->options->count; m++)
		for (int i = 0; i < kinds; i++) {
			oq_entry *entry = &e->entries[m * kinds + i];
			snprintf(entry->name, sizeof entry->name, "%.280s, %d shot%s", e->names[m], shots[i], shots[i] > 1 ? "s" : "");
			entry->model = m;
			entry->shots = shots[i];
			OQ_TRY(run_shots(e, entry, err));
		}
	return OQ_OK;
}
