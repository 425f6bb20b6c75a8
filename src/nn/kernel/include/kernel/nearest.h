/* The nearest of many directions: for every row x the row c of a codebook with the largest x/|x| . c/|c|, the first one on a tie. The
 * products that decide are float32 chains of fused multiply-adds. Where the processor multiplies bytes fast, byte products rule out the
 * codes that cannot win (see nearest.c for the bound); the answer is the same, number for number, with and without them. */
#ifndef OQ_NN_KERNEL_NEAREST_H
#define OQ_NN_KERNEL_NEAREST_H

#include "core/cpu.h"
#include "core/error.h"

typedef struct oq_nearest oq_nearest;

/* `stored` [codes][channels] is read here only. `vnni`: byte products may be used. */
oq_status oq_nearest_create(int64_t codes, int64_t channels, const float *stored, oq_isa isa, bool vnni, oq_nearest **out, oq_error *err);
void oq_nearest_free(oq_nearest *nearest);
size_t oq_nearest_scratch_bytes(const oq_nearest *nearest, int64_t rows, int threads);
size_t oq_nearest_weight_bytes(const oq_nearest *nearest);
bool oq_nearest_has_bytes(const oq_nearest *nearest);
/* index[r] for rows x [rows][channels]; `scratch` is OQ_ALIGN-aligned. A row with NaN gets code 0. */
void oq_nearest_run(const oq_nearest *nearest, int64_t rows, const float *x, int64_t *index, void *scratch, int threads);

#endif
