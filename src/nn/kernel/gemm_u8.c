/* The plain twin of the byte micro-kernel, packing, and the choice of a kernel. */
#include "gemm_u8_isa.h"

#include <string.h>

void oq_gemm_u8_plain(int64_t rows, int64_t quads, const uint8_t *a, int64_t a_stride, const int8_t *b, const int32_t *start, int32_t *c,
	int64_t c_stride)
{
	for (int64_t r = 0; r < rows; r++)
		for (int j = 0; j < OQ_GEMM_U8_NR; j++) {
			int32_t sum = start[j];
			for (int64_t k = 0; k < quads * OQ_GEMM_U8_QUAD; k++)
				sum += a[r * a_stride + k] * b[(k / OQ_GEMM_U8_QUAD * OQ_GEMM_U8_NR + j) * OQ_GEMM_U8_QUAD + k % OQ_GEMM_U8_QUAD];
			c[r * c_stride + j] = sum;
		}
}

oq_gemm_u8_fn *oq_gemm_u8_kernel(bool vnni)
{
#ifdef OQ_KERNEL_X86
	if (vnni)
		return oq_gemm_u8_avx512;
#endif
	(void)vnni;
	return NULL;
}

void oq_gemm_u8_pack(int64_t columns, int64_t k, const int8_t *codes, int8_t *packed)
{
	int64_t quads = oq_gemm_u8_quads(k);
	memset(packed, 0, (size_t)(oq_gemm_u8_panels(columns) * quads * OQ_GEMM_U8_QUAD * OQ_GEMM_U8_NR));
	for (int64_t column = 0; column < columns; column++) {
		int8_t *to = packed + (column / OQ_GEMM_U8_NR * quads * OQ_GEMM_U8_NR + column % OQ_GEMM_U8_NR) * OQ_GEMM_U8_QUAD;
		for (int64_t i = 0; i < k; i++)
			to[i / OQ_GEMM_U8_QUAD * OQ_GEMM_U8_NR * OQ_GEMM_U8_QUAD + i % OQ_GEMM_U8_QUAD] = codes[column * k + i];
	}
}
