/* Time to an event: reads scores and embeddings with their rows' times, measures, tests, draws. Leaves out and counts rows without a time, an event
 * or a score, and rows that failed. Refuses negative times and events other than 0 and 1. */
#include "survival.h"

#include "failed.h"
#include "gate.h"
#include "names.h"
#include "texts.h"

#include "core/file.h"
#include "core/locale.h"
#include "core/mem.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define RESAMPLES 1000

static oq_status need_column(const oq_survival_run *run, const char *name, int *column, oq_error *err)
{
	*column = oq_table_find(run->table, name);
	if (*column >= 0)
		return OQ_OK;
	return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\" (its first is \"%s\")", run->options->labels, name, oq_table_header(run->table, 0));
}

static oq_status read_number(const oq_survival_run *run, int64_t line, int column, double low, double *value, oq_error *err)
{
	const char *cell = oq_table_cell(run->table, line, column);
	if (oq_parse_number(cell, value) && *value >= low)
		return OQ_OK;
	return oq_fail(err, OQ_E_INPUT, "E_VALUE", "%s:%lld: %s is \"%.60s\", expected a number%s", run->options->labels,
		(long long)oq_table_line(run->table, line), oq_table_header(run->table, column), cell, low >= 0 ? ", 0 or more" : "");
}

static oq_status read_event(const oq_survival_run *run, int64_t line, int column, bool *event, oq_error *err)
{
	double value;
	OQ_TRY(read_number(run, line, column, 0, &value, err));
	*event = value > 0;
	if (value > 0 && (value < 1 || value > 1))
		return oq_fail(err, OQ_E_INPUT, "E_VALUE", "%s:%lld: %s is %g, expected 0 (censored) or 1", run->options->labels,
			(long long)oq_table_line(run->table, line), oq_table_header(run->table, column), value);
	return OQ_OK;
}

/* Rows with time, event and every score; failed[lines]: rows without an embedding. */
static oq_status read_rows(oq_survival_run *run, const bool *failed, const int *columns, int needed, oq_error *err)
{
	for (int64_t line = 0; line < oq_table_rows(run->table); line++) {
		bool missing = false;
		for (int c = 0; c < needed; c++)
			missing = missing || oq_cell_is_missing(oq_table_cell(run->table, line, columns[c]));
		if (failed[line] || missing) {
			run->failed += failed[line];
			run->unlabelled += !failed[line];
			continue;
		}
		int64_t r = run->rows;
		OQ_TRY(read_number(run, line, columns[0], 0, &run->time[r], err));
		OQ_TRY(read_event(run, line, columns[1], &run->event[r], err));
		for (int s = 0; s < run->options->score_count; s++)
			OQ_TRY(read_number(run, line, columns[2 + s], -INFINITY, &run->risks[s].values[r], err));
		run->events += run->event[r];
		run->line[run->rows++] = line;
	}
	return OQ_OK;
}

static oq_status number_patients(oq_survival_run *run, oq_error *err)
{
	int column = -1;
	if (run->options->patient)
		OQ_TRY(need_column(run, run->options->patient, &column, err));
	const char **texts = oq_alloc((size_t)run->rows * sizeof *texts);
	if (!texts)
		return oq_fail_memory(err, run->options->labels, (size_t)run->rows * sizeof *texts);
	for (int64_t i = 0; i < run->rows; i++) {
		run->patient[i] = i;
		texts[i] = column >= 0 ? oq_table_cell(run->table, run->line[i], column) : "";
	}
	oq_status status = column >= 0 ? oq_first_same(texts, run->rows, run->patient, err) : OQ_OK;
	for (int64_t i = 0; i < run->rows; i++) {
		if (!texts[i][0]) /* a row without a patient is one of its own */
			run->patient[i] = i;
		run->patients += run->patient[i] == i;
	}
	oq_free(texts);
	return status;
}

