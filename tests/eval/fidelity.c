/* The fidelity figures of the five variants against numpy's (tests/data/eval/fidelity.json, from float64 formulas). 1e-9 is the tolerance
 * stated there: sums may be taken in another order. */
#include "matrices.h"

#include "eval/fidelity.h"

static void check_variant(const oq_matrix *reference, const oq_json *golden)
{
	oq_matrix candidate = read_matrix(oq_json_string(oq_json_get(golden, "variant")));
	oq_fidelity f, again;
	oq_error err;
	OQ_REQUIRE(oq_fidelity_measure(reference, &candidate, "test", 1, &f, &err) == OQ_OK);
	OQ_REQUIRE(oq_fidelity_measure(reference, &candidate, "test", 3, &again, &err) == OQ_OK);
	OQ_CHECK(!memcmp(&f, &again, sizeof f));
	const struct { const char *key; double value; } fields[] = {{"sqnr_db", f.sqnr_db}, {"sqnr_centred_db", f.sqnr_centred_db},
		{"sqnr_row_min_db", f.sqnr_row_min_db}, {"sqnr_row_median_db", f.sqnr_row_median_db}, {"cos_mean", f.cosine_mean}, {"cos_min", f.cosine_min},
		{"cos_p1", f.cosine_p1}, {"centred_cos_mean", f.centred_mean}, {"centred_cos_min", f.centred_min}, {"centred_cos_p1", f.centred_p1},
		{"rel_l2_mean", f.relative_mean}, {"rel_l2_max", f.relative_max}, {"max_abs_err", f.max_abs_error}, {"max_abs_z", f.max_abs_z},
		{"bias_z_max", f.bias_z_max}, {"pearson_dim_min", f.pearson_min}, {"pearson_dim_median", f.pearson_median}, {"ccc_dim_min", f.ccc_min},
		{"ccc_dim_median", f.ccc_median}, {"knn_recall10_mean", f.recall_mean[2]}, {"knn_recall10_min", f.recall10_min},
		{"knn_recall10_p5", f.recall10_p5}, {"top1_agreement", f.top1_agreement}};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		check_near(oq_json_string(oq_json_get(golden, "variant")), fields[i].key, fields[i].value, oq_json_number(oq_json_get(golden, fields[i].key)), 1e-9);
	int at = 0;
	for (const oq_json *row = oq_json_first(oq_json_get(golden, "worst5_rows")); row; row = oq_json_next(row))
		OQ_CHECK_INT(f.worst[at++], (int64_t)oq_json_number(row));
	free_matrix(&candidate);
}

static void check_refusals(const oq_matrix *reference)
{
	oq_fidelity f;
	oq_error err = {0};
	oq_matrix fewer = *reference;
	fewer.rows--;
	OQ_CHECK(oq_fidelity_measure(reference, &fewer, "a.npy, b.npy", 1, &f, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SHAPE"));
	float bad[4] = {1, 2, NAN, 1}, zero[4] = {1, 2, 0, 0}, good[4] = {1, 2, 3, 1};
	const oq_matrix x = {good, 2, 2}, nan = {bad, 2, 2}, nil = {zero, 2, 2};
	OQ_CHECK(oq_fidelity_measure(&x, &nan, "t", 1, &f, &err) == OQ_E_INPUT && !strcmp(err.code, "E_NONFINITE"));
	OQ_CHECK(oq_fidelity_measure(&x, &nil, "t", 1, &f, &err) == OQ_E_INPUT && !strcmp(err.code, "E_ZERO"));
	OQ_CHECK(oq_fidelity_measure(&x, &x, "t", 1, &f, &err) == OQ_OK && f.centred_min > 1 - 1e-12 && isinf(f.sqnr_db));
}

int main(void)
{
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/fidelity.json", &golden, &err) == OQ_OK);
	oq_matrix reference = read_matrix("A_m2");
	for (const oq_json *variant = oq_json_first(oq_json_get(golden, "variants")); variant; variant = oq_json_next(variant))
		check_variant(&reference, variant);
	check_refusals(&reference);
	free_matrix(&reference);
	oq_json_free(golden);
	return oq_checks_done();
}
