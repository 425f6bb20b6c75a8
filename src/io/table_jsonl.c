/* JSON lines: one object per line, read twice, once for the keys and once for the values. Refuses what the strict JSON reader refuses,
 * nested values, numbers that a double does not hold, and tables of next to nothing but empty cells. */
#include "table_data.h"

#include "core/json.h"
#include "core/locale.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_EXACT 9007199254740992.0 /* 2^53 */
#define MAX_EMPTY 4                  /* cells per byte of text at most, so that memory follows the file's size */

typedef struct reader {
	oq_table *table;
	const char *name, *text;
	size_t length;
	int64_t line;
	oq_error *err;
} reader;

static oq_status bad(const reader *r, const char *what)
{
	return oq_fail(r->err, OQ_E_INPUT, "E_JSON", "%s:%lld: %s", r->name, (long long)r->line, what);
}

/* One line as an object. The JSON reader counts lines from 1: its place in the line is kept, ours is put before it. */
static oq_status parse_line(const reader *r, const char *line, size_t length, oq_json **out)
{
	oq_error reason = {0};
	oq_status status = oq_json_parse(line, length, "", out, &reason);
	if (status == OQ_E_RESOURCE && r->err)
		*r->err = reason;
	if (status == OQ_E_RESOURCE)
		return status;
	const char *what = !strncmp(reason.message, ":1:", 3) ? reason.message + 2 : reason.message;
	if (status != OQ_OK)
		return oq_fail(r->err, OQ_E_INPUT, reason.code, "%s:%lld%.900s", r->name, (long long)r->line, what);
	if (oq_json_is_object(*out))
		return OQ_OK;
	oq_json_free(*out);
	return bad(r, "is no object, expected {\"image_path\": ...}");
}

static oq_status add_keys(const reader *r, const oq_json *object)
{
	oq_table *t = r->table;
	for (const oq_json *e = oq_json_first(object); e; e = oq_json_next(e)) {
		bool known = false;
		for (int c = 0; c < t->columns && !known; c++)
			known = !strcmp(t->cells[c], oq_json_key(e));
		if (known)
			continue;
		char *key = oq_arena_strdup(&t->strings, oq_json_key(e));
		if (!key)
			return oq_fail_memory(r->err, r->name, strlen(oq_json_key(e)));
		if (t->columns == OQ_TABLE_MAX_COLUMNS)
			return bad(r, "more than 4096 different keys");
		OQ_TRY(oq_table_add_cell(t, key, r->name, r->err));
		t->columns++;
	}
	return OQ_OK;
}

/* As short as reads back to the same number. */
static void print_number(double value, char text[32])
{
	if (value == floor(value) && fabs(value) < MAX_EXACT)
		snprintf(text, 32, "%.0f", value);
	else
		for (int digits = 15; digits <= 17; digits++) {
			snprintf(text, 32, "%.*g", digits, value);
			if (strtod(text, NULL) == value)
				return;
		}
}

/* The value as the text that a CSV would have. */
static oq_status value_text(const reader *r, const oq_json *value, const char **out)
{
	char number[32];
	const char *text = number;
	*out = "";
	if (!value || oq_json_is_null(value))
		return OQ_OK;
	if (oq_json_is_object(value) || oq_json_is_array(value))
		return oq_fail(r->err, OQ_E_INPUT, "E_JSON", "%s:%lld: \"%.60s\" is nested, expected a string, a number, true, false or null", r->name,
			(long long)r->line, oq_json_key(value));
	if (oq_json_is_number(value) && fabs(oq_json_number(value)) >= MAX_EXACT && oq_json_number(value) == floor(oq_json_number(value)))
		return oq_fail(r->err, OQ_E_INPUT, "E_JSON", "%s:%lld: \"%.60s\" is a number of 2^53 or more, which readers round; write it as a string", r->name,
			(long long)r->line, oq_json_key(value));
	if (oq_json_is_string(value))
		text = oq_json_string(value);
	else if (oq_json_is_number(value))
		print_number(oq_json_number(value), number);
	else
		text = oq_json_is_true(value) ? "true" : "false";
	*out = oq_arena_strdup(&r->table->strings, text);
	return *out ? OQ_OK : oq_fail_memory(r->err, r->name, 0);
}

static oq_status add_row(const reader *r, const oq_json *object)
{
	oq_table *t = r->table;
	if (t->cell_count > OQ_TABLE_MAX_COLUMNS && t->cell_count / MAX_EMPTY > r->length)
		return bad(r, "the table is nearly empty: its rows have hardly a key in common");
	for (int c = 0; c < t->columns; c++) {
		const char *cell;
		OQ_TRY(value_text(r, oq_json_get(object, t->cells[c]), &cell));
		OQ_TRY(oq_table_add_cell(t, cell, r->name, r->err));
	}
	return oq_table_add_line(t, r->line, r->name, r->err);
}

static bool is_blank(const char *line, size_t length)
{
	size_t i = 0;
	while (i < length && strchr(" \t\r", line[i]) && line[i])
		i++;
	return i == length;
}

static oq_status each_line(reader *r, oq_status (*act)(const reader *, const oq_json *))
{
	size_t bom = r->length >= 3 && !memcmp(r->text, "\xef\xbb\xbf", 3) ? 3 : 0;
	oq_status status = OQ_OK;
	r->line = 1;
	for (const char *at = r->text + bom, *end = r->text + r->length; at < end && status == OQ_OK; r->line++) {
		const char *stop = memchr(at, '\n', (size_t)(end - at));
		size_t length = (size_t)((stop ? stop : end) - at);
		oq_json *object = NULL;
		if (!is_blank(at, length)) {
			status = parse_line(r, at, length, &object);
			if (status == OQ_OK) {
				status = act(r, object);
				oq_json_free(object);
			}
		}
		at += length + 1;
	}
	return status;
}

oq_status oq_table_parse_jsonl(const char *text, size_t length, const char *name, oq_table **out, oq_error *err)
{
	reader r = {.table = oq_calloc(1, sizeof *r.table), .name = name, .text = text, .length = length, .err = err};
	if (!r.table)
		return oq_fail_memory(err, name, sizeof *r.table);
	oq_locale locale = oq_locale_enter();
	oq_status status = each_line(&r, add_keys);
	if (status == OQ_OK && !r.table->columns)
		status = oq_fail(err, OQ_E_INPUT, "E_EMPTY", "%s: has 0 rows", name);
	if (status == OQ_OK)
		status = each_line(&r, add_row);
	oq_locale_leave(locale);
	if (status == OQ_OK)
		*out = r.table;
	else
		oq_table_free(r.table);
	return status;
}
