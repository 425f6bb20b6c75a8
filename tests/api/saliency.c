/* Maps of a made-up network (tests/data/tools) against MONAI's OcclusionSensitivity with the same network in ONNX Runtime, window 4, cosines in
 * double. Bar: 1e-9. Distances are about 2e-6, so embeddings turn by 2e-3; both sides know them to float32's 1e-7, which makes 2e-10. */
#include "check.h"

#include "core/mem.h"
#include "saliency.h"
#include "io/npy.h"

#define SIDE 9
#define VOXELS (SIDE * SIDE * SIDE)

static const char package[] = OQ_TEST_DATA "/tools/tiny", patches[] = OQ_TEST_DATA "/tools/patches.npy";

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
	OQ_REQUIRE(oq_occlusion_open(session, 4, &o, &err) == OQ_OK);
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
	OQ_REQUIRE(oq_occlusion_open(session, 4, &o, &err) == OQ_OK);
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
	read_floats(patches, patch, 2 * VOXELS);
	OQ_REQUIRE(oq_model_open(package, NULL, &model, &err) == OQ_OK);
	OQ_REQUIRE(oq_session_open(model, 3, &session, &err) == OQ_OK);
	check_spared(session, patch);
	check_deletion(session, patch);
	oq_saliency_agreement refused;
	OQ_CHECK_INT(oq_saliency_between(session, session, patch, &refused, &err), OQ_E_INPUT); /* 9 voxels cannot hold a window of 12 */
	oq_session_close(session);
	oq_model_close(model);
	return oq_checks_done();
}
