/* Products over taps on the bytes themselves, behind kernel/conv_tap_i8.h: for processors whose sums of two products saturate, and weights of
 * which few would make them. */
#ifndef OQ_NN_KERNEL_CONV_TAP_U8_H
#define OQ_NN_KERNEL_CONV_TAP_U8_H

#include "kernel/conv_tap_i8.h"
#include "winograd_i16_isa.h"

typedef struct oq_tap_u8 oq_tap_u8;

/* *out stays NULL, and that is no error, where products of 16 bits are as fast or needed: another instruction set than AVX2, channels in no
 * fours, or weights too many of which could saturate. */
oq_status oq_tap_u8_create(const oq_conv_i8_desc *desc, oq_tap_u8 **out, oq_error *err);
void oq_tap_u8_free(oq_tap_u8 *conv);
double oq_tap_u8_cost(const oq_tap_u8 *conv); /* pack_u8.h */
size_t oq_tap_u8_weight_bytes(const oq_tap_u8 *conv);
size_t oq_tap_u8_scratch_bytes(const oq_tap_u8 *conv, int threads);
void oq_tap_u8_run(const oq_tap_u8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads);

/* Of conv_tap_i8.c: a panel's sums of rows [first,last), 32 a row, as values of the output. */
void oq_tap_finish(oq_isa isa, const oq_conv_i8_epilogue *epilogue, int64_t channels, int64_t panel, int64_t first, int64_t last, const int32_t *sums);
/* Fetches what that will read and write. */
void oq_tap_expect(const oq_conv_i8_epilogue *epilogue, int64_t channels, int64_t panel, int64_t first, int64_t last);

#endif
