/* Eigenvalues and vectors of a small symmetric matrix. */
#ifndef OQ_EVAL_EIGEN_H
#define OQ_EVAL_EIGEN_H

#include "core/error.h"

#include <stdint.h>

/* a [n][n] symmetric becomes its orthonormal eigenvectors as columns; values [n], in no order. Householder reduction to tridiagonal form,
 * then implicit QL (Wilkinson and Reinsch 1971, tred2 and tql2). OQ_E_INTERNAL when it does not converge. */
oq_status oq_eigen_symmetric(int64_t n, double *a, double *values, oq_error *err);

#endif
