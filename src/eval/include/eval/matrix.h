/* What the evaluation computes on: a borrowed row-major matrix of float32 embeddings. Room eval is pure mathematics: it reads
 * no files, prints nothing, sees core only. Sums run in double and in an order that does not depend on the number of threads. */
#ifndef OQ_EVAL_MATRIX_H
#define OQ_EVAL_MATRIX_H

#include "core/error.h"

#include <stdint.h>

/* [rows][columns], row r at data + r*columns */
typedef struct oq_matrix {
	const float *data;
	int64_t rows, columns;
} oq_matrix;

static inline const float *oq_matrix_row(const oq_matrix *matrix, int64_t row)
{
	return matrix->data + row * matrix->columns;
}

#endif
