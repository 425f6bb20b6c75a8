/* Maps of a made-up network (tests/data/tools) against MONAI's OcclusionSensitivity with the same network in ONNX Runtime, window 4, cosines in
 * double. Bar: 1e-9. Distances are about 2e-6, so embeddings turn by 2e-3; both sides know them to float32's 1e-7, which makes 2e-10. */
#include "nn/small_package.h"

#include "core/mem.h"
#include "saliency.h"
#include "io/npy.h"

#define SIDE 9
#define VOXELS (SIDE * SIDE * SIDE)

static const char package[] = OQ_TEST_DATA "/tools/tiny", patches[] = OQ_TEST_DATA "/tools/patches.npy";

static const oq_occlusion_options window_4 = {.window = 4};

static void read_floats(const char *path, float *out, size_t count)
{
	oq_npy *npy = NULL;
	oq_error err;
	OQ_REQUIRE(oq_npy_open(path, &npy, &err) == OQ_OK);
	OQ_REQUIRE(npy->count == count);
	OQ_REQUIRE(oq_npy_read_f32(npy, 0, count, out, &err) == OQ_OK);
	oq_npy_close(npy);
}

static void check_golden(const char *work)
{
	float want[2 * VOXELS], got[2 * VOXELS];
	char path[1024], *json = NULL;
	oq_error err;
	const char *const packages[] = {package};
	const oq_saliency_options options = {.job = {.packages = packages, .package_count = 1, .patches = patches, .threads = 2}, .window_voxels = 4, .box_mm = 4,
		.output = work};
	OQ_REQUIRE(oq_saliency(&options, &json, &err) == OQ_OK);
	OQ_CHECK(strstr(json, "\"oncoquant-saliency\"") != NULL);
	oq_string_free(json);
	snprintf(path, sizeof path, "%s/maps.npy", work);
	read_floats(path, got, 2 * VOXELS);
	read_floats(OQ_TEST_DATA "/tools/saliency.npy", want, 2 * VOXELS);
	for (int i = 0; i < 2 * VOXELS; i++)
		OQ_CHECK_NEAR((double)got[i], (double)want[i], 1e-9);
}

/* Windows that change nothing are not run, and the map has the same bits as with all of them run. */
static void check_spared(oq_session *session, const float *patch)
{
	oq_occlusion *o = NULL;
	oq_error err;
	float lone[VOXELS], map[VOXELS], want[VOXELS];
	memcpy(lone, patch, sizeof lone);
	for (int i = 0; i < VOXELS; i++)
		if (i / (SIDE * SIDE) < 6)
			lone[i] = 0;
	OQ_REQUIRE(oq_occlusion_open(session->model, session->lanes, &window_4, &o, &err) == OQ_OK);
	OQ_REQUIRE(oq_occlusion_map(o, lone, OQ_SALIENCY_OF_MEAN, map, &err) == OQ_OK);
	OQ_CHECK_INT(o->plan->windows, 27); /* starts 0, 3, 5 */
	OQ_CHECK_INT(o->spared, 9);
	OQ_CHECK_INT(o->passes, 27 - 9 + 1);
	size_t size = (size_t)o->size;
	float *all = oq_alloc(27 * VOXELS * sizeof *all), *embeddings = oq_alloc(28 * size * sizeof *embeddings);
	for (int64_t w = 0; w < 27; w++)
		oq_saliency_occlude(o->plan, lone, w, all + w * VOXELS);
	OQ_REQUIRE(oq_session_run(session, all, 27, embeddings, &err) == OQ_OK);
	OQ_REQUIRE(oq_session_run(session, lone, 1, embeddings + 27 * size, &err) == OQ_OK);
	OQ_REQUIRE(oq_saliency_map(o->plan, OQ_SALIENCY_OF_MEAN, embeddings + 27 * size, embeddings, o->size, 1, want, &err) == OQ_OK);
	OQ_CHECK(!memcmp(map, want, sizeof map));
	oq_free(all);
	oq_free(embeddings);
	oq_occlusion_close(o);
}

