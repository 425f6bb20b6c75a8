/* Conversions as plain loops that a compiler turns into vectors of the instruction set that the including source is compiled for. Only
 * additions, comparisons and bit operations, so that no set changes a bit. */
#ifndef OQ_NN_KERNEL_CONVERT_LOOPS_H
#define OQ_NN_KERNEL_CONVERT_LOOPS_H

#include "to_integer.h"

#include <stdint.h>
#include <string.h>

static inline void bf16_to_f32(int64_t count, const uint16_t *restrict x, float *restrict y)
{
	for (int64_t i = 0; i < count; i++) {
		uint32_t bits = (uint32_t)x[i] << 16;
		memcpy(&y[i], &bits, sizeof bits);
	}
}

static inline void f32_to_bf16(int64_t count, const float *restrict x, uint16_t *restrict y)
{
	for (int64_t i = 0; i < count; i++) {
		uint32_t bits;
		memcpy(&bits, &x[i], sizeof bits);
		uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, quiet = bits >> 16 | 0x40u;
		y[i] = (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? quiet : rounded);
	}
}

static inline void u8_to_f32(int64_t count, const uint8_t *restrict x, float scale, int32_t zero, float *restrict y)
{
	for (int64_t i = 0; i < count; i++)
		y[i] = (float)((int32_t)x[i] - zero) * scale;
}

static inline void f32_to_u8(int64_t count, const float *restrict x, float inverse, int32_t zero, uint8_t *restrict y)
{
	const float middle = (float)zero, low = -middle, high = 255.0f - middle;
	for (int64_t i = 0; i < count; i++) {
		float t = x[i] * inverse;
		t = t > low ? t : low;
		t = t < high ? t : high;
		t = t + middle + OQ_TO_INTEGER; /* rounded with the zero point, as oneDNN does */
		int32_t bits;
		memcpy(&bits, &t, sizeof bits);
		y[i] = (uint8_t)bits; /* what stands above the low byte is a constant */
	}
}

#endif
