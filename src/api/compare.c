/* Comparing two files of embeddings. */
#include "labels.h"

typedef struct comparison {
	oq_gate_input input;
	oq_labels labels;
} comparison;

static oq_status open_comparison(const oq_compare_options *options, comparison *c, oq_error *err)
{
	OQ_TRY(oq_gate_read_matrix(options->reference, &c->input.reference, err));
	OQ_TRY(oq_gate_read_matrix(options->candidate, &c->input.candidate, err));
	if (options->retest)
		OQ_TRY(oq_gate_read_matrix(options->retest, &c->input.retest, err));
	if (options->jitter)
		OQ_TRY(oq_gate_read_matrix(options->jitter, &c->input.jitter, err));
	if (!options->labels)
		return OQ_OK;
	OQ_TRY(oq_labels_read(options->labels, c->input.reference.rows, &c->labels, err));
	c->input.endpoints = c->labels.endpoints;
	c->input.endpoint_count = c->labels.endpoint_count;
	c->input.group = c->labels.group;
	return OQ_OK;
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
	oq_labels_free(&c.labels);
	return status;
}
