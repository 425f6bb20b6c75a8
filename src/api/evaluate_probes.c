/* The probes: from a model's embeddings and the splits to test scores. Nothing here looks at test labels before the last figure. */
#include "evaluate.h"

#include "core/mem.h"
#include "eval/knn.h"
#include "eval/roc.h"

#include <math.h>
#include <string.h>

#define NEIGHBOURS 50

static int outputs_of(const oq_evaluation *e)
{
	return e->endpoint.classes == 2 ? 1 : e->endpoint.classes;
}

static oq_roc_rule rule_of(const oq_evaluation *e)
{
	return e->options->protocol == OQ_PROTOCOL_PAPER ? OQ_ROC_REFERENCE : OQ_ROC_EXACT;
}

static oq_status add_entries(oq_evaluation *e, int count, oq_error *err)
{
	e->entries = oq_calloc((size_t)count, sizeof *e->entries);
	if (!e->entries)
		return oq_fail_memory(err, "evaluate", (size_t)count * sizeof *e->entries);
	e->entry_count = count;
	for (int i = 0; i < count; i++) {
		e->entries[i].outcomes = oq_calloc((size_t)e->split_count, sizeof *e->entries[i].outcomes);
		if (!e->entries[i].outcomes)
			return oq_fail_memory(err, "evaluate", (size_t)e->split_count * sizeof *e->entries[i].outcomes);
	}
	return OQ_OK;
}

/* AUC of scores [count][outputs] of these rows. */
static oq_status area_of(const oq_evaluation *e, const int64_t *rows, int64_t count, const double *scores, double *area, oq_error *err)
{
	uint8_t *class = oq_alloc((size_t)count);
	if (!class)
		return oq_fail_memory(err, "AUC", (size_t)count);
	for (int64_t i = 0; i < count; i++)
		class[i] = e->endpoint.class[rows[i]];
	oq_status status = oq_roc_mean(rule_of(e), scores, class, e->endpoint.classes, count, area, err);
	oq_free(class);
	return status;
}

/* The reference keeps the first best in the order of its grid; the strict protocol the smallest k of the best. */
static oq_status best_k(const oq_evaluation *e, const double *areas, int most, int *k, oq_error *err)
{
	int order[OQ_KNN_MOST], best = 0;
	for (int i = 0; i < most; i++)
		order[i] = i + 1;
	if (e->options->protocol == OQ_PROTOCOL_PAPER)
		OQ_TRY(oq_grid_order(most, order, err));
	for (int i = 1; i < most; i++)
		if (areas[order[i] - 1] > areas[order[best] - 1])
			best = i;
	*k = order[best];
	return OQ_OK;
}

/* Chooses k on the validation rows, then scores the test rows. */
static oq_status judge_votes(const oq_evaluation *e, const oq_split *split, const oq_knn_votes *votes, oq_outcome *out, oq_error *err)
{
	double areas[OQ_KNN_MOST], *shares = oq_alloc((size_t)(split->val * outputs_of(e)) * sizeof *shares);
	out->scores = oq_alloc((size_t)(split->test * outputs_of(e)) * sizeof *out->scores);
	oq_status status = shares && out->scores ? OQ_OK : oq_fail_memory(err, "kNN", (size_t)(split->test * outputs_of(e)) * sizeof *shares);
	for (int k = 1; k <= votes->most && status == OQ_OK; k++) {
		oq_knn_shares(votes, 0, split->val, k, e->endpoint.classes, shares);
		status = area_of(e, oq_split_val(split), split->val, shares, &areas[k - 1], err);
	}
	oq_free(shares);
	if (status == OQ_OK)
		status = best_k(e, areas, votes->most, &out->k, err);
	if (status != OQ_OK)
		return status;
	out->auc_val = areas[out->k - 1];
	out->ties = oq_knn_ties(votes, split->val, split->test, out->k);
	oq_knn_shares(votes, split->val, split->test, out->k, e->endpoint.classes, out->scores);
	return area_of(e, oq_split_test(split), split->test, out->scores, &out->auc_test, err);
}

