/* Evidence speaks of the arithmetic it was made with: another processor, version or way of convolution computes other bits, of which it says nothing. */
#include "evidence.h"

#include "core/file.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>

/* What of a processor may change a quantised embedding: "avx512-vnni-bf16", "avx2", ...; oneDNN multiplies in tiles (AMX) where there are any. */
static void describe_cpu(char out[48])
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	snprintf(out, 48, "%s%s%s%s", oq_isa_name(cpu.isa), cpu.avx512_vnni || cpu.avx_vnni ? "-vnni" : "", cpu.avx512_bf16 ? "-bf16" : "",
		cpu.amx_int8 || cpu.amx_bf16 ? "-amx" : "");
}

bool oq_evidence_add_arithmetic(oq_json *root, const oq_model *model)
{
	char class[48], version[32], isa[48], plan[65];
	oq_precision asked;
	const char *why;
	describe_cpu(class);
	oq_nn_backend(version, isa);
	oq_nn_model_plan_sha256(model->nn, plan);
	oq_json *json = oq_json_add_object(root, "arithmetic");
	return oq_json_add_string(json, "cpu_class", class) && oq_json_add_string(json, "tool_version", oq_version())
		&& oq_json_add_string(json, "onednn_version", version)
		&& oq_json_add_string(json, "precision_used", oq_precision_name(oq_nn_model_precision(model->nn, &asked, &why)))
		&& oq_json_add_string(json, "convolution", oq_convolution_name(oq_nn_model_convolution(model->nn))) && oq_json_add_string(json, "plan_sha256", plan);
}

static oq_status refuse(const oq_package *package, oq_error *err, const char *why)
{
	return oq_fail(err, OQ_E_GATE, "E_EVIDENCE", "%s: is quantised, and %s: run `oncoquant certify`, or use --allow-uncertified", oq_package_path(package), why);
}

static const char *text_of(const oq_json *object, const char *key)
{
	const oq_json *field = oq_json_get(object, key);
	const char *text = field ? oq_json_string(field) : NULL;
	return text ? text : "";
}

/* In the order in which one explains the next: another processor has another plan. The choice of convolution alone is no difference: --conv direct
 * and auto are one plan where a network has no layer that they would compute differently. */
static oq_status compare_arithmetic(const oq_package *package, const oq_json *then, const oq_json *now, oq_error *err)
{
	static const struct { const char *key, *what; } fields[] = {{"cpu_class", "class of processor"}, {"tool_version", "version of OncoQuant"},
		{"onednn_version", "version of oneDNN"}, {"precision_used", "precision"}};
	char why[256];
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
		const char *a = text_of(then, fields[i].key), *b = text_of(now, fields[i].key);
		if (!strcmp(a, b))
			continue;
		snprintf(why, sizeof why, "its evidence is of another %s (%.60s, here %.60s)", fields[i].what, a, b);
		return refuse(package, err, why);
	}
	if (!strcmp(text_of(then, "plan_sha256"), text_of(now, "plan_sha256")))
		return OQ_OK;
	snprintf(why, sizeof why, "its evidence is of layers computed by other methods (--conv %.20s then, %.20s now; --conv and --strict-precision must be those of certify)",
		text_of(then, "convolution"), text_of(now, "convolution"));
	return refuse(package, err, why);
}

static oq_status check_arithmetic(const oq_model *model, const oq_json *evidence, oq_error *err)
{
	const oq_json *then = oq_json_get(evidence, "arithmetic");
	if (!then)
		return refuse(model->package, err, "its evidence does not say how it was computed");
	oq_json *root = oq_json_object();
	oq_status status = root && oq_evidence_add_arithmetic(root, model) ? compare_arithmetic(model->package, then, oq_json_get(root, "arithmetic"), err)
		: oq_fail_memory(err, oq_package_path(model->package), 0);
	oq_json_free(root);
	return status;
}

oq_status oq_evidence_check(const oq_model *model, oq_error *err)
{
	char path[4096];
	const oq_package *package = model->package;
	oq_json *evidence = NULL;
	oq_error ignored;
	if (!oq_json_get(oq_package_json(package), "quantization"))
		return OQ_OK;
	if (snprintf(path, sizeof path, "%s/evidence.json", oq_package_path(package)) >= (int)sizeof path
		|| oq_json_read_file(path, &evidence, &ignored) != OQ_OK)
		return refuse(package, err, "has no readable evidence");
	const char *verdict = text_of(evidence, "verdict");
	oq_status status;
	if (strcmp(text_of(evidence, "package_sha256"), oq_package_sha256(package)))
		status = refuse(package, err, "its evidence is of another package");
	else if (strcmp(verdict, "PASS") && strcmp(verdict, "PASS (no yardstick)"))
		status = refuse(package, err, "its evidence does not say PASS");
	else
		status = check_arithmetic(model, evidence, err);
	oq_json_free(evidence);
	return status;
}
