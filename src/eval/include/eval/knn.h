/* The k nearest training rows by cosine, and what they vote for. Distances are 1 - x.y/(|x||y|) in double (a row of zeros counts as of length
 * 1), ties go to the row that stands earlier in the split's training list. The result does not depend on the number of threads. */
#ifndef OQ_EVAL_KNN_H
#define OQ_EVAL_KNN_H

#include "eval/matrix.h"
#include "eval/splits.h"

#define OQ_KNN_MOST 63 /* largest k */

/* One split: of every val and test row, in the split's order, the classes of its nearest training rows, nearest first. */
typedef struct oq_knn_votes {
	int64_t queries;
	int most;         /* neighbours kept: all k up to this can be asked for */
	uint8_t *classes; /* [queries][most] */
	uint64_t *tied;   /* [queries]: bit k: the k-th and the next are less than 1e-6 apart, so that rounding could swap them */
} oq_knn_votes;

/* How: both ways give the same bits, at different speed. */
typedef enum oq_knn_way { OQ_KNN_CHOOSE = 0, OQ_KNN_PLAIN, OQ_KNN_FILTERED } oq_knn_way;

/* votes[count], one per split; free each with oq_knn_votes_free, also after a failure. `most` is 1 to OQ_KNN_MOST and not above the training
 * rows of any split (OQ_E_INPUT). */
oq_status oq_knn_vote(const oq_matrix *x, const uint8_t *class, const oq_split *splits, int count, int most, int threads, oq_knn_votes *votes, oq_error *err);
/* The same by a given way; for tests. */
oq_status oq_knn_vote_by(oq_knn_way way, const oq_matrix *x, const uint8_t *class, const oq_split *splits, int count, int most, int threads,
	oq_knn_votes *votes, oq_error *err);
void oq_knn_votes_free(oq_knn_votes *votes);

/* Shares of the classes among the k nearest of queries first to first+count-1: of class 1 alone with two classes, else [count][classes]. */
void oq_knn_shares(const oq_knn_votes *votes, int64_t first, int64_t count, int k, int classes, double *shares);
/* How many of these rows have a tie between the k-th and the next. */
int64_t oq_knn_ties(const oq_knn_votes *votes, int64_t first, int64_t count, int k);

#endif
