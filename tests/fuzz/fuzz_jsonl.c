/* Any text through the reader of JSON lines; every cell must be readable, and the table must not be larger than its text allows. */
#include "fuzz.h"

#include "io/table.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_table *table = NULL;
	oq_error err;
	size_t length = 0;
	if (oq_table_parse_jsonl((const char *)data, size, "fuzz", &table, &err) != OQ_OK)
		return 0;
	for (int64_t r = 0; r < oq_table_rows(table); r++)
		for (int c = 0; c < oq_table_columns(table); c++)
			length += strlen(oq_table_cell(table, r, c));
	/* A number of n digits prints as at most 24 characters. */
	if (length > 24 * size || (uint64_t)oq_table_rows(table) * (uint64_t)oq_table_columns(table) > 4 * size + 8192)
		abort();
	oq_table_free(table);
	return 0;
}
