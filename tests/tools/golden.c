/* The package that the exporter makes of tests/data/tools/tiny.onnx, run by the engine: needs neither Python nor ONNX.
 * The embeddings are those of the ONNX reference evaluator in float64 (make_tiny.py). */
#include "check.h"

#include "core/mem.h"
#include "core/package.h"
#include "io/npy.h"
#include "nn/nn.h"

#define ROWS 2
#define PATCH 729
#define EMBEDDING 6
#define BAR 1e-6 /* unit vectors in float32: ten roundings of their largest number */

static void read_npy(const char *path, size_t count, float *out)
{
	oq_npy *npy = NULL;
	oq_error err;
	OQ_REQUIRE(oq_npy_open(path, &npy, &err) == OQ_OK);
	OQ_REQUIRE(npy->count == count);
	OQ_REQUIRE(oq_npy_read_f32(npy, 0, count, out, &err) == OQ_OK);
	oq_npy_close(npy);
}

int main(void)
{
	static float patches[ROWS * PATCH], wanted[ROWS * EMBEDDING];
	float got[EMBEDDING];
	oq_package *package = NULL;
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	oq_error err = {0};
	read_npy(OQ_TEST_DATA "/tools/patches.npy", ROWS * PATCH, patches);
	read_npy(OQ_TEST_DATA "/tools/embeddings.npy", ROWS * EMBEDDING, wanted);
	OQ_REQUIRE(oq_package_open(OQ_TEST_DATA "/tools/tiny", &package, &err) == OQ_OK);
	OQ_CHECK_STR((oq_nn_model_open(package, NULL, &model, &err), err.message), "");
	OQ_REQUIRE(model && oq_nn_model_input_count(model) == PATCH && oq_nn_model_output_count(model) == EMBEDDING);
	OQ_REQUIRE(oq_nn_session_open(model, &session, &err) == OQ_OK);
	for (int row = 0; row < ROWS; row++) {
		OQ_CHECK(oq_nn_session_run(session, patches + row * PATCH, got, &err) == OQ_OK);
		for (int i = 0; i < EMBEDDING; i++)
			OQ_CHECK_NEAR((double)got[i], (double)wanted[row * EMBEDDING + i], BAR);
	}
	oq_nn_session_close(session);
	oq_nn_model_close(model);
	oq_package_close(package);
	return oq_checks_done();
}
