#include "labels.h"

#include "core/mem.h"

#include <string.h>

static oq_status read_flags(const oq_table *table, const char *path, int column, bool *flags, oq_error *err)
{
	for (int64_t r = 0; r < oq_table_rows(table); r++) {
		const char *cell = oq_table_cell(table, r, column);
		if (strcmp(cell, "0") && strcmp(cell, "1"))
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%s: line %lld: %s is \"%.60s\", expected 0 or 1", path, (long long)oq_table_line(table, r),
				oq_table_header(table, column), cell);
		flags[r] = cell[0] == '1';
	}
	return OQ_OK;
}

static oq_status read_times(const oq_table *table, const char *path, int column, double *times, oq_error *err)
{
	for (int64_t r = 0; r < oq_table_rows(table); r++)
		if (!oq_parse_number(oq_table_cell(table, r, column), &times[r]) || times[r] < 0)
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%s: line %lld: time is \"%.60s\", expected a number, 0 or more", path,
				(long long)oq_table_line(table, r), oq_table_cell(table, r, column));
	return OQ_OK;
}

/* "y" and every column that begins with "y_": a class; "time" with "event": a survival endpoint. */
static oq_status read_endpoints(oq_labels *l, const char *path, oq_error *err)
{
	int64_t rows = oq_table_rows(l->table);
	int time = oq_table_find(l->table, "time"), event = oq_table_find(l->table, "event");
	oq_gate_endpoint *next = l->endpoints;
	for (int column = 0; column < oq_table_columns(l->table); column++) {
		const char *header = oq_table_header(l->table, column);
		if (strcmp(header, "y") && strncmp(header, "y_", 2))
			continue;
		if (next == l->endpoints + OQ_GATE_ENDPOINTS - 1)
			return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has more than %d endpoints", path, OQ_GATE_ENDPOINTS - 1);
		bool *label = l->label + (next - l->endpoints) * rows;
		OQ_TRY(read_flags(l->table, path, column, label, err));
		*next++ = (oq_gate_endpoint){.name = header, .label = label};
	}
	if (time >= 0 && event >= 0) {
		bool *flags = l->label + (next - l->endpoints) * rows;
		OQ_TRY(read_times(l->table, path, time, l->time, err));
		OQ_TRY(read_flags(l->table, path, event, flags, err));
		*next++ = (oq_gate_endpoint){.name = "time", .time = l->time, .event = flags};
	}
	l->endpoint_count = (int)(next - l->endpoints);
	if (!l->endpoint_count)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"y\" or \"y_...\" of 0 and 1, nor \"time\" with \"event\"", path);
	for (int i = 0; i < l->endpoint_count; i++) {
		int64_t positives;
		OQ_TRY(oq_gate_check_endpoint(&l->endpoints[i], rows, &positives, err));
	}
	return OQ_OK;
}

oq_status oq_labels_read(const char *path, int64_t rows, oq_labels *l, oq_error *err)
{
	OQ_TRY(oq_table_read(path, &l->table, err));
	int64_t found = oq_table_rows(l->table);
	int patient = oq_table_find(l->table, "patient");
	if (found != rows)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has %lld rows, expected %lld", path, (long long)found, (long long)rows);
	l->label = oq_alloc(OQ_GATE_ENDPOINTS * (size_t)rows * sizeof *l->label);
	l->time = oq_alloc((size_t)rows * sizeof *l->time);
	if (!l->label || !l->time)
		return oq_fail_memory(err, path, OQ_GATE_ENDPOINTS * (size_t)rows);
	if (patient >= 0)
		OQ_TRY(oq_gate_patients(l->table, patient, &l->group, err));
	return read_endpoints(l, path, err);
}

void oq_labels_free(oq_labels *l)
{
	oq_table_free(l->table);
	oq_free(l->label);
	oq_free(l->time);
	oq_free(l->group);
	*l = (oq_labels){0};
}
