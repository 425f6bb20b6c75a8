/* Logistic regression against scikit-learn's converged optimum (newton-cholesky, tol 1e-12; tests/data/eval/linear_probe.json): coefficients to
 * 1e-6 as stated there, AUC exactly but for pairs of scores closer than 1e-7. Standardised features over a grid of C, balanced classes, and for
 * three classes the conditions of the optimum themselves. */
#include "labels.h"

#include "eval/logistic.h"
#include "eval/roc.h"

typedef struct set {
	oq_matrix x;
	uint8_t *class;
	int64_t rows;
} set;

static double area_of(const set *s, const oq_logistic *model, const oq_features *f, const int64_t *rows, int64_t count)
{
	double *score = oq_alloc((size_t)count * sizeof *score), area;
	uint8_t *class = oq_alloc((size_t)count);
	oq_error err;
	OQ_REQUIRE(score && class && oq_logistic_scores(model, f, rows, count, 2, score, &err) == OQ_OK);
	for (int64_t i = 0; i < count; i++)
		class[i] = s->class[rows[i]];
	OQ_REQUIRE(oq_roc_mean(OQ_ROC_EXACT, score, class, 2, count, &area, &err) == OQ_OK);
	oq_free(score);
	oq_free(class);
	return area;
}

static void check_weights(const oq_logistic *model, const oq_json *want)
{
	double worst = 0;
	int64_t d = 0;
	for (const oq_json *w = oq_json_first(want); w; w = oq_json_next(w), d++)
		worst = fmax(worst, fabs(model->weights[d] - oq_json_number(w)));
	OQ_CHECK(d == 0 || worst < 1e-6);
	if (worst >= 1e-6)
		fprintf(stderr, "weights differ by %g\n", worst);
}

static void check_fit(const set *s, const oq_split *split, double c, const oq_json *want)
{
	oq_logistic_problem p = {.features.x = &s->x, .rows = split->rows, .count = split->train, .class = s->class, .classes = 2, .c = c, .threads = 2};
	oq_logistic model;
	oq_error err;
	OQ_REQUIRE(oq_logistic_fit(&p, &model, &err) == OQ_OK);
	check_weights(&model, oq_json_get(want, "coef"));
	if (oq_json_get(want, "intercept"))
		check_near("linear", "intercept", model.intercept[0], number(want, "intercept"), 1e-6);
	/* a pair closer than 1e-7 may be the other way round: one pair of the test fold is 1/(m n) */
	check_near("linear", "test AUC", area_of(s, &model, &p.features, oq_split_test(split), split->test), number(want, "auc_test_converged"), 1e-12);
	check_near("linear", "val AUC", area_of(s, &model, &p.features, oq_split_val(split), split->val), number(want, "auc_val_converged"), 1e-12);
	oq_logistic_free(&model);
}

static void check_standardised(const set *s, const oq_split *split, const oq_json *golden)
{
	double *mean = oq_alloc(2 * (size_t)s->x.columns * sizeof *mean), *scale = mean + s->x.columns;
	OQ_REQUIRE(mean != NULL);
	oq_features_standardise(&s->x, split->rows, split->train, mean, scale);
	for (const oq_json *want = oq_json_first(golden); want; want = oq_json_next(want)) {
		oq_logistic_problem p = {.features = {&s->x, mean, scale}, .rows = split->rows, .count = split->train, .class = s->class, .classes = 2,
			.c = number(want, "C"), .threads = 2};
		oq_logistic model;
		oq_error err;
		double square = 0;
		OQ_REQUIRE(oq_logistic_fit(&p, &model, &err) == OQ_OK);
		for (int64_t d = 0; d < s->x.columns; d++)
			square += model.weights[d] * model.weights[d];
		check_weights(&model, oq_json_get(want, "coef_head"));
		check_near("standardised", "length", sqrt(square), number(want, "coef_l2"), 1e-6);
		check_near("standardised", "intercept", model.intercept[0], number(want, "intercept"), 1e-6);
		check_near("standardised", "test AUC", area_of(s, &model, &p.features, oq_split_test(split), split->test), number(want, "test_auc"), 1e-12);
		check_near("standardised", "val AUC", area_of(s, &model, &p.features, oq_split_val(split), split->val), number(want, "val_auc"), 1e-12);
		oq_logistic_free(&model);
	}
	oq_free(mean);
}

static void check_balanced(const set *s, const oq_split *split, const oq_json *want)
{
	oq_logistic_problem p = {.features.x = &s->x, .rows = split->rows, .count = split->train, .class = s->class, .classes = 2, .c = 1, .balanced = true,
		.threads = 2};
	oq_logistic model;
	oq_error err;
	OQ_REQUIRE(oq_logistic_fit(&p, &model, &err) == OQ_OK);
	check_weights(&model, oq_json_get(want, "coef_head"));
	check_near("balanced", "intercept", model.intercept[0], number(want, "intercept"), 1e-6);
	check_near("balanced", "test AUC", area_of(s, &model, &p.features, oq_split_test(split), split->test), number(want, "test_auc"), 1e-12);
	oq_logistic_free(&model);
}

