/* The search of `quantize` beside its state file: what it has measured outlives a package that could not be written, is used by the next
 * run, which ends with the bytes of an undisturbed one, and goes when the package is there. On a network of four small convolutions. */
#include "small_package.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "nn/nn.h"
#include "quantize/quantize.h"

#define CHANNELS 16
#define LAYERS 3   /* that can be quantised: the first convolution is a stem */
#define EDGE 10
#define VOXELS (EDGE * EDGE * EDGE) /* of the input: 64 tiles, from which on Winograd computes codes */

/* The convolution "c<i>" and its relu, as JSON, reading `input`. */
static int print_layer(int i, const char *input, char *text, size_t room)
{
	return snprintf(text, room, "{\"op\": \"conv\", \"name\": \"c%d\", \"in\": [\"%s\"], \"weight\": \"w%d\", \"stride\": [1, 1, 1], "
		"\"pad\": [[1, 1], [1, 1], [1, 1]]}, {\"op\": \"relu\", \"name\": \"r%d\", \"in\": [\"c%d\"]}, ", i, input, i, i, i);
}

static void write_package(void)
{
	static float weights[LAYERS + 1][CHANNELS * CHANNELS * 27];
	static char names[LAYERS + 1][16];
	small_tensor tensors[LAYERS + 1];
	char members[4096], input[16] = "patch";
	int length = snprintf(members, sizeof members, "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, %d, %d, %d]}], "
		"\"outputs\": [\"mean\"], \"nodes\": [", EDGE, EDGE, EDGE);
	for (int i = 0; i <= LAYERS; i++) {
		length += print_layer(i, input, members + length, sizeof members - (size_t)length);
		snprintf(input, sizeof input, "r%d", i);
		snprintf(names[i], sizeof names[i], "w%d", i);
		tensors[i] = (small_tensor){names[i], OQ_F32, 5, {CHANNELS, i ? CHANNELS : 1, 3, 3, 3}, weights[i]};
		for (size_t k = 0; k < small_tensor_bytes(&tensors[i]) / sizeof(float); k++)
			weights[i][k] = 0.1f * random_float();
	}
	snprintf(members + length, sizeof members - (size_t)length, "{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"%s\"]}]}, ", input);
	write_small_package("f32.oq", members, tensors, LAYERS + 1);
}

static oq_status read_input(void *context, int64_t index, float *input, oq_error *err)
{
	(void)context;
	(void)err;
	fill_patch(index, input, VOXELS);
	return OQ_OK;
}

/* Puts a file where the package should go as soon as all layers are measured. */
static void be_in_the_way(void *context, const char *stage, int64_t done, int64_t total)
{
	oq_error err;
	if (!strcmp(stage, "measuring layers") && done == total)
		OQ_CHECK(oq_file_write_all(context, "x", 1, &err) == OQ_OK);
}

static oq_status quantize(const char *output, bool equalise, bool in_the_way, oq_json **report)
{
	oq_error err = {0};
	oq_quantize_request request = {.package = in_folder("f32.oq"), .output = output, .precision = OQ_PRECISION_INT8, .weight_bits = 7,
		.calibration = {.count = 3, .read = read_input}, .threads = 1, .speed_share = 0.3, .equalise = equalise};
	if (in_the_way) {
		request.progress = be_in_the_way;
		request.progress_context = (void *)(uintptr_t)output;
	}
	oq_status status = oq_quantize_package(&request, report, &err);
	if (status != OQ_OK && !in_the_way)
		fprintf(stderr, "%s\n", err.message);
	return status;
}

/* Makes the first number of the file 1: no layer errs as much as that. */
static void forge_state(const char *path)
{
	size_t size = 0;
	oq_error err = {0};
	char *text = read_text(path, &size), *line = memchr(text, '\n', size);
	int lines = 0;
	for (size_t i = 0; i < size; i++)
		lines += text[i] == '\n';
	OQ_CHECK(lines > 1 + LAYERS); /* its head, the layers, and plans */
	OQ_REQUIRE(line && line + 17 < text + size);
	memcpy(line + 1, "3ff0000000000000", 16);
	OQ_REQUIRE(oq_file_write_all(path, text, size, &err) == OQ_OK);
	oq_free(text);
}

