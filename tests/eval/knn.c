/* kNN against scikit-learn in float64 with ties by (distance, position), and the choice of k against optuna runs (tests/data/eval: knn, knn_tiny,
 * knn_ties). Tolerance 1e-12 where no row has a tie at the k-th neighbour, as stated there: ties of rounding are no ties of ours. */
#include "labels.h"

#include "eval/knn.h"
#include "eval/roc.h"

#define MOST 50

typedef struct set {
	const char *name;
	oq_matrix x;
	uint8_t *class;
	int64_t rows;
} set;

/* All rows, or those of an ascending list. */
static set open_set(const char *name, const oq_json *rows)
{
	set s = {.name = name, .x = read_matrix(name)};
	s.class = read_classes(name, "y", &s.rows);
	OQ_REQUIRE(s.rows == s.x.rows);
	union { const float *in; float *out; } data = {s.x.data};
	int64_t at = 0;
	for (const oq_json *e = oq_json_first(rows); e; e = oq_json_next(e), at++) {
		int64_t from = (int64_t)oq_json_number(e);
		OQ_REQUIRE(from >= at && from < s.rows);
		memmove(data.out + at * s.x.columns, oq_matrix_row(&s.x, from), (size_t)s.x.columns * sizeof(float));
		s.class[at] = s.class[from];
	}
	s.x.rows = s.rows = rows ? at : s.rows;
	return s;
}

static void close_set(set *s)
{
	free_matrix(&s->x);
	oq_free(s->class);
}

static double area_of(const set *s, const oq_split *split, const oq_knn_votes *votes, bool test, int k)
{
	int64_t count = test ? split->test : split->val, first = test ? split->val : 0;
	const int64_t *rows = test ? oq_split_test(split) : oq_split_val(split);
	double *shares = oq_alloc((size_t)count * sizeof *shares), area;
	uint8_t *class = oq_alloc((size_t)count);
	oq_error err;
	OQ_REQUIRE(shares && class);
	oq_knn_shares(votes, first, count, k, 2, shares);
	for (int64_t i = 0; i < count; i++)
		class[i] = s->class[rows[i]];
	OQ_REQUIRE(oq_roc_mean(OQ_ROC_REFERENCE, shares, class, 2, count, &area, &err) == OQ_OK);
	oq_free(shares);
	oq_free(class);
	return area;
}

/* As the reference chooses: the first to reach the maximum, in the grid's order. */
static int choose(const double *areas, int most)
{
	int order[MOST], best = 0;
	oq_error err;
	OQ_REQUIRE(oq_grid_order(most, order, &err) == OQ_OK);
	for (int i = 1; i < most; i++)
		if (areas[order[i] - 1] > areas[order[best] - 1])
			best = i;
	return order[best];
}

/* Where ties make no difference, the figure; the ties themselves always. */
static void check_seed(const set *s, const oq_split *split, const oq_knn_votes *votes, const oq_json *want)
{
	const oq_json *det = oq_json_get(want, "det64"), *area = oq_json_first(oq_json_get(det, "val_auc"));
	const oq_json *ties = oq_json_first(oq_json_get(det, "val_rows_with_tie_at_boundary"));
	double areas[MOST];
	bool sure = true;
	for (int k = 1; k <= MOST; k++, area = oq_json_next(area), ties = oq_json_next(ties)) {
		areas[k - 1] = area_of(s, split, votes, false, k);
		if (oq_json_number(ties) > 0)
			sure = false;
		else
			check_near(s->name, "val AUC", areas[k - 1], oq_json_number(area), 1e-12);
		OQ_CHECK_INT(oq_knn_ties(votes, 0, split->val, k), oq_json_number(ties));
	}
	int k = choose(areas, MOST);
	if (!sure)
		return;
	OQ_CHECK_INT(k, number(det, "k_ref"));
	int64_t test_ties = oq_knn_ties(votes, split->val, split->test, k);
	OQ_CHECK_INT(test_ties, number(det, "test_rows_with_tie_at_boundary"));
	if (!test_ties)
		check_near(s->name, "test AUC", area_of(s, split, votes, true, k), number(det, "test_auc_k_ref"), 1e-12);
}

static void check_shares(const set *s, const oq_split *split, const oq_knn_votes *votes, const oq_json *want)
{
	const oq_json *share = oq_json_first(oq_json_get(want, "test_proba_pos_k_ref_det64"));
	double *shares = oq_alloc((size_t)split->test * sizeof *shares);
	OQ_REQUIRE(shares);
	if (share)
		oq_knn_shares(votes, split->val, split->test, (int)number(oq_json_get(want, "det64"), "k_ref"), 2, shares);
	for (int64_t i = 0; share; i++, share = oq_json_next(share))
		if (!(votes->tied[split->val + i] >> (int)number(oq_json_get(want, "det64"), "k_ref") & 1))
			check_near(s->name, "share", shares[i], oq_json_number(share), 1e-12);
	oq_free(shares);
}

