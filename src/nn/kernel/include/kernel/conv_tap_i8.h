/* Exact products of codes (u8 less a zero point, times s8) for processors without an 8-bit dot product: convolutions of any kernel, stride,
 * padding and dilation, and linear layers, as products summed in 32 bits, over the taps that meet real input. The sums are those of an
 * 8-bit dot product, bit for bit, on every processor and for any number of threads. What becomes of them, and what is described, is as in
 * kernel/conv_i8.h. Refuses sums of more than OQ_TAP_I8_MAX_SUM products. */
#ifndef OQ_NN_KERNEL_CONV_TAP_I8_H
#define OQ_NN_KERNEL_CONV_TAP_I8_H

#include "kernel/conv_i8.h"

#define OQ_TAP_I8_MAX_SUM 65793 /* 255 * 128 * it is below 2^31 */

typedef struct oq_tap_i8 oq_tap_i8; /* packed weights + blocking; immutable */

bool oq_tap_i8_supports(const oq_conv_shape *shape);
oq_status oq_tap_i8_create(const oq_conv_i8_desc *desc, oq_tap_i8 **out, oq_error *err);
void oq_tap_i8_free(oq_tap_i8 *conv);
/* "taps-i16", or "taps-u8" where the bytes themselves can be multiplied without saturating, at AVX2. */
const char *oq_tap_i8_method(const oq_tap_i8 *conv);
/* "taps-u8": whether its weights are so small that it needs fewer instructions than one that multiplies bytes pair by pair, as oneDNN's does. */
bool oq_tap_i8_is_lean(const oq_tap_i8 *conv);
size_t oq_tap_i8_weight_bytes(const oq_tap_i8 *conv);
size_t oq_tap_i8_scratch_bytes(const oq_tap_i8 *conv, int threads);
/* x [D][H][W][in_channels]; scratch 64-byte aligned. Runs its own OpenMP region when threads > 1. */
void oq_tap_i8_run(const oq_tap_i8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads);

#endif
