/* Statistics of single rows, in double. */
#ifndef OQ_EVAL_ROWS_H
#define OQ_EVAL_ROWS_H

#include "eval/matrix.h"

/* mean[columns] over all rows. */
void oq_rows_mean(const oq_matrix *x, double *mean);
/* norms [rows]: Euclidean lengths. */
void oq_rows_norms(const oq_matrix *x, int threads, double *norms);
/* Cosine of a-centre and b-centre (`centre` may be NULL); NaN when one of them is zero. */
double oq_rows_cosine(const float *a, const float *b, const double *centre, int64_t columns);
/* |candidate-reference| / |reference|; infinity when only the reference is zero. */
double oq_rows_relative_error(const float *reference, const float *candidate, int64_t columns);

#endif
