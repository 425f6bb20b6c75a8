/* Element types: one table of names (those of safetensors), sizes and conversions to float32. */
#ifndef OQ_CORE_DTYPE_H
#define OQ_CORE_DTYPE_H

#include "core/error.h"

typedef enum oq_dtype {
	OQ_F32 = 0, OQ_F16, OQ_BF16, OQ_F64,
	OQ_I8, OQ_U8, OQ_I16, OQ_U16, OQ_I32, OQ_U32, OQ_I64, OQ_U64, OQ_BOOL,
	OQ_DTYPE_COUNT
} oq_dtype;

size_t oq_dtype_size(oq_dtype dtype);
const char *oq_dtype_name(oq_dtype dtype); /* "F32", "BF16", ... */
bool oq_dtype_parse(const char *name, oq_dtype *out);

float oq_bf16_to_f32(uint16_t bits);
uint16_t oq_f32_to_bf16(float value); /* round to nearest even, NaN kept quiet */
float oq_f16_to_f32(uint16_t bits);
uint16_t oq_f32_to_f16(float value); /* round to nearest even, overflow to infinity */

/* Rounds to what OQ_BF16 or OQ_F16 can hold, in place; other types leave the values alone. */
void oq_round_floats(oq_dtype dtype, size_t n, float *values);

/* n elements of `dtype` at src (any alignment, native byte order) to float32; exact for F16, BF16, 8- and 16-bit
 * integers, rounded to nearest for the others. */
void oq_dtype_to_f32(oq_dtype dtype, const void *src, size_t n, float *dst);

#endif
