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
		{"rsa_spearman_cosine", s.rsa_spearman, tolerance}, {"procrustes_angle_rad", s.procrustes_angle, 1e-6}, {"mutual_knn10", s.mutual_knn10, 1e-12}};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		check_near(b, fields[i].key, fields[i].value, oq_json_number(oq_json_get(golden, fields[i].key)), fields[i].tolerance);
	free_matrix(&x);
	free_matrix(&y);
}

int main(void)
{
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/similarity.json", &golden, &err) == OQ_OK);
	for (const oq_json *pair = oq_json_first(oq_json_get(golden, "pairs")); pair; pair = oq_json_next(pair))
		check_pair(pair);
	oq_json_free(golden);
	return oq_checks_done();
}
