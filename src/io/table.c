/* CSV as RFC 4180 says, with the BOM and the line ends of the real world. The file stays in memory as one text whose
 * separators become NULs; cells point into it. */
#define _DEFAULT_SOURCE
#include "table_data.h"

#include "core/file.h"
#include "formats.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TABLE ((size_t)1 << 30)

typedef struct reader {
	oq_table *table;
	const char *name;
	char *at, *end, *out; /* read position, end of text, write position (unquoting shrinks) */
	int64_t line;
	oq_error *err;
} reader;

static oq_status bad(const reader *r, const char *what)
{
	return oq_fail(r->err, OQ_E_INPUT, "E_CSV", "%s:%lld: %s", r->name, (long long)r->line, what);
}

oq_status oq_table_add_cell(oq_table *t, const char *cell, const char *name, oq_error *err)
{
	if (t->cell_count == t->cell_room) {
		size_t room = t->cell_room ? 2 * t->cell_room : 256;
		const char **cells = oq_realloc(t->cells, room * sizeof *cells);
		if (!cells)
			return oq_fail_memory(err, name, room * sizeof *cells);
		t->cells = cells;
		t->cell_room = room;
	}
	t->cells[t->cell_count++] = cell;
	return OQ_OK;
}

oq_status oq_table_add_line(oq_table *t, int64_t line, const char *name, oq_error *err)
{
	if (t->rows == t->line_room) {
		int64_t room = t->line_room ? 2 * t->line_room : 64;
		int64_t *lines = oq_realloc(t->lines, (size_t)room * sizeof *lines);
		if (!lines)
			return oq_fail_memory(err, name, (size_t)room * sizeof *lines);
		t->lines = lines;
		t->line_room = room;
	}
	t->lines[t->rows++] = line;
	return OQ_OK;
}

/* A quoted field; r->at is behind its opening quote. */
static oq_status quoted(reader *r)
{
	for (;;) {
		if (r->at == r->end)
			return bad(r, "a quoted field does not end");
		if (*r->at == '"') {
			r->at++;
			if (r->at == r->end || *r->at != '"')
				break;
		}
		r->line += *r->at == '\n';
		*r->out++ = *r->at++;
	}
	if (r->at < r->end && *r->at != ',' && *r->at != '\n' && *r->at != '\r')
		return bad(r, "text follows the closing quote of a field");
	return OQ_OK;
}

/* One field; *more says whether a comma follows. */
static oq_status field(reader *r, bool *more)
{
	char *start = r->out;
	if (r->at < r->end && *r->at == '"') {
		r->at++;
		OQ_TRY(quoted(r));
	} else {
		while (r->at < r->end && *r->at != ',' && *r->at != '\n' && *r->at != '\r') {
			if (*r->at == '"')
				return bad(r, "a quote stands inside an unquoted field");
			*r->out++ = *r->at++;
		}
	}
	*more = r->at < r->end && *r->at == ',';
	if (*more)
		r->at++;
	else if (r->at < r->end && *r->at == '\r' && r->at + 1 < r->end && r->at[1] == '\n')
		r->at += 2;
	else if (r->at < r->end)
		r->at++;
	*r->out++ = 0; /* the separator's place, or the spare byte at the end */
	return oq_table_add_cell(r->table, start, r->name, r->err);
}

static oq_status header(reader *r)
{
	bool more = true;
	char *line_end = memchr(r->at, '\n', (size_t)(r->end - r->at));
	size_t length = (size_t)((line_end ? line_end : r->end) - r->at);
	if (!memchr(r->at, ',', length) && memchr(r->at, ';', length))
		return oq_fail(r->err, OQ_E_USAGE, "E_CSV", "%s:1: columns are separated by ';', expected ','", r->name);
	while (more && r->table->columns < OQ_TABLE_MAX_COLUMNS) {
		OQ_TRY(field(r, &more));
		r->table->columns++;
	}
	r->line++;
	return more ? bad(r, "more than 4096 columns") : OQ_OK;
}

static bool blank_line(const reader *r)
{
	return *r->at == '\n' || *r->at == '\r';
}

static oq_status row(reader *r)
{
	oq_table *t = r->table;
	int64_t line = r->line;
	int count = 0;
	bool more = true;
	for (; more && count <= t->columns; count++)
		OQ_TRY(field(r, &more));
	/* One empty cell too many is a trailing comma. */
	bool trailing = count == t->columns + 1 && !more && !t->cells[t->cell_count - 1][0];
	if (trailing)
		t->cell_count--;
	else if (count != t->columns || more) {
		char text[96];
		snprintf(text, sizeof text, "row has %d%s fields, the header has %d", count, more ? " or more" : "", t->columns);
		return bad(r, text);
	}
	r->line++;
	return oq_table_add_line(t, line, r->name, r->err);
}

static oq_status check_bytes(const reader *r)
{
	const char *nul = memchr(r->at, 0, (size_t)(r->end - r->at));
	if (!nul)
		return OQ_OK;
	int64_t line = 1;
	for (const char *c = r->at; c < nul; c++)
		line += *c == '\n';
	return oq_fail(r->err, OQ_E_INPUT, "E_CSV", "%s:%lld: holds a NUL byte, expected text", r->name, (long long)line);
}

