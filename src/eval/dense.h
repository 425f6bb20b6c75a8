/* Products of large dense matrices, and what is solved with them. Every sum runs in the order of its rows, whatever the threads. */
#ifndef OQ_EVAL_DENSE_H
#define OQ_EVAL_DENSE_H

#include "core/error.h"

#include <stdint.h>

/* Element (k, i) of a matrix [count][width] lies at data[k along + i across]. */
typedef struct oq_dense_side {
	const double *data;
	int64_t along, across, width;
} oq_dense_side;

/* c [a.width][b.width] (rows `stride` apart) += sign a'b over `count` rows; sign 1 or -1. `lower`: what is above the diagonal may be left as it is. */
oq_status oq_dense_add(const oq_dense_side *a, const oq_dense_side *b, int64_t count, double sign, bool lower, int threads, double *c, int64_t stride,
	oq_error *err);

#endif