/* The curve ends where every voxel is gone, and its first steps are the greatest voxels. */
static void check_deletion(oq_session *session, const float *patch)
{
	oq_occlusion *o = NULL;
	oq_error err;
	oq_deletion d;
	float map[VOXELS], changed[2 * VOXELS] = {0}, got[2 * 64], base[64];
	OQ_REQUIRE(oq_occlusion_open(session->model, session->lanes, &window_4, &o, &err) == OQ_OK);
	OQ_REQUIRE(oq_occlusion_map(o, patch, OQ_SALIENCY_OF_MEAN, map, &err) == OQ_OK);
	OQ_REQUIRE(oq_occlusion_delete(o, patch, map, &d, &err) == OQ_OK);
	memcpy(changed, patch, VOXELS * sizeof *changed); /* 1 % of 729 are the 7 greatest voxels; the second patch is empty */
	for (int k = 0; k < 7; k++) {
		int64_t best = oq_saliency_argmax(map, VOXELS);
		changed[best] = 0;
		map[best] = -1;
	}
	OQ_REQUIRE(o->size <= 64 && oq_session_run(session, changed, 2, got, &err) == OQ_OK && oq_session_run(session, patch, 1, base, &err) == OQ_OK);
	OQ_CHECK_NEAR(d.greatest[0], oq_saliency_distance(base, got, o->size), 0);
	OQ_CHECK_NEAR(d.greatest[OQ_DELETION_STEPS - 1], oq_saliency_distance(base, got + o->size, o->size), 0);
	OQ_CHECK_NEAR(d.least[OQ_DELETION_STEPS - 1], d.greatest[OQ_DELETION_STEPS - 1], 0);
	oq_occlusion_close(o);
}

/* A network that reuses voxels, and one that reuses slices: maps of two patches, one after the other, with the bits of whole passes, in any number of
 * lanes. A patch's lower part is empty, so that some windows change little or nothing. */
#define CUBE 24
#define NETWORK(PREPROCESSING, SHAPE, CHANNELS, PAD)                                                                                        \
	"\"model\": {\"name\": \"small\"}, \"preprocessing\": {\"axes\": \"LPS\", \"size\": [24, 24, 24], \"spacing_mm\": [1, 1, 1], \"hu_range\": [-1000, 1000], " \
	"\"out_range\": [0, 1]" PREPROCESSING "}, \"embedding\": {\"size\": 6}, \"graph\": {\"inputs\": [{\"name\": \"patch\", \"shape\": " SHAPE "}], \"outputs\": " \
	"[\"mean\"], \"nodes\": [{\"op\": \"conv\", \"name\": \"c\", \"in\": [\"patch\"], \"weight\": \"w" CHANNELS "\", \"stride\": [1, 1, 1], \"pad\": " PAD "}, "   \
	"{\"op\": \"relu\", \"name\": \"r\", \"in\": [\"c\"]}, {\"op\": \"global_avg_pool\", \"name\": \"mean\", \"in\": [\"r\"]}]}, "

static const char voxels_reused[] = NETWORK("", "[1, 24, 24, 24]", "1", "[[1, 1], [1, 1], [1, 1]]"), slices_reused[] =
	NETWORK(", \"slices\": {\"size\": 30, \"mean\": [0.4, 0.4, 0.4], \"std\": [0.2, 0.2, 0.2]}", "[3, 1, 30, 30]", "3", "[[1, 1], [1, 1], [1, 1]]");

