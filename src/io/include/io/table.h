/* Table: a manifest as CSV (RFC 4180, UTF-8 BOM and CRLF accepted) or as JSON lines, every column kept. */
#ifndef OQ_IO_TABLE_H
#define OQ_IO_TABLE_H

#include "core/error.h"

typedef struct oq_table oq_table;

/* CSV; JSON lines when the name ends in .jsonl or .ndjson. */
oq_status oq_table_read(const char *path, oq_table **out, oq_error *err);
oq_status oq_table_parse(const char *text, size_t length, const char *name, oq_table **out, oq_error *err);
/* One object per line; columns are the keys in the order in which they first appear, an absent key or null is an empty cell. Values are
 * strings, numbers, true and false; whole numbers from 2^53 on are refused, since readers round them. */
oq_status oq_table_parse_jsonl(const char *text, size_t length, const char *name, oq_table **out, oq_error *err);
void oq_table_free(oq_table *table);
int64_t oq_table_rows(const oq_table *table);
int oq_table_columns(const oq_table *table);
const char *oq_table_header(const oq_table *table, int column);
int oq_table_find(const oq_table *table, const char *header); /* -1 when absent */
const char *oq_table_cell(const oq_table *table, int64_t row, int column);
int64_t oq_table_line(const oq_table *table, int64_t row); /* line in the file, for messages */
/* A finite decimal number in C-locale notation and nothing else ("12,5", "0x10", "nan", "" fail). */
bool oq_parse_number(const char *text, double *out);
/* Append one CSV field to a growing buffer-like sink: quoted where needed; cells that spreadsheets would run as a formula are quoted too. */
typedef bool (*oq_sink)(void *context, const char *bytes, size_t count);
bool oq_csv_field(oq_sink sink, void *context, const char *text);

#endif
