/* How products of codes are planned without an 8-bit dot product, capped at AVX2: by the weights, exactly or not at all. On packages of one convolution. */
#include "small_package.h"

#include "core/cpu.h"
#include "nn/nn.h"

#define OUTPUTS 32

typedef enum weights { TINY, SMALL, TRAINED, SPREAD } weights;

/* Up to 16; up to 64; the same with a few that two of them make saturate; anything. */
static void fill_codes(weights kind, int8_t *codes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		codes[i] = (int8_t)((int8_t)(random_next() >> 40) / (kind == SPREAD ? 1 : kind == TINY ? 8 : 2));
	for (size_t i = 1; kind == TRAINED && i < count; i += 1000)
		codes[i] = 127;
}

static oq_status open_model(int64_t channels, int64_t kernel, weights kind, oq_nn_model **out, oq_error *err)
{
	float scale[OUTPUTS];
	char members[1024];
	int64_t pad = kernel / 2;
	size_t count = (size_t)(OUTPUTS * channels * kernel * kernel * kernel);
	int8_t *codes = oq_alloc(count);
	oq_package *package = NULL;
	OQ_REQUIRE(codes);
	for (int o = 0; o < OUTPUTS; o++)
		scale[o] = 0.1f;
	fill_codes(kind, codes, count);
	snprintf(members, sizeof members, "\"quantization\": {\"precision\": \"int8\", \"weight_bits\": 8, \"values\": {\"patch\": [0.01, 0]}}, \"graph\": {\"inputs\": "
		"[{\"name\": \"patch\", \"shape\": [%lld, 5, 5, 5]}], \"outputs\": [\"mean\"], \"nodes\": [{\"op\": \"conv\", \"name\": \"c\", \"in\": [\"patch\"], \"weight\": "
		"\"w\", \"stride\": [1, 1, 1], \"pad\": [[%lld, %lld], [%lld, %lld], [%lld, %lld]]}, {\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"c\"]}]}, ",
		(long long)channels, (long long)pad, (long long)pad, (long long)pad, (long long)pad, (long long)pad, (long long)pad);
	const small_tensor tensors[] = {{"w", OQ_I8, 5, {OUTPUTS, channels, kernel, kernel, kernel}, codes}, {"w#scale", OQ_F32, 1, {OUTPUTS}, scale},
		{"w#bias", OQ_F32, 1, {OUTPUTS}, scale}};
	write_small_package("codes.oq", members, tensors, 3);
	OQ_REQUIRE(oq_package_open(in_folder("codes.oq"), &package, err) == OQ_OK);
	oq_status status = oq_nn_model_open(package, NULL, out, err);
	oq_package_close(package);
	remove_small_package("codes.oq");
	oq_free(codes);
	return status;
}

static void check_method(int64_t channels, int64_t kernel, weights kind, const char *method)
{
	oq_nn_model *model = NULL;
	oq_error err = {0};
	bool found = false;
	OQ_CHECK_INT(open_model(channels, kernel, kind, &model, &err), OQ_OK);
	for (int step = 0; model && step < 3; step++) { /* a cast, the convolution, the mean */
		const char *name = oq_nn_model_method(model, step);
		found = found || (name && !strcmp(name, method));
	}
	if (!found)
		fprintf(stderr, "%lld channels, kernel %lld, weights %d: not %s; %s\n", (long long)channels, (long long)kernel, (int)kind, method, err.message);
	OQ_CHECK(found);
	oq_nn_model_close(model);
}

int main(void)
{
	oq_cpu cpu;
	setenv("ONEDNN_MAX_CPU_ISA", "AVX2", 1);
	oq_cpu_detect(&cpu);
	if (cpu.isa == OQ_ISA_PLAIN) {
		printf("SKIPPED: no AVX2\n");
		return 0;
	}
	make_folder();
	check_method(64, 1, SMALL, "onednn");
	check_method(64, 1, TINY, "onednn");
	check_method(128, 1, SMALL, "onednn");
	check_method(128, 1, TINY, "taps-u8"); /* four products in 16 bits, where oneDNN adds two */
	check_method(64, 1, TRAINED, "taps-u8");
	check_method(64, 1, SPREAD, "taps-i16");
	check_method(64, 3, SMALL, "onednn"); /* 8 tiles: too few for Winograd, 125 voxels: too many for taps */
	check_method(64, 3, TRAINED, "winograd-i16-f3");
	check_method(2436, 3, TRAINED, "taps-u8"); /* sums too large for Winograd */
	oq_nn_model *model = NULL;
	oq_error err = {0};
	OQ_CHECK_INT(open_model(2440, 3, SPREAD, &model, &err), OQ_E_UNSUPPORTED); /* 65880 products, which may reach 2^31 */
	OQ_CHECK(strstr(err.message, "sums 65880 products of 8 bits"));
	rmdir(folder);
	return oq_checks_done();
}
