/* SHA-256 blocks with the SHA extensions. State lives in two registers as the instructions want it: ABEF and CDGH. */
#include "sha256_block.h"

#ifdef OQ_SHA256_X86
#include <cpuid.h>
#include <immintrin.h>

bool oq_sha256_has_instructions(void)
{
	unsigned a, b, c, d;
	return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b >> 29 & 1u) && __builtin_cpu_supports("sse4.1") && __builtin_cpu_supports("ssse3");
}

__attribute__((target("sha,sse4.1,ssse3"))) void oq_sha256_blocks_x86(uint32_t state[8], const unsigned char *data, size_t blocks)
{
	const __m128i swap = _mm_set_epi64x(0x0c0d0e0f08090a0bLL, 0x0405060700010203LL);
	__m128i low = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)state), 0xb1);        /* CDAB */
	__m128i high = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)(const void *)(state + 4)), 0x1b); /* EFGH */
	__m128i abef = _mm_alignr_epi8(low, high, 8), cdgh = _mm_blend_epi16(high, low, 0xf0);
	for (; blocks > 0; blocks--, data += 64) {
		const __m128i abef_before = abef, cdgh_before = cdgh;
		__m128i w[4];
		for (int i = 0; i < 4; i++)
			w[i] = _mm_shuffle_epi8(_mm_loadu_si128((const __m128i *)(const void *)(data + 16 * i)), swap);
		for (int group = 0; group < 16; group++) {
			__m128i now = w[group & 3];
			__m128i sum = _mm_add_epi32(now, _mm_loadu_si128((const __m128i *)(const void *)(oq_sha256_rounds + 4 * group)));
			cdgh = _mm_sha256rnds2_epu32(cdgh, abef, sum);
			abef = _mm_sha256rnds2_epu32(abef, cdgh, _mm_shuffle_epi32(sum, 0x0e));
			/* Words of four groups ahead: w[t-16] + s0(w[t-15]) + w[t-7] + s1(w[t-2]). */
			__m128i next = _mm_sha256msg1_epu32(now, w[(group + 1) & 3]);
			next = _mm_add_epi32(next, _mm_alignr_epi8(w[(group + 3) & 3], w[(group + 2) & 3], 4));
			w[group & 3] = _mm_sha256msg2_epu32(next, w[(group + 3) & 3]);
		}
		abef = _mm_add_epi32(abef, abef_before);
		cdgh = _mm_add_epi32(cdgh, cdgh_before);
	}
	low = _mm_shuffle_epi32(abef, 0x1b);  /* FEBA */
	high = _mm_shuffle_epi32(cdgh, 0xb1); /* DCHG */
	_mm_storeu_si128((__m128i *)(void *)state, _mm_blend_epi16(low, high, 0xf0));
	_mm_storeu_si128((__m128i *)(void *)(state + 4), _mm_alignr_epi8(high, low, 8));
}
#else
typedef int oq_sha256_x86_is_empty; /* an empty translation unit is not ISO C */
#endif
