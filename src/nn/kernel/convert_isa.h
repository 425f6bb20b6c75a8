/* The conversions for one instruction set each; one thread, contiguous arrays. */
#ifndef OQ_NN_KERNEL_CONVERT_ISA_H
#define OQ_NN_KERNEL_CONVERT_ISA_H

#include "core/cpu.h"

#include <stdint.h>

typedef struct oq_convert_kernels {
	void (*bf16_to_f32)(int64_t count, const uint16_t *x, float *y);
	void (*f32_to_bf16)(int64_t count, const float *x, uint16_t *y);
	void (*u8_to_f32)(int64_t count, const uint8_t *x, float scale, int32_t zero, float *y);
	/* `inverse`: one over the scale */
	void (*f32_to_u8)(int64_t count, const float *x, float inverse, int32_t zero, uint8_t *y);
	/* y = max(x, y) */
	void (*max_u8)(int64_t count, const uint8_t *x, uint8_t *y);
} oq_convert_kernels;

extern const oq_convert_kernels oq_convert_plain;
#ifdef OQ_KERNEL_X86
extern const oq_convert_kernels oq_convert_avx2, oq_convert_avx512;
#endif
const oq_convert_kernels *oq_convert_for(oq_isa isa);
/* The best that this processor runs: the bits are the same. */
const oq_convert_kernels *oq_convert_best(void);

#endif
