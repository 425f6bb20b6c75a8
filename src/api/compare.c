/* Comparing two files of embeddings. */
#include "gate.h"

#include "core/mem.h"
#include "io/table.h"

#include <string.h>

typedef struct comparison {
	oq_gate_input input;
	oq_table *table;
	oq_gate_endpoint endpoints[OQ_GATE_ENDPOINTS];
	bool *label;      /* [endpoints][rows] */
	double *time;     /* [rows] */
	int64_t *group;
} comparison;

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
static oq_status read_endpoints(comparison *c, const char *path, oq_error *err)
{
	int64_t rows = oq_table_rows(c->table);
	int time = oq_table_find(c->table, "time"), event = oq_table_find(c->table, "event");
	oq_gate_endpoint *next = c->endpoints;
	for (int column = 0; column < oq_table_columns(c->table); column++) {
		const char *header = oq_table_header(c->table, column);
		if (strcmp(header, "y") && strncmp(header, "y_", 2))
			continue;
		if (next == c->endpoints + OQ_GATE_ENDPOINTS - 1)
			return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has more than %d endpoints", path, OQ_GATE_ENDPOINTS - 1);
		bool *label = c->label + (next - c->endpoints) * rows;
		OQ_TRY(read_flags(c->table, path, column, label, err));
		*next++ = (oq_gate_endpoint){.name = header, .label = label};
	}
	if (time >= 0 && event >= 0) {
		bool *flags = c->label + (next - c->endpoints) * rows;
		OQ_TRY(read_times(c->table, path, time, c->time, err));
		OQ_TRY(read_flags(c->table, path, event, flags, err));
		*next++ = (oq_gate_endpoint){.name = "time", .time = c->time, .event = flags};
	}
	c->input.endpoints = c->endpoints;
	c->input.endpoint_count = (int)(next - c->endpoints);
	if (!c->input.endpoint_count)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"y\" or \"y_...\" of 0 and 1, nor \"time\" with \"event\"", path);
	return OQ_OK;
}

/* Endpoints and, where there is one, "patient": rows in the order of the embeddings. */
static oq_status read_labels(comparison *c, const char *path, oq_error *err)
{
	OQ_TRY(oq_table_read(path, &c->table, err));
	int64_t rows = oq_table_rows(c->table);
	int patient = oq_table_find(c->table, "patient");
	if (rows != c->input.reference.rows)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has %lld rows, expected %lld", path, (long long)rows, (long long)c->input.reference.rows);
	c->label = oq_alloc(OQ_GATE_ENDPOINTS * (size_t)rows * sizeof *c->label);
	c->time = oq_alloc((size_t)rows * sizeof *c->time);
	if (!c->label || !c->time)
		return oq_fail_memory(err, path, OQ_GATE_ENDPOINTS * (size_t)rows);
	if (patient >= 0)
		OQ_TRY(oq_gate_patients(c->table, patient, &c->group, err));
	c->input.group = c->group;
	return read_endpoints(c, path, err);
}

static oq_status open_comparison(const oq_compare_options *options, comparison *c, oq_error *err)
{
	OQ_TRY(oq_gate_read_matrix(options->reference, &c->input.reference, err));
	OQ_TRY(oq_gate_read_matrix(options->candidate, &c->input.candidate, err));
	if (options->retest)
		OQ_TRY(oq_gate_read_matrix(options->retest, &c->input.retest, err));
	if (options->jitter)
		OQ_TRY(oq_gate_read_matrix(options->jitter, &c->input.jitter, err));
	return options->labels ? read_labels(c, options->labels, err) : OQ_OK;
}

oq_status oq_compare(const oq_compare_options *options, char **json, oq_error *err)
{
	comparison c = {0};
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	c.input.threads = options->threads > 0 ? options->threads : cpu.processors;
	oq_gate_limits limits = oq_gate_defaults(options->strict);
	oq_gate_result result;
	oq_json *root = NULL;
	oq_status status = open_comparison(options, &c, err);
	if (status == OQ_OK)
		status = oq_gate_read_limits(options->gate, &limits, err);
	if (status == OQ_OK)
		status = oq_gate_run(&c.input, &limits, options->candidate, &result, err);
	if (status == OQ_OK && json) {
		root = oq_json_object();
		bool good = oq_json_add_string(root, "format", "oncoquant-fidelity") && oq_json_add_int(root, "schema", OQ_GATE_SCHEMA)
			&& oq_json_add_int(root, "rows", c.input.reference.rows)
			&& oq_json_add_int(root, "size", c.input.reference.columns) && oq_gate_describe(&result, &limits, root);
		status = oq_finish_json(root, good, json, err);
	}
	if (status == OQ_OK)
		status = oq_gate_status(&result, options->candidate, err);
	oq_gate_free_matrix(&c.input.reference);
	oq_gate_free_matrix(&c.input.candidate);
	oq_gate_free_matrix(&c.input.retest);
	oq_gate_free_matrix(&c.input.jitter);
	oq_table_free(c.table);
	oq_free(c.label);
	oq_free(c.time);
	oq_free(c.group);
	return status;
}
