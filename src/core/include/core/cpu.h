/* What this processor is and may do for us: instruction sets (capped by ONEDNN_MAX_CPU_ISA, so that one switch steers
 * oneDNN and our own kernels alike) and the number of processors granted by affinity and cgroup. */
#ifndef OQ_CORE_CPU_H
#define OQ_CORE_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum oq_isa { OQ_ISA_PLAIN = 0, OQ_ISA_AVX2, OQ_ISA_AVX512 } oq_isa; /* AVX2: with FMA and F16C; AVX512: F, BW, DQ, VL */

typedef struct oq_cpu {
	oq_isa isa;          /* the best allowed set for our own kernels */
	bool avx512_vnni, avx_vnni, avx512_bf16, avx512_fp16, amx_int8, amx_bf16;
	int processors;      /* granted by affinity mask and cgroup quota, at least 1 */
	size_t l2_bytes, l3_bytes; /* 0 when unknown */
	char name[64];       /* brand string */
} oq_cpu;

/* The floating-point state that results are defined for: rounding to nearest, denormals kept. A host may have set another (flush to zero, another
 * rounding) in the thread that calls us: enter saves it, leave puts it back. */
typedef struct oq_float_state {
	uint32_t saved;
} oq_float_state;
oq_float_state oq_float_enter(void);
void oq_float_leave(oq_float_state state);

void oq_cpu_detect(oq_cpu *cpu);
const char *oq_isa_name(oq_isa isa);

#endif
