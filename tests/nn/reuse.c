/* Runs that reuse another's values: after every variant each value in memory has the bits that a whole run of it leaves there, and the embedding those of
 * a plain session; wherever the variant differs, in whatever order variants come, and after the patch changed. On small networks with every kind of
 * step that computes boxes, in float32, bfloat16 and bytes, and one with a norm over the patch. */
#include "small_package.h"

#include "nn/nn.h"
#include "session.h"

#define EDGE 24
#define VOXELS (EDGE * EDGE * EDGE)
#define WINDOW 5
#define LAYERS 8

#define CONV(NAME, INPUT, WEIGHT, STRIDE, PAD) "{\"op\": \"conv\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"], \"weight\": \"" WEIGHT "\", \"stride\": [" \
	STRIDE "], \"pad\": [" PAD "]}, "
#define ONE "1, 1, 1"
#define TWO "2, 2, 2"
#define RIM "[1, 1], [1, 1], [1, 1]"
#define BARE "[0, 0], [0, 0], [0, 0]"
#define RELU(NAME, INPUT) "{\"op\": \"relu\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"]}, "
#define ADD(NAME, A, B) "{\"op\": \"add\", \"name\": \"" NAME "\", \"in\": [\"" A "\", \"" B "\"]}, "
#define NORM(NAME, INPUT) "{\"op\": \"instance_norm\", \"name\": \"" NAME "\", \"in\": [\"" INPUT "\"], \"eps\": 1e-5}, "

/* Axes turned; a stem that sees more on one side; large and small Winograd tiles with shortcuts; strides of every kind; pooling; two values side by
 * side. `MIDDLE` stands before the last convolutions. */
#define GRAPH(MIDDLE) "\"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": [1, 24, 24, 24]}], \"outputs\": [\"mean\"], \"nodes\": [" \
	"{\"op\": \"permute\", \"name\": \"turned\", \"in\": [\"patch\"], \"perm\": [0, 3, 1, 2]}, " \
	CONV("stem", "turned", "t0", ONE, "[2, 0], [1, 1], [1, 1]") RELU("r0", "stem") CONV("c1", "r0", "t1", ONE, RIM) RELU("r1", "c1") \
	CONV("c2", "r1", "t2", ONE, RIM) ADD("s2", "c2", "r0") RELU("r2", "s2") CONV("down", "r2", "t3", TWO, RIM) MIDDLE("n3", "down") \
	CONV("c4", "n3", "t4", ONE, RIM) CONV("side", "r2", "t5", TWO, BARE) ADD("s4", "c4", "side") \
	"{\"op\": \"max_pool\", \"name\": \"pool\", \"in\": [\"s4\"], \"kernel\": [3, 3, 3], \"stride\": [2, 2, 2], \"pad\": [" RIM "]}, " \
	CONV("c6", "pool", "t6", ONE, RIM) "{\"op\": \"concat\", \"name\": \"both\", \"in\": [\"c6\", \"pool\"]}, " CONV("c7", "both", "t7", TWO, BARE) \
	"{\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"c7\"]}]}, "

static const int64_t shapes[LAYERS][5] = {{16, 1, 3, 3, 3}, {16, 16, 3, 3, 3}, {16, 16, 3, 3, 3}, {32, 16, 3, 3, 3}, {32, 32, 3, 3, 3}, {32, 16, 1, 1, 1},
	{32, 32, 3, 3, 3}, {20, 64, 2, 2, 2}};

/* Bytes of every value that products of codes read. */
#define QUANTIZATION "\"quantization\": {\"precision\": \"int8\", \"weight_bits\": 8, \"values\": {\"r0\": [0.02, 0], \"r1\": [0.02, 0], \"r2\": [0.04, 0], " \
	"\"n3\": [0.05, 7], \"pool\": [0.06, 128], \"both\": [0.06, 128]}}, "

