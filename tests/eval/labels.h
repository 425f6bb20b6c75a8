/* Class columns of the goldens' labels, and what their JSON is read with. */
#ifndef OQ_TESTS_EVAL_LABELS_H
#define OQ_TESTS_EVAL_LABELS_H

#include "matrices.h"

#include "eval/splits.h"
#include "io/table.h"

static inline uint8_t *read_classes(const char *set, const char *column, int64_t *rows)
{
	char path[1024];
	oq_table *table = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/%c_labels.csv", OQ_TEST_DATA, set[0]);
	OQ_REQUIRE(oq_table_read(path, &table, &err) == OQ_OK);
	int at = oq_table_find(table, column);
	*rows = oq_table_rows(table);
	uint8_t *class = oq_alloc((size_t)*rows);
	OQ_REQUIRE(at >= 0 && class);
	for (int64_t r = 0; r < *rows; r++)
		class[r] = (uint8_t)atoi(oq_table_cell(table, r, at));
	oq_table_free(table);
	return class;
}

static inline const oq_json *get(const oq_json *root, const char *a, const char *b, const char *c)
{
	const oq_json *at = oq_json_get(root, a);
	at = b ? oq_json_get(at, b) : at;
	at = c ? oq_json_get(at, c) : at;
	OQ_REQUIRE(at != NULL);
	return at;
}

static inline double number(const oq_json *root, const char *key)
{
	return oq_json_number(oq_json_get(root, key));
}

static inline oq_json *read_golden(const char *name)
{
	char path[1024];
	oq_json *golden = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/%s.json", OQ_TEST_DATA, name);
	OQ_REQUIRE(oq_json_read_file(path, &golden, &err) == OQ_OK);
	return golden;
}

static inline void check_rows(const char *what, const int64_t *got, int64_t count, const oq_json *want)
{
	int64_t at = 0, wrong = 0;
	for (const oq_json *e = oq_json_first(want); e; e = oq_json_next(e), at++)
		wrong += at >= count || (int64_t)oq_json_number(e) != got[at];
	if (wrong || at != count)
		fprintf(stderr, "%s: %lld rows of %lld differ, %lld expected\n", what, (long long)wrong, (long long)count, (long long)at);
	OQ_CHECK(wrong == 0 && at == count);
}

static inline void check_split(const oq_split *split, const oq_json *want)
{
	check_rows("train", split->rows, split->train, oq_json_get(want, "train"));
	check_rows("val", oq_split_val(split), split->val, oq_json_get(want, "val"));
	check_rows("test", oq_split_test(split), split->test, oq_json_get(want, "test"));
}

#endif
