/* The plain twins of the micro-kernels on four bytes, packing, and the choice of a kernel. */
#include "gemm_dot_isa.h"

#include <string.h>

void oq_gemm_u8_plain(int64_t rows, int64_t steps, const void *a, int64_t a_stride, const void *b, const void *start, void *c, int64_t c_stride)
{
	const int8_t *panel = b;
	for (int64_t r = 0; r < rows; r++)
		for (int j = 0; j < OQ_DOT_NR; j++) {
			const uint8_t *row = (const uint8_t *)a + r * a_stride;
			int32_t sum = ((const int32_t *)start)[j];
			for (int64_t k = 0; k < steps * OQ_DOT_BYTES; k++)
				sum += row[k] * panel[(k / OQ_DOT_BYTES * OQ_DOT_NR + j) * OQ_DOT_BYTES + k % OQ_DOT_BYTES];
			((int32_t *)c)[r * c_stride + j] = sum;
		}
}

static float bf16_at(const void *x, int64_t index)
{
	uint16_t half;
	float value;
	memcpy(&half, (const unsigned char *)x + index * (int64_t)sizeof half, sizeof half);
	uint32_t bits = (uint32_t)half << 16;
	memcpy(&value, &bits, sizeof value);
	return value;
}

/* One step of a row: a product of two bfloat16 is exact in float32 (denormal results apart), so the sum is rounded twice, as the
 * instruction does. */
static void add_pairs(const void *pair, const void *panel, float sum[OQ_DOT_NR])
{
	const float first = bf16_at(pair, 0), second = bf16_at(pair, 1);
	for (int j = 0; j < OQ_DOT_NR; j++)
		sum[j] += second * bf16_at(panel, 2 * j + 1);
	for (int j = 0; j < OQ_DOT_NR; j++)
		sum[j] += first * bf16_at(panel, 2 * j);
}

void oq_gemm_bf16_plain(int64_t rows, int64_t steps, const void *a, int64_t a_stride, const void *b, const void *start, void *c, int64_t c_stride)
{
	for (int64_t r = 0; r < rows; r++) {
		float sum[OQ_DOT_NR];
		memcpy(sum, start, sizeof sum);
		for (int64_t s = 0; s < steps; s++)
			add_pairs((const unsigned char *)a + r * a_stride + s * OQ_DOT_BYTES, (const unsigned char *)b + s * OQ_DOT_NR * OQ_DOT_BYTES, sum);
		memcpy((float *)c + r * c_stride, sum, sizeof sum);
	}
}

oq_gemm_dot_fn *oq_gemm_u8_kernel(bool vnni)
{
#ifdef OQ_KERNEL_X86
	if (vnni)
		return oq_gemm_u8_avx512;
#endif
	(void)vnni;
	return NULL;
}

oq_gemm_dot_fn *oq_gemm_bf16_kernel(bool bf16)
{
#ifdef OQ_KERNEL_X86
	if (bf16)
		return oq_gemm_bf16_avx512;
#endif
	(void)bf16;
	return NULL;
}

void oq_gemm_dot_pack(int64_t columns, int64_t k, int64_t size, const void *elements, void *packed)
{
	int64_t steps = oq_dot_steps(k, size), bytes = k * size;
	memset(packed, 0, (size_t)(oq_dot_panels(columns) * steps * OQ_DOT_BYTES * OQ_DOT_NR));
	for (int64_t column = 0; column < columns; column++) {
		const unsigned char *from = (const unsigned char *)elements + column * bytes;
		unsigned char *to = (unsigned char *)packed + (column / OQ_DOT_NR * steps * OQ_DOT_NR + column % OQ_DOT_NR) * OQ_DOT_BYTES;
		for (int64_t at = 0; at < bytes; at += OQ_DOT_BYTES, to += OQ_DOT_BYTES * OQ_DOT_NR)
			memcpy(to, from + at, (size_t)(bytes - at < OQ_DOT_BYTES ? bytes - at : OQ_DOT_BYTES));
	}
}
