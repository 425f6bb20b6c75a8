#include "evidence.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>

void oq_cpu_class(char out[48])
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	snprintf(out, 48, "%s%s%s", oq_isa_name(cpu.isa), cpu.avx512_vnni || cpu.avx_vnni ? "-vnni" : "", cpu.avx512_bf16 ? "-bf16" : "");
}

static oq_status refuse(const oq_package *package, oq_error *err, const char *why)
{
	return oq_fail(err, OQ_E_GATE, "E_EVIDENCE", "%s: is quantised, and %s: run `oncoquant certify`, or use --allow-uncertified", oq_package_path(package), why);
}

static bool says(const oq_json *evidence, const char *key, const char *value)
{
	const oq_json *field = oq_json_get(evidence, key);
	const char *text = field ? oq_json_string(field) : NULL;
	return text && !strcmp(text, value);
}

oq_status oq_evidence_check(const oq_package *package, oq_error *err)
{
	char path[4096], class[48];
	oq_json *evidence = NULL;
	oq_error ignored;
	if (!oq_json_get(oq_package_json(package), "quantization"))
		return OQ_OK;
	if (snprintf(path, sizeof path, "%s/evidence.json", oq_package_path(package)) >= (int)sizeof path
		|| oq_json_read_file(path, &evidence, &ignored) != OQ_OK)
		return refuse(package, err, "has no readable evidence");
	oq_cpu_class(class);
	oq_status status = OQ_OK;
	if (!says(evidence, "package_sha256", oq_package_sha256(package)))
		status = refuse(package, err, "its evidence is of another package");
	else if (!says(evidence, "cpu_class", class))
		status = refuse(package, err, "its evidence is of another class of processor");
	else if (!says(evidence, "verdict", "PASS") && !says(evidence, "verdict", "PASS (no yardstick)"))
		status = refuse(package, err, "its evidence does not say PASS");
	oq_json_free(evidence);
	return status;
}
