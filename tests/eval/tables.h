/* Reading columns of the goldens' tables. */
#ifndef OQ_TESTS_EVAL_TABLES_H
#define OQ_TESTS_EVAL_TABLES_H

#include "matrices.h"

#include "io/table.h"

static inline oq_table *read_table(const char *name)
{
	char path[1024];
	oq_table *table = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/eval/%s.csv", OQ_TEST_DATA, name);
	OQ_REQUIRE(oq_table_read(path, &table, &err) == OQ_OK);
	return table;
}

/* Free with oq_free. */
static inline double *read_column(const oq_table *table, const char *name)
{
	int at = oq_table_find(table, name);
	int64_t rows = oq_table_rows(table);
	double *values = oq_alloc((size_t)rows * sizeof *values);
	OQ_REQUIRE(at >= 0 && values);
	for (int64_t r = 0; r < rows; r++)
		OQ_REQUIRE(oq_parse_number(oq_table_cell(table, r, at), &values[r]));
	return values;
}

static inline bool *read_labels(const oq_table *table, const char *name)
{
	double *values = read_column(table, name);
	bool *label = oq_alloc((size_t)oq_table_rows(table) * sizeof *label);
	OQ_REQUIRE(label);
	for (int64_t r = 0; r < oq_table_rows(table); r++)
		label[r] = values[r] > 0;
	oq_free(values);
	return label;
}

static inline double field(const oq_json *object, const char *key)
{
	return oq_json_number(oq_json_get(object, key));
}

#endif
