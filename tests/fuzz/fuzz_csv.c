/* Any text through the CSV reader; every cell must be readable, numbers through the strict parser. */
#include "fuzz.h"

#include "io/table.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_table *table = NULL;
	oq_error err;
	size_t length = 0;
	if (oq_table_parse((const char *)data, size, "fuzz", &table, &err) != OQ_OK)
		return 0;
	for (int64_t r = 0; r < oq_table_rows(table); r++)
		for (int c = 0; c < oq_table_columns(table); c++) {
			double number;
			length += strlen(oq_table_cell(table, r, c)) + oq_parse_number(oq_table_cell(table, r, c), &number);
			length += oq_table_line(table, r) > 0;
		}
	if (length > 3 * size + 2 * (size_t)(oq_table_rows(table) * oq_table_columns(table)))
		abort();
	oq_table_free(table);
	return 0;
}
