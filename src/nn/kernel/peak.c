#include "kernel/peak.h"

#include "core/clock.h"

#define CHAINS 12  /* enough for two units of latency 5 */
#define STEPS 4000 /* per call */
#define CALLS 40   /* per run */
#define RUNS 12

/* A loop over CHAINS accumulators; returns the operations done. Factors made of `zero`, which the compiler does not know, and a sum
 * that goes to *sink keep it from being optimised away; the values stay as they are, so that no denormal slows it down. */
typedef double loop(float zero, float *sink);

#ifdef OQ_KERNEL_X86
#include <immintrin.h>

/* UPDATE: one step of accumulator a[i]; its factors come from `zero`, which only the caller knows. */
#define LOOP(NAME, TARGET, TYPE, START, UPDATE, TOTAL, OPERATIONS)                                  \
	__attribute__((target(TARGET))) static double NAME(float zero, float *sink)                                \
	{                                                                                               \
		TYPE a[CHAINS];                                                                             \
		for (int i = 0; i < CHAINS; i++)                                                            \
			a[i] = START;                                                                           \
		for (int step = 0; step < STEPS; step++)                                                    \
			_Pragma("GCC unroll 12") for (int i = 0; i < CHAINS; i++) a[i] = UPDATE;                \
		for (int i = 0; i < CHAINS; i++)                                                            \
			*sink += TOTAL;                                                                         \
		return (double)STEPS * CHAINS * (OPERATIONS);                                               \
	}

LOOP(f32_avx512, "avx512f", __m512, _mm512_set1_ps((float)i), _mm512_fmadd_ps(a[i], _mm512_set1_ps(zero + 1.0f), _mm512_set1_ps(zero)),
	_mm512_reduce_add_ps(a[i]), 32)
LOOP(bf16_avx512, "avx512f,avx512bf16", __m512, _mm512_set1_ps((float)i),
	_mm512_dpbf16_ps(a[i], (__m512bh)_mm512_castps_si512(_mm512_set1_ps(zero)), (__m512bh)_mm512_castps_si512(_mm512_set1_ps(zero))),
	_mm512_reduce_add_ps(a[i]), 64)
LOOP(i8_avx512, "avx512f,avx512vnni", __m512i, _mm512_set1_epi32(i),
	_mm512_dpbusd_epi32(a[i], _mm512_castps_si512(_mm512_set1_ps(zero)), _mm512_castps_si512(_mm512_set1_ps(zero))),
	(float)_mm512_reduce_add_epi32(a[i]), 128)
LOOP(f32_avx2, "avx2,fma", __m256, _mm256_set1_ps((float)i), _mm256_fmadd_ps(a[i], _mm256_set1_ps(zero + 1.0f), _mm256_set1_ps(zero)),
	_mm256_cvtss_f32(a[i]), 16)
/* Without an 8-bit dot product: three instructions for what it does in one. */
LOOP(i8_avx2, "avx2", __m256i, _mm256_set1_epi32(i),
	_mm256_add_epi32(a[i], _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_add_epi32(a[i], _mm256_castps_si256(_mm256_set1_ps(zero))),
		_mm256_castps_si256(_mm256_set1_ps(zero))), _mm256_set1_epi16(1))),
	(float)_mm256_extract_epi32(a[i], 0), 64)

static loop *loop_of(oq_dtype product, const oq_cpu *cpu)
{
	bool wide = cpu->isa == OQ_ISA_AVX512, half = cpu->isa == OQ_ISA_AVX2;
	if (product == OQ_F32)
		return wide ? f32_avx512 : half ? f32_avx2 : NULL;
	if (product == OQ_BF16 && !cpu->amx_bf16) /* no loop for tiles, which oneDNN uses where they are */
		return wide && cpu->avx512_bf16 ? bf16_avx512 : NULL;
	if (product == OQ_I8 && !cpu->amx_int8)
		return wide && cpu->avx512_vnni ? i8_avx512 : (wide || half) && !cpu->avx_vnni ? i8_avx2 : NULL;
	return NULL;
}
#else
static loop *loop_of(oq_dtype product, const oq_cpu *cpu)
{
	(void)product;
	(void)cpu;
	return NULL;
}
#endif

double oq_peak_gflops(oq_dtype product, const oq_cpu *cpu)
{
	loop *run = loop_of(product, cpu);
	double best = 0;
	for (int r = 0; run && r < RUNS; r++) {
		volatile float zero = 0;
		float sink = 0;
		double operations = 0, before = oq_seconds();
		for (int c = 0; c < CALLS; c++)
			operations += run(zero, &sink);
		double rate = 1e-9 * operations / (oq_seconds() - before);
		best = rate > best && sink >= 0 ? rate : best;
	}
	return best;
}