/* Factors between layers undo each other: a layer alone in 8 bits errs by what its rounding costs, far below the size of what it computes. */
static void check_equalised(void)
{
	char output[128], name[8];
	oq_json *report = NULL;
	snprintf(output, sizeof output, "%s", in_folder("equalised.oq"));
	OQ_REQUIRE(quantize(output, true, false, &report) == OQ_OK && report);
	for (int i = 1; i <= LAYERS; i++) {
		snprintf(name, sizeof name, "c%d", i);
		double alone = oq_json_number(oq_json_get(oq_json_get(oq_json_get(report, "layers"), name), "squared_error_alone"));
		OQ_CHECK(alone > 0 && alone < 0.01);
	}
	oq_json_free(report);
}

/* The package's layers run as codes in Winograd here: what they hold must be freed, too, which the sanitizers watch. */
static void check_method(const char *path)
{
	oq_error err = {0};
	oq_package *package = NULL;
	oq_nn_model *model = NULL;
	int codes = 0;
	OQ_REQUIRE(oq_package_open(path, &package, &err) == OQ_OK && oq_nn_model_open(package, NULL, &model, &err) == OQ_OK);
	for (int i = 0; i < oq_nn_model_steps(model); i++) {
		const char *method = oq_nn_model_method(model, i);
		codes += method && !strcmp(method, "winograd-i16-f3");
	}
	OQ_CHECK(codes > 0);
	oq_nn_model_close(model);
	oq_package_close(package);
}

static void remove_all(void)
{
	static const char *const names[] = {"f32.oq", "plain.oq", "resumed.oq", "forged.oq", "equalised.oq"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		remove_small_package(names[i]);
	OQ_CHECK(rmdir(folder) == 0); /* nothing else was left behind */
}

int main(void)
{
	oq_cpu cpu;
	oq_json *report = NULL;
	oq_cpu_detect(&cpu);
	if (cpu.isa == OQ_ISA_PLAIN) {
		printf("SKIPPED: no AVX2\n");
		return 0;
	}
	make_folder();
	write_package();
	char plain[128], resumed[128], forged[128];
	snprintf(plain, sizeof plain, "%s", in_folder("plain.oq"));
	snprintf(resumed, sizeof resumed, "%s", in_folder("resumed.oq"));
	snprintf(forged, sizeof forged, "%s", in_folder("forged.oq"));
	OQ_REQUIRE(quantize(plain, false, false, NULL) == OQ_OK);
	OQ_CHECK(access(in_folder("plain.oq.state"), F_OK) != 0);
	check_method(plain);
	check_equalised();

	OQ_CHECK(quantize(resumed, false, true, NULL) == OQ_E_RESOURCE);
	OQ_CHECK(access(in_folder("resumed.oq.state"), F_OK) == 0 && unlink(resumed) == 0);
	OQ_CHECK(quantize(resumed, false, false, NULL) == OQ_OK);
	OQ_CHECK(access(in_folder("resumed.oq.state"), F_OK) != 0);
	check_same_file("plain.oq/model.json", "resumed.oq/model.json");
	check_same_file("plain.oq/weights.safetensors", "resumed.oq/weights.safetensors");

	/* Somebody's file of that name is not ours to overwrite or remove. */
	oq_error err = {0};
	OQ_REQUIRE(oq_file_write_all(in_folder("forged.oq.state"), "notes\n", 6, &err) == OQ_OK);
	OQ_CHECK(quantize(forged, false, true, NULL) == OQ_E_RESOURCE && access(forged, F_OK) != 0);
	size_t size = 0;
	char *text = read_text(in_folder("forged.oq.state"), &size);
	OQ_CHECK(size == 6 && !memcmp(text, "notes\n", 6));
	oq_free(text);
	OQ_REQUIRE(unlink(in_folder("forged.oq.state")) == 0);

	/* What stands in the file is believed, so it was not measured again. */
	OQ_CHECK(quantize(forged, false, true, NULL) == OQ_E_RESOURCE && unlink(forged) == 0);
	forge_state(in_folder("forged.oq.state"));
	OQ_REQUIRE(quantize(forged, false, false, &report) == OQ_OK && report);
	OQ_CHECK(oq_json_number(oq_json_get(oq_json_get(oq_json_get(report, "layers"), "c1"), "squared_error_alone")) == 1);
	oq_json_free(report);
	remove_all();
	return oq_checks_done();
}
