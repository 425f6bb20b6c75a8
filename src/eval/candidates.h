/* Which rows of a large gallery may be among a query's nearest by cosine: float32 products of all pairs, and their error bound, rule out all but a
 * few hundred. What is left is to be measured in double. */
#ifndef OQ_EVAL_CANDIDATES_H
#define OQ_EVAL_CANDIDATES_H

#include "core/cpu.h"
#include "eval/matrix.h"

#define OQ_CANDIDATE_BLOCK 768 /* queries at a time: packed, they stay in the last level cache, and the gallery is packed seldom */
#define OQ_CANDIDATE_FEW 1024  /* a gallery of fewer rows is not worth filtering */

typedef struct oq_candidate_search {
	const oq_matrix *queries, *gallery;          /* of as many columns */
	const double *query_norms, *gallery_norms;   /* [rows] each */
	const int64_t *query_rows, *gallery_rows;    /* which of them; NULL: all, in order */
	int64_t gallery_count;
	int64_t wanted;                              /* this many of the nearest are surely among the candidates */
	oq_isa isa;
} oq_candidate_search;

/* A thread's own room; NULL when there is no memory. */
typedef struct oq_candidates oq_candidates;
oq_candidates *oq_candidates_open(const oq_candidate_search *search);
void oq_candidates_close(oq_candidates *candidates);

/* Queries first to first + count - 1 (at most OQ_CANDIDATE_BLOCK) against the gallery; false when there is no memory. */
bool oq_candidates_find(oq_candidates *candidates, const oq_candidate_search *search, int64_t first, int64_t count);
/* Of the block's query q: how many, *rows of the gallery in its order, and *below: the cosine of every other row is less. 0, and *below INFINITY, when
 * too many rows are alike to be told apart: then every row is to be measured. */
int64_t oq_candidates_of(oq_candidates *candidates, const oq_candidate_search *search, int64_t q, const int64_t **rows, double *below);

#endif
