/* Element types. Conversions work on any alignment and in plain integer arithmetic, so that no instruction set changes them. */
#include "core/dtype.h"

#include <assert.h>
#include <string.h>

static const struct {
	const char *name;
	size_t size;
} dtypes[] = {
	[OQ_F32] = {"F32", 4}, [OQ_F16] = {"F16", 2}, [OQ_BF16] = {"BF16", 2}, [OQ_F64] = {"F64", 8},
	[OQ_I8] = {"I8", 1}, [OQ_U8] = {"U8", 1}, [OQ_I16] = {"I16", 2}, [OQ_U16] = {"U16", 2},
	[OQ_I32] = {"I32", 4}, [OQ_U32] = {"U32", 4}, [OQ_I64] = {"I64", 8}, [OQ_U64] = {"U64", 8}, [OQ_BOOL] = {"BOOL", 1},
};
static_assert(sizeof dtypes / sizeof *dtypes == OQ_DTYPE_COUNT, "one row per dtype");

size_t oq_dtype_size(oq_dtype dtype)
{
	return dtypes[dtype].size;
}

const char *oq_dtype_name(oq_dtype dtype)
{
	return dtypes[dtype].name;
}

bool oq_dtype_parse(const char *name, oq_dtype *out)
{
	for (int i = 0; i < OQ_DTYPE_COUNT; i++)
		if (!strcmp(dtypes[i].name, name)) {
			*out = (oq_dtype)i;
			return true;
		}
	return false;
}

static float float_of(uint32_t bits)
{
	float value;
	memcpy(&value, &bits, sizeof value);
	return value;
}

static uint32_t bits_of(float value)
{
	uint32_t bits;
	memcpy(&bits, &value, sizeof bits);
	return bits;
}

float oq_bf16_to_f32(uint16_t bits)
{
	return float_of((uint32_t)bits << 16);
}

uint16_t oq_f32_to_bf16(float value)
{
	uint32_t bits = bits_of(value);
	if ((bits & 0x7fffffffu) > 0x7f800000u)
		return (uint16_t)(bits >> 16 | 0x40u); /* NaN: keep the sign, make it quiet */
	return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

float oq_f16_to_f32(uint16_t half)
{
	uint32_t sign = (uint32_t)(half & 0x8000u) << 16, exponent = half >> 10 & 0x1fu, fraction = half & 0x3ffu;
	if (exponent == 0x1fu)
		return float_of(sign | 0x7f800000u | fraction << 13);
	if (exponent)
		return float_of(sign | (exponent + 112u) << 23 | fraction << 13);
	float tiny = (float)fraction * 0x1p-24f; /* subnormal half: exact in float */
	return float_of(bits_of(tiny) | sign);
}

uint16_t oq_f32_to_f16(float value)
{
	uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, size = bits & 0x7fffffffu;
	if (size > 0x7f800000u)
		return (uint16_t)(sign | 0x7e00u);
	if (size >= 0x477ff000u) /* 65520 and more round to infinity */
		return (uint16_t)(sign | 0x7c00u);
	if (size >= 0x38800000u) { /* normal half: round off 13 bits, to even */
		uint32_t rounded = size + 0xfffu + (size >> 13 & 1u);
		return (uint16_t)(sign | (rounded - 0x38000000u) >> 13);
	}
	/* Subnormal half: adding 0.5 leaves exactly the wanted bits of 2^-24 units, rounded to even by the addition. */
	float shifted = float_of(size) + 0.5f;
	return (uint16_t)(sign | (bits_of(shifted) - bits_of(0.5f)));
}

#define CONVERT(TYPE, EXPRESSION)                                  \
	for (size_t i = 0; i < n; i++) {                           \
		TYPE v;                                            \
		memcpy(&v, bytes + i * sizeof v, sizeof v);        \
		dst[i] = (EXPRESSION);                             \
	}                                                          \
	break

void oq_dtype_to_f32(oq_dtype dtype, const void *src, size_t n, float *dst)
{
	const unsigned char *bytes = src;
	switch (dtype) {
	case OQ_F32: memcpy(dst, src, n * sizeof *dst); break;
	case OQ_F16: CONVERT(uint16_t, oq_f16_to_f32(v));
	case OQ_BF16: CONVERT(uint16_t, oq_bf16_to_f32(v));
	case OQ_F64: CONVERT(double, (float)v);
	case OQ_I8: CONVERT(int8_t, (float)v);
	case OQ_U8: case OQ_BOOL: CONVERT(uint8_t, (float)v);
	case OQ_I16: CONVERT(int16_t, (float)v);
	case OQ_U16: CONVERT(uint16_t, (float)v);
	case OQ_I32: CONVERT(int32_t, (float)v);
	case OQ_U32: CONVERT(uint32_t, (float)v);
	case OQ_I64: CONVERT(int64_t, (float)v);
	case OQ_U64: CONVERT(uint64_t, (float)v);
	case OQ_DTYPE_COUNT: break;
	}
}

void oq_round_floats(oq_dtype dtype, size_t n, float *values)
{
	if (dtype != OQ_BF16 && dtype != OQ_F16)
		return;
	for (size_t i = 0; i < n; i++)
		values[i] = dtype == OQ_BF16 ? oq_bf16_to_f32(oq_f32_to_bf16(values[i])) : oq_f16_to_f32(oq_f32_to_f16(values[i]));
}
