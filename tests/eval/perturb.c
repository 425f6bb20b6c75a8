/* Negative controls against READII's (tests/data/eval/readii.json: numpy's default_rng(42), exact), perturbations against what they are for. */
#include "matrices.h"

#include "eval/perturb.h"
#include "eval/random.h"

#define VOXELS 512

static void read_values(const oq_json *list, double *values)
{
	int at = 0;
	for (const oq_json *v = oq_json_first(list); v && at < VOXELS; v = oq_json_next(v))
		values[at++] = oq_json_number(v);
	OQ_REQUIRE(at == VOXELS);
}

static void check_controls(void)
{
	static const struct { const char *key; oq_control control; bool outside; } cases[] = {{"shuffled_roi", OQ_CONTROL_SHUFFLED, false},
		{"randomized_sampled_roi", OQ_CONTROL_SAMPLED, false}, {"shuffled_non_roi", OQ_CONTROL_SHUFFLED, true},
		{"randomized_sampled_non_roi", OQ_CONTROL_SAMPLED, true}};
	oq_json *golden = NULL;
	oq_error err;
	double image[VOXELS], mask[VOXELS], want[VOXELS];
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/readii.json", &golden, &err) == OQ_OK);
	read_values(oq_json_get(golden, "image"), image);
	read_values(oq_json_get(golden, "mask"), mask);
	for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
		float patch[VOXELS];
		bool inside[VOXELS];
		read_values(oq_json_get(oq_json_get(golden, "results"), cases[c].key), want);
		for (int i = 0; i < VOXELS; i++) {
			patch[i] = (float)image[i];
			inside[i] = mask[i] > 0;
		}
		OQ_REQUIRE(oq_control_apply(cases[c].control, cases[c].outside, inside, patch, VOXELS, 42, &err) == OQ_OK);
		for (int i = 0; i < VOXELS; i++)
			OQ_CHECK_NEAR((double)patch[i], want[i], 0);
	}
	oq_json_free(golden);
}

static double mean_of(const float *x, int64_t count)
{
	double sum = 0;
	for (int64_t i = 0; i < count; i++)
		sum += (double)x[i] / (double)count;
	return sum;
}

/* Noise has its mean and spread (20000 voxels, 5 standard errors) and depends on its key only. */
static void check_noise(void)
{
	static float a[20000], b[20000];
	double square = 0;
	oq_perturb_noise(a, 20000, 3, oq_random_key(1, 2, 0));
	oq_perturb_noise(b, 20000, 3, oq_random_key(1, 2, 0));
	OQ_CHECK(!memcmp(a, b, sizeof a));
	for (int i = 0; i < 20000; i++)
		square += (double)a[i] * (double)a[i] / 20000;
	OQ_CHECK_NEAR(mean_of(a, 20000), 0, 0.11);
	OQ_CHECK_NEAR(sqrt(square), 3, 0.075);
	oq_perturb_noise(b, 20000, 3, oq_random_key(1, 3, 0));
	OQ_CHECK(memcmp(a, b, sizeof a));
}

/* A point becomes the product of three Gaussians; a constant stays; a ramp survives both filters but for its ends. float32 rounds at 1e-7. */
static void check_filters(void)
{
	const int64_t size[3] = {15, 17, 19}, count = 15 * 17 * 19;
	static float x[15 * 17 * 19], ramp[15 * 17 * 19];
	oq_error err;
	x[(7 * 17 + 8) * 19 + 9] = 1;
	OQ_REQUIRE(oq_perturb_blur(x, size, 1, &err) == OQ_OK);
	double peak = (double)x[(7 * 17 + 8) * 19 + 9];
	OQ_CHECK_NEAR(peak, 0.0634936, 1e-5); /* (2 pi)^-1.5, and the cut-off's 6e-5 relative */
	OQ_CHECK_NEAR((double)x[(7 * 17 + 8) * 19 + 11], peak * exp(-2), 1e-7);
	OQ_CHECK_NEAR((double)x[(8 * 17 + 9) * 19 + 9], peak * exp(-1), 1e-7);
	OQ_CHECK_NEAR(mean_of(x, count) * (double)count, 1, 1e-4);
	for (int64_t i = 0; i < count; i++)
		ramp[i] = (float)(i % 19 + i / 19 % 17);
	OQ_REQUIRE(oq_perturb_resample(ramp, size, 1, &err) == OQ_OK);
	OQ_CHECK_NEAR((double)ramp[(3 * 17 + 4) * 19 + 5], 9, 0);
	OQ_REQUIRE(oq_perturb_resample(ramp, size, 2, &err) == OQ_OK);
	OQ_CHECK_NEAR((double)ramp[(3 * 17 + 8) * 19 + 9], 17, 1e-5);
	OQ_REQUIRE(oq_perturb_blur(ramp, size, 0.5, &err) == OQ_OK);
	OQ_CHECK_NEAR((double)ramp[(3 * 17 + 8) * 19 + 9], 17, 1e-5);
	OQ_CHECK_INT(oq_perturb_blur(ramp, size, 0, &err), OQ_E_USAGE);
	OQ_CHECK_INT(oq_perturb_blur(ramp, size, NAN, &err), OQ_E_USAGE);
	OQ_CHECK_INT(oq_perturb_resample(ramp, size, 0.5, &err), OQ_E_USAGE);
	oq_perturb_offset(ramp, count, 100);
	OQ_CHECK_NEAR((double)ramp[(3 * 17 + 8) * 19 + 9], 117, 1e-4);
	oq_perturb_clip(ramp, count, 0, 100);
	OQ_CHECK_NEAR((double)ramp[(3 * 17 + 8) * 19 + 9], 100, 0);
}

int main(void)
{
	check_controls();
	check_noise();
	check_filters();
	return oq_checks_done();
}
