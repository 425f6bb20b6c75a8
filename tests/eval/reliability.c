/* Reliability against pingouin, statsmodels and numpy (tests/data/eval/reliability.json; tolerance 1e-9 as stated there), and against the
 * example of Shrout and Fleiss (1979), published with two decimals. */
#include "matrices.h"

#include "eval/random.h"
#include "eval/reliability.h"

#define SUBJECTS 26
#define COLUMNS 128

static const oq_json *at(const oq_json *root, const char *a, const char *b)
{
	return oq_json_get(oq_json_get(root, a), b);
}

static void check_dimension(const oq_json *golden, const oq_reliability_dimension *d)
{
	const oq_json *icc = oq_json_get(golden, "icc"), *ba = oq_json_get(golden, "bland_altman");
	const oq_json *limits = oq_json_get(ba, "loa");
	check_near("dimension", "ICC(2,1)", d->icc.agreement, oq_json_number(at(icc, "ICC(A,1)", "icc")), 1e-9);
	check_near("dimension", "ICC(3,1)", d->icc.consistency, oq_json_number(at(icc, "ICC(C,1)", "icc")), 1e-9);
	check_near("dimension", "ccc", d->ccc, oq_json_number(oq_json_get(golden, "ccc_lin_pop")), 1e-9);
	check_near("dimension", "bias", d->bias, oq_json_number(oq_json_get(ba, "bias")), 1e-9);
	check_near("dimension", "sd", d->sd, oq_json_number(oq_json_get(ba, "sd")), 1e-9);
	check_near("dimension", "low", d->low, oq_json_number(oq_json_first(limits)), 1e-9);
	check_near("dimension", "high", d->high, oq_json_number(oq_json_next(oq_json_first(limits))), 1e-9);
	check_near("dimension", "sem", d->sem, oq_json_number(oq_json_get(golden, "sem_within")), 1e-9);
	check_near("dimension", "repeatability", d->repeatability, oq_json_number(oq_json_get(golden, "wcv_rdc")), 1e-9);
}

static void check_golden(const oq_json *golden, const float *both)
{
	oq_matrix test = {both, SUBJECTS, COLUMNS}, retest = {both + SUBJECTS * COLUMNS, SUBJECTS, COLUMNS};
	oq_reliability_dimension d[COLUMNS], again[COLUMNS];
	oq_reliability r, same;
	oq_error err;
	OQ_REQUIRE(oq_reliability_measure(&test, &retest, 1, d, &r, &err) == OQ_OK);
	OQ_REQUIRE(oq_reliability_measure(&test, &retest, 3, again, &same, &err) == OQ_OK);
	OQ_CHECK(!memcmp(d, again, sizeof d) && !memcmp(&r, &same, sizeof r));
	int64_t column;
	for (const oq_json *one = oq_json_first(oq_json_get(golden, "dims")); one; one = oq_json_next(one))
		if (oq_json_need_int(one, "dim", "golden", &column, &err) == OQ_OK)
			check_dimension(one, &d[column]);
	const oq_json *icc2 = oq_json_first(oq_json_get(golden, "icc2_1_all_dims")), *icc3 = oq_json_first(oq_json_get(golden, "icc3_1_all_dims"));
	for (int c = 0; c < COLUMNS; c++, icc2 = oq_json_next(icc2), icc3 = oq_json_next(icc3)) {
		check_near("all", "ICC(2,1)", d[c].icc.agreement, oq_json_number(icc2), 1e-9);
		check_near("all", "ICC(3,1)", d[c].icc.consistency, oq_json_number(icc3), 1e-9);
	}
	check_near("subjects", "cosine", r.cosine.value, oq_json_number(oq_json_get(golden, "cosine_mean")), 1e-9);
	check_near("subjects", "centred cosine", r.centred_cosine.value, oq_json_number(oq_json_get(golden, "centred_cosine_mean")), 1e-9);
	check_near("subjects", "identification", r.identification.value, oq_json_number(oq_json_get(golden, "rank1_identification")), 1e-9);
	check_near("subjects", "discriminability", r.discriminability.value, oq_json_number(oq_json_get(golden, "discriminability_session1_query")), 1e-9);
	OQ_CHECK(r.identification.low < r.identification.value && r.identification.value < r.identification.high);
}