/* At the optimum w = C sum (y - p) x and sum (y - p) = 0 for every class; with more rows than dimensions and with fewer. */
static void check_three(const set *s, const uint8_t *class, int64_t count)
{
	int64_t *rows = oq_alloc((size_t)count * sizeof *rows);
	double *score = oq_alloc(3 * (size_t)count * sizeof *score), *pull = oq_alloc((size_t)s->x.columns * sizeof *pull);
	oq_logistic model;
	oq_error err;
	OQ_REQUIRE(rows && score && pull);
	for (int64_t i = 0; i < count; i++)
		rows[i] = i;
	oq_logistic_problem p = {.features.x = &s->x, .rows = rows, .count = count, .class = class, .classes = 3, .c = 0.5, .threads = 2};
	OQ_REQUIRE(oq_logistic_fit(&p, &model, &err) == OQ_OK);
	OQ_REQUIRE(oq_logistic_scores(&model, &p.features, rows, count, 2, score, &err) == OQ_OK);
	for (int o = 0; o < 3; o++) {
		double left = 0, worst = 0;
		memset(pull, 0, (size_t)s->x.columns * sizeof *pull);
		for (int64_t i = 0; i < count; i++) {
			double r = (class[i] == o) - score[3 * i + o];
			left += r;
			for (int64_t d = 0; d < s->x.columns; d++)
				pull[d] += 0.5 * r * (double)oq_matrix_row(&s->x, i)[d];
		}
		for (int64_t d = 0; d < s->x.columns; d++)
			worst = fmax(worst, fabs(pull[d] - model.weights[o * s->x.columns + d]));
		OQ_CHECK_NEAR(worst, 0, 1e-8);
		OQ_CHECK_NEAR(left, 0, 1e-8);
	}
	oq_logistic_free(&model);
	oq_free(rows);
	oq_free(score);
	oq_free(pull);
}

/* Large enough for a preconditioner of some rows only, and for several threads: 700 dimensions, 3000 rows. */
static void check_wide(void)
{
	enum { ROWS = 3000, COLUMNS = 700 };
	float *data = oq_alloc((size_t)ROWS * COLUMNS * sizeof *data);
	uint8_t *class = oq_alloc(ROWS);
	int64_t *rows = oq_alloc(ROWS * sizeof *rows);
	uint32_t state = 1;
	OQ_REQUIRE(data && class && rows);
	for (int64_t i = 0; i < (int64_t)ROWS * COLUMNS; i++) {
		state = state * 1664525u + 1013904223u;
		data[i] = (float)(state >> 8) / 16777216.0f - 0.5f + (i % COLUMNS % 7 == 0 ? 3.0f : 0.0f);
	}
	for (int64_t i = 0; i < ROWS; i++) {
		rows[i] = i;
		class[i] = data[i * COLUMNS] + data[i * COLUMNS + 1] - data[i * COLUMNS + 2] > 3.0f;
	}
	oq_matrix x = {data, ROWS, COLUMNS};
	oq_logistic_problem p = {.features.x = &x, .rows = rows, .count = ROWS, .class = class, .classes = 2, .c = 1, .threads = 2};
	oq_logistic model, again;
	oq_error err;
	OQ_REQUIRE(oq_logistic_fit(&p, &model, &err) == OQ_OK);
	OQ_CHECK(model.gradient < 1e-7);
	p.threads = 3;
	OQ_REQUIRE(oq_logistic_fit(&p, &again, &err) == OQ_OK);
	OQ_CHECK(!memcmp(model.weights, again.weights, COLUMNS * sizeof(double)) && !memcmp(model.intercept, again.intercept, sizeof(double)));
	oq_logistic_free(&model);
	oq_logistic_free(&again);
	oq_free(data);
	oq_free(class);
	oq_free(rows);
}

static set open_set(const char *name)
{
	set s = {.x = read_matrix(name)};
	s.class = read_classes(name, "y", &s.rows);
	OQ_REQUIRE(s.rows == s.x.rows);
	return s;
}

int main(void)
{
	oq_json *golden = read_golden("linear_probe");
	oq_error err;
	for (const oq_json *one = oq_json_first(oq_json_get(golden, "datasets")); one; one = oq_json_next(one)) {
		set s = open_set(oq_json_key(one));
		oq_split split;
		for (const oq_json *want = oq_json_first(one); want; want = oq_json_next(want)) {
			if (!oq_json_get(want, "binomial_C1"))
				continue;
			OQ_REQUIRE(oq_split_reference(s.class, s.rows, 2, (uint32_t)atoi(oq_json_key(want)), &split, &err) == OQ_OK);
			check_fit(&s, &split, 1, oq_json_get(want, "binomial_C1"));
			check_fit(&s, &split, 2, oq_json_get(want, "reference_multinomial_equiv_C2"));
			oq_split_free(&split);
		}
		OQ_REQUIRE(oq_split_reference(s.class, s.rows, 2, 10, &split, &err) == OQ_OK);
		check_standardised(&s, &split, oq_json_get(oq_json_get(golden, "standardised_C_grid_seed10"), oq_json_key(one)));
		if (!strcmp(oq_json_key(one), "C")) {
			int64_t rows;
			uint8_t *three = read_classes("C", "y3", &rows);
			check_balanced(&s, &split, oq_json_get(golden, "balanced_C_seed10"));
			check_three(&s, three, rows);
			check_three(&s, three, 120);
			oq_free(three);
		}
		oq_split_free(&split);
		free_matrix(&s.x);
		oq_free(s.class);
	}
	check_wide();
	oq_json_free(golden);
	return oq_checks_done();
}
