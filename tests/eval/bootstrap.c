/* The bootstrap against its reference loop (tests/data/eval/bootstrap.json): the very draws, and intervals to the 1e-12 stated there. */
#include "tables.h"

#include "eval/auc.h"
#include "eval/bootstrap.h"
#include "eval/quantile.h"

#define MOST 1000

typedef struct scores {
	const double *a, *b;
	const bool *label;
	int64_t seen[2][MOST]; /* rows of the first two resamples: only filled with one thread */
	int resamples;
} scores;

/* AUC of a, of b, and the difference */
static oq_status measure(void *context, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	scores *s = context;
	double *picked = oq_alloc((size_t)(2 * count) * sizeof *picked);
	bool *label = oq_alloc((size_t)count * sizeof *label);
	OQ_REQUIRE(picked && label && count <= MOST);
	int64_t positives = 0;
	for (int64_t i = 0; i < count; i++) {
		picked[i] = s->a[row[i]];
		picked[count + i] = s->b[row[i]];
		label[i] = s->label[row[i]];
		positives += label[i];
	}
	oq_auc_pair pair = {0};
	oq_status status = OQ_OK;
	values[0] = NAN;
	if (positives > 0 && positives < count) {
		status = oq_auc_compare(picked, picked + count, label, count, &pair, err);
		values[0] = pair.a.auc;
		values[1] = pair.b.auc;
		values[2] = pair.difference;
	}
	oq_free(picked);
	oq_free(label);
	return status;
}

static oq_status remember(void *context, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	scores *s = context;
	if (s->resamples < 2)
		memcpy(s->seen[s->resamples++], row, (size_t)count * sizeof *row);
	return measure(context, row, count, values, err);
}

static void check_ends(const char *key, const oq_json *run, double *draws, int resamples, double level)
{
	oq_interval got = oq_bootstrap_interval(draws, resamples, level);
	const oq_json *want = oq_json_get(run, key);
	check_near("bootstrap", key, got.low, oq_json_number(oq_json_first(want)), 1e-12);
	check_near("bootstrap", key, got.high, oq_json_number(oq_json_next(oq_json_first(want))), 1e-12);
}

static void check_rows(const oq_json *run, const scores *s)
{
	const oq_json *resample = oq_json_first(oq_json_get(run, "first_two_resamples_first40"));
	for (int r = 0; r < 2; r++, resample = oq_json_next(resample)) {
		OQ_REQUIRE(resample);
		int64_t at = 0;
		for (const oq_json *v = oq_json_first(resample); v; v = oq_json_next(v))
			OQ_CHECK_INT(s->seen[r][at++], (int64_t)oq_json_number(v));
	}
}

static void check_run(const oq_json *run, uint64_t seed)
{
	const char *kind = oq_json_string(oq_json_get(run, "kind")), *name = oq_json_string(oq_json_get(run, "a"));
	bool cluster = !strcmp(kind, "cluster");
	oq_table *table = read_table(!strcmp(name, "lr") ? "scores_C" : "scores_A");
	int64_t rows = oq_table_rows(table), redraws = -1, *group = oq_alloc((size_t)rows * sizeof *group);
	double *a = read_column(table, name), *b = read_column(table, oq_json_string(oq_json_get(run, "b"))), *patient = cluster ? read_column(table, "patient") : NULL;
	bool *label = read_labels(table, "y");
	scores *s = oq_calloc(1, sizeof *s);
	int resamples = (int)field(run, "B");
	double *draws = oq_alloc((size_t)(6 * resamples) * sizeof *draws), *again = draws + 3 * resamples;
	OQ_REQUIRE(group && s && draws);
	for (int64_t r = 0; r < rows; r++)
		group[r] = cluster ? (int64_t)patient[r] : 0;
	*s = (scores){.a = a, .b = b, .label = label};
	oq_bootstrap plan = {.rows = rows, .label = !strcmp(kind, "stratified") ? label : NULL, .group = cluster ? group : NULL, .seed = seed,
		.resamples = resamples, .threads = 1};
	oq_error err;
	OQ_REQUIRE(oq_bootstrap_run(&plan, remember, s, 3, draws, &redraws, &err) == OQ_OK);
	OQ_CHECK_INT(redraws, (int64_t)field(run, "redraws"));
	plan.threads = 3;
	OQ_REQUIRE(oq_bootstrap_run(&plan, measure, s, 3, again, NULL, &err) == OQ_OK);
	OQ_CHECK(!memcmp(draws, again, (size_t)(3 * resamples) * sizeof *draws));
	check_rows(run, s);
	int at = 0;
	for (const oq_json *v = oq_json_first(oq_json_get(run, "first10_auc_a")); v; v = oq_json_next(v))
		check_near(kind, "first10", draws[at++], oq_json_number(v), 1e-12);
	check_ends("auc_a_ci", run, draws, resamples, 0.95);
	check_ends("auc_b_ci", run, draws + resamples, resamples, 0.95);
	check_ends("delta_ci", run, draws + 2 * resamples, resamples, 0.95);
	check_ends("delta_ci90", run, draws + 2 * resamples, resamples, 0.9);
	oq_free(a);
	oq_free(b);
	oq_free(patient);
	oq_free(label);
	oq_free(group);
	oq_free(s);
	oq_free(draws);
	oq_table_free(table);
}

static oq_status never(void *context, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	(void)context, (void)row, (void)count, (void)err;
	values[0] = NAN;
	return OQ_OK;
}

/* One positive case among four: a resample without it, or of it alone, is drawn again. */
static void check_redraws(void)
{
	const double score[4] = {1, 2, 3, 4};
	const bool label[4] = {false, false, false, true};
	scores s = {.a = score, .b = score, .label = label};
	double draws[300];
	int64_t redraws = 0;
	oq_error err = {0};
	oq_bootstrap plan = {.rows = 4, .seed = 1, .resamples = 100, .threads = 2};
	OQ_REQUIRE(oq_bootstrap_run(&plan, measure, &s, 3, draws, &redraws, &err) == OQ_OK && redraws > 10);
	for (int i = 0; i < 100; i++)
		OQ_CHECK_NEAR(draws[i], 1, 0);
	OQ_CHECK(oq_bootstrap_run(&plan, never, NULL, 1, draws, NULL, &err) == OQ_E_INPUT && !strcmp(err.code, "E_RESAMPLE"));
	const int64_t group[4] = {0, 1, 2, 3};
	plan.label = label;
	plan.group = group;
	OQ_CHECK(oq_bootstrap_run(&plan, measure, &s, 3, draws, NULL, &err) == OQ_E_USAGE);
}

int main(void)
{
	oq_json *golden = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_read_file(OQ_TEST_DATA "/eval/bootstrap.json", &golden, &err) == OQ_OK);
	uint64_t seed = strtoull(oq_json_string(oq_json_get(golden, "seed_hex")), NULL, 16);
	for (const oq_json *run = oq_json_first(oq_json_get(golden, "runs")); run; run = oq_json_next(run))
		check_run(run, seed);
	check_redraws();
	oq_json_free(golden);
	return oq_checks_done();
}
