/* One row of functions per instruction set behind kernel/simple.h and the epilogue of the convolutions: pieces of work for one
 * thread on memory that is contiguous in channels. */
#ifndef OQ_NN_KERNEL_SIMPLE_ISA_H
#define OQ_NN_KERNEL_SIMPLE_ISA_H

#include "core/cpu.h"

#include <stdint.h>

/* Where accumulated rows go: y and residual (NULL, or y itself) have rows `stride` floats apart; bias is never NULL. */
typedef struct oq_finish {
	const float *bias, *residual;
	float slope;
	float *y;
	int64_t stride;
} oq_finish;

#define OQ_FEW_VOXELS 16 /* summed in float32: costs the sums at most three bits of 24, and halves their time */

typedef struct oq_simple_kernels {
	/* sum[c] += x - center[c], square[c] += (x - center[c])^2, OQ_FEW_VOXELS at a time in float32, then in double; voxels are `stride`
	 * floats apart. */
	void (*center_sums)(int64_t voxels, int64_t channels, int64_t stride, const float *x, const float *center, double *sum, double *square);
	void (*scale_shift_act)(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y);
	void (*act)(int64_t count, const float *x, float slope, float *y);
	void (*add_act)(int64_t count, const float *a, const float *b, float slope, float *y);
	/* y[c] = max(y[c], x[v][c]) (NaN wins) and sums[c] += x[v][c], voxel after voxel; voxels are `stride` floats apart. */
	void (*max_run)(int64_t voxels, int64_t channels, int64_t stride, const float *x, float *y);
	void (*sum_run)(int64_t voxels, int64_t channels, int64_t stride, const float *x, double *sums);
	/* y[r][0..cols) = act(sum[r][0..cols) + bias [+ residual[r]]); rows of sums are 32 apart. */
	void (*finish)(int64_t rows, int64_t cols, const float *sum, const oq_finish *to);
} oq_simple_kernels;

extern const oq_simple_kernels oq_simple_plain;
#ifdef OQ_KERNEL_X86
extern const oq_simple_kernels oq_simple_avx2, oq_simple_avx512;
#endif

const oq_simple_kernels *oq_simple_for(oq_isa isa);
/* The best that this processor runs. */
const oq_simple_kernels *oq_simple_best(void);

#endif