oq_status oq_table_parse(const char *text, size_t length, const char *name, oq_table **out, oq_error *err)
{
	oq_table *t = oq_calloc(1, sizeof *t);
	if (t)
		t->text = oq_alloc(length + 2);
	if (!t || !t->text) {
		oq_table_free(t);
		return oq_fail_memory(err, name, length);
	}
	memcpy(t->text, text, length);
	size_t bom = length >= 3 && !memcmp(text, "\xef\xbb\xbf", 3) ? 3 : 0;
	/* Cells are written over the text they come from: a field never grows, and its NUL takes its separator's place. */
	reader r = {.table = t, .name = name, .at = t->text + bom, .end = t->text + length, .out = t->text, .line = 1, .err = err};
	oq_status status = check_bytes(&r);
	if (status == OQ_OK && r.at == r.end)
		status = oq_fail(err, OQ_E_INPUT, "E_CSV", "%s: is empty, expected a header row", name);
	if (status == OQ_OK)
		status = header(&r);
	while (status == OQ_OK && r.at < r.end) {
		if (blank_line(&r)) {
			r.line += *r.at++ == '\n';
			continue;
		}
		status = row(&r);
	}
	if (status == OQ_OK)
		*out = t;
	else
		oq_table_free(t);
	return status;
}

oq_status oq_table_read(const char *path, oq_table **out, oq_error *err)
{
	char *text = NULL;
	size_t length;
	OQ_TRY(oq_file_read_all(path, MAX_TABLE, OQ_E_INPUT, &text, &length, err));
	oq_status status = (oq_name_ends(path, ".jsonl") || oq_name_ends(path, ".ndjson") ? oq_table_parse_jsonl : oq_table_parse)(text, length, path, out, err);
	oq_free(text);
	return status;
}

void oq_table_free(oq_table *table)
{
	if (!table)
		return;
	oq_free(table->text);
	oq_free(table->cells);
	oq_free(table->lines);
	oq_arena_free(&table->strings);
	oq_free(table);
}

int64_t oq_table_rows(const oq_table *table)
{
	return table->rows;
}

int oq_table_columns(const oq_table *table)
{
	return table->columns;
}

const char *oq_table_header(const oq_table *table, int column)
{
	return table->cells[column];
}

int oq_table_find(const oq_table *table, const char *name)
{
	for (int c = 0; c < table->columns; c++)
		if (!strcmp(table->cells[c], name))
			return c;
	return -1;
}

const char *oq_table_cell(const oq_table *table, int64_t r, int column)
{
	return table->cells[(size_t)(r + 1) * (size_t)table->columns + (size_t)column];
}

int64_t oq_table_line(const oq_table *table, int64_t r)
{
	return table->lines[r];
}

/* strtod depends on the locale and reads hexadecimal, "inf" and "nan"; so the form is checked first and a foreign decimal
 * point, should the host program have set one, is put in. */
bool oq_parse_number(const char *text, double *out)
{
	while (*text == ' ' || *text == '\t')
		text++;
	char copy[64];
	size_t n = 0, digits = 0;
	bool exponent = false, point = false;
	for (; text[n] && text[n] != ' ' && text[n] != '\t'; n++) {
		char c = text[n];
		bool sign = (c == '-' || c == '+') && (n == 0 || copy[n - 1] == 'e');
		if (n + 1 >= sizeof copy || !(isdigit((unsigned char)c) || sign || (c == '.' && !point && !exponent) || ((c == 'e' || c == 'E') && digits && !exponent)))
			return false;
		digits += isdigit((unsigned char)c) != 0;
		point |= c == '.';
		exponent |= c == 'e' || c == 'E';
		copy[n] = c == 'E' ? 'e' : c;
	}
	if (!digits || text[n + strspn(text + n, " \t")])
		return false;
	copy[n] = 0;
	char probe[8];
	snprintf(probe, sizeof probe, "%.1f", 0.5);
	for (char *c = copy; *c; c++)
		*c = *c == '.' ? probe[1] : *c;
	char *end;
	double value = strtod(copy, &end);
	if (*end || !isfinite(value))
		return false;
	*out = value;
	return true;
}

bool oq_csv_field(oq_sink sink, void *context, const char *text)
{
	/* Spreadsheets run cells that begin with these as formulas; quotes alone do not stop them all, but keep the text as it is. */
	bool formula = text[0] && strchr("=+-@\t", text[0]);
	double number;
	bool quote = strpbrk(text, ",\"\r\n") || (formula && !oq_parse_number(text, &number));
	if (!quote)
		return sink(context, text, strlen(text));
	if (!sink(context, "\"", 1))
		return false;
	for (const char *mark; (mark = strchr(text, '"')); text = mark + 1)
		if (!sink(context, text, (size_t)(mark - text) + 1) || !sink(context, "\"", 1))
			return false;
	return sink(context, text, strlen(text)) && sink(context, "\"", 1);
}