static oq_status open_rows(oq_survival_run *run, oq_error *err)
{
	size_t lines = (size_t)oq_table_rows(run->table);
	run->line = oq_alloc(lines * sizeof *run->line);
	run->time = oq_alloc(lines * sizeof *run->time);
	run->event = oq_alloc(lines * sizeof *run->event);
	run->patient = oq_alloc(lines * sizeof *run->patient);
	bool good = run->line && run->time && run->event && run->patient;
	for (int s = 0; s < run->options->score_count && good; s++) {
		run->risks[s].values = oq_alloc(lines * sizeof(double));
		run->risks[s].name = oq_strdup(run->options->scores[s]);
		good = run->risks[s].values && run->risks[s].name;
	}
	return good ? OQ_OK : oq_fail_memory(err, run->options->labels, lines * sizeof *run->line);
}

static oq_status read_embeddings(const oq_survival_run *run, oq_matrix *matrices, bool *failed, oq_error *err)
{
	int64_t lines = oq_table_rows(run->table);
	for (int m = 0; m < run->options->embedding_count; m++) {
		const char *path = run->options->embeddings[m];
		OQ_TRY(oq_gate_read_matrix(path, &matrices[m], err));
		if (matrices[m].rows != lines)
			return oq_fail(err, OQ_E_INPUT, "E_SHAPE", "%s: has %lld rows, %s has %lld: expected as many", run->options->labels, (long long)lines, path,
				(long long)matrices[m].rows);
		OQ_TRY(oq_find_failed(&matrices[m], path, lines, failed, err));
	}
	return OQ_OK;
}

static oq_status read_cohort(oq_survival_run *run, oq_matrix *matrices, oq_error *err)
{
	const oq_survival_options *o = run->options;
	int columns[2 + OQ_SURVIVAL_SCORES];
	OQ_TRY(oq_table_read(o->labels, &run->table, err));
	OQ_TRY(need_column(run, o->time, &columns[0], err));
	OQ_TRY(need_column(run, o->event, &columns[1], err));
	for (int s = 0; s < o->score_count; s++)
		OQ_TRY(need_column(run, o->scores[s], &columns[2 + s], err));
	OQ_TRY(open_rows(run, err));
	bool *failed = oq_calloc((size_t)oq_table_rows(run->table) + 1, sizeof *failed);
	oq_status status = failed ? read_embeddings(run, matrices, failed, err) : oq_fail_memory(err, o->labels, 0);
	if (status == OQ_OK)
		status = read_rows(run, failed, columns, 2 + o->score_count, err);
	oq_free(failed);
	if (status == OQ_OK && (run->rows < 4 || run->events < 2))
		status = oq_fail(err, OQ_E_INPUT, "E_EVENTS", "%s: %lld rows with %lld events, expected at least 4 and 2", o->labels, (long long)run->rows,
			(long long)run->events);
	return status == OQ_OK ? number_patients(run, err) : status;
}

static oq_status probe_embeddings(oq_survival_run *run, const oq_matrix *matrices, oq_error *err)
{
	const oq_survival_options *o = run->options;
	char *names[OQ_SURVIVAL_SCORES] = {0};
	OQ_TRY(oq_name_files(o->embeddings, o->embedding_count, names, err));
	run->risk_count = o->score_count;
	for (int m = 0; m < o->embedding_count; m++)
		run->risks[run->risk_count++].name = names[m];
	for (int m = 0; m < o->embedding_count; m++)
		OQ_TRY(oq_survival_probe(run, &matrices[m], &run->risks[o->score_count + m], err));
	return OQ_OK;
}

