/* What the probes share, and which there are. Nothing here looks at test labels before the last figure. */
#include "evaluate.h"

#include "core/mem.h"

#include <omp.h>
#include <string.h>

#define LITTLE (1 << 22) /* numbers of a matrix: fewer, and splits run side by side */

oq_status oq_add_entries(oq_evaluation *e, int count, oq_error *err)
{
	e->entries = oq_calloc((size_t)count, sizeof *e->entries);
	if (!e->entries)
		return oq_fail_memory(err, "evaluate", (size_t)count * sizeof *e->entries);
	e->entry_count = count;
	for (int i = 0; i < count; i++) {
		e->entries[i].model = -1;
		e->entries[i].outcomes = oq_calloc((size_t)e->split_count, sizeof *e->entries[i].outcomes);
		if (!e->entries[i].outcomes)
			return oq_fail_memory(err, "evaluate", (size_t)e->split_count * sizeof *e->entries[i].outcomes);
	}
	return OQ_OK;
}

oq_status oq_area_of(const oq_evaluation *e, const int64_t *rows, int64_t count, const double *scores, double *area, oq_error *err)
{
	uint8_t *class = oq_alloc((size_t)count);
	if (!class)
		return oq_fail_memory(err, "AUC", (size_t)count);
	for (int64_t i = 0; i < count; i++)
		class[i] = e->endpoint.class[rows[i]];
	oq_status status = oq_roc_mean(oq_is_paper(e) ? OQ_ROC_REFERENCE : OQ_ROC_EXACT, scores, class, e->endpoint.classes, count, area, err);
	oq_free(class);
	return status;
}

oq_status oq_open_scores(const oq_evaluation *e, int split, oq_outcome *outcome, oq_error *err)
{
	size_t bytes = (size_t)(e->splits[split].test * oq_outputs(e)) * sizeof *outcome->scores;
	outcome->scores = oq_alloc(bytes);
	return outcome->scores ? OQ_OK : oq_fail_memory(err, "scores", bytes);
}

oq_status oq_judge_test(const oq_evaluation *e, int split, oq_outcome *outcome, oq_error *err)
{
	const oq_split *s = &e->splits[split];
	return oq_area_of(e, oq_split_test(s), s->test, outcome->scores, &outcome->auc_test, err);
}

oq_status oq_each_split(const oq_evaluation *e, oq_split_job job, void *context, oq_error *err)
{
	int64_t numbers = e->endpoint.rows * e->matrices[0].columns;
	int count = e->split_count, abreast = numbers < LITTLE ? e->threads : 1, inside = numbers < LITTLE ? 1 : e->threads;
	oq_error *errors = oq_calloc((size_t)count, sizeof *errors);
	if (!errors)
		return oq_fail_memory(err, "evaluate", (size_t)count * sizeof *errors);
#pragma omp parallel for num_threads(abreast) schedule(dynamic)
	for (int i = 0; i < count; i++)
		errors[i].status = job(context, i, inside, &errors[i]);
	oq_status status = OQ_OK;
	for (int i = 0; i < count && status == OQ_OK; i++) {
		status = errors[i].status;
		if (status != OQ_OK && err)
			*err = errors[i];
	}
	oq_free(errors);
	return status;
}

oq_status oq_evaluate_probe(oq_evaluation *e, oq_error *err)
{
	static oq_status (*const probes[])(oq_evaluation *, oq_error *) = {[OQ_PROBE_KNN] = oq_probe_knn, [OQ_PROBE_LINEAR] = oq_probe_linear,
		[OQ_PROBE_FEW_SHOT] = oq_probe_few_shot, [OQ_PROBE_ALIGNMENT] = oq_probe_alignment, [OQ_PROBE_STACKING] = oq_probe_stacking};
	if ((size_t)e->options->probe >= sizeof probes / sizeof *probes)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "evaluate: no probe %d", (int)e->options->probe);
	return probes[e->options->probe](e, err);
}
