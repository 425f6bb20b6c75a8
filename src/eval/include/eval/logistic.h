/* Logistic regression with an L2 penalty, at its optimum: no learning rate, no early stop. Two classes: 0.5|w|^2 + C sum log(1 + exp(-s(w.x + b)));
 * more: the softmax with one row of weights per class, C on its log likelihood; intercepts are free. Newton steps by preconditioned conjugate
 * gradients, in the span of the training rows where there are fewer of them than dimensions. Double throughout; the same bits for any number of
 * threads. */
#ifndef OQ_EVAL_LOGISTIC_H
#define OQ_EVAL_LOGISTIC_H

#include "eval/matrix.h"
#include "eval/splits.h"

/* Rows of a matrix, perhaps standardised: (x - mean) scale. */
typedef struct oq_features {
	const oq_matrix *x;
	const double *mean, *scale; /* [columns], or NULL */
} oq_features;
/* Mean and 1/sd (n, not n-1; 1 where nothing varies) of these rows: [columns] each. */
void oq_features_standardise(const oq_matrix *x, const int64_t *rows, int64_t count, double *mean, double *scale);

typedef struct oq_logistic_problem {
	oq_features features;
	const int64_t *rows;   /* [count] to train on */
	int64_t count;
	const uint8_t *class;  /* of every row of the matrix */
	int classes;
	double c;              /* C */
	bool balanced;         /* every class weighs the same: rows weigh count / (classes x rows of their class) */
	int threads;
} oq_logistic_problem;

typedef struct oq_logistic {
	int64_t columns;
	int outputs;           /* 1 with two classes (of class 1), else one per class */
	double *weights;       /* [outputs][columns] */
	double intercept[OQ_CLASSES];
	int steps;             /* of Newton */
	double gradient;       /* largest component that was left */
} oq_logistic;

/* OQ_E_INTERNAL when the optimum is not reached. Free with oq_logistic_free, also after a failure. */
oq_status oq_logistic_fit(const oq_logistic_problem *problem, oq_logistic *out, oq_error *err);
void oq_logistic_free(oq_logistic *model);
/* Probabilities of these rows: of class 1 with two classes, else [count][classes]. */
oq_status oq_logistic_scores(const oq_logistic *model, const oq_features *features, const int64_t *rows, int64_t count, int threads, double *scores,
	oq_error *err);

#endif
