/* Small dense positive definite systems. */
#ifndef OQ_EVAL_CHOLESKY_H
#define OQ_EVAL_CHOLESKY_H

#include <stdbool.h>

/* a [n][n] symmetric becomes its lower factor (the upper half stays). False when a pivot falls below 1e-10 of its diagonal: singular. */
bool oq_cholesky(double *a, int n);
/* Solves with a factor, in place: b [n]. */
void oq_cholesky_solve(const double *factor, int n, double *b);

#endif
