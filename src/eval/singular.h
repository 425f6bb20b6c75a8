/* What orthogonal reflections say about a matrix without squaring it, which would lose half the digits. */
#ifndef OQ_EVAL_SINGULAR_H
#define OQ_EVAL_SINGULAR_H

#include "core/error.h"

#include <stdint.h>

/* a [rows][columns], rows >= columns, is destroyed; *norm is the sum of its singular values. OQ_E_INTERNAL when the iteration does not converge. */
oq_status oq_nuclear_norm(double *a, int64_t rows, int64_t columns, int threads, double *norm, oq_error *err);
/* a [rows][columns], rows >= columns, becomes R [columns][columns] of a = QR in its first rows, zero below the diagonal. */
oq_status oq_triangle(double *a, int64_t rows, int64_t columns, int threads, oq_error *err);

#endif
