/* Float32 kernels between the convolutions, channels-last: x [voxels][channels], one patch. Memory-bound; each has an AVX2,
 * an AVX-512 and a plain form that give the same bits (NaN payloads aside), and no result depends on `threads`. The form is the
 * best that the processor runs: as the bits agree, a lower cap on the instruction set would change nothing but speed.
 * Activation everywhere: slope 1 = none, 0 = relu (-inf gives 0), else v > 0 ? v : v*slope; NaN stays NaN. Input and output
 * may be the same array where this says "in place". Nothing can fail. */
#ifndef OQ_NN_KERNEL_SIMPLE_H
#define OQ_NN_KERNEL_SIMPLE_H

#include <stddef.h>
#include <stdint.h>

/* Mean and biased variance of each channel over all voxels (at least 1), summed in double around the first voxel's value, so
 * that a constant channel has variance 0 and a large mean costs no digits. */
size_t oq_channel_stats_scratch(int64_t voxels, int64_t channels); /* bytes; any alignment */
void oq_channel_stats(int64_t voxels, int64_t channels, const float *x, float *mean, float *var, void *scratch, int threads);

/* y = act(x*scale[c] + shift[c]), product and sum rounded separately; scale and shift both NULL = activation only. In place. */
void oq_scale_shift_act(int64_t voxels, int64_t channels, const float *x, const float *scale, const float *shift, float slope, float *y,
	int threads);

/* y = act(a + b) over `count` values. In place of a or b. */
void oq_add_act(size_t count, const float *a, const float *b, float slope, float *y, int threads);

typedef struct oq_pool_shape {
	int64_t channels;
	int64_t in[3], out[3];       /* D,H,W */
	int64_t kernel[3], stride[3];
	int64_t pad_low[3];          /* before; after follows from `out` */
} oq_pool_shape;

/* Padding takes no part: the maximum and the mean are over the real voxels of a window (NaN wins the maximum). A window
 * without any gives -inf and 0. Means are summed in double in row-major order. */
void oq_max_pool(const oq_pool_shape *shape, const float *x, float *y, int threads);
/* The same of bytes that all have one scale; every window holds a real voxel. */
void oq_max_pool_u8(const oq_pool_shape *shape, const uint8_t *x, uint8_t *y, int threads);
void oq_avg_pool(const oq_pool_shape *shape, const float *x, float *y, int threads);
/* y[c] = mean over all voxels, summed in double in voxel order. */
void oq_global_avg_pool(int64_t voxels, int64_t channels, const float *x, float *y, int threads);

/* [channels][voxels] to [voxels][channels] and back; x and y do not overlap. */
void oq_channels_last(int64_t channels, int64_t voxels, const float *x, float *y);
void oq_channels_first(int64_t channels, int64_t voxels, const float *x, float *y);

#endif
