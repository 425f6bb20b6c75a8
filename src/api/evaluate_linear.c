/* The linear probe: logistic regression at its optimum. The reference's multinomial fit of two classes is the ordinary one with twice its C. */
#include "evaluate.h"

#include "core/mem.h"
#include "eval/logistic.h"

#include <stdio.h>
#include <string.h>

static const double grid[] = {1e-4, 1e-3, 1e-2, 1e-1, 1, 1e1, 1e2};

typedef struct fitting {
	const oq_evaluation *e;
	oq_entry *entry;
} fitting;

/* What one split works with. */
typedef struct bench {
	double *mean, *scale; /* [columns] */
	double *val;          /* [val][outputs] */
} bench;

/* Keeps the fit when it is better than the best so far, or the first. */
static oq_status try_c(const fitting *f, int which, oq_logistic_problem *p, const bench *b, bool first, oq_error *err)
{
	const oq_evaluation *e = f->e;
	const oq_split *split = &e->splits[which];
	oq_outcome *out = &f->entry->outcomes[which];
	oq_logistic model;
	double area;
	oq_status status = oq_logistic_fit(p, &model, err);
	if (status == OQ_OK)
		status = oq_logistic_scores(&model, &p->features, oq_split_val(split), split->val, p->threads, b->val, err);
	if (status == OQ_OK)
		status = oq_area_of(e, oq_split_val(split), split->val, b->val, &area, err);
	if (status == OQ_OK && (first || area > out->auc_val)) {
		out->auc_val = area;
		out->c = p->c;
		status = oq_logistic_scores(&model, &p->features, oq_split_test(split), split->test, p->threads, out->scores, err);
	}
	oq_logistic_free(&model);
	return status;
}

static oq_status fit(const fitting *f, int which, int threads, const bench *b, oq_error *err)
{
	const oq_evaluation *e = f->e;
	const oq_split *split = &e->splits[which];
	const oq_matrix *x = &e->matrices[f->entry->model];
	oq_logistic_problem p = {.features.x = x, .rows = split->rows, .count = split->train, .class = e->endpoint.class, .classes = e->endpoint.classes,
		.threads = threads};
	double fixed = e->options->c > 0 ? e->options->c : oq_is_paper(e) ? (e->endpoint.classes == 2 ? 2 : 1) : 0;
	if (!oq_is_paper(e)) {
		oq_features_standardise(x, split->rows, split->train, b->mean, b->scale);
		p.features.mean = b->mean;
		p.features.scale = b->scale;
	}
	for (size_t i = 0; i < (fixed > 0 ? 1 : sizeof grid / sizeof *grid); i++) {
		p.c = fixed > 0 ? fixed : grid[i];
		OQ_TRY(try_c(f, which, &p, b, i == 0, err));
	}
	return oq_judge_test(e, which, &f->entry->outcomes[which], err);
}

static oq_status fit_split(void *context, int which, int threads, oq_error *err)
{
	const fitting *f = context;
	size_t columns = (size_t)f->e->matrices[f->entry->model].columns, val = (size_t)(f->e->splits[which].val * oq_outputs(f->e));
	OQ_TRY(oq_open_scores(f->e, which, &f->entry->outcomes[which], err));
	bench b = {.mean = oq_alloc(columns * sizeof *b.mean), .scale = oq_alloc(columns * sizeof *b.scale), .val = oq_alloc(val * sizeof *b.val)};
	oq_status status = b.mean && b.scale && b.val ? fit(f, which, threads, &b, err) : oq_fail_memory(err, "linear probe", (columns + val) * sizeof *b.val);
	oq_free(b.mean);
	oq_free(b.scale);
	oq_free(b.val);
	return status;
}

oq_status oq_probe_linear(oq_evaluation *e, oq_error *err)
{
	OQ_TRY(oq_add_entries(e, e->options->count, err));
	for (int m = 0; m < e->options->count; m++) {
		snprintf(e->entries[m].name, sizeof e->entries[m].name, "%s", e->names[m]);
		e->entries[m].model = m;
		OQ_TRY(oq_each_split(e, fit_split, &(fitting){e, &e->entries[m]}, err));
	}
	return OQ_OK;
}
