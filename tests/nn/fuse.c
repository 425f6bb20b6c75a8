/* Norms that Winograd convolutions take over (fuse.c), on a small network with every case: the plan is the expected one, gives the numbers
 * of the plan that keeps every value and so fuses nothing, and the same bits for any number of threads; layers are described as before. */
#include "small_package.h"

#include "core/cpu.h"
#include "core/mem.h"
#include "nn/nn.h"

#define CHANNELS 20
#define EDGE 12 /* voxels: 27 tiles of F(4) */
#define LAYERS 5
#define TENSORS (LAYERS + 4)

#define CONV(NAME, INPUT, WEIGHT)                                                                                      \
	"{\"op\": \"conv\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"], \"weight\": \"" WEIGHT "\", \"stride\": [1, 1, 1], " \
	"\"pad\": [[1, 1], [1, 1], [1, 1]]}, "
#define INSTANCE(NAME, INPUT, TENSORS) "{\"op\": \"instance_norm\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"], " TENSORS "\"eps\": 1e-5}, "
#define RELU(NAME, INPUT) "{\"op\": \"relu\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"]}, "

/* A stem that oneDNN computes; two convolutions with a norm between them; a norm with two readers; a batch norm that does not fold. */
static const char graph[] = "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 12, 12, 12]}], \"outputs\": [\"mean\"], \"nodes\": ["
	CONV("c0", "patch", "t0") INSTANCE("n0", "c0", "") RELU("r0", "n0")
	CONV("c1", "r0", "t1") INSTANCE("n1", "c1", "\"weight\": \"t5\", \"bias\": \"t6\", ")
	"{\"op\": \"leaky_relu\", \"name\": \"r1\", \"in\": [\"n1\"], \"slope\": 0.1}, "
	CONV("c2", "r1", "t2") INSTANCE("n2", "c2", "") RELU("r2", "n2")
	CONV("c3", "r2", "t3") "{\"op\": \"add\", \"name\": \"sum\", \"in\": [\"c3\", \"r2\"]}, "
	"{\"op\": \"batch_norm\", \"name\": \"n3\", \"in\": [\"sum\"], \"weight\": \"t5\", \"bias\": \"t6\", \"mean\": \"t7\", \"var\": \"t8\", \"eps\": 1e-5}, "
	RELU("r3", "n3") CONV("c4", "r3", "t4")
	"{\"op\": \"add\", \"name\": \"last\", \"in\": [\"c4\", \"sum\"]}, {\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"last\"]}]}, ";

static const char *const all_values[] = {"c0", "n0", "r0", "c1", "n1", "r1", "c2", "n2", "r2", "c3", "sum", "n3", "r3", "c4", "last", NULL};

static void write_package(void)
{
	static float values[TENSORS][CHANNELS * CHANNELS * 27];
	static char names[TENSORS][16];
	small_tensor tensors[TENSORS];
	for (int i = 0; i < TENSORS; i++) {
		snprintf(names[i], sizeof names[i], "t%d", i);
		tensors[i] = (small_tensor){names[i], OQ_F32, i < LAYERS ? 5 : 1, {CHANNELS, i ? CHANNELS : 1, 3, 3, 3}, values[i]};
		for (size_t k = 0; k < small_tensor_bytes(&tensors[i]) / sizeof(float); k++)
			values[i][k] = i < LAYERS ? 0.1f * random_float() : 1.5f + random_float();
	}
	make_folder();
	write_small_package("", graph, tensors, TENSORS);
}

/* The steps' labels in one line, and the embedding. */
static oq_nn_model *run(const oq_package *package, const oq_nn_options *options, const float *patch, float *embedding, char *plan, size_t room)
{
	oq_error err = {0};
	oq_nn_model *model = NULL;
	oq_nn_session *session = NULL;
	if (oq_nn_model_open(package, options, &model, &err) != OQ_OK || oq_nn_session_open(model, &session, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(session && oq_nn_session_run(session, patch, embedding, &err) == OQ_OK);
	plan[0] = 0;
	for (int i = 0; i < oq_nn_model_steps(model); i++) {
		oq_nn_step_info info;
		oq_nn_session_step(session, i, &info);
		snprintf(plan + strlen(plan), room - strlen(plan), "%s%s", i ? " " : "", info.op);
	}
	oq_nn_session_close(session);
	return model;
}

static double distance(const float *a, const float *b)
{
	double difference = 0, norm = 0;
	for (int c = 0; c < CHANNELS; c++) {
		difference += ((double)a[c] - (double)b[c]) * ((double)a[c] - (double)b[c]);
		norm += (double)b[c] * (double)b[c];
	}
	return sqrt(difference / norm);
}

/* Whoever calibrates a layer needs what it reads, not what the fused one does. */
static void check_layers(const oq_nn_model *model)
{
	static const char *const inputs[LAYERS] = {"patch", "r0", "r1", "r2", "r3"};
	OQ_CHECK_INT(oq_nn_model_layers(model), LAYERS);
	for (int i = 0; i < LAYERS; i++) {
		oq_nn_layer layer;
		oq_nn_model_layer(model, i, &layer);
		OQ_CHECK_STR(layer.input, inputs[i]);
		OQ_CHECK(!layer.private_output && layer.nonnegative == (i == 1 || i > 2));
	}
}

static void check_plans(const oq_package *package, const float *patch)
{
	static const char expected[] = "conv instance_norm+act norm+act+conv+stats norm+act+conv+stats instance_norm+act conv+add norm+act+conv+add "
		"global_avg_pool";
	float kept[CHANNELS], fused[CHANNELS], other[CHANNELS];
	char plan[1024];
	oq_nn_options options = {.precision = OQ_PRECISION_F32, .keep = all_values};
	oq_nn_model_close(run(package, &options, patch, kept, plan, sizeof plan));
	OQ_CHECK(!strstr(plan, "stats") && !strstr(plan, "norm+act+conv"));
	options.keep = NULL;
	oq_nn_model *model = run(package, &options, patch, fused, plan, sizeof plan);
	OQ_CHECK_STR(plan, expected);
	check_layers(model);
	OQ_CHECK(distance(fused, kept) < 1e-6); /* the last digits of mean and variance; embeddings of this network are of order 1 */
	oq_nn_model_close(model);
	options.threads_per_patch = 2;
	model = run(package, &options, patch, other, plan, sizeof plan);
	OQ_CHECK(!memcmp(other, fused, sizeof fused));
	oq_nn_model_close(model);
	options = (oq_nn_options){.precision = OQ_PRECISION_F32, .convolution = OQ_CONVOLUTION_DIRECT};
	oq_nn_model_close(run(package, &options, patch, other, plan, sizeof plan));
	OQ_CHECK(!strstr(plan, "stats") && !strstr(plan, "norm+act+conv"));
	options = (oq_nn_options){.precision = OQ_PRECISION_BF16};
	model = run(package, &options, patch, other, plan, sizeof plan);
	OQ_CHECK_STR(plan, expected); /* no casts: Winograd reads and writes bfloat16 */
	OQ_CHECK(distance(other, fused) < 0.02); /* a few times bfloat16's 2^-9 */
	oq_nn_model_close(model);
}

int main(void)
{
	static float patch[EDGE * EDGE * EDGE];
	oq_package *package = NULL;
	oq_error err = {0};
	write_package();
	for (size_t i = 0; i < sizeof patch / sizeof *patch; i++)
		patch[i] = random_float();
	OQ_REQUIRE(oq_package_open(folder, &package, &err) == OQ_OK);
	check_plans(package, patch);
	oq_package_close(package);
	remove_small_package("");
	return oq_checks_done();
}
