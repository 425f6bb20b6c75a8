/* What the readers of tables share: the cells, and how they grow. */
#ifndef OQ_IO_TABLE_DATA_H
#define OQ_IO_TABLE_DATA_H

#include "core/mem.h"
#include "io/table.h"

#define OQ_TABLE_MAX_COLUMNS 4096

struct oq_table {
	char *text;           /* of a CSV; its cells point into it */
	oq_arena strings;     /* of JSON lines */
	const char **cells;   /* header row first, row-major */
	int64_t *lines;       /* of each data row */
	size_t cell_count, cell_room;
	int64_t rows, line_room;
	int columns;
};

oq_status oq_table_add_cell(oq_table *table, const char *cell, const char *name, oq_error *err);
oq_status oq_table_add_line(oq_table *table, int64_t line, const char *name, oq_error *err);

#endif
