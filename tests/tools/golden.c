/* A package beside the embeddings that another implementation computed in float64: needs neither Python nor ONNX.
 * usage: test_export_golden PACKAGE PATCHES.npy EMBEDDINGS.npy      (paths; see make_tiny.py and make_variant.py) */
#include "check.h"

#include "core/mem.h"
#include "core/package.h"
#include "io/npy.h"
#include "nn/nn.h"

#define BAR 1e-6 /* relative to the largest number: these networks have three layers, some ten roundings in float32 */

static float *read_npy(const char *path, size_t *count)
{
	oq_npy *npy = NULL;
	oq_error err = {0};
	OQ_CHECK_STR((oq_npy_open(path, &npy, &err), err.message), "");
	OQ_REQUIRE(npy);
	float *data = oq_alloc_aligned(npy->count * sizeof *data);
	OQ_REQUIRE(data && oq_npy_read_f32(npy, 0, npy->count, data, &err) == OQ_OK);
	*count = npy->count;
	oq_npy_close(npy);
	return data;
}

static void compare(oq_nn_session *session, size_t input, size_t output, const char *const files[2])
{
	size_t patch_count, wanted_count;
	oq_error err = {0};
	float *patches = read_npy(files[0], &patch_count), *wanted = read_npy(files[1], &wanted_count);
	float *got = oq_alloc_aligned(output * sizeof *got);
	size_t rows = patch_count / input;
	OQ_REQUIRE(got && rows > 0 && rows * input == patch_count && rows * output == wanted_count);
	float scale = 0;
	for (size_t i = 0; i < wanted_count; i++)
		scale = fmaxf(scale, fabsf(wanted[i]));
	for (size_t row = 0; row < rows; row++) {
		OQ_CHECK(oq_nn_session_run(session, patches + row * input, got, &err) == OQ_OK);
		for (size_t i = 0; i < output; i++)
			OQ_CHECK_NEAR((double)got[i], (double)wanted[row * output + i], BAR * (double)scale);
	}
	oq_free_aligned(patches);
	oq_free_aligned(wanted);
	oq_free_aligned(got);
}

int main(int argc, char **argv)
{
	oq_package *package = NULL;
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	oq_error err = {0};
	OQ_REQUIRE(argc == 4);
	OQ_CHECK_STR((oq_package_open(argv[1], &package, &err), err.message), "");
	OQ_REQUIRE(package);
	OQ_CHECK_STR((oq_nn_model_open(package, NULL, &model, &err), err.message), "");
	OQ_REQUIRE(model && oq_nn_session_open(model, &session, &err) == OQ_OK);
	compare(session, oq_nn_model_input_count(model), oq_nn_model_output_count(model), (const char *const[]){argv[2], argv[3]});
	oq_nn_session_close(session);
	oq_nn_model_close(model);
	oq_package_close(package);
	return oq_checks_done();
}
