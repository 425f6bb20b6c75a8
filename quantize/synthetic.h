/* Synthetic weights: every value is a pure function of (seed, key, index), so that full-size checkpoints for tests and
 * benchmarks need not be stored. The rule is stated in docs/package-format.md. */
#ifndef OQ_QUANTIZE_SYNTHETIC_H
#define OQ_QUANTIZE_SYNTHETIC_H

#include "core/dtype.h"

typedef enum oq_init_kind { OQ_INIT_RANGE, OQ_INIT_WEIGHT, OQ_INIT_CONST, OQ_INIT_REL_POS_INDEX } oq_init_kind;

typedef struct oq_init {
	oq_init_kind kind;
	float low, span;       /* range: low + span*u */
	float bound;           /* weight */
	int64_t channels;
	bool spread, antisym;
	double value;          /* const */
	int64_t window[3];     /* rel_pos_index */
} oq_init;

/* `count` elements of the tensor `key`; F32 values, or I64 for const and rel_pos_index where `dtype` says so. */
void oq_synthetic_fill(uint64_t seed, const char *key, const oq_init *init, oq_dtype dtype, size_t count, void *out);

#endif
