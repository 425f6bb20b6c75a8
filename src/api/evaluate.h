/* An evaluation on its way from files to figures: what was read, how it was split, what each probe gave. */
#ifndef OQ_API_EVALUATE_H
#define OQ_API_EVALUATE_H

#include "internal.h"

#include "core/json.h"
#include "eval/auc.h"
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
	double auc_val, auc_test;
	double *scores;  /* [test] of class 1, or [test][classes] */
	int64_t ties;    /* test rows whose k-th and next neighbour are less than 1e-6 apart */
} oq_outcome;

/* A row of the result: a model, or an ensemble of them. */
typedef struct oq_entry {
	const char *name;
	int model;            /* index of the file, or -1 */
	oq_outcome *outcomes; /* [splits] */
	double mean, sd, se;  /* of the test AUC over splits */
	/* strict, two classes: every row's mean score over repeats, of rows that were tested */
	double *pooled;       /* [rows] */
	oq_auc auc;
} oq_entry;

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
	int entry_count;
} oq_evaluation;

/* Embeddings and labels, rows joined, those without either left out. */
oq_status oq_evaluate_read(oq_evaluation *e, oq_error *err);
/* By the protocol, a column or a file; checks that every fold can be judged. */
oq_status oq_evaluate_split(oq_evaluation *e, oq_error *err);
oq_status oq_evaluate_write_splits(const oq_evaluation *e, const char *path, oq_error *err);
/* Fills the entries. */
oq_status oq_evaluate_probe(oq_evaluation *e, oq_error *err);
bool oq_evaluate_describe(const oq_evaluation *e, oq_json *root);
oq_status oq_evaluate_write_scores(const oq_evaluation *e, const char *path, oq_error *err);

#endif
