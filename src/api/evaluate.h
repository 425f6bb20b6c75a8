/* An evaluation on its way from files to figures: what was read, how it was split, what each probe gave. */
#ifndef OQ_API_EVALUATE_H
#define OQ_API_EVALUATE_H

#include "internal.h"

#include "core/json.h"
#include "eval/auc.h"
#include "eval/inference.h"
#include "eval/knn.h"
#include "eval/roc.h"
#include "eval/matrix.h"
#include "eval/splits.h"
#include "io/table.h"

#define OQ_EVALUATE_MODELS 32
#define OQ_FEW 10 /* fewer test cases of a class than this say little */

/* The rows that have an embedding in every file and a label. */
typedef struct oq_endpoint {
	oq_table *table;         /* the labels' file */
	int label, patient, split, id; /* columns, or -1 */
	int64_t rows;
	int64_t *line;           /* [rows]: row of the table */
	uint8_t *class;          /* [rows] */
	int64_t *group;          /* [rows]: patients numbered by their first row */
	uint8_t *part;           /* [rows] by the split column: 0 train, 1 val, 2 test; NULL without */
	const char *class_names[OQ_CLASSES]; /* in the table */
	int classes;
	int64_t counts[OQ_CLASSES], patients;
	int64_t failed, unlabelled, unmatched; /* rows left out, and why */
} oq_endpoint;

/* One probe on one split. */
typedef struct oq_outcome {
	int k;           /* neighbours, or 0 */
	double c;        /* of a logistic regression, or 0 */
	double *weights; /* [files] of an ensemble, or NULL */
	double auc_val, auc_test;
	double *scores;  /* [test] of class 1, or [test][classes] */
	int64_t ties;    /* test rows whose k-th and next neighbour are less than 1e-6 apart */
} oq_outcome;

/* A row of the result: a model, or an ensemble of them. */
typedef struct oq_entry {
	char name[320];
	int model;            /* index of the file, or -1 */
	int shots;            /* per class, or 0 */
	oq_outcome *outcomes; /* [splits] */
	oq_mean plain;        /* of the test AUC over splits, as if they were independent */
	oq_interval corrected; /* Nadeau and Bengio's, of the same mean; NaN with one split */
	/* strict, two classes: every tested row's mean score over its splits */
	double *pooled;       /* [tested rows] */
	oq_auc auc;           /* variance by patient */
	oq_interval bootstrap;
} oq_entry;

/* Two rows of the result on the same cases. */
typedef struct oq_comparison {
	int a, b;
	oq_auc_pair pair;
	double holm;          /* p, corrected for all pairs */
} oq_comparison;

typedef struct oq_evaluation {
	const oq_evaluate_options *options;
	int threads;
	oq_matrix matrices[OQ_EVALUATE_MODELS];
	char *names[OQ_EVALUATE_MODELS];
	oq_endpoint endpoint;
	oq_split *splits;
	char (*split_names)[32]; /* [splits]: a seed, "repeat.fold", or as given */
	int split_count;
	const char *split_kind;
	int64_t fewest_test, fewest_val, leaks; /* cases of the rarest class in any fold; test rows of patients that were trained on, all splits */
	int64_t *tested;         /* [rows]: in how many splits */
	oq_entry *entries;
	int entry_count, resamples;
	oq_comparison *comparisons;
	int comparison_count;
} oq_evaluation;

/* Embeddings and labels, rows joined, those without either left out. */
oq_status oq_evaluate_read(oq_evaluation *e, oq_error *err);
/* By the protocol, a column or a file; checks that every fold can be judged. */
oq_status oq_evaluate_split(oq_evaluation *e, oq_error *err);
oq_status oq_evaluate_write_splits(const oq_evaluation *e, const char *path, oq_error *err);
/* Fills the entries, then what can be said of them. */
oq_status oq_evaluate_probe(oq_evaluation *e, oq_error *err);
oq_status oq_evaluate_infer(oq_evaluation *e, oq_error *err);
bool oq_evaluate_describe(const oq_evaluation *e, oq_json *root);
oq_status oq_evaluate_write_scores(const oq_evaluation *e, const char *path, oq_error *err);

/* The probes, one per file, and what they share. */
oq_status oq_probe_knn(oq_evaluation *e, oq_error *err);
oq_status oq_probe_few_shot(oq_evaluation *e, oq_error *err);
oq_status oq_probe_linear(oq_evaluation *e, oq_error *err);
oq_status oq_probe_alignment(oq_evaluation *e, oq_error *err);
oq_status oq_probe_stacking(oq_evaluation *e, oq_error *err);

static inline bool oq_is_paper(const oq_evaluation *e)
{
	return e->options->protocol == OQ_PROTOCOL_PAPER;
}

/* Scores per row: 1 with two classes. */
static inline int oq_outputs(const oq_evaluation *e)
{
	return e->endpoint.classes == 2 ? 1 : e->endpoint.classes;
}

oq_status oq_add_entries(oq_evaluation *e, int count, oq_error *err);
/* AUC of scores [count][outputs] of these rows, by the protocol's arithmetic. */
oq_status oq_area_of(const oq_evaluation *e, const int64_t *rows, int64_t count, const double *scores, double *area, oq_error *err);
/* outcome->scores, [test][outputs]. */
oq_status oq_open_scores(const oq_evaluation *e, int split, oq_outcome *outcome, oq_error *err);
/* The last step of every probe: the test AUC of its scores. */
oq_status oq_judge_test(const oq_evaluation *e, int split, oq_outcome *outcome, oq_error *err);
/* One job per split, side by side where the splits are small, else one after the other with all threads each. The first error by split. */
typedef oq_status (*oq_split_job)(void *context, int split, int threads, oq_error *err);
oq_status oq_each_split(const oq_evaluation *e, oq_split_job job, void *context, oq_error *err);

#endif
