/* The precision that a window attention is planned in, and says: bytes behind an 8-bit layer, what the values are held in behind another, and
 * float32 for unit vectors. On packages of one layer and one attention. */
#include "small_package.h"

#include "core/cpu.h"
#include "nn/nn.h"

#define CHANNELS 32

typedef enum plan { BYTES, MIXED, COSINE } plan;

static oq_status open_plan(plan which, oq_nn_model **out, oq_error *err)
{
	static int8_t codes[3 * CHANNELS * CHANNELS];
	static float scale[3 * CHANNELS], weights[3 * CHANNELS * CHANNELS];
	char members[1024];
	oq_package *package = NULL;
	for (int i = 0; i < 3 * CHANNELS * CHANNELS; i++) {
		codes[i] = (int8_t)(random_next() >> 40);
		weights[i] = random_float();
	}
	for (int o = 0; o < 3 * CHANNELS; o++)
		scale[o] = 0.01f;
	snprintf(members, sizeof members, "\"quantization\": {\"precision\": \"int8\", \"weight_bits\": 8, \"values\": {\"patch\": [0.01, 128]}}, \"graph\": {\"inputs\": "
		"[{\"name\": \"patch\", \"shape\": [%d, 2, 2, 2]}], \"outputs\": [\"mean\"], \"nodes\": [{\"op\": \"linear\", \"name\": \"qkv\", \"in\": [\"patch\"], \"weight\": "
		"\"w\"}, {\"op\": \"window_attention\", \"name\": \"a\", \"in\": [\"qkv\"], \"heads\": 1, \"window\": [2, 2, 2], \"scale\": 0.1%s}, {\"op\": "
		"\"global_avg_pool\", \"name\": \"mean\", \"in\": [\"a\"]}]}, ", CHANNELS, which == COSINE ? ", \"q_scale\": \"s\", \"k_scale\": \"s\"" : "");
	const small_tensor tensors[] = {{"w", which == MIXED ? OQ_F32 : OQ_I8, 2, {3 * CHANNELS, CHANNELS}, which == MIXED ? (void *)weights : (void *)codes},
		{"s", OQ_F32, 1, {CHANNELS}, scale}, {"w#scale", OQ_F32, 1, {3 * CHANNELS}, scale}, {"w#bias", OQ_F32, 1, {3 * CHANNELS}, scale}};
	write_small_package("plan.oq", members, tensors, which == MIXED ? 2 : 4);
	OQ_REQUIRE(oq_package_open(in_folder("plan.oq"), &package, err) == OQ_OK);
	oq_status status = oq_nn_model_open(package, NULL, out, err);
	oq_package_close(package);
	remove_small_package("plan.oq");
	return status;
}

static void check_plan(plan which, const char *precision, char hash[65])
{
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	oq_error err = {0};
	bool found = false;
	bool open = open_plan(which, &model, &err) == OQ_OK && oq_nn_session_open(model, &session, &err) == OQ_OK;
	if (!open)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(open);
	for (int i = 0; i < oq_nn_model_steps(model); i++) {
		oq_nn_step_info step;
		oq_nn_session_step(session, i, &step);
		if (strcmp(step.op, "window_attention"))
			continue;
		found = true;
		OQ_CHECK_STR(step.precision, precision);
		OQ_CHECK(!strcmp(precision, "f32") || strstr(step.implementation, precision)); /* the kernel is named by it, too */
	}
	OQ_CHECK(found);
	oq_nn_model_plan_sha256(model, hash);
	oq_nn_session_close(session);
	oq_nn_model_close(model);
}

int main(void)
{
	oq_cpu cpu;
	char hash[3][65];
	oq_cpu_detect(&cpu);
	make_folder();
	check_plan(BYTES, "int8", hash[0]);
	check_plan(MIXED, cpu.avx512_bf16 ? "bf16" : "f32", hash[1]);
	check_plan(COSINE, "f32", hash[2]);
	OQ_CHECK(strcmp(hash[0], hash[2])); /* evidence tells them apart: nothing else in these two plans differs */
	rmdir(folder);
	return oq_checks_done();
}
