/* Between the types that values may have in memory: float32, bfloat16, and bytes with value = scale * (byte - zero). Rounding is to
 * nearest, ties to even; bytes saturate, and NaN becomes byte 0. Every instruction set gives the same bits. */
#ifndef OQ_NN_KERNEL_CONVERT_H
#define OQ_NN_KERNEL_CONVERT_H

#include "core/dtype.h"

/* An array in one of the types; `scale` and `zero` count for OQ_U8 only. */
typedef struct oq_typed {
	void *data;
	oq_dtype dtype; /* OQ_F32, OQ_BF16, OQ_U8 */
	float scale;
	int32_t zero;
} oq_typed;

/* Elements [at, at+count) as float32: in place when they are, else in `buffer`, which has room for them. */
const float *oq_typed_read(const oq_typed *x, size_t at, int64_t count, float *buffer);
/* `count` values as elements of y from `at` on; nothing to do when they are there already. */
void oq_typed_write(const float *values, int64_t count, const oq_typed *y, size_t at);

/* y = x, `count` elements; the arrays do not overlap. */
void oq_cast(size_t count, const oq_typed *x, const oq_typed *y, int threads);
/* y = act(x*scale[c] + shift[c]) in float32, then rounded to the type of y, in one pass; see oq_scale_shift_act. */
void oq_scale_shift_act_typed(int64_t voxels, int64_t channels, const oq_typed *x, const float *scale, const float *shift, float slope,
	const oq_typed *y, int threads);
/* oq_channel_stats of an array of any type. */
void oq_channel_stats_typed(int64_t voxels, int64_t channels, const oq_typed *x, float *mean, float *var, void *scratch, int threads);

#endif
