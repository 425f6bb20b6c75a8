/* What this processor multiplies at most: the yardstick of profiles. Measured, not looked up: clock rates and widths differ within one
 * family. */
#ifndef OQ_NN_KERNEL_PEAK_H
#define OQ_NN_KERNEL_PEAK_H

#include "core/cpu.h"
#include "core/dtype.h"

/* Billions of operations (a multiply-add is two) that one thread does per second in products of OQ_F32, OQ_BF16 or OQ_I8 (u8 times s8):
 * twelve independent chains in registers, the best of several runs of some milliseconds. 0: this processor has no such product, or we
 * have no loop for it. */
double oq_peak_gflops(oq_dtype product, const oq_cpu *cpu);

#endif
