#include "onednn.h"

#include "nn/nn.h"

#include <stdio.h>
#include <string.h>

oq_status oq_dnnl_check(dnnl_status_t status, const char *where, const char *doing, oq_error *err)
{
	if (status == dnnl_success)
		return OQ_OK;
	if (status == dnnl_out_of_memory)
		return oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "%s: oneDNN ran out of memory when asked to %s", where, doing);
	if (status == dnnl_unimplemented)
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_ONEDNN", "%s: this oneDNN on this processor cannot %s", where, doing);
	return oq_fail(err, OQ_E_INTERNAL, "E_ONEDNN", "%s: oneDNN failed with status %d when asked to %s", where, (int)status, doing);
}

static const char *isa_name(dnnl_cpu_isa_t isa)
{
	static const struct {
		dnnl_cpu_isa_t isa;
		const char *name;
	} names[] = {
		{dnnl_cpu_isa_sse41, "SSE41"}, {dnnl_cpu_isa_avx, "AVX"}, {dnnl_cpu_isa_avx2, "AVX2"}, {dnnl_cpu_isa_avx2_vnni, "AVX2_VNNI"},
		{dnnl_cpu_isa_avx2_vnni_2, "AVX2_VNNI_2"}, {dnnl_cpu_isa_avx512_core, "AVX512_CORE"},
		{dnnl_cpu_isa_avx512_core_vnni, "AVX512_CORE_VNNI"}, {dnnl_cpu_isa_avx512_core_bf16, "AVX512_CORE_BF16"},
		{dnnl_cpu_isa_avx512_core_fp16, "AVX512_CORE_FP16"}, {dnnl_cpu_isa_avx512_core_amx, "AVX512_CORE_AMX"},
		{dnnl_cpu_isa_avx512_core_amx_fp16, "AVX512_CORE_AMX_FP16"},
	};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		if (names[i].isa == isa)
			return names[i].name;
	return "OTHER";
}

void oq_nn_backend(char version[32], char isa[48])
{
	const dnnl_version_t *v = dnnl_version();
	snprintf(version, 32, "%d.%d.%d", v->major, v->minor, v->patch);
	snprintf(isa, 48, "%s", isa_name(dnnl_get_effective_cpu_isa()));
}
