/* oq_evaluate as a whole, paper protocol, against the goldens: means, choices and test AUC of kNN, linear probe, few-shot and ensembles, and the
 * Nadeau-Bengio interval of knn_tiny, whose rows are the ones that its labels are given for. Tolerances as the files state; of the stacked
 * coefficients 1e-6, since shares pass through float32. */
#include "labels.h"

#include <oncoquant.h>

#define FILE_OF(name) OQ_TEST_DATA "/eval/" name

static const char *const models[3] = {FILE_OF("A_m1.npy"), FILE_OF("A_m2.npy"), FILE_OF("A_m3.npy")};

static oq_json *evaluate(oq_evaluate_options *options)
{
	char *text = NULL;
	oq_json *json = NULL;
	oq_error err = {0};
	options->protocol = OQ_PROTOCOL_PAPER;
	options->threads = 2;
	if (oq_evaluate(options, &text, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(text && oq_json_parse(text, strlen(text), "result", &json, &err) == OQ_OK);
	oq_string_free(text);
	return json;
}

static oq_json *evaluate_a(oq_probe probe, int count)
{
	oq_evaluate_options options = {.probe = probe, .embeddings = models, .count = count, .labels = FILE_OF("A_labels.csv")};
	return evaluate(&options);
}

static const oq_json *element(const oq_json *list, int index)
{
	const oq_json *at = oq_json_first(list);
	for (; at && index > 0; index--)
		at = oq_json_next(at);
	OQ_REQUIRE(at != NULL);
	return at;
}

static void check_pair(const char *what, const oq_json *got, const oq_json *want, double tolerance)
{
	check_near(what, "low", oq_json_number(element(got, 0)), oq_json_number(element(want, 0)), tolerance);
	check_near(what, "high", oq_json_number(element(got, 1)), oq_json_number(element(want, 1)), tolerance);
}

static void check_knn(void)
{
	oq_json *got = evaluate_a(OQ_PROBE_KNN, 2), *golden = read_golden("knn");
	for (int m = 0; m < 2; m++) {
		const oq_json *model = element(oq_json_get(got, "models"), m), *auc = oq_json_get(model, "auc");
		const oq_json *want = get(golden, "datasets", oq_json_string(oq_json_get(model, "name")), NULL);
		check_near("knn", "mean", number(auc, "mean"), number(want, "mean"), 1e-12);
		check_near("knn", "se", number(auc, "se"), number(want, "se"), 1e-12);
		check_pair("knn", oq_json_get(auc, "reference95"), oq_json_get(want, "ci_ref"), 1e-12);
	}
	oq_json_free(got);
	oq_json_free(golden);
}

static void check_tiny(void)
{
	const char *const embeddings[1] = {FILE_OF("C.npy")};
	oq_json *golden = read_golden("knn_tiny");
	int64_t rows;
	uint8_t *class = read_classes("C", "y", &rows);
	const char *path = "evaluate_tiny.csv";
	FILE *file = fopen(path, "w");
	const oq_json *kept = oq_json_first(oq_json_get(golden, "rows_of_C"));
	OQ_REQUIRE(file != NULL);
	fprintf(file, "row,y\n");
	for (int64_t r = 0; r < rows; r++) {
		bool here = kept && (int64_t)oq_json_number(kept) == r;
		fprintf(file, "%lld,%s\n", (long long)r, !here ? "NA" : class[r] ? "1" : "0");
		kept = here ? oq_json_next(kept) : kept;
	}
	OQ_REQUIRE(fclose(file) == 0);
	oq_evaluate_options options = {.probe = OQ_PROBE_KNN, .embeddings = embeddings, .count = 1, .labels = path};
	oq_json *got = evaluate(&options);
	const oq_json *auc = oq_json_get(element(oq_json_get(got, "models"), 0), "auc");
	check_near("tiny", "mean", number(auc, "mean"), number(golden, "mean"), 1e-12);
	check_pair("tiny, reference", oq_json_get(auc, "reference95"), oq_json_get(golden, "ci_ref"), 1e-12);
	/* the golden's quantile of t with 9 degrees, 2.26215716274, is off by 3e-11 of itself (mpmath: 2.262157162798206) */
	check_pair("tiny, corrected", oq_json_get(auc, "nadeau_bengio95"), oq_json_get(golden, "ci_nadeau_bengio_t9"), 1e-10);
	OQ_CHECK(oq_json_is_true(oq_json_get(got, "underpowered")));
	OQ_CHECK_INT(number(get(got, "endpoint", "left_out", NULL), "without_label"), 766);
	remove(path);
	oq_free(class);
	oq_json_free(got);
	oq_json_free(golden);
}

static void check_linear(void)
{
	oq_json *got = evaluate_a(OQ_PROBE_LINEAR, 2), *golden = read_golden("linear_probe");
	for (int m = 0; m < 2; m++) {
		const oq_json *model = element(oq_json_get(got, "models"), m);
		for (const oq_json *split = oq_json_first(oq_json_get(model, "splits")); split; split = oq_json_next(split)) {
			const oq_json *want = oq_json_get(get(golden, "datasets", oq_json_string(oq_json_get(model, "name")), oq_json_string(oq_json_get(split, "name"))),
				"reference_multinomial_equiv_C2");
			check_near("linear", "test AUC", number(split, "auc_test"), number(want, "auc_test_converged"), 1e-12);
			OQ_CHECK_INT(number(split, "C"), 2);
		}
	}
	oq_json_free(got);
	oq_json_free(golden);
}

static void check_few_shot(void)
{
	oq_json *got = evaluate_a(OQ_PROBE_FEW_SHOT, 2), *golden = read_golden("few_shot");
	int m = 0;
	for (const oq_json *model = oq_json_first(oq_json_get(got, "models")); model; model = oq_json_next(model), m++) {
		char shots[8];
		snprintf(shots, sizeof shots, "%d", (int)number(model, "shots"));
		const oq_json *want = get(golden, "datasets", m < 3 ? "A_m1" : "A_m2", shots);
		check_near("few-shot", "mean", number(oq_json_get(model, "auc"), "mean"), number(want, "mean"), 1e-12);
		for (int i = 0; i < 10; i++) {
			const oq_json *split = element(oq_json_get(model, "splits"), i), *run = element(oq_json_get(want, "runs"), i);
			OQ_CHECK_INT(number(split, "k"), number(run, "k_ref"));
			check_near("few-shot", "test AUC", number(split, "auc_test"), number(run, "test_auc"), 1e-12);
		}
	}
	OQ_CHECK_INT(m, 6);
	oq_json_free(got);
	oq_json_free(golden);
}

static void check_ensembles(void)
{
	oq_json *golden = read_golden("ensembles"), *got = evaluate_a(OQ_PROBE_ALIGNMENT, 3);
	for (int i = 0; i < 10; i++) {
		const oq_json *want = element(oq_json_get(golden, "alignment"), i);
		for (int m = 0; m < 4; m++) {
			const oq_json *model = element(oq_json_get(got, "models"), m);
			double auc = m == 3 ? number(want, "ensemble_auc") : number(oq_json_get(want, "individual"), oq_json_string(oq_json_get(model, "name")));
			check_near("alignment", "test AUC", number(element(oq_json_get(model, "splits"), i), "auc_test"), auc, 1e-12);
		}
	}
	const oq_json *weights = oq_json_get(element(oq_json_get(element(oq_json_get(got, "models"), 3), "splits"), 0), "weights");
	for (int m = 0; m < 3; m++)
		check_near("alignment", "weight", oq_json_number(element(weights, m)), oq_json_number(element(oq_json_get(golden, "alignment_weights_from_f64"), m)), 1e-12);
	oq_json_free(got);
	got = evaluate_a(OQ_PROBE_STACKING, 2);
	for (int i = 0; i < 2; i++) {
		const oq_json *want = element(oq_json_get(golden, "stacking"), i), *split = element(oq_json_get(element(oq_json_get(got, "models"), 2), "splits"), i);
		OQ_CHECK_INT(number(split, "k"), number(want, "k"));
		check_near("stacking", "C", number(split, "C"), number(want, "C"), 0);
		check_near("stacking", "val AUC", number(split, "auc_val"), number(want, "best_val_auc"), 1e-12);
		check_near("stacking", "test AUC", number(split, "auc_test"), number(want, "test_auc"), 1e-12);
		for (int m = 0; m < 2; m++)
			check_near("stacking", "coefficient", oq_json_number(element(oq_json_get(split, "weights"), m)), oq_json_number(element(oq_json_get(want, "coef"), m)), 1e-6);
	}
	oq_json_free(got);
	oq_json_free(golden);
}

int main(void)
{
	check_knn();
	check_tiny();
	check_linear();
	check_few_shot();
	check_ensembles();
	return oq_checks_done();
}