/* The largest k: as asked for; the strict protocol's default gives way to small training sets. */
static int most_of(const oq_evaluation *e)
{
	int most = e->options->most_neighbours ? e->options->most_neighbours : NEIGHBOURS;
	for (int i = 0; i < e->split_count && !e->options->most_neighbours && e->options->protocol == OQ_PROTOCOL_STRICT; i++)
		most = e->splits[i].train < most ? (int)e->splits[i].train : most;
	return most;
}

static oq_status run_knn(oq_evaluation *e, int model, oq_entry *entry, oq_error *err)
{
	oq_knn_votes *votes = oq_calloc((size_t)e->split_count, sizeof *votes);
	oq_status status = votes ? oq_knn_vote(&e->matrices[model], e->endpoint.class, e->splits, e->split_count, most_of(e), e->threads, votes, err)
		: oq_fail_memory(err, "kNN", (size_t)e->split_count * sizeof *votes);
	for (int i = 0; i < e->split_count && status == OQ_OK; i++)
		status = judge_votes(e, &e->splits[i], &votes[i], &entry->outcomes[i], err);
	for (int i = 0; i < e->split_count && votes; i++)
		oq_knn_votes_free(&votes[i]);
	oq_free(votes);
	return status;
}

static oq_status probe_knn(oq_evaluation *e, oq_error *err)
{
	OQ_TRY(add_entries(e, e->options->count, err));
	for (int m = 0; m < e->options->count; m++) {
		e->entries[m].name = e->names[m];
		e->entries[m].model = m;
		OQ_TRY(run_knn(e, m, &e->entries[m], err));
	}
	return OQ_OK;
}

static void summarise(const oq_evaluation *e, oq_entry *entry)
{
	double sum = 0, square = 0, n = e->split_count;
	for (int i = 0; i < e->split_count; i++)
		sum += entry->outcomes[i].auc_test;
	entry->mean = sum / n;
	for (int i = 0; i < e->split_count; i++)
		square += (entry->outcomes[i].auc_test - entry->mean) * (entry->outcomes[i].auc_test - entry->mean);
	entry->sd = n > 1 ? sqrt(square / (n - 1)) : NAN;
	entry->se = entry->sd / sqrt(n);
}

/* Every tested row's mean score over its splits, and what DeLong says of those. */
static oq_status pool(const oq_evaluation *e, oq_entry *entry, oq_error *err)
{
	int64_t rows = e->endpoint.rows, count = 0;
	entry->pooled = oq_calloc((size_t)rows, sizeof *entry->pooled);
	double *score = oq_alloc((size_t)rows * sizeof *score);
	bool *label = oq_alloc((size_t)rows * sizeof *label);
	oq_status status = entry->pooled && score && label ? OQ_OK : oq_fail_memory(err, "evaluate", (size_t)rows * sizeof *score);
	for (int i = 0; i < e->split_count && status == OQ_OK; i++)
		for (int64_t t = 0; t < e->splits[i].test; t++)
			entry->pooled[oq_split_test(&e->splits[i])[t]] += entry->outcomes[i].scores[t];
	for (int64_t r = 0; r < rows && status == OQ_OK; r++) {
		entry->pooled[r] = e->tested[r] ? entry->pooled[r] / (double)e->tested[r] : NAN;
		if (e->tested[r]) {
			score[count] = entry->pooled[r];
			label[count++] = e->endpoint.class[r] == 1;
		}
	}
	if (status == OQ_OK)
		status = oq_auc_measure(score, label, count, &entry->auc, err);
	oq_free(score);
	oq_free(label);
	return status;
}

oq_status oq_evaluate_probe(oq_evaluation *e, oq_error *err)
{
	static oq_status (*const probes[])(oq_evaluation *, oq_error *) = {[OQ_PROBE_KNN] = probe_knn};
	if ((size_t)e->options->probe >= sizeof probes / sizeof *probes)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "evaluate: no probe %d", (int)e->options->probe);
	OQ_TRY(probes[e->options->probe](e, err));
	for (int i = 0; i < e->entry_count; i++) {
		summarise(e, &e->entries[i]);
		if (e->options->protocol == OQ_PROTOCOL_STRICT && e->endpoint.classes == 2)
			OQ_TRY(pool(e, &e->entries[i], err));
	}
	return OQ_OK;
}