/* One resample: Harrell's and Uno's C of every score. */
static oq_status measure_resample(void *context, const int64_t *row, int64_t count, double *values, oq_error *err)
{
	const oq_survival_run *run = context;
	double *time = oq_alloc((size_t)(2 * count) * sizeof *time), *score = time + count;
	bool *event = oq_alloc((size_t)count * sizeof *event);
	oq_status status = time && event ? OQ_OK : oq_fail_memory(err, "survival", (size_t)(2 * count) * sizeof *time);
	for (int64_t i = 0; i < count && status == OQ_OK; i++) {
		time[i] = run->time[row[i]];
		event[i] = run->event[row[i]];
	}
	const oq_survival drawn = {time, event, count};
	for (int s = 0; s < 2 * run->risk_count && status == OQ_OK; s++) {
		oq_concordance one;
		oq_error own = {0};
		for (int64_t i = 0; i < count; i++)
			score[i] = run->risks[s / 2].values[row[i]];
		status = oq_concordance_measure(&drawn, score, (oq_concordance_kind)(s % 2), run->options->horizon > 0 ? run->options->horizon : INFINITY, &one, &own);
		values[s] = one.c;
		if (status != OQ_OK && !strcmp(own.code, "E_EVENTS")) { /* no pair can be compared: another resample */
			values[0] = NAN;
			status = OQ_OK;
			break;
		}
		if (status != OQ_OK && err)
			*err = own;
	}
	oq_free(time);
	oq_free(event);
	return status;
}

static oq_status find_intervals(oq_survival_run *run, oq_error *err)
{
	int resamples = run->options->resamples ? run->options->resamples : RESAMPLES, figures = 2 * run->risk_count;
	const oq_bootstrap plan = {.rows = run->rows, .group = run->patient, .seed = run->options->seed, .resamples = resamples, .threads = run->threads};
	double *draws = oq_alloc((size_t)figures * (size_t)resamples * sizeof *draws), *room = oq_alloc((size_t)resamples * sizeof *room);
	oq_status status = draws && room ? oq_bootstrap_run(&plan, measure_resample, run, figures, draws, NULL, err)
		: oq_fail_memory(err, "survival", (size_t)figures * (size_t)resamples * sizeof *draws);
	for (int s = 1; s < run->risk_count && status == OQ_OK; s++) { /* before sorting */
		for (int r = 0; r < resamples; r++)
			room[r] = draws[2 * s * resamples + r] - draws[r];
		run->risks[s].difference = oq_bootstrap_interval(room, resamples, 0.95);
	}
	for (int s = 0; s < run->risk_count && status == OQ_OK; s++) {
		run->risks[s].harrell_interval = oq_bootstrap_interval(draws + 2 * s * resamples, resamples, 0.95);
		run->risks[s].uno_interval = oq_bootstrap_interval(draws + (2 * s + 1) * resamples, resamples, 0.95);
	}
	oq_free(draws);
	oq_free(room);
	return status;
}

/* Cox on the score divided by its standard deviation. A score that cannot be fitted says why; it is no reason to tell nothing. */
static oq_status fit_cox(const oq_survival_run *run, oq_risk *risk, oq_error *err)
{
	double mean = 0, square = 0, *x = oq_alloc((size_t)run->rows * sizeof *x);
	const oq_survival survival = oq_survival_of(run);
	oq_error own = {0};
	if (!x)
		return oq_fail_memory(err, "survival", (size_t)run->rows * sizeof *x);
	for (int64_t i = 0; i < run->rows; i++)
		mean += risk->values[i] / (double)run->rows;
	for (int64_t i = 0; i < run->rows; i++)
		square += (risk->values[i] - mean) * (risk->values[i] - mean) / (double)run->rows;
	for (int64_t i = 0; i < run->rows; i++)
		x[i] = square > 0 ? (risk->values[i] - mean) / sqrt(square) : 0;
	oq_status status = oq_cox_fit(&survival, x, 1, OQ_COX_EFRON, &risk->cox, &own);
	risk->has_cox = status == OQ_OK;
	snprintf(risk->cox_code, sizeof risk->cox_code, "%s", own.code);
	oq_free(x);
	if (status == OQ_OK || status == OQ_E_INPUT)
		return OQ_OK;
	if (err)
		*err = own;
	return status;
}

