/* Linear layers in bytes and bfloat16: rows of tokens by packed weights; bias, shortcut, activation, GELU or gating and the conversion to
 * the type of the result on blocks of sums that are still in cache. One row's bits do not depend on the other rows or on threads; in bytes
 * the plain twin and AVX-512 give the same bits, in bfloat16 they do on normal numbers (gemm_dot.h). */
#ifndef OQ_NN_KERNEL_LINEAR_H
#define OQ_NN_KERNEL_LINEAR_H

#include "core/error.h"
#include "kernel/convert.h"
#include "kernel/gemm_dot.h"

typedef struct oq_linear_desc {
	const char *where;
	oq_dtype compute;     /* OQ_I8 (rows of OQ_U8) or OQ_BF16 */
	int64_t in, out;      /* of the weights; a gated layer's result has half of `out` */
	const int8_t *codes;  /* [out][in], or */
	const float *values;  /* [out][in], rounded to bfloat16 here */
	const float *scale;   /* [out]: of the weights' codes */
	float src_scale;      /* value = src_scale*(byte - src_zero) */
	int32_t src_zero;
	const float *bias;    /* [out] or NULL */
	bool gelu;            /* the result is GELU of it */
	bool gated;           /* the result is the first half of it times GELU of the second half */
	float slope;          /* else of a leaky relu: 1 = none */
} oq_linear_desc;

typedef struct oq_linear oq_linear;

/* Whether this processor has the instruction that makes it worth while. */
bool oq_linear_supports(oq_dtype compute, const oq_cpu *cpu);
/* isa OQ_ISA_PLAIN: the twin. */
oq_status oq_linear_create(const oq_linear_desc *desc, oq_isa isa, oq_linear **out, oq_error *err);
void oq_linear_free(oq_linear *linear);
size_t oq_linear_scratch_bytes(const oq_linear *linear, int64_t rows, int threads);
size_t oq_linear_weight_bytes(const oq_linear *linear);
/* y [rows][out] = layer(x [rows][in]) [+ residual, float32, before the activation]; y may be the residual. */
void oq_linear_run(const oq_linear *linear, int64_t rows, const void *x, const float *residual, const oq_typed *y, void *scratch, int threads);

#endif
