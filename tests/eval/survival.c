/* Survival statistics against R's package survival and lifelines (tests/data/eval/survival.json): 1e-9, Cox 1e-7, as stated there. */
#include "tables.h"

#include "eval/cox.h"
#include "eval/inference.h"
#include "eval/quantile.h"
#include "eval/survival.h"

typedef struct cohort {
	oq_table *table, *scores;
	double *time, *age, *score, *rounded;
	bool *event;
	int *group;
	oq_survival survival;
} cohort;

static cohort open_cohort(void)
{
	cohort c = {.table = read_table("A_labels"), .scores = read_table("surv_score")};
	int64_t n = oq_table_rows(c.table);
	c.time = read_column(c.table, "time");
	c.event = read_labels(c.table, "event");
	c.age = read_column(c.table, "age");
	c.score = read_column(c.scores, "s");
	c.rounded = read_column(c.scores, "s");
	c.group = oq_alloc((size_t)n * sizeof *c.group);
	double *sorted = read_column(c.table, "age");
	OQ_REQUIRE(c.group && sorted);
	oq_sort_doubles(sorted, n);
	double median = oq_quantile(sorted, n, 0.5);
	for (int64_t i = 0; i < n; i++) {
		c.rounded[i] = nearbyint(c.score[i] * 10) / 10;
		c.group[i] = c.age[i] > median;
	}
	oq_free(sorted);
	c.survival = (oq_survival){c.time, c.event, n};
	return c;
}

static void close_cohort(cohort *c)
{
	oq_free(c->time);
	oq_free(c->age);
	oq_free(c->score);
	oq_free(c->rounded);
	oq_free(c->event);
	oq_free(c->group);
	oq_table_free(c->table);
	oq_table_free(c->scores);
}

static void check_counts(const oq_json *golden, const oq_concordance *got)
{
	OQ_CHECK_NEAR(got->concordant, field(golden, "concordant"), 0);
	OQ_CHECK_NEAR(got->discordant, field(golden, "discordant"), 0);
	OQ_CHECK_NEAR(got->tied, field(golden, "tied.x"), 0);
}

static void check_concordance(const oq_json *golden, const cohort *c)
{
	const oq_json *wanted = oq_json_get(golden, "concordance");
	oq_concordance got[3];
	oq_error err;
	OQ_REQUIRE(oq_concordance_measure(&c->survival, c->score, OQ_CONCORDANCE_HARRELL, INFINITY, &got[0], &err) == OQ_OK);
	OQ_REQUIRE(oq_concordance_measure(&c->survival, c->score, OQ_CONCORDANCE_UNO, INFINITY, &got[1], &err) == OQ_OK);
	OQ_REQUIRE(oq_concordance_measure(&c->survival, c->rounded, OQ_CONCORDANCE_HARRELL, INFINITY, &got[2], &err) == OQ_OK);
	int at = 0;
	for (const oq_json *want = oq_json_first(wanted); want; want = oq_json_next(want), at++) {
		check_near(oq_json_string(oq_json_get(want, "name")), "c", got[at].c, field(want, "c"), 1e-9);
		/* printed with 16 decimals: 1e-12 of the value */
		check_near(oq_json_string(oq_json_get(want, "name")), "var", got[at].variance / field(want, "var"), 1, 1e-9);
	}
	OQ_CHECK_INT(at, 3);
	check_counts(oq_json_get(golden, "counts_harrell"), &got[0]);
	check_counts(oq_json_get(golden, "counts_harrell_rounded1"), &got[2]);
	check_near("lifelines", "c", got[0].c, field(golden, "harrell_lifelines"), 1e-9);
	/* A horizon behind the last event changes nothing, one before it does. */
	OQ_REQUIRE(oq_concordance_measure(&c->survival, c->score, OQ_CONCORDANCE_UNO, 1e9, &got[0], &err) == OQ_OK);
	OQ_CHECK_NEAR(got[0].c, got[1].c, 0);
	OQ_REQUIRE(oq_concordance_measure(&c->survival, c->score, OQ_CONCORDANCE_UNO, 700, &got[0], &err) == OQ_OK);
	OQ_CHECK(fabs(got[0].c - got[1].c) > 1e-4);
}

static const oq_json *nth(const oq_json *array, int64_t n)
{
	const oq_json *at = oq_json_first(array);
	while (n-- > 0)
		at = oq_json_next(at);
	return at;
}

