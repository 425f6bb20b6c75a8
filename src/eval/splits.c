/* Splits as scikit-learn's StratifiedShuffleSplit makes them on numpy's legacy generator, and grouped folds of our own. */
#include "eval/splits.h"

#include "core/mem.h"
#include "eval/random.h"
#include "mt19937.h"
#include "pcg.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static oq_status open_split(int64_t rows, oq_split *out, oq_error *err)
{
	*out = (oq_split){.rows = oq_alloc((size_t)rows * sizeof *out->rows)};
	return out->rows ? OQ_OK : oq_fail_memory(err, "splits", (size_t)rows * sizeof *out->rows);
}

void oq_split_free(oq_split *split)
{
	oq_free(split->rows);
	*split = (oq_split){0};
}

/* How many of `draws` each class gets: the floor of its share, then one more for the largest remainders, equal ones in random order. */
static void share_out(const int64_t *counts, int classes, int64_t draws, oq_mt19937 *mt, int64_t *shares)
{
	double remainder[OQ_CLASSES], total = 0;
	int64_t missing = draws;
	for (int c = 0; c < classes; c++)
		total += (double)counts[c];
	for (int c = 0; c < classes; c++) {
		double exact = (double)counts[c] / total * (double)draws;
		shares[c] = (int64_t)floor(exact);
		remainder[c] = exact - floor(exact);
		missing -= shares[c];
	}
	for (double below = 2; missing > 0;) {
		int64_t tied[OQ_CLASSES], order[OQ_CLASSES], count = 0;
		double largest = -1;
		for (int c = 0; c < classes; c++)
			largest = remainder[c] < below && remainder[c] > largest ? remainder[c] : largest;
		if (largest < 0)
			return;
		for (int c = 0; c < classes; c++)
			if (!(remainder[c] < largest) && !(remainder[c] > largest))
				tied[count++] = c;
		oq_mt19937_permutation(mt, order, count);
		for (int64_t i = 0; i < count && missing > 0; i++, missing--)
			shares[tied[order[i]]]++;
		below = largest;
	}
}

/* What train_test_split works on: rows `from` (NULL: all) of a class each. */
typedef struct pool {
	const uint8_t *class;
	const int64_t *from;
	int64_t count;
	int classes;
} pool;

static int64_t row_of(const pool *p, int64_t i)
{
	return p->from ? p->from[i] : i;
}

static oq_status count_classes(const pool *p, int64_t train, int64_t test, int64_t *counts, oq_error *err)
{
	for (int c = 0; c < p->classes; c++)
		counts[c] = 0;
	for (int64_t i = 0; i < p->count; i++)
		counts[p->class[row_of(p, i)]]++;
	for (int c = 0; c < p->classes; c++)
		if (counts[c] < 2)
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "splits: %lld rows of class %d among %lld, expected at least 2", (long long)counts[c], c,
				(long long)p->count);
	if (train < p->classes || test < p->classes)
		return oq_fail(err, OQ_E_INPUT, "E_ROWS", "splits: %lld and %lld rows in two parts, expected at least one per class (%d)", (long long)train,
			(long long)test, p->classes);
	return OQ_OK;
}

/* train_test_split(test_size, random_state=seed, stratify): out[count], the larger part first. room[count]. */
static oq_status split_two(const pool *p, int64_t test, uint32_t seed, int64_t *room, int64_t *out, oq_error *err)
{
	int64_t counts[OQ_CLASSES], shares[OQ_CLASSES], tests[OQ_CLASSES], train = p->count - test, kept = 0, put = 0;
	oq_mt19937 mt;
	OQ_TRY(count_classes(p, train, test, counts, err));
	oq_mt19937_seed(&mt, seed);
	share_out(counts, p->classes, train, &mt, shares);
	for (int c = 0; c < p->classes; c++)
		counts[c] -= shares[c];
	share_out(counts, p->classes, test, &mt, tests);
	for (int c = 0; c < p->classes; c++) {
		/* the class's rows in their order, of which a permutation takes the first for training */
		int64_t own = 0, total = counts[c] + shares[c], *members = room, *order = room + total;
		for (int64_t i = 0; i < p->count; i++)
			if (p->class[row_of(p, i)] == c)
				members[own++] = row_of(p, i);
		oq_mt19937_permutation(&mt, order, total);
		for (int64_t i = 0; i < shares[c]; i++)
			out[kept++] = members[order[i]];
		for (int64_t i = 0; i < tests[c]; i++)
			out[train + put++] = members[order[shares[c] + i]];
	}
	oq_mt19937_shuffle(&mt, out, train);
	oq_mt19937_shuffle(&mt, out + train, test);
	return OQ_OK;
}

