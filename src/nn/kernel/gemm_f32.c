/* The plain twin of the float32 micro-kernel, and the choice of a kernel for an instruction set. NaN payloads are outside
 * the promise of equal bits: processors and libm differ in which operand's payload survives. */
#include "gemm_f32_isa.h"

#include <math.h>

/* One row: an accumulator per column, one fused multiply-add per k in ascending order. */
static void gemm_row(int64_t k, const float *a, const float *b, float *c)
{
	for (int64_t i = 0; i < k; i++)
		for (int j = 0; j < OQ_GEMM_NR; j++)
			c[j] = fmaf(a[i], b[i * OQ_GEMM_NR + j], c[j]);
}

static void gemm_plain(int64_t rows, int64_t k, const float *const *a, const float *b, float *const *c, bool accumulate)
{
	for (int64_t r = 0; r < rows; r++) {
		float sum[OQ_GEMM_NR];
		for (int j = 0; j < OQ_GEMM_NR; j++)
			sum[j] = accumulate ? c[r][j] : 0.0f;
		gemm_row(k, a[r], b, sum);
		for (int j = 0; j < OQ_GEMM_NR; j++)
			c[r][j] = sum[j];
	}
}

oq_gemm_f32_fn *oq_gemm_f32_kernel(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return oq_gemm_f32_avx512;
	if (isa == OQ_ISA_AVX2)
		return oq_gemm_f32_avx2;
#endif
	(void)isa;
	return gemm_plain;
}