static void write_network(const char *graph, bool codes)
{
	static float values[LAYERS][32 * 32 * 27], scales[32];
	static int8_t bytes[LAYERS][32 * 32 * 27];
	static char names[3 * LAYERS][16];
	small_tensor tensors[3 * LAYERS];
	int count = 0;
	for (int i = 0; i < 32; i++)
		scales[i] = 0.1f / (float)(127 + i);
	for (int i = 0; i < LAYERS; i++) {
		small_tensor *t = &tensors[count];
		bool narrow = codes && i;
		snprintf(names[count], sizeof names[count], "t%d", i);
		*t = (small_tensor){names[count], narrow ? OQ_I8 : OQ_F32, 5, {0}, narrow ? (const void *)bytes[i] : values[i]};
		memcpy(t->shape, shapes[i], sizeof t->shape);
		for (size_t k = 0; k < small_tensor_bytes(t) / oq_dtype_size(t->dtype); k++) {
			values[i][k] = 0.2f * random_float();
			bytes[i][k] = (int8_t)(60 * random_float());
		}
		count++;
		for (int k = 0; k < 2 && codes; k++, count++) {
			snprintf(names[count], sizeof names[count], "t%d#%s", i, k ? "bias" : "scale");
			tensors[count] = (small_tensor){names[count], OQ_F32, 1, {shapes[i][0]}, scales};
		}
	}
	write_small_package("", graph, tensors, count);
}

/* The patch with a box changed. */
static void change(const float *patch, const int64_t start[3], int64_t extent, float *variant)
{
	memcpy(variant, patch, VOXELS * sizeof *variant);
	for (int64_t d = start[0]; d < start[0] + extent; d++)
		for (int64_t h = start[1]; h < start[1] + extent; h++)
			for (int64_t w = start[2]; w < start[2] + extent; w++)
				variant[(d * EDGE + h) * EDGE + w] = random_float();
}

/* All values as two sessions of the same layout hold them. */
static void check_values(const oq_nn_session *a, const oq_nn_session *b, const char *what)
{
	for (int s = 0; s < a->model->step_count; s++) {
		const oq_value *value = &a->model->graph.values[a->model->steps[s].node->output];
		size_t place = a->run.place[a->model->steps[s].node->output];
		bool same = !memcmp(a->run.slab + place, b->run.slab + place, value->count * oq_dtype_size(value->dtype));
		OQ_CHECK(same);
		if (!same)
			fprintf(stderr, "%s: value %s (%s) differs\n", what, value->name, a->model->steps[s].implementation);
	}
}

typedef struct network {
	oq_package *package;
	oq_nn_model *model;
	oq_nn_reuse *reuse, *other;
	oq_nn_session *plain, *session;
	const char *what;
} network;

