/* Conversions as a table of one instruction set: the including source defines TABLE and is compiled for it. */
#include "convert_isa.h"
#include "convert_loops.h"

static void max_u8(int64_t count, const uint8_t *restrict x, uint8_t *restrict y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = x[i] > y[i] ? x[i] : y[i];
}

const oq_convert_kernels TABLE = {bf16_to_f32, f32_to_bf16, u8_to_f32, f32_to_u8, max_u8};
