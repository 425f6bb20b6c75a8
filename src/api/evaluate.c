/* The benchmark's evaluation: reads, splits, probes, tells. */
#include "evaluate.h"
#include "gate.h"

#include "core/file.h"
#include "core/locale.h"
#include "core/mem.h"

#include <stdio.h>
#include <string.h>

static bool put_to_file(void *context, const char *bytes, size_t count)
{
	void **both = context; /* file and error */
	return oq_outfile_write(both[0], bytes, count, both[1]) == OQ_OK;
}

static bool put_cell(void *context, const char *text)
{
	return put_to_file(context, ",", 1) && oq_csv_field(put_to_file, context, text);
}

static bool put_scores_header(void *context, const oq_evaluation *e)
{
	const oq_endpoint *p = &e->endpoint;
	bool good = put_to_file(context, "split,row", 9) && (p->id < 0 || put_cell(context, oq_table_header(p->table, p->id)))
		&& (p->patient < 0 || put_cell(context, oq_table_header(p->table, p->patient))) && put_cell(context, oq_table_header(p->table, p->label));
	for (int i = 0; i < e->entry_count && good; i++)
		for (int c = 0; c < (p->classes == 2 ? 1 : p->classes) && good; c++) {
			char name[512];
			snprintf(name, sizeof name, p->classes == 2 ? "%.300s" : "%.300s:%.100s", e->entries[i].name, p->class_names[c]);
			good = put_cell(context, name);
		}
	return good && put_to_file(context, "\n", 1);
}

static bool put_scores_row(void *context, const oq_evaluation *e, int split, int64_t at)
{
	const oq_endpoint *p = &e->endpoint;
	int outputs = p->classes == 2 ? 1 : p->classes;
	int64_t line = p->line[oq_split_test(&e->splits[split])[at]];
	char text[64];
	snprintf(text, sizeof text, ",%lld", (long long)line);
	bool good = oq_csv_field(put_to_file, context, e->split_names[split]) && put_to_file(context, text, strlen(text))
		&& (p->id < 0 || put_cell(context, oq_table_cell(p->table, line, p->id)))
		&& (p->patient < 0 || put_cell(context, oq_table_cell(p->table, line, p->patient))) && put_cell(context, oq_table_cell(p->table, line, p->label));
	for (int i = 0; i < e->entry_count && good; i++)
		for (int c = 0; c < outputs && good; c++) {
			snprintf(text, sizeof text, ",%.17g", e->entries[i].outcomes[split].scores[at * outputs + c]);
			good = put_to_file(context, text, strlen(text));
		}
	return good && put_to_file(context, "\n", 1);
}

oq_status oq_evaluate_write_scores(const oq_evaluation *e, const char *path, oq_error *err)
{
	oq_outfile *file = NULL;
	oq_error own = {0};
	OQ_TRY(oq_outfile_open(path, &file, err));
	void *context[2] = {file, &own};
	bool good = put_scores_header(context, e);
	for (int i = 0; i < e->split_count && good; i++)
		for (int64_t t = 0; t < e->splits[i].test && good; t++)
			good = put_scores_row(context, e, i, t);
	if (good)
		return oq_outfile_commit(file, err);
	oq_outfile_abort(file);
	if (err)
		*err = own;
	return own.status;
}

static oq_status evaluate(oq_evaluation *e, char **json, oq_error *err)
{
	const oq_evaluate_options *o = e->options;
	OQ_TRY(oq_evaluate_read(e, err));
	OQ_TRY(oq_evaluate_split(e, err));
	if (o->write_splits)
		OQ_TRY(oq_evaluate_write_splits(e, o->write_splits, err));
	OQ_TRY(oq_evaluate_probe(e, err));
	OQ_TRY(oq_evaluate_infer(e, err));
	if (o->scores)
		OQ_TRY(oq_evaluate_write_scores(e, o->scores, err));
	char *text = NULL;
	oq_json *root = oq_json_object();
	OQ_TRY(oq_finish_json(root, root && oq_evaluate_describe(e, root), &text, err));
	oq_status status = o->output ? oq_file_write_all(o->output, text, strlen(text), err) : OQ_OK;
	if (status == OQ_OK && json)
		*json = text;
	else
		oq_free(text);
	return status;
}

static void close_evaluation(oq_evaluation *e)
{
	for (int m = 0; m < OQ_EVALUATE_MODELS; m++) {
		oq_gate_free_matrix(&e->matrices[m]);
		oq_free(e->names[m]);
	}
	for (int i = 0; i < e->entry_count; i++) {
		for (int s = 0; s < e->split_count && e->entries[i].outcomes; s++) {
			oq_free(e->entries[i].outcomes[s].scores);
			oq_free(e->entries[i].outcomes[s].weights);
		}
		oq_free(e->entries[i].outcomes);
		oq_free(e->entries[i].pooled);
	}
	oq_free(e->entries);
	oq_free(e->comparisons);
	for (int s = 0; s < e->split_count; s++)
		oq_split_free(&e->splits[s]);
	oq_free(e->splits);
	oq_free(e->split_names);
	oq_free(e->tested);
	oq_table_free(e->endpoint.table);
	oq_free(e->endpoint.line);
	oq_free(e->endpoint.class);
	oq_free(e->endpoint.group);
	oq_free(e->endpoint.part);
}

oq_status oq_evaluate(const oq_evaluate_options *options, char **json, oq_error *err)
{
	oq_evaluation e = {.options = options};
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	e.threads = options->threads > 0 ? options->threads : cpu.processors;
	oq_locale locale = oq_locale_enter();
	oq_status status = evaluate(&e, json, err);
	oq_locale_leave(locale);
	close_evaluation(&e);
	return status;
}
