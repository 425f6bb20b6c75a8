/* Row W8 of the project's list of bad inputs: a batch norm whose variance is below 0 is refused when the model is opened, whether the norm folds into a
 * convolution or not, and names tensor, channel and value; the least variances that mean something are computed. */
#include "small_package.h"

#include "nn/nn.h"

#define CHANNELS 8
#define EDGE 4
#define TENSORS 5

#define HEAD "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 4, 4, 4]}], \"outputs\": [\"mean\"], \"nodes\": [" \
	"{\"op\": \"conv\", \"name\": \"c\", \"in\": [\"patch\"], \"weight\": \"w\", \"stride\": [1, 1, 1], \"pad\": [[0, 0], [0, 0], [0, 0]]}, "
#define NORM(INPUT, EPS) "{\"op\": \"batch_norm\", \"name\": \"n\", \"in\": [\"" INPUT "\"], \"weight\": \"scale\", \"bias\": \"shift\", " \
	"\"mean\": \"running_mean\", \"var\": \"running_var\", \"eps\": " EPS "}, "
#define TAIL "{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"n\"]}]}, "
#define RELU "{\"op\": \"relu\", \"name\": \"r\", \"in\": [\"c\"]}, "

static const struct {
	const char *graph;
	float variance;
	const char *message; /* "": it runs */
} cases[] = {
	{HEAD NORM("c", "1e-5") TAIL, -0.25f, "tensor running_var[5] is -0.25, expected a variance of at least 0"},
	{HEAD RELU NORM("r", "1e-5") TAIL, -0.25f, "tensor running_var[5] is -0.25, expected a variance of at least 0"},
	{HEAD NORM("c", "1e-5") TAIL, -1e-9f, "tensor running_var[5] is -1e-09, expected a variance of at least 0"}, /* eps would hide it */
	{HEAD NORM("c", "1e-5") TAIL, 0, ""}, /* a channel that never varied */
	{HEAD RELU NORM("r", "1e-5") TAIL, 0, ""},
	{HEAD NORM("c", "1e-5") TAIL, 1e-40f, ""}, /* denormal */
};

static void write_package(const char *graph, float variance)
{
	static float values[TENSORS][CHANNELS];
	static const char *const names[TENSORS] = {"w", "scale", "shift", "running_mean", "running_var"};
	small_tensor tensors[TENSORS];
	for (int i = 0; i < TENSORS; i++) {
		tensors[i] = (small_tensor){names[i], OQ_F32, i ? 1 : 5, {CHANNELS, 1, 1, 1, 1}, values[i]};
		for (int c = 0; c < CHANNELS; c++)
			values[i][c] = 1.5f + random_float();
	}
	values[TENSORS - 1][5] = variance;
	write_small_package("p.oq", graph, tensors, TENSORS);
}

int main(void)
{
	static float patch[EDGE * EDGE * EDGE];
	make_folder();
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		float embedding[CHANNELS];
		oq_error err = {0};
		oq_package *package = NULL;
		oq_nn_model *model = NULL;
		oq_nn_session *session = NULL;
		write_package(cases[i].graph, cases[i].variance);
		OQ_REQUIRE(oq_package_open(in_folder("p.oq"), &package, &err) == OQ_OK);
		oq_status status = oq_nn_model_open(package, &(oq_nn_options){.precision = OQ_PRECISION_F32}, &model, &err);
		OQ_CHECK_INT(status, cases[i].message[0] ? OQ_E_MODEL : OQ_OK);
		OQ_CHECK(strstr(err.message, cases[i].message) != NULL);
		if (status == OQ_OK) {
			OQ_CHECK(oq_nn_session_open(model, &session, &err) == OQ_OK && oq_nn_session_run(session, patch, embedding, &err) == OQ_OK);
			for (int c = 0; c < CHANNELS; c++)
				OQ_CHECK(isfinite(embedding[c]));
		}
		oq_nn_session_close(session);
		oq_nn_model_close(model);
		oq_package_close(package);
		remove_small_package("p.oq");
	}
	rmdir(folder);
	return oq_checks_done();
}