static void check_variant(network *n, const float *variant)
{
	float got[32], want[32];
	oq_error err = {0};
	oq_nn_session *whole = NULL;
	size_t bytes = oq_nn_model_output_count(n->model) * sizeof *got;
	OQ_REQUIRE(bytes <= sizeof got);
	OQ_REQUIRE(oq_nn_session_run(n->plain, variant, want, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_session_run(n->session, variant, got, &err) == OQ_OK);
	OQ_CHECK(!memcmp(got, want, bytes));
	OQ_REQUIRE(oq_nn_reuse_patch(n->other, variant, got, &err) == OQ_OK);
	OQ_CHECK(!memcmp(got, want, bytes));
	OQ_REQUIRE(oq_nn_session_open_reusing(n->other, &whole, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_session_run(whole, variant, got, &err) == OQ_OK); /* no box: a copy of that run */
	OQ_CHECK(!memcmp(got, want, bytes));
	check_values(n->session, whole, n->what);
	oq_nn_session_close(whole);
}

/* Corners, edges, odd places, one after the other; nothing changed; everything changed; a small box behind it. */
static void check_variants(network *n, const float *patch)
{
	static const int64_t starts[][3] = {{9, 10, 7}, {0, 0, 0}, {19, 19, 19}, {0, 19, 8}, {12, 3, 19}, {9, 10, 7}};
	static const int64_t origin[3] = {0}, corner[3] = {23, 0, 23};
	static float variant[VOXELS];
	float embedding[32];
	oq_error err = {0};
	OQ_REQUIRE(oq_nn_reuse_patch(n->reuse, patch, embedding, &err) == OQ_OK);
	for (size_t i = 0; i < sizeof starts / sizeof *starts; i++) {
		change(patch, starts[i], WINDOW, variant);
		check_variant(n, variant);
	}
	check_variant(n, patch);
	change(patch, origin, EDGE, variant);
	check_variant(n, variant);
	change(patch, corner, 1, variant);
	check_variant(n, variant);
}

static bool has_method(const oq_nn_model *model, const char *method)
{
	bool found = false;
	for (int s = 0; s < oq_nn_model_steps(model); s++)
		found = found || (oq_nn_model_method(model, s) && !strcmp(oq_nn_model_method(model, s), method));
	return found;
}

static void open_network(network *n, const char *graph, bool codes, oq_precision precision)
{
	static const int64_t extent[3] = {WINDOW, WINDOW, WINDOW};
	const oq_nn_options options = {.precision = precision};
	oq_error err = {0};
	write_network(graph, codes);
	OQ_REQUIRE(oq_package_open(folder, &n->package, &err) == OQ_OK);
	if (oq_nn_model_open(n->package, &options, &n->model, &err) != OQ_OK)
		fprintf(stderr, "%s: %s\n", n->what, err.message);
	remove_small_package("");
	OQ_REQUIRE(n->model && oq_nn_session_open(n->model, &n->plain, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_reuse_open(n->model, extent, &n->reuse, &err) == OQ_OK && oq_nn_reuse_open(n->model, extent, &n->other, &err) == OQ_OK);
	OQ_REQUIRE(oq_nn_session_open_reusing(n->reuse, &n->session, &err) == OQ_OK);
}

static void close_network(network *n)
{
	oq_nn_session_close(n->session);
	oq_nn_session_close(n->plain);
	oq_nn_reuse_close(n->reuse);
	oq_nn_reuse_close(n->other);
	oq_nn_model_close(n->model);
	oq_package_close(n->package);
}

/* `most`: share of the multiplications that a window in the middle may take; it takes more than half of that. */
static void check_network(const char *what, const char *graph, bool codes, oq_precision precision, double most)
{
	static const int64_t middle[3] = {9, 9, 9}, extent[3] = {WINDOW, WINDOW, WINDOW}, origin[3] = {0}, all[3] = {EDGE, EDGE, EDGE};
	static float patch[VOXELS];
	float embedding[32];
	network n = {.what = what};
	oq_error err = {0};
	make_folder();
	open_network(&n, graph, codes, precision);
	OQ_CHECK_INT(oq_nn_session_run(n.session, patch, embedding, &err), OQ_E_INTERNAL); /* before there is a patch */
	double share = oq_nn_reuse_share(n.reuse, middle, extent);
	if (!(share < most && share > most / 2))
		fprintf(stderr, "%s: share %g\n", what, share);
	OQ_CHECK(share < most && share > most / 2);
	OQ_CHECK_NEAR(oq_nn_reuse_share(n.reuse, origin, all), 1, 0);
	if (precision == OQ_PRECISION_F32)
		OQ_CHECK(has_method(n.model, "winograd-f4") && has_method(n.model, "winograd-f2") && has_method(n.model, "onednn") && has_method(n.model, "tap-gemm"));
	if (codes)
		OQ_CHECK(has_method(n.model, "winograd-i16-f3"));
	for (int time = 0; time < 2; time++) {
		for (int i = 0; i < VOXELS; i++)
			patch[i] = random_float();
		check_variants(&n, patch);
	}
	close_network(&n);
}

int main(void)
{
	check_network("float32", GRAPH(RELU), false, OQ_PRECISION_F32, 0.6);
	check_network("bfloat16", GRAPH(RELU), false, OQ_PRECISION_BF16, 0.6);
	check_network("bytes", QUANTIZATION GRAPH(RELU), true, OQ_PRECISION_PACKAGE, 0.4);
	check_network("norm over the patch", GRAPH(NORM), false, OQ_PRECISION_F32, 0.6);
	return oq_checks_done();
}
