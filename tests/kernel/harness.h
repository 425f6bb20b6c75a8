/* The kernel harness: each case compares a kernel with its plain twin bit for bit, over instruction sets, threads and
 * batches, and with a naive reference in double; with --time it also times. One file of cases per kernel family. */
#ifndef OQ_TESTS_KERNEL_HARNESS_H
#define OQ_TESTS_KERNEL_HARNESS_H

#include "check.h"
#include "core/cpu.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct kernel_case {
	const char *name;
	void (*check)(void);
	void (*time)(void); /* NULL = nothing to time */
} kernel_case;

/* The cases of one file and its own counters (check.h counts per source). */
typedef struct kernel_family {
	const kernel_case *cases; /* ends with a NULL name */
	const int *made, *failed;
} kernel_family;
#define KERNEL_FAMILY(CASES) {CASES, &oq_checks_made, &oq_checks_failed}

extern const kernel_family gemm_family, conv_family, conv_i8_family, simple_family, pool_family, token_family, convert_family, nearest_family,
	linear_family, attention_i8_family;

/* The best set that this processor has (not capped: the harness wants to see them all). */
oq_isa best_isa(void);

/* Deterministic values. `spread` 0 gives [-1,1); larger values mix in zeros, denormals, 1e30 and infinities. */
typedef enum value_kind { VALUES_UNIT, VALUES_POSITIVE, VALUES_WILD } value_kind;
uint32_t random_below(uint32_t limit);
float *random_values(int64_t count, value_kind kind); /* free with free() */
float *aligned_values(int64_t count);                 /* 64-byte aligned, filled with NaN */

/* True when all bits agree; NaNs of any payload agree. Prints the first difference under `what`. */
bool same_bits(const char *what, int64_t count, const float *got, const float *want);
double now_seconds(void);

#endif