static oq_status measure_risks(oq_survival_run *run, oq_error *err)
{
	const oq_survival survival = oq_survival_of(run);
	double horizon = run->options->horizon > 0 ? run->options->horizon : INFINITY;
	for (int s = 0; s < run->risk_count; s++) {
		oq_risk *risk = &run->risks[s];
		OQ_TRY(oq_concordance_measure(&survival, risk->values, OQ_CONCORDANCE_HARRELL, horizon, &risk->harrell, err));
		OQ_TRY(oq_concordance_measure(&survival, risk->values, OQ_CONCORDANCE_UNO, horizon, &risk->uno, err));
		OQ_TRY(fit_cox(run, risk, err));
	}
	return find_intervals(run, err);
}

static oq_status check_options(const oq_survival_options *o, oq_error *err)
{
	int scores = o->score_count + o->embedding_count;
	if (scores < 1 || scores > OQ_SURVIVAL_SCORES)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "survival: %d scores and files of embeddings, expected 1 to %d", scores, OQ_SURVIVAL_SCORES);
	if (!o->labels || !o->time || !o->event)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "survival: the labels, and their columns with time and event, are needed");
	return OQ_OK;
}

oq_status oq_survival_write(const char *folder, const char *name, const char *text, oq_error *err)
{
	char path[4096];
	if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
		return oq_fail(err, OQ_E_USAGE, "E_PATH", "%s: the path is too long", folder);
	return oq_file_write_all(path, text, strlen(text), err);
}

static oq_status evaluate(oq_survival_run *run, oq_matrix *matrices, char **json, oq_error *err)
{
	OQ_TRY(read_cohort(run, matrices, err));
	OQ_TRY(probe_embeddings(run, matrices, err));
	OQ_TRY(measure_risks(run, err));
	OQ_TRY(oq_survival_groups(run, err));
	char *text = NULL;
	oq_json *root = oq_json_object();
	OQ_TRY(oq_finish_json(root, root && oq_survival_describe(run, root), &text, err));
	oq_status status = OQ_OK;
	if (run->options->output) {
		status = oq_survival_draw(run, run->options->output, err);
		if (status == OQ_OK)
			status = oq_survival_write(run->options->output, "survival.json", text, err);
	}
	if (status == OQ_OK && json)
		*json = text;
	else
		oq_free(text);
	return status;
}

static void close_run(oq_survival_run *run)
{
	for (int s = 0; s < OQ_SURVIVAL_SCORES; s++) {
		oq_free(run->risks[s].name);
		oq_free(run->risks[s].values);
		oq_free(run->risks[s].ridges);
	}
	for (int g = 0; g < OQ_LOGRANK_GROUPS; g++)
		oq_free(run->groups[g].steps);
	oq_table_free(run->table);
	oq_free(run->line);
	oq_free(run->time);
	oq_free(run->event);
	oq_free(run->patient);
	oq_free(run->group);
	oq_free(run);
}

oq_status oq_evaluate_survival(const oq_survival_options *options, char **json, oq_error *err)
{
	OQ_TRY(check_options(options, err));
	oq_survival_run *run = oq_calloc(1, sizeof *run);
	oq_matrix matrices[OQ_SURVIVAL_SCORES] = {{0}};
	oq_cpu cpu;
	if (!run)
		return oq_fail_memory(err, "survival", sizeof *run);
	oq_locale locale = oq_locale_enter();
	oq_cpu_detect(&cpu);
	run->options = options;
	run->threads = options->threads > 0 ? options->threads : cpu.processors;
	oq_status status = evaluate(run, matrices, json, err);
	for (int m = 0; m < OQ_SURVIVAL_SCORES; m++)
		oq_gate_free_matrix(&matrices[m]);
	close_run(run);
	oq_locale_leave(locale);
	return status;
}
