/* Comparing two files of embeddings. */
#include "gate.h"

#include "core/mem.h"
#include "io/table.h"

#include <string.h>

typedef struct comparison {
	oq_gate_input input;
	oq_table *table;
	bool *label;
	int64_t *group;
} comparison;

/* Column "y" (0 or 1) and, where there is one, "patient": rows in the order of the embeddings. */
static oq_status read_labels(comparison *c, const char *path, oq_error *err)
{
	OQ_TRY(oq_table_read(path, &c->table, err));
	int64_t rows = oq_table_rows(c->table);
	int y = oq_table_find(c->table, "y"), patient = oq_table_find(c->table, "patient");
	if (y < 0 || rows != c->input.reference.rows)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has %lld rows%s, expected %lld with a column \"y\" of 0 and 1", path, (long long)rows,
			y < 0 ? " and no column \"y\"" : "", (long long)c->input.reference.rows);
	c->label = oq_alloc((size_t)rows * sizeof *c->label);
	c->group = oq_alloc((size_t)rows * sizeof *c->group);
	if (!c->label || !c->group)
		return oq_fail_memory(err, path, (size_t)rows * sizeof *c->group);
	for (int64_t r = 0; r < rows; r++) {
		const char *cell = oq_table_cell(c->table, r, y);
		if (strcmp(cell, "0") && strcmp(cell, "1"))
			return oq_fail(err, OQ_E_INPUT, "E_LABELS", "%s: line %lld: y is \"%s\", expected 0 or 1", path, (long long)oq_table_line(c->table, r), cell);
		c->label[r] = cell[0] == '1';
		c->group[r] = r;
		for (int64_t k = 0; patient >= 0 && k < r; k++)
			if (!strcmp(oq_table_cell(c->table, k, patient), oq_table_cell(c->table, r, patient))) {
				c->group[r] = c->group[k];
				break;
			}
	}
	c->input.label = c->label;
	c->input.group = patient >= 0 ? c->group : NULL;
	return OQ_OK;
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
		bool good = oq_json_add_int(root, "schema", 1) && oq_json_add_int(root, "rows", c.input.reference.rows)
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
	oq_free(c.group);
	return status;
}
