/* Instruction sets of wide_body.h; nothing else differs between them. */
#include "wide.h"

#include <string.h>

#define CHAINS OQ_WIDE_COLUMNS

#define WIDE_BYTES 16
#define WIDE_STEP 1
#define WIDE_TARGET
#define WIDE_NAME(x) plain_##x
#include "wide_body.h"

#if defined(__x86_64__)
#define WIDE_BYTES 32
#define WIDE_STEP 3
#define WIDE_TARGET __attribute__((target("avx2")))
#define WIDE_NAME(x) avx2_##x
#include "wide_body.h"

#define WIDE_BYTES 64
#define WIDE_STEP 12
#define WIDE_TARGET __attribute__((target("avx512f,avx512dq,avx512vl")))
#define WIDE_NAME(x) avx512_##x
#include "wide_body.h"
#endif

const oq_wide *oq_wide_for(oq_isa isa)
{
#if defined(__x86_64__)
	if (isa != OQ_ISA_PLAIN)
		return isa == OQ_ISA_AVX512 ? &avx512_table : &avx2_table;
#else
	(void)isa;
#endif
	return &plain_table;
}

const oq_wide *oq_wide_here(void)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	return oq_wide_for(cpu.isa);
}
