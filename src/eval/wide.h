/* The loops in double that large cohorts spend their time in: inner products, rows on their way to double, tiles of matrix products. Compiled for
 * several instruction sets from one body (wide_body.h). Every sum runs in the same chains whatever the width, without fused multiply-adds: the same
 * bits on every processor. */
#ifndef OQ_EVAL_WIDE_H
#define OQ_EVAL_WIDE_H

#include "core/cpu.h"

#define OQ_WIDE_ROWS 12
#define OQ_WIDE_COLUMNS 16

typedef struct oq_wide {
	/* Sum of products, in 16 chains. */
	double (*dot_floats)(const float *a, const float *b, int64_t count);
	double (*dot)(const double *a, const double *b, int64_t count);
	/* to += by from */
	void (*add)(double *to, double by, const double *from, int64_t count);
	void (*widen)(const float *x, double *out, int64_t count);
	/* out = (x - mean) scale */
	void (*standardise)(const float *x, const double *mean, const double *scale, double *out, int64_t count);
	/* tile [OQ_WIDE_ROWS][OQ_WIDE_COLUMNS] += a'b of packed a [count][OQ_WIDE_ROWS] and b [count][OQ_WIDE_COLUMNS], in the order of count. */
	void (*tile)(const double *a, const double *b, int64_t count, double *tile);
} oq_wide;

const oq_wide *oq_wide_for(oq_isa isa);
/* For this processor, as far as it is allowed. */
const oq_wide *oq_wide_here(void);

#endif
