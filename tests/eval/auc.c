/* AUC, DeLong variances and paired tests against pROC (tests/data/eval/delong.json), to the tolerances stated there. */
#include "matrices.h"

#include "eval/auc.h"
#include "io/table.h"

static double *column(const oq_table *table, const char *name)
{
	int at = oq_table_find(table, name);
	int64_t rows = oq_table_rows(table);
	double *values = oq_alloc((size_t)rows * sizeof *values);
	OQ_REQUIRE(at >= 0 && values);
	for (int64_t r = 0; r < rows; r++)
		OQ_REQUIRE(oq_parse_number(oq_table_cell(table, r, at), &values[r]));
	return values;
}

static double field(const oq_json *object, const char *key)
{
	return oq_json_number(oq_json_get(object, key));
}

static void check_relative(const char *key, double got, double want)
{
	check_near("pair", key, got / (want != 0 ? want : 1), want != 0 ? 1 : 0, 1e-9);
}

static void check_pair(const oq_table *table, const bool *label, const oq_json *golden)
{
	double *a = column(table, oq_json_string(oq_json_get(golden, "a"))), *b = column(table, oq_json_string(oq_json_get(golden, "b")));
	oq_auc_pair pair;
	oq_error err;
	OQ_REQUIRE(oq_auc_compare(a, b, label, oq_table_rows(table), &pair, &err) == OQ_OK);
	check_relative("cov", pair.covariance, field(golden, "cov"));
	check_relative("se_delta", pair.se, field(golden, "se_delta"));
	check_relative("delta", pair.difference, field(golden, "delta_b_minus_a"));
	check_relative("z", -pair.z, field(golden, "z_proc_a_minus_b"));
	check_relative("p", pair.p, field(golden, "p_two_sided"));
	check_relative("noninferiority", oq_auc_noninferiority(&pair, 0.02), field(golden, "noninf_p_margin_0.02"));
	oq_free(a);
	oq_free(b);
}

static void check_set(const char *name, const oq_json *golden)
{
	char path[1024];
	oq_table *table = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/scores_%s.csv", OQ_TEST_DATA, name);
	OQ_REQUIRE(oq_table_read(path, &table, &err) == OQ_OK);
	int64_t rows = oq_table_rows(table);
	double *y = column(table, "y");
	bool *label = oq_alloc((size_t)rows * sizeof *label);
	OQ_REQUIRE(label);
	for (int64_t r = 0; r < rows; r++)
		label[r] = y[r] > 0;
	for (const oq_json *single = oq_json_first(oq_json_get(golden, "single")); single; single = oq_json_next(single)) {
		double *score = column(table, oq_json_string(oq_json_get(single, "score")));
		oq_auc auc;
		OQ_REQUIRE(oq_auc_measure(score, label, rows, &auc, &err) == OQ_OK);
		OQ_CHECK(fabs(auc.auc - field(single, "auc")) < 1e-12);
		check_relative("variance", auc.variance, field(single, "var_delong"));
		oq_free(score);
	}
	for (const oq_json *pair = oq_json_first(oq_json_get(golden, "pairs")); pair; pair = oq_json_next(pair))
		check_pair(table, label, pair);
	const bool all[3] = {true, true, true};
	oq_auc none;
	OQ_CHECK(oq_auc_measure(y, all, 3, &none, &err) == OQ_E_INPUT && !strcmp(err.code, "E_LABELS"));
	oq_free(y);
	oq_free(label);
	oq_table_free(table);
}

int main(void)
{
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/delong.json", &golden, &err) == OQ_OK);
	for (const oq_json *set = oq_json_first(oq_json_get(golden, "sets")); set; set = oq_json_next(set))
		check_set(oq_json_key(set), set);
	oq_json_free(golden);
	return oq_checks_done();
}
