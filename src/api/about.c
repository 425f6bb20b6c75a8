/* About this build and this processor; recipes; conversion. */
#include "internal.h"

#include "core/mem.h"
#include "quantize/convert.h"

#include <stdio.h>
#include <string.h>

#define TEXT2(x) #x
#define TEXT(x) TEXT2(x)

const char *oq_version(void)
{
	return TEXT(OQ_VERSION_MAJOR) "." TEXT(OQ_VERSION_MINOR) "." TEXT(OQ_VERSION_PATCH);
}

const char *oq_status_name(oq_status status)
{
	switch (status) {
	case OQ_OK: return "ok";
	case OQ_E_USAGE: return "usage";
	case OQ_E_SOME_ROWS: return "some rows failed";
	case OQ_E_INPUT: return "no usable input";
	case OQ_E_MODEL: return "bad model";
	case OQ_E_GATE: return "quality gate failed";
	case OQ_E_RESOURCE: return "resources or I/O";
	case OQ_E_UNSUPPORTED: return "not supported here";
	case OQ_E_INTERNAL: return "internal error";
	}
	return "unknown";
}

void oq_string_free(char *text)
{
	oq_free(text);
}

oq_status oq_finish_json(oq_json *json, bool good, char **text, oq_error *err)
{
	oq_status status = good ? oq_json_print(json, true, text, err) : oq_fail_memory(err, "JSON", 0);
	oq_json_free(json);
	return status;
}

bool oq_add_environment(oq_json *object, int threads)
{
	oq_cpu cpu;
	char version[32], isa[48];
	oq_cpu_detect(&cpu);
	oq_nn_backend(version, isa);
	return oq_json_add_string(object, "tool", "oncoquant") && oq_json_add_string(object, "tool_version", oq_version())
		&& oq_json_add_string(object, "processor", cpu.name) && oq_json_add_string(object, "kernels", oq_isa_name(cpu.isa))
		&& oq_json_add_string(object, "onednn_version", version) && oq_json_add_string(object, "onednn_isa", isa)
		&& (threads == 0 || oq_json_add_int(object, "threads", threads));
}

oq_status oq_about_json(char **json, oq_error *err)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	oq_json *root = oq_json_object();
	bool good = oq_add_environment(root, cpu.processors) && oq_json_add_bool(root, "avx512_vnni", cpu.avx512_vnni)
		&& oq_json_add_bool(root, "avx_vnni", cpu.avx_vnni) && oq_json_add_bool(root, "avx512_bf16", cpu.avx512_bf16)
		&& oq_json_add_bool(root, "avx512_fp16", cpu.avx512_fp16) && oq_json_add_bool(root, "amx_int8", cpu.amx_int8)
		&& oq_json_add_bool(root, "amx_bf16", cpu.amx_bf16) && oq_json_add_string(root, "compiler", __VERSION__);
	return oq_finish_json(root, good, json, err);
}

oq_status oq_recipes_json(char **json, oq_error *err)
{
	oq_json *array = oq_json_array();
	bool good = array != NULL;
	for (const char *const *name = oq_recipe_names(); *name && good; name++) {
		oq_recipe *recipe = NULL;
		oq_status status = oq_recipe_load(*name, &recipe, err);
		if (status != OQ_OK) {
			oq_json_free(array);
			return status;
		}
		good = oq_json_add(array, NULL, oq_json_copy(oq_recipe_json(recipe)));
		oq_recipe_free(recipe);
	}
	return oq_finish_json(array, good, json, err);
}

oq_status oq_convert(const oq_convert_options *options, oq_error *err)
{
	if (!options || !options->model || !options->output)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "convert: a model and an output are needed");
	const oq_convert_request request = {.recipe = options->model, .checkpoint = options->checkpoint, .seed = options->seed, .output = options->output};
	return oq_convert_package(&request, err);
}

const char *oq_precision_name(oq_precision precision)
{
	static const char *const names[] = {"package", "f32", "bf16", "f16", "int8"};
	return precision >= OQ_PRECISION_PACKAGE && precision <= OQ_PRECISION_INT8 ? names[precision] : "unknown";
}

const char *oq_convolution_name(oq_convolution convolution)
{
	static const char *const names[] = {"auto", "direct", "winograd", "winograd4"};
	return convolution >= OQ_CONVOLUTION_AUTO && convolution <= OQ_CONVOLUTION_WINOGRAD4 ? names[convolution] : "unknown";
}

bool oq_add_convolutions(oq_json *object, const oq_model *model)
{
	oq_json *counts = oq_json_add_object(object, "convolutions");
	int steps = oq_nn_model_steps(model->nn);
	bool good = oq_json_add_string(counts, "asked", oq_convolution_name(oq_nn_model_convolution(model->nn)));
	for (int i = 0; i < steps && good; i++) {
		const char *method = oq_nn_model_method(model->nn, i);
		if (!method || oq_json_get(counts, method))
			continue;
		int64_t count = 0;
		for (int k = i; k < steps; k++) {
			const char *other = oq_nn_model_method(model->nn, k);
			count += other && !strcmp(other, method);
		}
		good = oq_json_add_int(counts, method, count);
	}
	return good;
}

bool oq_add_precision(oq_json *object, const oq_model *model)
{
	oq_precision asked;
	const char *why;
	oq_precision used = oq_nn_model_precision(model->nn, &asked, &why);
	return oq_json_add_string(object, "precision_asked", oq_precision_name(asked)) && oq_json_add_string(object, "precision_used", oq_precision_name(used))
		&& (!why[0] || oq_json_add_string(object, "precision_note", why));
}