static void check_curve(const oq_json *golden, const cohort *c)
{
	const oq_json *km = oq_json_get(golden, "km");
	static const char *const keys[] = {"time", "n.risk", "n.event", "surv", "se", "lo", "hi"};
	oq_km_step *steps = oq_alloc((size_t)c->survival.count * sizeof *steps);
	int64_t count = 0;
	oq_error err;
	OQ_REQUIRE(steps && oq_kaplan_meier(&c->survival, steps, &count, &err) == OQ_OK);
	OQ_CHECK_INT(count, oq_json_count(oq_json_get(km, "time")));
	for (int k = 0; k < 7; k++) {
		const oq_json *want = oq_json_first(oq_json_get(km, keys[k]));
		for (int64_t i = 0; i < count && want; i++, want = oq_json_next(want)) {
			const double got[] = {steps[i].time, (double)steps[i].at_risk, (double)steps[i].events, steps[i].survival, steps[i].se, steps[i].low, steps[i].high};
			check_near("km", keys[k], got[k], oq_json_number(want), 1e-9);
		}
	}
	for (int64_t i = 0; i < count; i++) { /* the formula on R's survival and standard error: log(-log S) -+ 1.96 se / |log S|, turned back */
		double s = oq_json_number(nth(oq_json_get(km, "surv"), i)), se = oq_json_number(nth(oq_json_get(km, "se"), i)), z = 1.959963984540054 * se / -log(s);
		check_near("km", "log-log low", steps[i].loglog_low, exp(-exp(log(-log(s)) + z)), 1e-9);
		check_near("km", "log-log high", steps[i].loglog_high, exp(-exp(log(-log(s)) - z)), 1e-9);
	}
	OQ_CHECK_NEAR(oq_km_time(steps, count, 0.5), 590, 0); /* the first step at or below one half, by eye in the golden */
	OQ_CHECK(isnan(oq_km_time(steps, count, 0)));
	/* Before the first event survival is 1 for certain, after the last of all there is no interval. */
	const double times[2] = {1, 2};
	const bool happened[2] = {false, true};
	OQ_REQUIRE(oq_kaplan_meier(&(oq_survival){.time = times, .event = happened, .count = 2}, steps, &count, &err) == OQ_OK);
	OQ_CHECK(count == 2 && !(steps[0].loglog_low < 1) && !(steps[0].loglog_high > 1) && isnan(steps[1].loglog_low) && isnan(steps[1].loglog_high));
	oq_free(steps);
}

static void check_logrank(const oq_json *golden, const cohort *c)
{
	const oq_json *want = oq_json_get(golden, "logrank_g");
	oq_logrank got;
	oq_error err = {0};
	OQ_REQUIRE(oq_logrank_test(&c->survival, c->group, 2, &got, &err) == OQ_OK);
	const struct { const char *key; double value; } fields[] = {{"chisq", got.chi_squared}, {"p", got.p}, {"o0", got.observed[0]}, {"o1", got.observed[1]},
		{"e0", got.expected[0]}, {"e1", got.expected[1]}};
	for (size_t i = 0; i < sizeof fields / sizeof *fields; i++)
		check_near("log-rank", fields[i].key, fields[i].value, field(want, fields[i].key), 1e-9);
	OQ_CHECK(oq_logrank_test(&c->survival, c->group, 1, &got, &err) == OQ_E_INPUT && !strcmp(err.code, "E_GROUPS"));
	/* Three groups, one of which is in truth part of another, and the same with other numbers: nothing depends on the order. */
	int *three = oq_alloc((size_t)c->survival.count * sizeof *three), *turned = oq_alloc((size_t)c->survival.count * sizeof *turned);
	OQ_REQUIRE(three && turned);
	for (int64_t i = 0; i < c->survival.count; i++) {
		three[i] = c->score[i] > 0.5 ? 2 : c->group[i];
		turned[i] = (three[i] + 1) % 3;
	}
	oq_logrank a, b;
	OQ_REQUIRE(oq_logrank_test(&c->survival, three, 3, &a, &err) == OQ_OK && oq_logrank_test(&c->survival, turned, 3, &b, &err) == OQ_OK);
	check_near("log-rank", "order", a.chi_squared, b.chi_squared, 1e-9);
	OQ_CHECK(a.degrees == 2 && a.p < 0.01);
	oq_free(three);
	oq_free(turned);
}