static void check_set(const char *name, const oq_json *golden)
{
	set s = open_set(name, NULL);
	oq_split splits[10];
	oq_knn_votes votes[10], again[10];
	oq_error err;
	for (int i = 0; i < 10; i++)
		OQ_REQUIRE(oq_split_reference(s.class, s.rows, 2, (uint32_t)(10 + i), &splits[i], &err) == OQ_OK);
	OQ_REQUIRE(oq_knn_vote(&s.x, s.class, splits, 10, MOST, 1, votes, &err) == OQ_OK);
	OQ_REQUIRE(oq_knn_vote_by(OQ_KNN_FILTERED, &s.x, s.class, splits, 10, MOST, 3, again, &err) == OQ_OK);
	for (int i = 0; i < 10; i++) {
		char seed[8];
		snprintf(seed, sizeof seed, "%d", 10 + i);
		const oq_json *want = get(golden, "per_seed", seed, NULL);
		check_seed(&s, &splits[i], &votes[i], want);
		check_shares(&s, &splits[i], &votes[i], want);
		/* the fast way: the same bits, also where all rows are alike (A_m3) or twins (B) */
		OQ_CHECK(!memcmp(votes[i].classes, again[i].classes, (size_t)votes[i].queries * MOST));
		OQ_CHECK(!memcmp(votes[i].tied, again[i].tied, (size_t)votes[i].queries * sizeof *votes[i].tied));
		oq_knn_votes_free(&votes[i]);
		oq_knn_votes_free(&again[i]);
		oq_split_free(&splits[i]);
	}
	close_set(&s);
}

/* More training rows alike than a query's pool holds: measured one and all, to the same votes. */
static void check_alike(void)
{
	enum { ROWS = 60000, COLUMNS = 3, QUERIES = 8, K = 7 };
	float *data = malloc(ROWS * COLUMNS * sizeof *data);
	uint8_t *class = malloc(ROWS);
	oq_split splits[2];
	oq_knn_votes plain[2], fast[2];
	oq_error err;
	OQ_REQUIRE(data && class);
	for (int i = 0; i < ROWS * COLUMNS; i++)
		data[i] = 1 + 1e-6f * (float)(i * 7919 % 1009);
	for (int s = 0; s < 2; s++) {
		splits[s] = (oq_split){malloc(ROWS * sizeof *splits[s].rows), ROWS - QUERIES, QUERIES / 2, QUERIES / 2};
		OQ_REQUIRE(splits[s].rows);
		for (int i = 0; i < ROWS; i++) {
			splits[s].rows[i] = s ? ROWS - 1 - i : i;
			class[i] = i * 31 % 7 < 3;
		}
	}
	OQ_REQUIRE(oq_knn_vote_by(OQ_KNN_PLAIN, &(oq_matrix){data, ROWS, COLUMNS}, class, splits, 2, K, 1, plain, &err) == OQ_OK);
	OQ_REQUIRE(oq_knn_vote_by(OQ_KNN_FILTERED, &(oq_matrix){data, ROWS, COLUMNS}, class, splits, 2, K, 2, fast, &err) == OQ_OK);
	for (int s = 0; s < 2; s++) {
		OQ_CHECK(!memcmp(plain[s].classes, fast[s].classes, QUERIES * K));
		OQ_CHECK(!memcmp(plain[s].tied, fast[s].tied, QUERIES * sizeof *plain[s].tied));
		oq_knn_votes_free(&plain[s]);
		oq_knn_votes_free(&fast[s]);
		free(splits[s].rows);
	}
	free(data);
	free(class);
}

/* Runs of a whole study on given splits: few positives, and tied maxima. */
static void check_runs(const char *file, const char *name)
{
	oq_json *golden = read_golden(file);
	set s = open_set(name, oq_json_get(golden, "rows_of_C"));
	oq_error err;
	for (const oq_json *run = oq_json_first(oq_json_get(golden, "runs")); run; run = oq_json_next(run)) {
		oq_split split;
		oq_knn_votes votes;
		double areas[MOST];
		int most = oq_json_count(oq_json_get(run, "val_auc"));
		OQ_REQUIRE(oq_split_reference(s.class, s.rows, 2, (uint32_t)number(run, "seed"), &split, &err) == OQ_OK);
		check_split(&split, run);
		OQ_REQUIRE(oq_knn_vote(&s.x, s.class, &split, 1, most, 2, &votes, &err) == OQ_OK);
		const oq_json *area = oq_json_first(oq_json_get(run, "val_auc"));
		for (int k = 1; k <= most; k++, area = oq_json_next(area)) {
			areas[k - 1] = area_of(&s, &split, &votes, false, k);
			OQ_CHECK(areas[k - 1] == oq_json_number(area)); /* to the bit: ties of the maximum hang on its rounding */
		}
		OQ_CHECK_INT(choose(areas, most), number(run, "k_ref"));
		check_near(file, "test AUC", area_of(&s, &split, &votes, true, choose(areas, most)), number(run, "test_auc_k_ref"), 1e-12);
		oq_knn_votes_free(&votes);
		OQ_CHECK(oq_knn_vote(&s.x, s.class, &split, 1, (int)split.train + 1, 1, &votes, &err) == OQ_E_INPUT && !strcmp(err.code, "E_NEIGHBOURS"));
		oq_knn_votes_free(&votes);
		oq_split_free(&split);
	}
	close_set(&s);
	oq_json_free(golden);
}

