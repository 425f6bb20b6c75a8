/* Distributions and small tests against scipy 1.17 (numbers below, written with 17 digits), and Holm and the corrected interval against cases done by hand. */
#include "check.h"

#include "eval/inference.h"

static void check_distributions(void)
{
	static const struct { double p, degrees, t; } quantiles[] = {{0.975, 9, 2.2621571627982049}, {0.9, 1, 3.0776835371752544},
		{0.05, 3.5, -2.2224334936496009}, {0.999, 200, 3.1314798142211209}, {1e-06, 30, -5.8711171204188819}};
	for (size_t i = 0; i < sizeof quantiles / sizeof *quantiles; i++)
		OQ_CHECK_NEAR(oq_student_quantile(quantiles[i].p, quantiles[i].degrees), quantiles[i].t, 1e-10);
	static const struct { double t, degrees, p; } shares[] = {{-2, 5, 0.050969739414929174}, {0.3, 1, 0.59277357907774231}, {4, 12.5, 0.9991854685396766},
		{-8, 40, 3.952542055052269e-10}};
	for (size_t i = 0; i < sizeof shares / sizeof *shares; i++)
		OQ_CHECK_NEAR(oq_student_cdf(shares[i].t, shares[i].degrees) / shares[i].p, 1, 1e-11);
	static const struct { double x, degrees, p; } tails[] = {{3.841458820694124, 1, 0.049999999999999892}, {0.1636427698385328, 1, 0.68582461298158726},
		{25, 4, 5.0309817823062075e-05}, {200, 3, 4.2185411071920179e-43}, {7.5, 20, 0.99469282618066568}, {0.001, 2, 0.99950012497916929}};
	for (size_t i = 0; i < sizeof tails / sizeof *tails; i++)
		OQ_CHECK_NEAR(oq_chi_squared_tail(tails[i].x, tails[i].degrees) / tails[i].p, 1, 1e-11);
	static const struct { double p, z; } normals[] = {{0.975, 1.959963984540054}, {0.5, 0}, {1e-10, -6.3613409024040557}, {0.999999, 4.7534243088170873}};
	for (size_t i = 0; i < sizeof normals / sizeof *normals; i++)
		OQ_CHECK_NEAR(oq_normal_quantile(normals[i].p), normals[i].z, 1e-10);
	OQ_CHECK_NEAR(oq_student_quantile(0.975, INFINITY), 1.959963984540054, 1e-12);
	OQ_CHECK(isnan(oq_chi_squared_tail(NAN, 1)) && oq_chi_squared_tail(0, 1) >= 1);
}

static void check_mcnemar(void)
{
	static const struct { int64_t b, c; double p; } cases[] = {{3, 9, 0.14599609375}, {0, 0, 1}, {10, 10, 1}, {1, 30, 2.9802322387695312e-08},
		{200, 260, 0.0058839224731039984}};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		OQ_CHECK_NEAR(oq_mcnemar_exact(cases[i].b, cases[i].c) / cases[i].p, 1, 1e-10);
		OQ_CHECK_NEAR(oq_mcnemar_exact(cases[i].c, cases[i].b), oq_mcnemar_exact(cases[i].b, cases[i].c), 0);
	}
}

static void check_holm(void)
{
	/* Holm (1979): 0.01 * 4, then 0.02 * 3, then max(0.06, 0.022 * 2), then max(..., 0.9); the one that is not known counts for nothing. */
	const double p[] = {0.022, 0.01, NAN, 0.9, 0.02}, want[] = {0.06, 0.04, NAN, 0.9, 0.06};
	double adjusted[5];
	oq_error err;
	OQ_REQUIRE(oq_holm(p, 5, adjusted, &err) == OQ_OK);
	for (int i = 0; i < 5; i++)
		OQ_CHECK(isnan(want[i]) ? isnan(adjusted[i]) : fabs(adjusted[i] - want[i]) < 1e-15);
	const double large[] = {0.7, 0.8};
	OQ_REQUIRE(oq_holm(large, 2, adjusted, &err) == OQ_OK);
	OQ_CHECK(adjusted[0] <= 1 && adjusted[1] <= 1 && adjusted[0] >= 1);
}

static void check_margins(void)
{
	OQ_CHECK_NEAR(oq_noninferiority(0, 0.01, INFINITY, 0.0196), 0.025, 1e-4);
	OQ_CHECK_NEAR(oq_equivalence(-0.01, 0.005, INFINITY, 0.02), oq_noninferiority(-0.01, 0.005, INFINITY, 0.02), 0);
	OQ_CHECK_NEAR(oq_equivalence(0.01, 0.005, INFINITY, 0.02), oq_equivalence(-0.01, 0.005, INFINITY, 0.02), 0);
	OQ_CHECK(oq_noninferiority(0.01, 0.005, INFINITY, 0.02) < oq_equivalence(0.01, 0.005, INFINITY, 0.02));
	OQ_CHECK(oq_equivalence(0.01, 0.005, 5, 0.02) > oq_equivalence(0.01, 0.005, INFINITY, 0.02)); /* few cases know less */
	OQ_CHECK(isnan(oq_noninferiority(0, NAN, INFINITY, 0.02)) && isnan(oq_equivalence(0, NAN, 5, 0.02))); /* what is not known shows nothing */
	OQ_CHECK(oq_equivalence(0, 0, INFINITY, 0.02) <= 0 && oq_equivalence(-0.03, 0, INFINITY, 0.02) >= 1 && oq_equivalence(0.03, 0, INFINITY, 0.02) >= 1);
}

/* Ten splits of 30 % test and 50 % training: 0.1 + 0.6 instead of 0.1, t with 9 degrees instead of 1.96: 3.05 times as wide as the benchmark's
 * interval. */
static void check_splits(void)
{
	const double values[10] = {0.6, 0.62, 0.58, 0.66, 0.61, 0.6, 0.59, 0.63, 0.64, 0.57};
	oq_mean plain = oq_mean_of_splits(values, 10, 0, 0.95), corrected = oq_mean_of_splits(values, 10, 0.6, 0.95);
	OQ_CHECK_NEAR(plain.value, 0.61, 1e-15);
	OQ_CHECK_NEAR(plain.sd, 0.027888667551135851, 1e-14);
	OQ_CHECK_NEAR(plain.se, 0.027888667551135851 / sqrt(10), 1e-14);
	OQ_CHECK_NEAR((corrected.interval.high - corrected.value) / (1.96 * plain.se), 3.0537, 1e-4);
	OQ_CHECK(isnan(oq_mean_of_splits(values, 1, 0, 0.95).value));
}

int main(void)
{
	check_distributions();
	check_mcnemar();
	check_holm();
	check_margins();
	check_splits();
	return oq_checks_done();
}
