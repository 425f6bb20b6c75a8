/* What orthogonal reflections say about a matrix without squaring it, which would lose half the digits. */
#ifndef OQ_EVAL_SINGULAR_H
#define OQ_EVAL_SINGULAR_H

#include "core/error.h"

#include <stdint.h>

/* a [rows][columns], rows >= columns, is destroyed; *norm is the sum of its singular values. OQ_E_INTERNAL when the iteration does not converge. */
oq_status oq_nuclear_norm(double *a, int64_t rows, int64_t columns, int threads, double *norm, oq_error *err);
/* vectors [count][length], length >= count, become their coordinates in an orthonormal basis of their span: the first count values of each
 * (those after its own index are zero); inner products stay. */
oq_status oq_triangle(double *vectors, int64_t count, int64_t length, int threads, oq_error *err);

#endif