static double *design(const cohort *c)
{
	double *x = oq_alloc((size_t)(2 * c->survival.count) * sizeof *x);
	OQ_REQUIRE(x);
	for (int64_t i = 0; i < c->survival.count; i++) {
		x[2 * i] = c->score[i];
		x[2 * i + 1] = c->group[i];
	}
	return x;
}

static void check_cox(const oq_json *golden, const cohort *c)
{
	double *x = design(c);
	static const char *const ties[] = {"efron", "breslow"};
	for (int which = 0; which < 2; which++) {
		oq_cox got;
		oq_error err = {0};
		OQ_REQUIRE(oq_cox_fit(&c->survival, x, 2, which ? OQ_COX_BRESLOW : OQ_COX_EFRON, &got, &err) == OQ_OK);
		int at = 0;
		for (const oq_json *want = oq_json_first(oq_json_get(oq_json_get(golden, "cox"), ties[which])); want; want = oq_json_next(want), at++) {
			const oq_cox_coefficient *k = &got.coefficient[at];
			check_near(ties[which], "coef", k->b, field(want, "coef"), 1e-7);
			check_near(ties[which], "se", k->se, field(want, "se"), 1e-7);
			check_near(ties[which], "z", k->z, field(want, "z"), 1e-7);
			check_near(ties[which], "p", k->p / field(want, "p"), 1, 1e-6); /* z to 1e-7 is p to z times that, relative */
			check_near(ties[which], "ll0", got.likelihood_null, field(want, "ll0"), 1e-9);
			check_near(ties[which], "ll1", got.likelihood, field(want, "ll1"), 1e-9);
		}
		OQ_CHECK_INT(at, 2);
	}
	oq_free(x);
}

