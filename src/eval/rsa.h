/* Representational similarity: ranks of the pairwise cosine distances of a set. */
#ifndef OQ_EVAL_RSA_H
#define OQ_EVAL_RSA_H

#include "eval/matrix.h"

/* Rows that are looked at, and the pairs among them. */
int64_t oq_rsa_rows(int64_t rows);
static inline int64_t oq_rsa_pairs(int64_t rows)
{
	int64_t n = oq_rsa_rows(rows);
	return n * (n - 1) / 2;
}
/* Ranks (ties: the mean rank) of the distances, in the order (0,1), (0,2), ..., (1,2), ...; free with oq_free. */
oq_status oq_rsa_ranks(const oq_matrix *x, int threads, double **ranks, oq_error *err);

#endif
