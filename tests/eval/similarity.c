/* Similarity of pairs of models against numpy and scipy (tests/data/eval/similarity.json). Tolerances are those stated there: 1e-9,
 * and 1e-6 with A_m3, whose columns are nearly constant. Angles near 0 lose half the digits to the arc cosine. */
#include "matrices.h"

#include "eval/similarity.h"

static void check_pair(const oq_json *golden)
{
	const char *a = oq_json_string(oq_json_get(golden, "a")), *b = oq_json_string(oq_json_get(golden, "b"));
	oq_matrix x = read_matrix(a), y = read_matrix(b);
	oq_similarity s, again;
	oq_error err;
	OQ_REQUIRE(oq_similarity_measure(&x, &y, 1, &s, &err) == OQ_OK);
	OQ_REQUIRE(oq_similarity_measure(&x, &y, 2, &again, &err) == OQ_OK);
	OQ_CHECK(!memcmp(&s, &again, sizeof s));
	double tolerance = !strcmp(a, "A_m3") || !strcmp(b, "A_m3") ? 1e-6 : 1e-9;
	const struct { const char *key; double value, tolerance; } fields[] = {{"linear_cka", s.linear_cka, tolerance}, {"debiased_cka", s.debiased_cka, tolerance},
		{"rsa_spearman_cosine", s.rsa_spearman, tolerance}, {"procrustes_angle_rad", s.procrustes_angle, 1e-6}, {"mutual_knn10", s.mutual_knn10, 1e-12},
		{"procrustes_disparity", s.procrustes_disparity, tolerance}};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		check_near(b, fields[i].key, fields[i].value, oq_json_number(oq_json_get(golden, fields[i].key)), fields[i].tolerance);
	free_matrix(&x);
	free_matrix(&y);
}

static double noise(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (double)(*state >> 40) * 0x1p-24 - 0.5;
}

/* More dimensions than rows and fewer must agree where both can be computed: appended zero columns change nothing. */
static void check_wide(int64_t rows, int64_t columns)
{
	int64_t wide = rows + 7;
	float *x = oq_alloc((size_t)(rows * columns) * sizeof *x), *y = oq_alloc((size_t)(rows * columns) * sizeof *y);
	float *padded = oq_calloc((size_t)(rows * wide), sizeof *padded);
	OQ_REQUIRE(x && y && padded && columns < wide);
	uint64_t state = 1;
	for (int64_t i = 0; i < rows * columns; i++) {
		x[i] = (float)noise(&state);
		y[i] = x[i] + (float)noise(&state);
		padded[i / columns * wide + i % columns] = x[i];
	}
	oq_matrix a = {x, rows, columns}, b = {y, rows, columns}, c = {padded, rows, wide};
	oq_similarity narrow, other;
	oq_error err;
	OQ_REQUIRE(oq_similarity_measure(&a, &b, 2, &narrow, &err) == OQ_OK);
	OQ_REQUIRE(oq_similarity_measure(&c, &b, 2, &other, &err) == OQ_OK);
	/* A few hundred roundings of doubles apart. */
	OQ_CHECK_NEAR(other.linear_cka, narrow.linear_cka, 1e-12);
	OQ_CHECK_NEAR(other.debiased_cka, narrow.debiased_cka, 1e-12);
	OQ_CHECK_NEAR(other.procrustes_angle, narrow.procrustes_angle, 1e-12);
	OQ_CHECK_NEAR(other.rsa_spearman, narrow.rsa_spearman, 1e-12);
	/* With itself: angles near 0 lose half the digits. */
	OQ_REQUIRE(oq_similarity_measure(&c, &a, 1, &other, &err) == OQ_OK);
	OQ_CHECK_NEAR(other.linear_cka, 1, 1e-12);
	OQ_CHECK_NEAR(other.procrustes_angle, 0, 1e-7);
	oq_free(x);
	oq_free(y);
	oq_free(padded);
}

/* A set without spread has no similarity, and says so; other row counts are refused. */
static void check_refused(void)
{
	const float same[12] = {1, 2, 1, 2, 1, 2, 1, 2, 1, 2, 1, 2}, other[12] = {1, 0, 0, 1, 2, 1, 4, 4, 1, 5, 0, 2};
	oq_matrix a = {same, 6, 2}, b = {other, 6, 2}, c = {other, 4, 3}, few = {other, 3, 4};
	oq_similarity s;
	oq_error err;
	OQ_REQUIRE(oq_similarity_measure(&a, &b, 1, &s, &err) == OQ_OK);
	OQ_CHECK(isnan(s.linear_cka) && isnan(s.debiased_cka) && isnan(s.procrustes_angle) && isnan(s.procrustes_disparity) && isnan(s.mutual_knn10));
	OQ_CHECK_INT(oq_similarity_measure(&b, &c, 1, &s, &err), OQ_E_INPUT);
	OQ_CHECK_INT(oq_similarity_measure(&few, &few, 1, &s, &err), OQ_E_INPUT);
}

int main(void)
{
	check_wide(40, 6);
	check_wide(4, 3);
	check_wide(101, 100);
	check_refused();
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/similarity.json", &golden, &err) == OQ_OK);
	for (const oq_json *pair = oq_json_first(oq_json_get(golden, "pairs")); pair; pair = oq_json_next(pair))
		check_pair(pair);
	oq_json_free(golden);
	return oq_checks_done();
}
