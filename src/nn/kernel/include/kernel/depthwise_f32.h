/* Depthwise convolution, channels-last float32: every channel has a filter of its own. oneDNN 3.2 runs the 3D case through a
 * generic path at 4 Gop/s; this one is bound by the loads of its input. Taps in row-major order, product and sum rounded
 * separately: the same bits on every instruction set, thread count and grouping. */
#ifndef OQ_NN_KERNEL_DEPTHWISE_F32_H
#define OQ_NN_KERNEL_DEPTHWISE_F32_H

#include "core/cpu.h"

#include <stdint.h>

#define OQ_DEPTHWISE_MAX_TAPS 343

typedef struct oq_depthwise {
	int64_t channels;
	int64_t in[3], out[3]; /* D,H,W */
	int64_t kernel[3], stride[3], pad_low[3];
	const float *weights;  /* [tap][channels], taps row-major */
	const float *bias;     /* [channels] or NULL */
} oq_depthwise;

/* y = conv(x) + bias [+ residual]; residual may alias x or be NULL, y aliases neither. */
void oq_depthwise_run(const oq_depthwise *conv, oq_isa isa, const float *x, const float *residual, float *y, int threads);

#endif