oq_status oq_split_reference(const uint8_t *class, int64_t rows, int classes, uint32_t seed, oq_split *out, oq_error *err)
{
	const double train_share = 0.5, val_share = 0.2; /* and these very expressions: the sizes hang on their rounding */
	OQ_TRY(open_split(rows, out, err));
	int64_t *room = oq_alloc(3 * (size_t)rows * sizeof *room), *rest = room + 2 * rows;
	oq_status status = room ? OQ_OK : oq_fail_memory(err, "splits", 3 * (size_t)rows * sizeof *room);
	if (status == OQ_OK) {
		out->test = (int64_t)ceil((1 - train_share - val_share) * (double)rows);
		int64_t others = rows - out->test;
		out->val = (int64_t)ceil(val_share / (train_share + val_share) * (double)others);
		out->train = others - out->val;
		status = split_two(&(pool){class, NULL, rows, classes}, out->test, seed, room, out->rows, err);
		memcpy(rest, out->rows, (size_t)others * sizeof *rest);
		if (status == OQ_OK)
			status = split_two(&(pool){class, rest, others, classes}, out->val, seed, room, out->rows, err);
	}
	oq_free(room);
	if (status != OQ_OK)
		oq_split_free(out);
	return status;
}

oq_status oq_split_unstratified(int64_t rows, uint32_t seed, oq_split *out, oq_error *err)
{
	oq_pcg pcg;
	OQ_TRY(open_split(rows, out, err));
	oq_pcg_seed(&pcg, seed);
	for (int64_t i = 0; i < rows; i++)
		out->rows[i] = i;
	for (int64_t i = rows - 1; i > 0; i--) {
		int64_t j = oq_pcg_interval(&pcg, (uint32_t)i), swap = out->rows[i];
		out->rows[i] = out->rows[j];
		out->rows[j] = swap;
	}
	out->train = (int64_t)(0.5 * (double)rows);
	out->val = (int64_t)(0.2 * (double)rows);
	out->test = rows - out->train - out->val;
	return OQ_OK;
}

typedef struct member {
	int64_t group, row, count; /* count: rows of the group, on its first member */
	uint64_t luck;             /* order among groups of one size */
} member;

static int by_group(const void *a, const void *b)
{
	const member *x = a, *y = b;
	int order = (x->group > y->group) - (x->group < y->group);
	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* The largest groups are dealt first: small ones even out what they leave. */
static int by_size(const void *a, const void *b)
{
	const member *x = a, *y = b;
	int order = (x->count < y->count) - (x->count > y->count);
	order = order ? order : (x->luck > y->luck) - (x->luck < y->luck);
	return order ? order : (x->row > y->row) - (x->row < y->row);
}

/* The fold that has the fewest rows of the group's rarest class, then the fewest rows, then comes first. */
static int choose_fold(const int64_t *dealt, int classes, int folds, int rarest)
{
	int best = 0;
	for (int f = 1; f < folds; f++) {
		const int64_t *now = dealt + f * (classes + 1), *than = dealt + best * (classes + 1);
		if (now[rarest] < than[rarest] || (now[rarest] == than[rarest] && now[classes] < than[classes]))
			best = f;
	}
	return best;
}

/* fold[rows] of every row. members: sorted by group. */
static oq_status deal(const member *members, int64_t rows, const uint8_t *class, int folds, member *heads, uint64_t key, uint8_t *fold, oq_error *err)
{
	int64_t counts[OQ_CLASSES] = {0}, groups = 0, *dealt = oq_calloc((size_t)folds * (OQ_CLASSES + 1), sizeof *dealt);
	if (!dealt)
		return oq_fail_memory(err, "splits", 0);
	for (int64_t i = 0; i < rows; i++) {
		counts[class[members[i].row]]++;
		if (!i || members[i].group != members[i - 1].group) {
			heads[groups] = (member){.group = i, .row = members[i].row, .luck = oq_random_mix(key + (uint64_t)members[i].row)};
			groups++;
		}
		heads[groups - 1].count++;
	}
	qsort(heads, (size_t)groups, sizeof *heads, by_size);
	for (int64_t g = 0; g < groups; g++) {
		const member *own = members + heads[g].group; /* here the place of the first member */
		int rarest = class[own->row];
		for (int64_t i = 0; i < heads[g].count; i++)
			rarest = counts[class[own[i].row]] < counts[rarest] ? class[own[i].row] : rarest;
		int f = choose_fold(dealt, OQ_CLASSES, folds, rarest);
		for (int64_t i = 0; i < heads[g].count; i++) {
			dealt[f * (OQ_CLASSES + 1) + class[own[i].row]]++;
			dealt[f * (OQ_CLASSES + 1) + OQ_CLASSES]++;
			fold[own[i].row] = (uint8_t)f;
		}
	}
	oq_free(dealt);
	return groups >= folds ? OQ_OK : oq_fail(err, OQ_E_INPUT, "E_ROWS", "splits: %lld patients, expected at least one per fold (%d)", (long long)groups, folds);
}

oq_status oq_split_grouped(const uint8_t *class, const int64_t *group, int64_t rows, int folds, uint64_t seed, int repeat, oq_split *out, oq_error *err)
{
	if (folds < 3 || folds > 255)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "splits: %d folds, expected 3 to 255", folds);
	member *members = oq_calloc(2 * (size_t)rows, sizeof *members);
	uint8_t *fold = oq_alloc((size_t)rows), *part = oq_alloc((size_t)rows);
	oq_status status = members && fold && part ? OQ_OK : oq_fail_memory(err, "splits", 2 * (size_t)rows * sizeof *members);
	for (int64_t r = 0; r < rows && status == OQ_OK; r++)
		members[r] = (member){.group = group[r], .row = r};
	if (status == OQ_OK) {
		qsort(members, (size_t)rows, sizeof *members, by_group);
		status = deal(members, rows, class, folds, members + rows, oq_random_key(seed, (uint64_t)repeat, 0), fold, err);
	}
	for (int f = 0; f < folds && status == OQ_OK; f++) {
		for (int64_t r = 0; r < rows; r++)
			part[r] = (uint8_t)(fold[r] == f ? 2 : fold[r] == (f + 1) % folds ? 1 : 0);
		status = oq_split_given(part, rows, &out[f], err);
	}
	oq_free(members);
	oq_free(fold);
	oq_free(part);
	return status;
}

