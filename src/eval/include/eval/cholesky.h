/* Dense positive definite systems. */
#ifndef OQ_EVAL_CHOLESKY_H
#define OQ_EVAL_CHOLESKY_H

#include "core/error.h"

#include <stdint.h>

#define OQ_CHOLESKY_SMALL 64
/* a [n][n] symmetric, n at most OQ_CHOLESKY_SMALL, becomes its lower factor (the upper half stays). False when a pivot falls below 1e-10 of its
 * diagonal: singular. */
bool oq_cholesky(double *a, int n);
/* The same of a large matrix, in blocks and with threads; of `a` only the lower half is read, the upper is left undefined. OQ_E_INTERNAL when it is
 * singular. The result does not depend on the threads. */
oq_status oq_cholesky_large(double *a, int64_t n, int threads, oq_error *err);
/* Solves with a factor, in place: b [n]. */
void oq_cholesky_solve(const double *factor, int64_t n, double *b);

#endif