static void check_shrout_fleiss(const oq_json *golden)
{
	double values[24];
	int at = 0;
	for (const oq_json *row = oq_json_first(oq_json_get(golden, "data")); row; row = oq_json_next(row))
		for (const oq_json *v = oq_json_first(row); v && at < 24; v = oq_json_next(v))
			values[at++] = oq_json_number(v);
	OQ_REQUIRE(at == 24);
	oq_icc icc = oq_icc_measure(values, 6, 4);
	OQ_CHECK_NEAR(icc.agreement, 0.29, 0.005);
	OQ_CHECK_NEAR(icc.consistency, 0.71, 0.005);
}

/* Embeddings that collapsed onto a point are as alike as can be, and reliable in nothing: the reason for all figures but the cosine. */
static void check_collapsed(void)
{
	float test[60 * 4], retest[120 * 4];
	for (int i = 0; i < 60 * 4; i++)
		test[i] = 1;
	for (int i = 0; i < 120 * 4; i++)
		retest[i] = 1;
	oq_matrix a = {test, 60, 4}, b = {retest, 120, 4}, odd = {retest, 61, 4};
	oq_reliability_dimension d[4];
	oq_reliability r;
	oq_error err;
	OQ_REQUIRE(oq_reliability_measure(&a, &b, 2, d, &r, &err) == OQ_OK);
	OQ_CHECK_NEAR(r.cosine.value, 1, 1e-12);
	OQ_CHECK_NEAR(r.identification.value, 1.0 / 60, 1e-12); /* chance */
	OQ_CHECK_NEAR(r.discriminability.value, 0.5, 1e-12);
	OQ_CHECK_INT(r.constant_dimensions, 4);
	OQ_CHECK_INT(r.retests, 2);
	OQ_CHECK(isnan(r.centred_cosine.value) && isnan(d[0].icc.agreement) && isnan(r.icc_agreement.median));
	OQ_CHECK_INT(oq_reliability_measure(&a, &odd, 2, d, &r, &err), OQ_E_INPUT);
}

/* Points of a ball: inside, evenly (a mean radius of 3/4), the same again, others with another seed. 4000 points: the means lie within
 * 5 standard errors, 0.19 / sqrt(4000) for the radius and 0.45 / sqrt(4000) for a coordinate. */
static void check_ball(void)
{
	double radius = 0, sum[3] = {0}, p[3], q[3];
	for (uint64_t i = 0; i < 4000; i++) {
		oq_random_ball(oq_random_key(7, i, 1), p);
		double r = sqrt(p[0] * p[0] + p[1] * p[1] + p[2] * p[2]);
		OQ_CHECK(r <= 1);
		radius += r / 4000;
		for (int a = 0; a < 3; a++)
			sum[a] += p[a] / 4000;
	}
	OQ_CHECK_NEAR(radius, 0.75, 0.016);
	for (int a = 0; a < 3; a++)
		OQ_CHECK_NEAR(sum[a], 0, 0.036);
	oq_random_ball(oq_random_key(7, 3999, 1), q);
	OQ_CHECK(!memcmp(p, q, sizeof p));
	oq_random_ball(oq_random_key(8, 3999, 1), q);
	OQ_CHECK(memcmp(p, q, sizeof p));
}

int main(void)
{
	oq_json *golden = NULL;
	oq_npy *npy = NULL;
	oq_error err;
	static float both[2 * SUBJECTS * COLUMNS];
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/reliability.json", &golden, &err) == OQ_OK);
	OQ_REQUIRE(oq_npy_open(OQ_TEST_DATA "/eval/R_test_retest.npy", &npy, &err) == OQ_OK);
	OQ_REQUIRE(npy->count == sizeof both / sizeof *both && oq_npy_read_f32(npy, 0, npy->count, both, &err) == OQ_OK);
	check_golden(golden, both);
	check_shrout_fleiss(oq_json_get(golden, "shrout_fleiss_1979"));
	check_collapsed();
	check_ball();
	oq_npy_close(npy);
	oq_json_free(golden);
	return oq_checks_done();
}
