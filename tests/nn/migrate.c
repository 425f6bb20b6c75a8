/* Outlying channels behind a layer norm: `migrate` undoes what was planted, also where two layers read the norm, and not where it may not;
 * the float network stays the same to the bit, embeddings of patches that calibration has not seen get much better, and the same input gives
 * the same bytes. */
#include "small_package.h"

#include "core/cpu.h"
#include "nn/nn.h"
#include "quantize/quantize.h"

#include <math.h>

#define EDGE 12
#define VOXELS (EDGE * EDGE * EDGE)
#define BLOCK 27  /* voxels of a patchified block */
#define WIDTH 64
#define HALF 32
#define TESTS 4

enum { EMBED, GAIN, SHIFT, Q, K, BACK, GAIN2, SHIFT2, LAST, TENSORS };

static float embed[WIDTH * BLOCK], gain[WIDTH], shift[WIDTH], q[WIDTH * WIDTH], k[HALF * WIDTH], back[HALF * WIDTH], gain2[HALF], shift2[HALF],
	last[HALF * HALF];
static const small_tensor tensors[TENSORS] = {{"embed", OQ_F32, 2, {WIDTH, BLOCK}, embed}, {"gain", OQ_F32, 1, {WIDTH}, gain},
	{"shift", OQ_F32, 1, {WIDTH}, shift}, {"q", OQ_F32, 2, {WIDTH, WIDTH}, q}, {"k", OQ_F32, 2, {HALF, WIDTH}, k}, {"back", OQ_F32, 2, {HALF, WIDTH}, back},
	{"gain2", OQ_F32, 1, {HALF}, gain2}, {"shift2", OQ_F32, 1, {HALF}, shift2}, {"last", OQ_F32, 2, {HALF, HALF}, last}};

/* n1 is read by two layers; n2 by a layer and by an addition, which its channels' sizes must not change. */
static const char members[] = "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 12, 12, 12]}], \"outputs\": [\"mean\"], \"nodes\": ["
	"{\"op\": \"patchify\", \"name\": \"blocks\", \"in\": [\"patch\"], \"block\": [3, 3, 3]}, "
	"{\"op\": \"linear\", \"name\": \"tokens\", \"in\": [\"blocks\"], \"weight\": \"embed\"}, "
	"{\"op\": \"layer_norm\", \"name\": \"n1\", \"in\": [\"tokens\"], \"weight\": \"gain\", \"bias\": \"shift\", \"eps\": 1e-05}, "
	"{\"op\": \"linear\", \"name\": \"q\", \"in\": [\"n1\"], \"weight\": \"q\"}, {\"op\": \"gelu\", \"name\": \"g\", \"in\": [\"q\"]}, "
	"{\"op\": \"linear\", \"name\": \"k\", \"in\": [\"n1\"], \"weight\": \"k\"}, {\"op\": \"linear\", \"name\": \"back\", \"in\": [\"g\"], \"weight\": \"back\"}, "
	"{\"op\": \"add\", \"name\": \"sum\", \"in\": [\"back\", \"k\"]}, "
	"{\"op\": \"layer_norm\", \"name\": \"n2\", \"in\": [\"sum\"], \"weight\": \"gain2\", \"bias\": \"shift2\", \"eps\": 1e-05}, "
	"{\"op\": \"linear\", \"name\": \"last\", \"in\": [\"n2\"], \"weight\": \"last\"}, {\"op\": \"add\", \"name\": \"all\", \"in\": [\"last\", \"n2\"]}, "
	"{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"all\"]}]}, ";

static void fill(float *values, size_t count, float size, float middle)
{
	for (size_t i = 0; i < count; i++)
		values[i] = middle + size * random_float();
}

/* Channels whose values are 50 times as large as the others and whose weights are as much smaller. */
static void plant(float *norm_gain, float *norm_shift, int64_t channel)
{
	norm_gain[channel] *= 50;
	norm_shift[channel] *= 50;
	for (int64_t o = 0; o < WIDTH; o++)
		q[o * WIDTH + channel] /= 50;
	for (int64_t o = 0; o < HALF; o++)
		k[o * WIDTH + channel] /= 50;
}

static void write_source(void)
{
	fill(embed, WIDTH * BLOCK, 0.3f, 0);
	fill(gain, WIDTH, 0.2f, 1);
	fill(shift, WIDTH, 0.2f, 0);
	fill(q, WIDTH * WIDTH, 0.2f, 0);
	fill(k, HALF * WIDTH, 0.2f, 0);
	fill(back, HALF * WIDTH, 0.2f, 0);
	fill(gain2, HALF, 0.2f, 1);
	fill(shift2, HALF, 0.2f, 0);
	fill(last, HALF * HALF, 0.2f, 0);
	gain2[5] *= 50; /* as tempting as the others */
	plant(gain, shift, 3);
	plant(gain, shift, 17);
	plant(gain, shift, 40);
	write_small_package("f32.oq", members, tensors, TENSORS);
}

static oq_status read_input(void *context, int64_t index, float *input, oq_error *err)
{
	(void)context;
	(void)err;
	fill_patch(index, input, VOXELS);
	return OQ_OK;
}

