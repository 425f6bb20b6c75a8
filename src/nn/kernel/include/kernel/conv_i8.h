/* Exact convolution of codes (u8 less a zero point, times s8) by Winograd F(3x3x3, 3x3x3) in integers: 125 products of 16 bits for 27 outputs
 * instead of 729 of 8 bits. The integer sums are those of the direct convolution, bit for bit, on every processor and for any number of
 * threads: nothing saturates and nothing is rounded before the result is scaled. docs/quantisation.md has the algebra.
 *   y = lrelu(sum * scale[o] + bias[o] [+ residual]), in float32, then to the type of y
 * Channels-last, one patch. Refuses anything but 3x3x3 kernels of stride 1 with one voxel of padding, and weights for which it would not be exact. */
#ifndef OQ_NN_KERNEL_CONV_I8_H
#define OQ_NN_KERNEL_CONV_I8_H

#include "kernel/conv_f32.h"
#include "kernel/convert.h"

typedef struct oq_conv_i8 oq_conv_i8; /* packed weights + blocking; immutable */

typedef struct oq_conv_i8_desc {
	oq_conv_shape shape;
	const int8_t *codes; /* [out][in][3][3][3] */
	int32_t zero;        /* the input's byte that stands for 0: 0 to 255 */
	oq_isa isa;
	bool vnni;           /* the processor has AVX512_VNNI: only the speed depends on it */
} oq_conv_i8_desc;

typedef struct oq_conv_i8_epilogue {
	const float *scale;    /* [out_channels] */
	const float *bias;     /* [out_channels] or NULL */
	const float *residual; /* same layout as the output, or NULL */
	float slope;           /* 1 = none, 0 = relu, else leaky */
	bool gelu;             /* instead; products over taps only */
	oq_typed y;            /* [D][H][W][out_channels] of OQ_F32, OQ_BF16 or OQ_U8 */
	const oq_box *box;     /* Winograd: as in oq_conv_epilogue */
} oq_conv_i8_epilogue;

bool oq_conv_i8_supports(const oq_conv_shape *shape);
/* *out stays NULL, and that is no error, when the weights leave the range in which the method is exact: |8 sum| could reach 2^31, or an
 * eighth of the input channels has transformed weights that do not fit 16 bits. */
oq_status oq_conv_i8_create(const oq_conv_i8_desc *desc, oq_conv_i8 **out, oq_error *err);
void oq_conv_i8_free(oq_conv_i8 *conv);
size_t oq_conv_i8_weight_bytes(const oq_conv_i8 *conv);
size_t oq_conv_i8_scratch_bytes(const oq_conv_i8 *conv, int threads);
/* x [D][H][W][in_channels]; scratch 64-byte aligned. Runs its own OpenMP region when threads > 1. */
void oq_conv_i8_run(const oq_conv_i8 *conv, const uint8_t *x, const oq_conv_i8_epilogue *epilogue, void *scratch, int threads);

#endif
