/* How alike two sets of embeddings of the same patches are, whatever their dimensions. Formulas: docs/fidelity.md. */
#ifndef OQ_EVAL_SIMILARITY_H
#define OQ_EVAL_SIMILARITY_H

#include "eval/matrix.h"

typedef struct oq_similarity {
	double linear_cka;    /* Kornblith et al. 2019: |Xc'Yc|^2 / (|Xc'Xc| |Yc'Yc|), Frobenius norms, columns centred */
	double debiased_cka;  /* with the unbiased HSIC of Song et al. 2012; needs 4 rows */
	double rsa_spearman;  /* rank correlation of the pairwise cosine distances */
	double procrustes_angle; /* arccos(|Xc'Yc|_nuclear / (|Xc| |Yc|)), radians */
	double mutual_knn10;  /* mean share of common neighbours among the 10 nearest by cosine; NaN below 11 rows */
} oq_similarity;

/* Same rows, at least 4; memory for four matrices of the rows squared. */
oq_status oq_similarity_measure(const oq_matrix *x, const oq_matrix *y, int threads, oq_similarity *out, oq_error *err);

#endif
