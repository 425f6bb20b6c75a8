/* How alike sets of embeddings of the same patches are, whatever their dimensions. Formulas: docs/similarity.md. Memory is bounded by
 * the embeddings and the square of their dimensions, never by the square of the rows. The results do not depend on the number of threads. */
#ifndef OQ_EVAL_SIMILARITY_H
#define OQ_EVAL_SIMILARITY_H

#include "eval/matrix.h"

/* More rows: RSA looks at this many, evenly spread over all; its pairs grow with the square. */
#define OQ_RSA_ROWS 2000

typedef struct oq_similarity {
	double linear_cka;    /* Kornblith et al. 2019: |Xc'Yc|^2 / (|Xc'Xc| |Yc'Yc|), Frobenius norms, columns centred */
	double debiased_cka;  /* with the unbiased HSIC of Song et al. 2012; needs 4 rows */
	double rsa_spearman;  /* rank correlation of the pairwise cosine distances */
	double procrustes_angle; /* arccos(|Xc'Yc|_nuclear / (|Xc| |Yc|)), radians */
	double procrustes_disparity; /* 1 - (|Xc'Yc|_nuclear / (|Xc| |Yc|))^2 */
	double mutual_knn10;  /* mean share of common neighbours among the 10 nearest by cosine; NaN below 11 rows */
} oq_similarity;

/* What is computed once for each set. Keeps a view of `x`. */
typedef struct oq_similarity_side oq_similarity_side;
/* At least 4 rows of finite values. */
oq_status oq_similarity_open(const oq_matrix *x, int threads, oq_similarity_side **out, oq_error *err);
void oq_similarity_close(oq_similarity_side *side);
/* A figure that is not defined (a set without spread) is NaN. */
oq_status oq_similarity_pair(const oq_similarity_side *x, const oq_similarity_side *y, int threads, oq_similarity *out, oq_error *err);
/* Two sets only. */
oq_status oq_similarity_measure(const oq_matrix *x, const oq_matrix *y, int threads, oq_similarity *out, oq_error *err);

#endif