static oq_json *quantize(const char *name, bool migrate, int threads)
{
	oq_error err = {0};
	oq_json *report = NULL;
	const oq_quantize_request request = {.package = in_folder("f32.oq"), .output = in_folder(name), .precision = OQ_PRECISION_INT8, .weight_bits = 7,
		.calibration = {.count = 8, .read = read_input}, .threads = threads, .migrate = migrate};
	if (oq_quantize_package(&request, &report, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(report != NULL);
	return report;
}

/* Of patches that calibration has not seen: embeddings [TESTS][HALF]. */
static void embed_all(const char *name, float *embeddings)
{
	oq_error err = {0};
	oq_package *package = NULL;
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	static float patch[VOXELS];
	OQ_REQUIRE(oq_package_open(in_folder(name), &package, &err) == OQ_OK && oq_nn_model_open(package, NULL, &model, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_model_output_count(model) == HALF && oq_nn_session_open(model, &session, &err) == OQ_OK);
	for (int i = 0; i < TESTS; i++) {
		fill_patch(20 + i, patch, VOXELS);
		OQ_CHECK(oq_nn_session_run(session, patch, embeddings + i * HALF, &err) == OQ_OK);
	}
	oq_nn_session_close(session);
	oq_nn_model_close(model);
	oq_package_close(package);
}

static double relative(const float *x, const float *reference)
{
	double error = 0, size = 0;
	for (int i = 0; i < TESTS * HALF; i++) {
		double e = (double)x[i] - (double)reference[i];
		error += e * e;
		size += (double)reference[i] * (double)reference[i];
	}
	return sqrt(error / size);
}

/* The float network with the norm that the quantised package holds and the factors that follow from it is the one it was made from. */
static void check_same_float_network(const float *reference)
{
	oq_error err = {0};
	oq_package *package = NULL;
	float now[WIDTH], now_shift[WIDTH], embeddings[TESTS * HALF];
	small_tensor changed[TENSORS];
	static float q2[WIDTH * WIDTH], k2[HALF * WIDTH];
	int moved = 0;
	OQ_REQUIRE(oq_package_open(in_folder("migrated.oq"), &package, &err) == OQ_OK);
	OQ_REQUIRE(oq_package_read_f32(package, "gain", now, WIDTH, &err) == OQ_OK && oq_package_read_f32(package, "shift", now_shift, WIDTH, &err) == OQ_OK);
	oq_package_close(package);
	for (int64_t i = 0; i < WIDTH * WIDTH; i++)
		q2[i] = q[i] * (gain[i % WIDTH] / now[i % WIDTH]);
	for (int64_t i = 0; i < HALF * WIDTH; i++)
		k2[i] = k[i] * (gain[i % WIDTH] / now[i % WIDTH]);
	for (int c = 0; c < WIDTH; c++) {
		moved += gain[c] != now[c];
		OQ_CHECK(shift[c] / now_shift[c] == gain[c] / now[c]);
	}
	OQ_CHECK(moved >= 3 && gain[3] / now[3] >= 8 * gain[4] / now[4]);
	memcpy(changed, tensors, sizeof changed);
	changed[GAIN].data = now;
	changed[SHIFT].data = now_shift;
	changed[Q].data = q2;
	changed[K].data = k2;
	write_small_package("moved.oq", members, changed, TENSORS);
	embed_all("moved.oq", embeddings);
	OQ_CHECK(!memcmp(embeddings, reference, sizeof embeddings));
}

int main(void)
{
	static const char *const names[] = {"f32.oq", "plain.oq", "migrated.oq", "again.oq", "moved.oq"};
	float reference[TESTS * HALF], plain[TESTS * HALF], migrated[TESTS * HALF];
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	if (cpu.isa == OQ_ISA_PLAIN) {
		printf("SKIPPED: no AVX2\n");
		return 0;
	}
	make_folder();
	write_source();
	embed_all("f32.oq", reference);
	oq_json_free(quantize("plain.oq", false, 1));
	oq_json *report = quantize("migrated.oq", true, 1);
	const oq_json *moved = oq_json_get(report, "migrated"), *n1 = oq_json_get(moved, "n1");
	OQ_CHECK(oq_json_count(moved) == 1 && oq_json_number(oq_json_get(n1, "share")) > 0);
	OQ_CHECK(oq_json_number(oq_json_get(n1, "error")) < 0.3 * oq_json_number(oq_json_get(n1, "error_without")));
	oq_json_free(report);
	embed_all("plain.oq", plain);
	embed_all("migrated.oq", migrated);
	printf("relative error of embeddings: %.4f, with outlying channels moved %.4f\n", relative(plain, reference), relative(migrated, reference));
	OQ_CHECK(relative(migrated, reference) < 0.3 * relative(plain, reference));
	check_same_float_network(reference);
	oq_json_free(quantize("again.oq", true, 2));
	check_same_file("migrated.oq/model.json", "again.oq/model.json");
	check_same_file("migrated.oq/weights.safetensors", "again.oq/weights.safetensors");
	for (size_t i = 0; i < sizeof names / sizeof *names; i++)
		remove_small_package(names[i]);
	OQ_CHECK(rmdir(folder) == 0);
	return oq_checks_done();
}
