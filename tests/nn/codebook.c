/* An int8 package's codebook: in 8 bits with a scale per row, or as it was when that was asked for. The tokens of either package are rows of
 * its codebook, and a row in 8 bits is the row in float32 to half a step. On a network of two small convolutions and a lookup. */
#include "check.h"

#include "core/cpu.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/package.h"
#include "core/sha256.h"
#include "nn/nn.h"
#include "quantize/quantize.h"

#include <sys/stat.h>
#include <unistd.h>

#define CHANNELS 16
#define CODES 20
#define VOXELS 64 /* of the input, and tokens */

static char folder[] = "/tmp/oq_codebook_XXXXXX";
static float book[CODES * CHANNELS];

static const struct {
	const char *name;
	int rank;
	int64_t shape[5];
	size_t count;
} tensors[] = {{"w0", 5, {CHANNELS, 1, 3, 3, 3}, CHANNELS * 27}, {"w1", 5, {CHANNELS, CHANNELS, 3, 3, 3}, CHANNELS * CHANNELS * 27},
	{"book", 3, {1, CODES, CHANNELS}, CODES * CHANNELS}};
#define TENSORS 3

static const char *in_folder(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

static float random_unit(void)
{
	static uint64_t state = 7;
	state = state * 6364136223846793005u + 1442695040888963407u;
	return (float)(state >> 40) * 0x1p-23f - 1.0f;
}

/* The float package; or one whose codebook is codes, with `count` scales. */
static void write_package(const char *folder_name, const float *scale, int64_t count)
{
	static const char graph[] = "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 4, 4, 4]}], \"outputs\": [\"mean\"], \"nodes\": ["
		"{\"op\": \"conv\", \"name\": \"c0\", \"in\": [\"patch\"], \"weight\": \"w0\", \"stride\": [1, 1, 1], \"pad\": [[1, 1], [1, 1], [1, 1]]}, "
		"{\"op\": \"conv\", \"name\": \"c1\", \"in\": [\"c0\"], \"weight\": \"w1\", \"stride\": [1, 1, 1], \"pad\": [[1, 1], [1, 1], [1, 1]]}, "
		"{\"op\": \"vq_lookup\", \"name\": \"vq\", \"in\": [\"c1\"], \"codebook\": \"book\"}, "
		"{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"vq\"]}]}";
	static float values[TENSORS][CHANNELS * CHANNELS * 27];
	char json[4096], hex[65];
	oq_error err = {0};
	oq_safetensors_writer *writer = NULL;
	static const int8_t codes[CODES * CHANNELS] = {1};
	char weights[64], model[64];
	snprintf(weights, sizeof weights, "%s/weights.safetensors", folder_name);
	snprintf(model, sizeof model, "%s/model.json", folder_name);
	OQ_REQUIRE(mkdir(in_folder(folder_name), 0700) == 0);
	OQ_REQUIRE(oq_safetensors_writer_open(in_folder(weights), &writer, &err) == OQ_OK);
	int length = snprintf(json, sizeof json, "{\"format\": \"%s\", \"format_version\": %d, %s, \"weights\": {\"file\": \"weights.safetensors\", \"sha256\": {",
		OQ_PACKAGE_FORMAT, OQ_PACKAGE_VERSION, graph);
	const void *data[TENSORS + 1] = {values[0], values[1], values[2], scale};
	size_t bytes[TENSORS + 1] = {0};
	for (int i = 0; i < TENSORS + (count > 0); i++) {
		const bool narrow = scale && i == 2, extra = i == TENSORS;
		const char *name = extra ? "book#scale" : tensors[i].name;
		oq_sha256 hash;
		for (size_t k = 0; !extra && k < tensors[i].count; k++)
			values[i][k] = 0.2f * random_unit();
		data[i] = narrow ? codes : data[i];
		bytes[i] = extra ? (size_t)count * sizeof *scale : tensors[i].count * (narrow ? 1 : sizeof(float));
		oq_sha256_init(&hash);
		oq_sha256_update(&hash, data[i], bytes[i]);
		oq_sha256_hex(&hash, hex);
		length += snprintf(json + length, sizeof json - (size_t)length, "%s\"%s\": \"%s\"", i ? ", " : "", name, hex);
		OQ_REQUIRE(oq_safetensors_writer_declare(writer, name, narrow ? OQ_I8 : OQ_F32, extra ? 1 : tensors[i].rank, extra ? &count : tensors[i].shape,
			&err) == OQ_OK);
	}
	for (int i = 0; i < TENSORS + (count > 0); i++)
		OQ_REQUIRE(oq_safetensors_writer_data(writer, data[i], bytes[i], &err) == OQ_OK);
	if (!scale)
		memcpy(book, values[2], sizeof book);
	length += snprintf(json + length, sizeof json - (size_t)length, "}}}");
	OQ_REQUIRE(oq_safetensors_writer_commit(writer, &err) == OQ_OK);
	OQ_REQUIRE(oq_file_write_all(in_folder(model), json, (size_t)length, &err) == OQ_OK);
}

static oq_status read_input(void *context, int64_t index, float *input, oq_error *err)
{
	(void)context;
	(void)err;
	for (int64_t i = 0; i < VOXELS; i++)
		input[i] = (float)((i * 37 + index * 101 + i * i % (7 + index)) % 64) / 32.0f - 1.0f;
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
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char path[160];
		snprintf(path, sizeof path, "%s/%s/model.json", folder, names[i]);
		unlink(path);
		snprintf(path, sizeof path, "%s/%s/weights.safetensors", folder, names[i]);
		unlink(path);
		rmdir(in_folder(names[i]));
	}
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
	OQ_REQUIRE(mkdtemp(folder) != NULL);
	write_package("f32.oq", NULL, 0);
	check_package("narrow.oq", false);
	check_package("wide.oq", true);
	check_scales();
	remove_all();
	return oq_checks_done();
}
