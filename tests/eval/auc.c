/* AUC, DeLong variances and paired tests against pROC (tests/data/eval/delong.json), to the tolerances stated there; the variant for patients with
 * several cases against the plain one. */
#include "tables.h"

#include "eval/auc.h"
#include "eval/inference.h"

static void check_relative(const char *key, double got, double want)
{
	check_near("pair", key, got / (want != 0 ? want : 1), want != 0 ? 1 : 0, 1e-9);
}

static void check_interval(const char *key, oq_interval got, const oq_json *want)
{
	check_near("interval", key, got.low, oq_json_number(oq_json_first(want)), 1e-9);
	check_near("interval", key, got.high, oq_json_number(oq_json_next(oq_json_first(want))), 1e-9);
}

static void check_pair(const oq_table *table, const bool *label, const oq_json *golden)
{
	double *a = read_column(table, oq_json_string(oq_json_get(golden, "a"))), *b = read_column(table, oq_json_string(oq_json_get(golden, "b")));
	oq_auc_pair pair;
	oq_error err;
	OQ_REQUIRE(oq_auc_compare(a, b, label, oq_table_rows(table), &pair, &err) == OQ_OK);
	check_relative("cov", pair.covariance, field(golden, "cov"));
	check_relative("se_delta", pair.se, field(golden, "se_delta"));
	check_relative("delta", pair.difference, field(golden, "delta_b_minus_a"));
	check_relative("z", -pair.z, field(golden, "z_proc_a_minus_b"));
	check_relative("p", pair.p, field(golden, "p_two_sided"));
	const struct { double margin; const char *inferior, *equivalent; } margins[] = {{0.01, "noninf_p_margin_0.01", "tost_p_margin_0.01"},
		{0.02, "noninf_p_margin_0.02", "tost_p_margin_0.02"}, {0.05, "noninf_p_margin_0.05", "tost_p_margin_0.05"}};
	for (size_t i = 0; i < sizeof margins / sizeof *margins; i++) { /* the golden covariances carry 16 decimals, which a p at z = 20 magnifies by z^2 */
		double inferior = field(golden, margins[i].inferior), equivalent = field(golden, margins[i].equivalent);
		check_near("pair", margins[i].inferior, oq_auc_noninferiority(&pair, margins[i].margin) / inferior, 1, 1e-8);
		check_near("pair", margins[i].equivalent, oq_auc_equivalence(&pair, margins[i].margin) / equivalent, 1, 1e-8);
	}
	double reach = oq_normal_quantile(0.95) * pair.se;
	check_interval("ci90_delta", (oq_interval){pair.difference - reach, pair.difference + reach}, oq_json_get(golden, "ci90_delta"));
	oq_free(a);
	oq_free(b);
}

static void check_set(const char *name, const oq_json *golden)
{
	char file[32];
	oq_error err;
	snprintf(file, sizeof file, "scores_%s", name);
	oq_table *table = read_table(file);
	int64_t rows = oq_table_rows(table);
	double *y = read_column(table, "y");
	bool *label = read_labels(table, "y");
	for (const oq_json *single = oq_json_first(oq_json_get(golden, "single")); single; single = oq_json_next(single)) {
		double *score = read_column(table, oq_json_string(oq_json_get(single, "score")));
		oq_auc auc;
		OQ_REQUIRE(oq_auc_measure(score, label, rows, &auc, &err) == OQ_OK);
		OQ_CHECK(fabs(auc.auc - field(single, "auc")) < 1e-12);
		check_relative("variance", auc.variance, field(single, "var_delong"));
		check_interval("delong", oq_auc_interval(&auc, 0.95), oq_json_get(single, "ci95_delong"));
		check_interval("logit", oq_auc_logit_interval(&auc, 0.95), oq_json_get(single, "ci95_logit"));
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

/* Patients. One case each: as without. Every case twice: half as much is known as the cases say, exactly the variance of the cases once, but for
 * the n - 1 of a variance, which counts patients. */
static void check_patients(void)
{
	oq_table *table = read_table("scores_A");
	int64_t rows = oq_table_rows(table);
	double *a = read_column(table, "lr_m1"), *b = read_column(table, "knn15_m2"), *twice = oq_alloc((size_t)(4 * rows) * sizeof *twice);
	bool *label = read_labels(table, "y"), *labels = oq_alloc((size_t)(2 * rows) * sizeof *labels);
	int64_t *group = oq_alloc((size_t)(2 * rows) * sizeof *group);
	OQ_REQUIRE(twice && labels && group);
	for (int64_t i = 0; i < 2 * rows; i++) {
		twice[i] = a[i % rows];
		twice[2 * rows + i] = b[i % rows];
		labels[i] = label[i % rows];
		group[i] = 1000 - i % rows;
	}
	oq_auc_pair once, alone, both;
	oq_error err;
	OQ_REQUIRE(oq_auc_compare(a, b, label, rows, &once, &err) == OQ_OK);
	OQ_REQUIRE(oq_auc_compare_patients(a, b, label, group, rows, &alone, &err) == OQ_OK);
	OQ_REQUIRE(oq_auc_compare_patients(twice, twice + 2 * rows, labels, group, 2 * rows, &both, &err) == OQ_OK);
	check_relative("alone", alone.se, once.se);
	check_relative("alone", alone.covariance, once.covariance);
	check_relative("twice", both.a.variance, once.a.variance);
	check_relative("twice", both.se, once.se);
	check_relative("twice", both.difference, once.difference);
	for (int64_t i = 0; i < rows; i++) /* all positives of one patient: how much they differ is not known, and nothing follows */
		group[i] = label[i] ? rows : i;
	OQ_REQUIRE(oq_auc_compare_patients(a, b, label, group, rows, &alone, &err) == OQ_OK);
	check_relative("one patient", alone.difference, once.difference);
	OQ_CHECK(isnan(alone.se) && isnan(alone.p) && isnan(oq_auc_noninferiority(&alone, 0.5)) && isnan(oq_auc_equivalence(&alone, 0.5)));
	oq_free(a);
	oq_free(b);
	oq_free(twice);
	oq_free(label);
	oq_free(labels);
	oq_free(group);
	oq_table_free(table);
}

int main(void)
{
	check_patients();
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/delong.json", &golden, &err) == OQ_OK);
	for (const oq_json *set = oq_json_first(oq_json_get(golden, "sets")); set; set = oq_json_next(set))
		check_set(oq_json_key(set), set);
	oq_json_free(golden);
	return oq_checks_done();
}
