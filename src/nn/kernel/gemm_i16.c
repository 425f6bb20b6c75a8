/* The plain twins of the 16-bit micro-kernels, and the choice of a kernel. */
#include "gemm_i16_isa.h"

#include <string.h>

static void add_pair(int columns, const int16_t *a, const int16_t *b, uint32_t *sum)
{
	for (int j = 0; j < columns; j++)
		sum[j] += (uint32_t)(a[0] * b[2 * j]) + (uint32_t)(a[1] * b[2 * j + 1]);
}

void oq_gemm_i16_plain(const oq_gemm_i16_call *call)
{
	const int columns = call->half ? OQ_GEMM16_NR / 2 : OQ_GEMM16_NR;
	for (int64_t r = 0; r < call->rows; r++) {
		uint32_t sum[OQ_GEMM16_NR] = {0};
		if (call->accumulate)
			memcpy(sum, call->c + r * call->c_stride, sizeof sum);
		for (int64_t i = 0; i < call->pairs; i++)
			add_pair(columns, call->a + r * call->a_stride + 2 * i, call->b + i * 2 * OQ_GEMM16_NR, sum);
		memcpy(call->c + r * call->c_stride, sum, (size_t)columns * sizeof *sum);
	}
}

oq_gemm_i16_fn *oq_gemm_i16_kernel(oq_isa isa, bool vnni)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return vnni ? oq_gemm_i16_vnni : oq_gemm_i16_avx512;
	if (isa == OQ_ISA_AVX2)
		return oq_gemm_i16_avx2;
#endif
	(void)isa;
	(void)vnni;
	return oq_gemm_i16_plain;
}

void oq_gemm_i16s8_plain(int64_t rows, int64_t pairs, const int16_t *const *a, const int8_t *b, int32_t *const *c, bool accumulate)
{
	for (int64_t r = 0; r < rows; r++) {
		uint32_t sum[OQ_GEMM16_NR] = {0};
		if (accumulate)
			memcpy(sum, c[r], sizeof sum);
		for (int64_t i = 0; i < pairs; i++)
			for (int j = 0; j < OQ_GEMM16_NR; j++) {
				const int8_t *pair = b + (i * OQ_GEMM16_NR + j) * 2;
				sum[j] += (uint32_t)(a[r][2 * i] * pair[0] + a[r][2 * i + 1] * pair[1]);
			}
		memcpy(c[r], sum, sizeof sum);
	}
}

oq_gemm_i16s8_fn *oq_gemm_i16s8_kernel(oq_isa isa)
{
#ifdef OQ_KERNEL_X86
	if (isa == OQ_ISA_AVX512)
		return oq_gemm_i16s8_avx512;
	if (isa == OQ_ISA_AVX2)
		return oq_gemm_i16s8_avx2;
#endif
	(void)isa;
	return oq_gemm_i16s8_plain;
}