/* Exact areas: by definition, pair by pair, with ties and three classes. */
static void check_areas(void)
{
	enum { N = 60 };
	double score[3 * N], area, sum = 0;
	uint8_t class[N];
	oq_error err;
	for (int i = 0; i < N; i++) {
		class[i] = (uint8_t)(i * 7 % 3);
		for (int c = 0; c < 3; c++)
			score[3 * i + c] = (double)((i * 13 + c * 5) % 8);
	}
	for (int c = 0; c < 3; c++) {
		double right = 0, pairs = 0;
		for (int i = 0; i < N; i++)
			for (int j = 0; j < N; j++)
				if (class[i] == c && class[j] != c) {
					right += score[3 * i + c] > score[3 * j + c] ? 1 : score[3 * i + c] < score[3 * j + c] ? 0 : 0.5;
					pairs++;
				}
		OQ_REQUIRE(oq_roc_area(OQ_ROC_EXACT, score + c, 3, class, c, N, &area, &err) == OQ_OK);
		OQ_CHECK(area == right / pairs);
		OQ_REQUIRE(oq_roc_area(OQ_ROC_REFERENCE, score + c, 3, class, c, N, &area, &err) == OQ_OK);
		OQ_CHECK_NEAR(area, right / pairs, 1e-14);
		sum += right / pairs;
	}
	OQ_REQUIRE(oq_roc_mean(OQ_ROC_EXACT, score, class, 3, N, &area, &err) == OQ_OK);
	OQ_CHECK_NEAR(area, sum / 3, 1e-15);
	OQ_REQUIRE(oq_roc_area(OQ_ROC_EXACT, score, 3, class, 9, N, &area, &err) == OQ_OK);
	OQ_CHECK(isnan(area));
}

/* Large enough to be filtered by itself: 6000 rows in clumps, some of zeros, against the plain way. */
static void check_filtered(void)
{
	enum { ROWS = 6000, COLUMNS = 37, SPLITS = 3 };
	float *data = oq_alloc((size_t)ROWS * COLUMNS * sizeof *data);
	uint8_t *class = oq_alloc(ROWS);
	oq_split splits[SPLITS];
	oq_knn_votes fast[SPLITS], plain[SPLITS];
	oq_error err;
	uint32_t state = 7;
	OQ_REQUIRE(data && class);
	for (int64_t r = 0; r < ROWS; r++) {
		class[r] = (uint8_t)(r % 3);
		for (int d = 0; d < COLUMNS; d++) {
			state = state * 1664525u + 1013904223u;
			data[r * COLUMNS + d] = r % 500 == 7 ? 0 : (float)(state >> 8) / 16777216.0f + (float)(r % 5 * d % 7);
		}
		if (r % 3 == 1) /* a twin of another length */
			for (int d = 0; d < COLUMNS; d++)
				data[r * COLUMNS + d] = 2 * data[(r - 1) * COLUMNS + d];
	}
	oq_matrix x = {data, ROWS, COLUMNS};
	for (int i = 0; i < SPLITS; i++)
		OQ_REQUIRE(oq_split_reference(class, ROWS, 3, (uint32_t)i, &splits[i], &err) == OQ_OK);
	OQ_REQUIRE(oq_knn_vote(&x, class, splits, SPLITS, 20, 2, fast, &err) == OQ_OK);
	OQ_REQUIRE(oq_knn_vote_by(OQ_KNN_PLAIN, &x, class, splits, SPLITS, 20, 2, plain, &err) == OQ_OK);
	for (int i = 0; i < SPLITS; i++) {
		OQ_CHECK(!memcmp(fast[i].classes, plain[i].classes, (size_t)fast[i].queries * 20));
		OQ_CHECK(!memcmp(fast[i].tied, plain[i].tied, (size_t)fast[i].queries * sizeof *fast[i].tied));
		oq_knn_votes_free(&fast[i]);
		oq_knn_votes_free(&plain[i]);
		oq_split_free(&splits[i]);
	}
	oq_free(data);
	oq_free(class);
}

int main(void)
{
	oq_json *golden = read_golden("knn");
	for (const oq_json *one = oq_json_first(oq_json_get(golden, "datasets")); one; one = oq_json_next(one))
		check_set(oq_json_key(one), one);
	oq_json_free(golden);
	check_runs("knn_tiny", "C");
	check_runs("knn_ties", "T");
	check_areas();
	check_filtered();
	check_alike();
	return oq_checks_done();
}