oq_status oq_split_given(const uint8_t *part, int64_t rows, oq_split *out, oq_error *err)
{
	int64_t at = 0, counts[3] = {0};
	OQ_TRY(open_split(rows, out, err));
	for (uint8_t p = 0; p < 3; p++)
		for (int64_t r = 0; r < rows; r++)
			if (part[r] == p) {
				out->rows[at++] = r;
				counts[p]++;
			}
	out->train = counts[0];
	out->val = counts[1];
	out->test = counts[2];
	return OQ_OK;
}

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

oq_status oq_split_leaks(const oq_split *split, const int64_t *group, int64_t rows, int64_t *leaks, oq_error *err)
{
	int64_t *seen = oq_alloc((size_t)rows * sizeof *seen);
	if (!seen)
		return oq_fail_memory(err, "splits", (size_t)rows * sizeof *seen);
	for (int64_t i = 0; i < split->train; i++)
		seen[i] = group[split->rows[i]];
	qsort(seen, (size_t)split->train, sizeof *seen, ascending);
	*leaks = 0;
	for (int64_t i = 0; i < split->test; i++)
		*leaks += bsearch(&group[oq_split_test(split)[i]], seen, (size_t)split->train, sizeof *seen, ascending) != NULL;
	oq_free(seen);
	return OQ_OK;
}

oq_status oq_grid_order(int count, int *order, oq_error *err)
{
	int64_t *values = oq_alloc((size_t)count * sizeof *values);
	oq_mt19937 mt;
	if (!values)
		return oq_fail_memory(err, "grid", (size_t)count * sizeof *values);
	oq_mt19937_seed(&mt, 0);
	oq_mt19937_permutation(&mt, values, count);
	for (int i = 0; i < count; i++)
		order[i] = (int)values[i] + 1;
	oq_free(values);
	return OQ_OK;
}

oq_status oq_few_shot_draw(const oq_split *split, const uint8_t *class, int classes, int shots, uint32_t seed, int64_t *picked, oq_error *err)
{
	oq_mt19937 mt;
	int64_t *members = oq_alloc(2 * (size_t)split->train * sizeof *members), *order = members + split->train;
	oq_status status = members ? OQ_OK : oq_fail_memory(err, "few-shot", 2 * (size_t)split->train * sizeof *members);
	oq_mt19937_seed(&mt, seed);
	for (int c = 0; c < classes && status == OQ_OK; c++) {
		int64_t count = 0;
		for (int64_t i = 0; i < split->train; i++)
			if (class[split->rows[i]] == c)
				members[count++] = i;
		if (count < shots) {
			status = oq_fail(err, OQ_E_INPUT, "E_ROWS", "few-shot: %lld training rows of class %d, expected at least %d", (long long)count, c, shots);
			break;
		}
		oq_mt19937_permutation(&mt, order, count);
		for (int i = 0; i < shots; i++)
			*picked++ = members[order[i]];
	}
	oq_free(members);
	return status;
}
