/* An int8 package's codebook: in 8 bits with a scale per row, or as it was when that was asked for. The tokens of either package are rows of
 * its codebook, and a row in 8 bits is the row in float32 to half a step. On a network of two small convolutions and a lookup. */
#include "small_package.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "nn/nn.h"
#include "quantize/quantize.h"

#define CHANNELS 16
#define CODES 20
#define VOXELS 64 /* of the input, and tokens */

static float book[CODES * CHANNELS];

/* The float package; or one whose codebook is codes, with `count` scales. */
static void write_package(const char *name, const float *scale, int64_t count)
{
	static const char graph[] = "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 4, 4, 4]}], \"outputs\": [\"mean\"], \"nodes\": ["
		"{\"op\": \"conv\", \"name\": \"c0\", \"in\": [\"patch\"], \"weight\": \"w0\", \"stride\": [1, 1, 1], \"pad\": [[1, 1], [1, 1], [1, 1]]}, "
		"{\"op\": \"conv\", \"name\": \"c1\", \"in\": [\"c0\"], \"weight\": \"w1\", \"stride\": [1, 1, 1], \"pad\": [[1, 1], [1, 1], [1, 1]]}, "
		"{\"op\": \"vq_lookup\", \"name\": \"vq\", \"in\": [\"c1\"], \"codebook\": \"book\"}, "
		"{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"vq\"]}]}, ";
	static const int8_t codes[CODES * CHANNELS] = {1};
	static float values[3][CHANNELS * CHANNELS * 27];
	small_tensor tensors[4] = {{"w0", OQ_F32, 5, {CHANNELS, 1, 3, 3, 3}, values[0]}, {"w1", OQ_F32, 5, {CHANNELS, CHANNELS, 3, 3, 3}, values[1]},
		{"book", OQ_F32, 3, {1, CODES, CHANNELS}, values[2]}, {"book#scale", OQ_F32, 1, {count}, scale}};
	for (int i = 0; i < 3; i++)
		for (size_t k = 0; k < small_tensor_bytes(&tensors[i]) / sizeof(float); k++)
			values[i][k] = 0.2f * random_float();
	if (scale) {
		tensors[2].dtype = OQ_I8;
		tensors[2].data = codes;
	} else {
		memcpy(book, values[2], sizeof book);
	}
	write_small_package(name, graph, tensors, 3 + (count > 0));
}

static oq_status read_input(void *context, int64_t index, float *input, oq_error *err)
{
	(void)context;
	(void)err;
	fill_patch(index, input, VOXELS);
	return OQ_OK;
}

/* Whether a token is this row: exactly, or to half a step of 8 bits. */
static bool is_row(const float *values, int64_t token, const float *row, bool wide)
{
	float most = 0;
	bool same = true;
	for (int c = 0; c < CHANNELS; c++)
		most = fmaxf(most, fabsf(row[c]));
	for (int c = 0; c < CHANNELS; c++)
		same = same && fabsf(values[c * VOXELS + token] - row[c]) <= (wide ? 0 : most / 127 * 0.501f);
	return same;
}

static void check_tokens(const oq_package *package, bool wide)
{
	static const char *const keep[] = {"vq", NULL};
	const oq_nn_options options = {.keep = keep};
	oq_error err = {0};
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	float input[VOXELS], embedding[CHANNELS];
	const float *values = NULL;
	int rank;
	int64_t shape[OQ_MAX_RANK];
	OQ_REQUIRE(oq_nn_model_open(package, &options, &model, &err) == OQ_OK && oq_nn_session_open(model, &session, &err) == OQ_OK);
	OQ_REQUIRE(read_input(NULL, 9, input, &err) == OQ_OK && oq_nn_session_run(session, input, embedding, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_session_value(session, "vq", &values, &rank, shape, &err) == OQ_OK);
	for (int64_t t = 0; t < VOXELS; t++) {
		bool found = false;
		for (int code = 0; code < CODES; code++)
			found = found || is_row(values, t, book + code * CHANNELS, wide);
		OQ_CHECK(found);
	}
	oq_nn_session_close(session);
	oq_nn_model_close(model);
}

static void check_package(const char *name, bool wide)
{
	char output[128];
	oq_error err = {0};
	oq_package *package = NULL;
	snprintf(output, sizeof output, "%s", in_folder(name));
	const oq_quantize_request request = {.package = in_folder("f32.oq"), .output = output, .precision = OQ_PRECISION_INT8, .weight_bits = 7,
		.calibration = {.count = 3, .read = read_input}, .threads = 1, .wide_codebook = wide};
	OQ_REQUIRE(oq_quantize_package(&request, NULL, &err) == OQ_OK && oq_package_open(output, &package, &err) == OQ_OK);
	const oq_tensor_info *codes = oq_safetensors_find(oq_package_weights(package), "book"), *scale = oq_safetensors_find(oq_package_weights(package), "book#scale");
	OQ_CHECK(codes && codes->dtype == (wide ? OQ_F32 : OQ_I8) && codes->count == CODES * CHANNELS);
	OQ_CHECK(wide ? !scale : scale && scale->dtype == OQ_F32 && scale->count == CODES);
	check_tokens(package, wide);
	oq_package_close(package);
}

/* Codes without a positive scale for each row are refused in one line that names the tensor. */
static void check_scales(void)
{
	static const struct {
		const char *name;
		int64_t count;
		float last;
	} cases[] = {{"good.oq", CODES, 1}, {"missing.oq", 0, 1}, {"few.oq", CODES - 1, 1}, {"many.oq", CODES + 1, 1}, {"zero.oq", CODES, 0},
		{"negative.oq", CODES, -1}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		oq_error err = {0};
		oq_package *package = NULL;
		oq_nn_model *model = NULL;
		float scale[CODES + 1];
		for (int k = 0; k <= CODES; k++)
			scale[k] = k == CODES - 1 ? cases[i].last : 1;
		write_package(cases[i].name, scale, cases[i].count);
		OQ_REQUIRE(oq_package_open(in_folder(cases[i].name), &package, &err) == OQ_OK);
		OQ_CHECK_INT(oq_nn_model_open(package, NULL, &model, &err), i ? OQ_E_MODEL : OQ_OK);
		OQ_CHECK(!i || (strstr(err.message, "book#scale") && !strchr(err.message, '\n')));
		oq_nn_model_close(model);
		oq_package_close(package);
	}
}

static void remove_all(void)
{
	static const char *const names[] = {"f32.oq", "narrow.oq", "wide.oq", "good.oq", "missing.oq", "few.oq", "many.oq", "zero.oq", "negative.oq"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		remove_small_package(names[i]);
	OQ_CHECK(rmdir(folder) == 0);
}

int main(void)
{
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	if (cpu.isa == OQ_ISA_PLAIN) {
		printf("SKIPPED: no AVX2\n");
		return 0;
	}
	random_state = 7;
	make_folder();
	write_package("f32.oq", NULL, 0);
	check_package("narrow.oq", false);
	check_package("wide.oq", true);
	check_scales();
	remove_all();
	return oq_checks_done();
}