static void check_reuse(const char *members)
{
	static float cubes[2][CUBE * CUBE * CUBE], got[CUBE * CUBE * CUBE], want[CUBE * CUBE * CUBE], weights[6 * 3 * 27];
	const small_tensor tensors[] = {{"w1", OQ_F32, 5, {6, 1, 3, 3, 3}, weights}, {"w3", OQ_F32, 5, {6, 3, 3, 3, 3}, weights}};
	const oq_occlusion_options reusing = {.window = 8}, whole = {.window = 8, .whole = true}, short_of_memory = {.window = 8, .max_memory = 1};
	oq_model *model = NULL;
	oq_occlusion *o = NULL, *plain = NULL;
	oq_error err = {0};
	for (size_t i = 0; i < sizeof weights / sizeof *weights; i++)
		weights[i] = random_float();
	for (int i = 0; i < 2 * CUBE * CUBE * CUBE; i++)
		cubes[i / (CUBE * CUBE * CUBE)][i % (CUBE * CUBE * CUBE)] = i / (CUBE * CUBE) % CUBE < 20 ? 0.5f + 0.5f * random_float() : 0;
	make_folder();
	write_small_package("", members, tensors, 2);
	if (oq_model_open(folder, NULL, &model, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(model && oq_occlusion_open(model, 1, &whole, &plain, &err) == OQ_OK);
	OQ_CHECK(plain->why[0] && plain->share == 1);
	for (int lanes = 1; lanes <= 3; lanes += 2) {
		OQ_REQUIRE(oq_occlusion_open(model, lanes, &reusing, &o, &err) == OQ_OK);
		OQ_CHECK(!o->why[0] && o->share < 0.5 && o->share > 0);
		for (int p = 0; p < 2; p++) {
			oq_deletion deletion, wanted;
			OQ_REQUIRE(oq_occlusion_map(o, cubes[p], OQ_SALIENCY_OF_MEAN, got, &err) == OQ_OK);
			OQ_REQUIRE(oq_occlusion_map(plain, cubes[p], OQ_SALIENCY_OF_MEAN, want, &err) == OQ_OK);
			OQ_CHECK(!memcmp(got, want, sizeof got));
			OQ_REQUIRE(oq_occlusion_delete(o, cubes[p], got, &deletion, &err) == OQ_OK && oq_occlusion_delete(plain, cubes[p], want, &wanted, &err) == OQ_OK);
			OQ_CHECK(!memcmp(&deletion, &wanted, sizeof deletion));
		}
		oq_saliency_agreement alike;
		OQ_REQUIRE(oq_saliency_between(o, plain, cubes[0], &alike, &err) == OQ_OK);
		OQ_CHECK_NEAR(alike.spearman, 1, 1e-12);
		OQ_CHECK_NEAR(alike.peak_distance, 0, 0);
		oq_occlusion_close(o);
	}
	OQ_REQUIRE(oq_occlusion_open(model, 1, &short_of_memory, &o, &err) == OQ_OK);
	OQ_CHECK(model->sliced || strstr(o->why, "memory"));
	oq_occlusion_close(o);
	oq_occlusion_close(plain);
	oq_model_close(model);
	remove_small_package("");
}

static void check_agreement(void)
{
	const int64_t size[3] = {2, 2, 3};
	const float a[12] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}, b[12] = {11, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 0};
	oq_saliency_agreement r;
	oq_error err;
	OQ_REQUIRE(oq_saliency_agree(size, a, b, &r, &err) == OQ_OK);
	OQ_CHECK_NEAR(r.peak_distance, sqrt(1 + 1 + 4), 1e-12);
	OQ_CHECK_NEAR(r.spearman, 1 - 6.0 * 2 * 121 / (12.0 * 143), 1e-12); /* 1 - 6 sum d^2 / (n (n^2 - 1)) */
	OQ_REQUIRE(oq_saliency_agree(size, a, a, &r, &err) == OQ_OK);
	OQ_CHECK_NEAR(r.peak_distance, 0, 0);
	OQ_CHECK_NEAR(r.spearman, 1, 1e-12);
}

int main(int argc, char **argv)
{
	float patch[2 * VOXELS];
	oq_model *model = NULL;
	oq_session *session = NULL;
	oq_error err;
	OQ_REQUIRE(argc == 2);
	check_golden(argv[1]);
	check_agreement();
	check_reuse(voxels_reused);
	check_reuse(slices_reused);
	read_floats(patches, patch, 2 * VOXELS);
	OQ_REQUIRE(oq_model_open(package, NULL, &model, &err) == OQ_OK);
	OQ_REQUIRE(oq_session_open(model, 3, &session, &err) == OQ_OK);
	check_spared(session, patch);
	check_deletion(session, patch);
	oq_occlusion *refused = NULL;
	const oq_occlusion_options twelve = {0};
	OQ_CHECK_INT(oq_occlusion_open(model, 3, &twelve, &refused, &err), OQ_E_INPUT); /* 9 voxels cannot hold a window of 12 */
	oq_session_close(session);
	oq_model_close(model);
	return oq_checks_done();
}
