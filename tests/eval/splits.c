/* The reference's splits, grid order and draws to the bit (tests/data/eval: scikit-learn, numpy, optuna), and what grouped folds promise. */
#include "labels.h"

static void check_reference(const oq_json *golden, const char *set)
{
	int64_t rows;
	oq_error err;
	uint8_t *class = read_classes(set, "y", &rows);
	for (const oq_json *want = oq_json_first(get(golden, "splits", set, NULL)); want; want = oq_json_next(want)) {
		oq_split split;
		const char *key = oq_json_key(want);
		if (!strncmp(key, "nonstrat", 8))
			OQ_REQUIRE(oq_split_unstratified(rows, (uint32_t)atoi(key + 8), &split, &err) == OQ_OK);
		else
			OQ_REQUIRE(oq_split_reference(class, rows, 2, (uint32_t)atoi(key), &split, &err) == OQ_OK);
		check_split(&split, want);
		oq_split_free(&split);
	}
	oq_free(class);
}

static void check_orders(const oq_json *golden)
{
	int order[50];
	oq_error err;
	for (const oq_json *want = oq_json_first(oq_json_get(golden, "gridsampler_order")); want; want = oq_json_next(want)) {
		int count = atoi(oq_json_key(want)), at = 0;
		OQ_REQUIRE(count <= 50 && oq_grid_order(count, order, &err) == OQ_OK);
		for (const oq_json *e = oq_json_first(want); e; e = oq_json_next(e), at++)
			OQ_CHECK_INT(order[at], oq_json_number(e));
		OQ_CHECK_INT(at, count);
	}
}

static void check_draws(void)
{
	oq_json *golden = read_golden("few_shot");
	oq_error err;
	for (const oq_json *set = oq_json_first(oq_json_get(golden, "datasets")); set; set = oq_json_next(set)) {
		int64_t rows, picked[40];
		uint8_t *class = read_classes(oq_json_key(set), "y", &rows);
		for (const oq_json *shots = oq_json_first(set); shots; shots = oq_json_next(shots))
			for (const oq_json *run = oq_json_first(oq_json_get(shots, "runs")); run; run = oq_json_next(run)) {
				oq_split split;
				int n = atoi(oq_json_key(shots));
				OQ_REQUIRE(oq_split_reference(class, rows, 2, (uint32_t)number(run, "split_seed"), &split, &err) == OQ_OK);
				OQ_REQUIRE(oq_few_shot_draw(&split, class, 2, n, (uint32_t)number(run, "np_seed"), picked, &err) == OQ_OK);
				check_rows("picked", picked, 2 * n, oq_json_get(run, "selected_positions_in_train"));
				OQ_CHECK(oq_few_shot_draw(&split, class, 2, 100000, 0, picked, &err) == OQ_E_INPUT);
				oq_split_free(&split);
			}
		oq_free(class);
	}
	oq_json_free(golden);
}

/* 300 rows of 120 patients, a tenth positive: no patient on two sides, every row tested once, positives spread to within a patient's rows. */
static void check_grouped(void)
{
	enum { ROWS = 300, FOLDS = 5 };
	uint8_t class[ROWS], tested[ROWS] = {0};
	int64_t group[ROWS], leaks, positives;
	oq_split folds[FOLDS], again[FOLDS];
	oq_error err;
	for (int r = 0; r < ROWS; r++) {
		group[r] = 1000 - (r * 7) % 120;
		class[r] = r % 10 == 3;
	}
	OQ_REQUIRE(oq_split_grouped(class, group, ROWS, FOLDS, 1, 0, folds, &err) == OQ_OK);
	OQ_REQUIRE(oq_split_grouped(class, group, ROWS, FOLDS, 1, 1, again, &err) == OQ_OK);
	bool same = true;
	for (int f = 0; f < FOLDS; f++) {
		OQ_CHECK_INT(folds[f].train + folds[f].val + folds[f].test, ROWS);
		OQ_REQUIRE(oq_split_leaks(&folds[f], group, ROWS, &leaks, &err) == OQ_OK);
		OQ_CHECK_INT(leaks, 0);
		positives = 0;
		for (int64_t i = 0; i < folds[f].test; i++) {
			tested[oq_split_test(&folds[f])[i]]++;
			positives += class[oq_split_test(&folds[f])[i]];
		}
		OQ_CHECK(positives >= 4 && positives <= 8);
		OQ_CHECK(folds[f].test >= 55 && folds[f].test <= 65);
		same = same && folds[f].test == again[f].test && !memcmp(oq_split_test(&folds[f]), oq_split_test(&again[f]), (size_t)folds[f].test * sizeof(int64_t));
		OQ_CHECK_INT(oq_split_test(&folds[f])[0], oq_split_val(&folds[(f + FOLDS - 1) % FOLDS])[0]);
	}
	OQ_CHECK(!same);
	for (int r = 0; r < ROWS; r++)
		OQ_CHECK_INT(tested[r], 1);
	for (int f = 0; f < FOLDS; f++) {
		oq_split_free(&folds[f]);
		oq_split_free(&again[f]);
	}
	for (int r = 0; r < ROWS; r++)
		group[r] = r % 4;
	OQ_CHECK(oq_split_grouped(class, group, ROWS, FOLDS, 1, 0, folds, &err) == OQ_E_INPUT);
	for (int f = 0; f < FOLDS; f++)
		oq_split_free(&folds[f]);
}

static void check_refused(void)
{
	const uint8_t lonely[12] = {0, 1}, fine[12] = {0, 1, 0, 1};
	oq_split split;
	oq_error err;
	OQ_CHECK(oq_split_reference(lonely, 12, 2, 10, &split, &err) == OQ_E_INPUT && !strcmp(err.code, "E_LABELS"));
	OQ_CHECK(oq_split_reference(fine, 4, 2, 10, &split, &err) == OQ_E_INPUT);
}

int main(void)
{
	oq_json *golden = read_golden("splits");
	check_reference(golden, "A");
	check_reference(golden, "B");
	check_reference(golden, "C");
	check_orders(golden);
	check_draws();
	check_grouped();
	check_refused();
	oq_json_free(golden);
	return oq_checks_done();
}
