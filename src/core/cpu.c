/* Facts about the processor. One environment variable of oneDNN, ONEDNN_MAX_CPU_ISA, caps our kernels as well. */
#define _GNU_SOURCE
#include "core/cpu.h"

#include "core/cgroup.h"

#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <xmmintrin.h>
#endif

/* What each cap of oneDNN leaves to us. */
enum { CAP_NONE = 0, CAP_AVX2 = 1, CAP_AVX2_VNNI = 2, CAP_AVX512 = 3, CAP_VNNI = 4, CAP_BF16 = 5, CAP_FP16 = 6, CAP_AMX = 7 };

static int cap_from_environment(void)
{
	static const struct {
		const char *name;
		int cap;
	} caps[] = {{"SSE41", CAP_NONE}, {"AVX", CAP_NONE}, {"AVX2", CAP_AVX2}, {"AVX2_VNNI", CAP_AVX2_VNNI}, {"AVX2_VNNI_2", CAP_AVX2_VNNI},
		{"AVX512_CORE", CAP_AVX512}, {"AVX512_CORE_VNNI", CAP_VNNI}, {"AVX512_CORE_BF16", CAP_BF16}, {"AVX512_CORE_FP16", CAP_FP16}};
	const char *wish = getenv("ONEDNN_MAX_CPU_ISA");
	if (!wish)
		wish = getenv("DNNL_MAX_CPU_ISA"); /* its older spelling */
	for (size_t i = 0; wish && i < sizeof caps / sizeof *caps; i++)
		if (!strcasecmp(wish, caps[i].name))
			return caps[i].cap;
	return CAP_AMX;
}

#if defined(__x86_64__)
static void detect_features(oq_cpu *cpu, int cap)
{
	unsigned a, b, c, d, a1 = 0, b1, c1, d1;
	bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
	bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq")
		&& __builtin_cpu_supports("avx512vl");
	cpu->isa = avx512 && cap >= CAP_AVX512 ? OQ_ISA_AVX512 : avx2 && cap >= CAP_AVX2 ? OQ_ISA_AVX2 : OQ_ISA_PLAIN;
	if (!__get_cpuid_count(7, 0, &a, &b, &c, &d))
		return;
	if (a >= 1)
		__get_cpuid_count(7, 1, &a1, &b1, &c1, &d1);
	cpu->avx512_vnni = avx512 && (c >> 11 & 1) && cap >= CAP_VNNI;
	cpu->avx_vnni = avx2 && (a1 >> 4 & 1) && cap >= CAP_AVX2_VNNI && cap != CAP_AVX512;
	cpu->avx512_bf16 = avx512 && (a1 >> 5 & 1) && cap >= CAP_BF16;
	cpu->avx512_fp16 = avx512 && (d >> 23 & 1) && cap >= CAP_FP16;
	cpu->amx_int8 = (d >> 25 & 1) && cap >= CAP_AMX;
	cpu->amx_bf16 = (d >> 22 & 1) && cap >= CAP_AMX;
}

static void detect_name(oq_cpu *cpu)
{
	unsigned words[12];
	for (unsigned i = 0; i < 3; i++)
		if (!__get_cpuid(0x80000002u + i, &words[4 * i], &words[4 * i + 1], &words[4 * i + 2], &words[4 * i + 3]))
			return;
	char text[49] = {0};
	memcpy(text, words, 48);
	size_t skip = strspn(text, " ");
	snprintf(cpu->name, sizeof cpu->name, "%s", text + skip);
	for (size_t n = strlen(cpu->name); n > 0 && cpu->name[n - 1] == ' '; n--)
		cpu->name[n - 1] = 0;
}
#else
static void detect_features(oq_cpu *cpu, int cap)
{
	(void)cap;
	cpu->isa = OQ_ISA_PLAIN;
}

static void detect_name(oq_cpu *cpu)
{
	snprintf(cpu->name, sizeof cpu->name, "unknown");
}
#endif

static int granted_processors(void)
{
	cpu_set_t set;
	long online = sysconf(_SC_NPROCESSORS_ONLN);
	int count = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : (int)online;
	int quota = oq_cgroup_processors("");
	if (quota > 0 && quota < count)
		count = quota;
	return count > 0 ? count : 1;
}

#if defined(__x86_64__)
#define MXCSR_DEFAULT 0x1f80u /* exceptions masked, nearest, neither flush to zero nor denormals as zero */

oq_float_state oq_float_enter(void)
{
	const oq_float_state state = {_mm_getcsr()};
	_mm_setcsr(MXCSR_DEFAULT);
	return state;
}

void oq_float_leave(oq_float_state state)
{
	_mm_setcsr(state.saved);
}
#else
oq_float_state oq_float_enter(void)
{
	return (oq_float_state){0};
}

void oq_float_leave(oq_float_state state)
{
	(void)state;
}
#endif

void oq_cpu_detect(oq_cpu *cpu)
{
	*cpu = (oq_cpu){0};
	detect_features(cpu, cap_from_environment());
	detect_name(cpu);
	cpu->processors = granted_processors();
#if defined(_SC_LEVEL2_CACHE_SIZE) && defined(_SC_LEVEL3_CACHE_SIZE)
	long l2 = sysconf(_SC_LEVEL2_CACHE_SIZE), l3 = sysconf(_SC_LEVEL3_CACHE_SIZE);
	cpu->l2_bytes = l2 > 0 ? (size_t)l2 : 0;
	cpu->l3_bytes = l3 > 0 ? (size_t)l3 : 0;
#endif
}

const char *oq_isa_name(oq_isa isa)
{
	return isa == OQ_ISA_AVX512 ? "avx512" : isa == OQ_ISA_AVX2 ? "avx2" : "plain";
}