static void check_refusals(const cohort *c)
{
	int64_t n = c->survival.count;
	double *x = design(c);
	oq_cox cox;
	oq_error err = {0};
	for (int64_t i = 0; i < n; i++)
		x[2 * i + 1] = 3 * x[2 * i] - 1;
	OQ_CHECK(oq_cox_fit(&c->survival, x, 2, OQ_COX_EFRON, &cox, &err) == OQ_E_INPUT && !strcmp(err.code, "E_COLLINEAR"));
	for (int64_t i = 0; i < n; i++)
		x[2 * i + 1] = 3;
	OQ_CHECK(oq_cox_fit(&c->survival, x, 2, OQ_COX_EFRON, &cox, &err) == OQ_E_INPUT && !strcmp(err.code, "E_CONSTANT"));
	/* The time itself as the score: the earlier the event the higher, without exception. */
	for (int64_t i = 0; i < n; i++)
		x[2 * i + 1] = -c->time[i];
	OQ_CHECK(oq_cox_fit(&c->survival, x, 2, OQ_COX_EFRON, &cox, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SEPARATION"));
	/* A group without events: its hazard is 0, its coefficient minus infinity. */
	bool *event = oq_calloc((size_t)n, sizeof *event);
	OQ_REQUIRE(event);
	for (int64_t i = 0; i < n; i++) {
		event[i] = c->event[i] && !c->group[i];
		x[2 * i + 1] = c->group[i];
	}
	const oq_survival other = {c->time, event, n};
	OQ_CHECK(oq_cox_fit(&other, x, 2, OQ_COX_EFRON, &cox, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SEPARATION"));
	memset(event, 0, (size_t)n * sizeof *event);
	oq_concordance none;
	OQ_CHECK(oq_cox_fit(&other, x, 2, OQ_COX_EFRON, &cox, &err) == OQ_E_INPUT && !strcmp(err.code, "E_EVENTS"));
	OQ_CHECK(oq_concordance_measure(&other, c->score, OQ_CONCORDANCE_HARRELL, INFINITY, &none, &err) == OQ_E_INPUT && !strcmp(err.code, "E_EVENTS"));
	double time[2] = {1, -1};
	const oq_survival wrong = {time, event, 2};
	OQ_CHECK(oq_concordance_measure(&wrong, c->score, OQ_CONCORDANCE_HARRELL, INFINITY, &none, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TIME"));
	oq_free(event);
	oq_free(x);
}

/* Many columns: with next to no ridge the answer is that of the plain fit; at the answer the gradient vanishes, which is checked by taking
 * differences; more ridge, smaller coefficients; any number of threads gives the same bits. */
static void check_ridge(const cohort *c)
{
	oq_matrix m = read_matrix("A_m1");
	int64_t n = c->survival.count, *row = oq_alloc((size_t)n * sizeof *row);
	double *x = oq_alloc((size_t)(3 * n) * sizeof *x), *b = oq_calloc((size_t)(2 * m.columns), sizeof *b), *again = b + m.columns;
	float *few = oq_alloc((size_t)(3 * n) * sizeof *few);
	OQ_REQUIRE(row && x && b && few);
	for (int64_t i = 0; i < n; i++) {
		row[i] = i;
		for (int k = 0; k < 3; k++)
			x[3 * i + k] = (double)(few[3 * i + k] = oq_matrix_row(&m, i)[k]);
	}
	const oq_matrix three = {few, n, 3};
	oq_cox cox;
	oq_error err = {0};
	oq_cox_ridge ridge = {&three, row, 1e-9, 1};
	OQ_REQUIRE(oq_cox_fit(&c->survival, x, 3, OQ_COX_EFRON, &cox, &err) == OQ_OK);
	OQ_REQUIRE(oq_cox_ridge_fit(&c->survival, &ridge, b, &err) == OQ_OK);
	for (int k = 0; k < 3; k++)
		check_near("ridge", "b", b[k], cox.coefficient[k].b, 1e-7);
	ridge = (oq_cox_ridge){&m, row, 100, 1};
	memset(b, 0, (size_t)m.columns * sizeof *b);
	OQ_REQUIRE(oq_cox_ridge_fit(&c->survival, &ridge, b, &err) == OQ_OK);
	ridge.threads = 3;
	OQ_REQUIRE(oq_cox_ridge_fit(&c->survival, &ridge, again, &err) == OQ_OK);
	OQ_CHECK(!memcmp(b, again, (size_t)m.columns * sizeof *b));
	double *risk = oq_alloc((size_t)n * sizeof *risk), value[3];
	OQ_REQUIRE(risk);
	for (int64_t d = 0; d < 5; d++) {
		double mean = 0, square = 0;
		for (int64_t i = 0; i < n; i++)
			mean += (double)oq_matrix_row(&m, i)[d] / (double)n;
		for (int64_t i = 0; i < n; i++)
			square += pow((double)oq_matrix_row(&m, i)[d] - mean, 2) / (double)n;
		for (int side = 0; side < 3; side++) {
			double move = (side - 1) * 1e-4 / sqrt(square), penalty = 50 * square * pow(b[d] + move, 2);
			for (int64_t i = 0; i < n; i++) {
				risk[i] = 0;
				for (int64_t k = 0; k < m.columns; k++)
					risk[i] += (double)oq_matrix_row(&m, i)[k] * (b[k] + (k == d ? move : 0));
			}
			OQ_REQUIRE(oq_cox_likelihood(&c->survival, risk, &value[side], &err) == OQ_OK);
			value[side] -= penalty;
		}
		OQ_CHECK(value[1] > value[0] && value[1] > value[2]);
		OQ_CHECK_NEAR((value[2] - value[0]) / 2e-4, 0, 1e-4); /* against a curvature of the order of 100 */
	}
	double small = 0, large = 0;
	for (int64_t k = 0; k < m.columns; k++)
		large += b[k] * b[k];
	ridge.ridge = 1000;
	OQ_REQUIRE(oq_cox_ridge_fit(&c->survival, &ridge, b, &err) == OQ_OK);
	for (int64_t k = 0; k < m.columns; k++)
		small += b[k] * b[k];
	OQ_CHECK(small < large);
	ridge.ridge = 0;
	OQ_CHECK(oq_cox_ridge_fit(&c->survival, &ridge, b, &err) == OQ_E_USAGE);
	oq_free(row);
	oq_free(x);
	oq_free(b);
	oq_free(few);
	oq_free(risk);
	free_matrix(&m);
}

int main(void)
{
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/survival.json", &golden, &err) == OQ_OK);
	cohort c = open_cohort();
	check_concordance(golden, &c);
	check_curve(golden, &c);
	check_logrank(golden, &c);
	check_cox(golden, &c);
	check_refusals(&c);
	check_ridge(&c);
	close_cohort(&c);
	oq_json_free(golden);
	return oq_checks_done();
}
