/* Groups of a cohort: their curves, whether they differ, and the whole result as a document (schema "oncoquant-survival", version 1). */
#include "survival.h"

#include "texts.h"

#include "core/file.h"
#include "core/mem.h"
#include "eval/quantile.h"
#include "report/curves.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define FEW_EVENTS 20 /* fewer say little about any score */

/* In two halves: above the median score or not. */
static oq_status halve(oq_survival_run *run, oq_error *err)
{
	const oq_risk *risk = &run->risks[0];
	double *sorted = oq_alloc((size_t)run->rows * sizeof *sorted);
	if (!sorted)
		return oq_fail_memory(err, "survival", (size_t)run->rows * sizeof *sorted);
	memcpy(sorted, risk->values, (size_t)run->rows * sizeof *sorted);
	oq_sort_doubles(sorted, run->rows);
	double median = oq_quantile(sorted, run->rows, 0.5);
	oq_free(sorted);
	int64_t above = 0;
	for (int64_t i = 0; i < run->rows; i++) {
		run->group[i] = risk->values[i] > median;
		above += run->group[i];
	}
	run->group_count = above > 0 && above < run->rows ? 2 : 1;
	snprintf(run->groups[0].name, sizeof run->groups[0].name, run->group_count == 2 ? "low risk" : "all");
	snprintf(run->groups[1].name, sizeof run->groups[1].name, "high risk");
	if (run->group_count == 1)
		memset(run->group, 0, (size_t)run->rows * sizeof *run->group);
	return OQ_OK;
}

/* Numbered as their values sort, so that the order of the rows does not matter. */
static oq_status read_groups(oq_survival_run *run, oq_error *err)
{
	int column = oq_table_find(run->table, run->options->group);
	const char *names[OQ_LOGRANK_GROUPS];
	if (column < 0)
		return oq_fail(err, OQ_E_USAGE, "E_COLUMN", "%s: has no column \"%s\"", run->options->labels, run->options->group);
	for (int64_t i = 0; i < run->rows; i++) {
		const char *cell = oq_table_cell(run->table, run->line[i], column);
		int at = 0;
		while (at < run->group_count && strcmp(names[at], cell) < 0)
			at++;
		if (at < run->group_count && !strcmp(names[at], cell))
			continue;
		if (run->group_count == OQ_LOGRANK_GROUPS)
			return oq_fail(err, OQ_E_INPUT, "E_GROUPS", "%s: column \"%s\" has more than %d different values, expected groups", run->options->labels,
				run->options->group, OQ_LOGRANK_GROUPS);
		memmove(names + at + 1, names + at, (size_t)(run->group_count - at) * sizeof *names);
		names[at] = cell;
		run->group_count++;
	}
	for (int64_t i = 0; i < run->rows; i++) {
		run->group[i] = 0;
		while (strcmp(names[run->group[i]], oq_table_cell(run->table, run->line[i], column)))
			run->group[i]++;
	}
	for (int g = 0; g < run->group_count; g++)
		snprintf(run->groups[g].name, sizeof run->groups[g].name, "%.60s", names[g]);
	return OQ_OK;
}

static oq_status draw_curve(const oq_survival_run *run, int which, oq_survival_group *group, oq_error *err)
{
	double *time = oq_alloc((size_t)run->rows * sizeof *time);
	bool *event = oq_alloc((size_t)run->rows * sizeof *event);
	oq_status status = time && event ? OQ_OK : oq_fail_memory(err, "survival", (size_t)run->rows * sizeof *time);
	for (int64_t i = 0; i < run->rows && status == OQ_OK; i++)
		if (run->group[i] == which) {
			time[group->count] = run->time[i];
			event[group->count++] = run->event[i];
			group->events += run->event[i];
		}
	const oq_survival survival = {time, event, group->count};
	group->steps = oq_alloc((size_t)(group->count + 1) * sizeof *group->steps);
	if (status == OQ_OK)
		status = group->steps ? oq_kaplan_meier(&survival, group->steps, &group->step_count, err) : oq_fail_memory(err, "survival", 0);
	if (status == OQ_OK)
		group->median = oq_km_time(group->steps, group->step_count, 0.5);
	else
		oq_error_prefix(err, group->name);
	oq_free(time);
	oq_free(event);
	return status;
}

oq_status oq_survival_groups(oq_survival_run *run, oq_error *err)
{
	const oq_survival survival = oq_survival_of(run);
	oq_error own = {0};
	run->group = oq_alloc((size_t)run->rows * sizeof *run->group);
	if (!run->group)
		return oq_fail_memory(err, "survival", (size_t)run->rows * sizeof *run->group);
	OQ_TRY(run->options->group ? read_groups(run, err) : halve(run, err));
	for (int g = 0; g < run->group_count; g++)
		OQ_TRY(draw_curve(run, g, &run->groups[g], err));
	oq_status status = run->group_count > 1 ? oq_logrank_test(&survival, run->group, run->group_count, &run->logrank, &own) : OQ_OK;
	run->has_logrank = run->group_count > 1 && status == OQ_OK;
	if (status == OQ_OK || status == OQ_E_INPUT) /* groups that are never at risk together: no test, the curves stand */
		return OQ_OK;
	if (err)
		*err = own;
	return status;
}

static bool add_interval(oq_json *root, const char *key, oq_interval interval)
{
	oq_json *pair = oq_json_add_array(root, key);
	return pair && oq_json_add_number(pair, NULL, interval.low) && oq_json_add_number(pair, NULL, interval.high);
}

static bool add_concordance(oq_json *root, const char *key, const oq_concordance *c, oq_interval interval)
{
	oq_json *json = oq_json_add_object(root, key);
	return json && oq_json_add_number(json, "c", c->c) && oq_json_add_number(json, "se", sqrt(c->variance)) && add_interval(json, "bootstrap95", interval);
}

static bool add_cox(oq_json *root, const oq_risk *risk)
{
	oq_json *json = oq_json_add_object(root, "cox");
	const oq_cox_coefficient *k = &risk->cox.coefficient[0];
	if (!json || !risk->has_cox)
		return json && oq_json_add_string(json, "not_fitted", risk->cox_code);
	const double reach = 1.959963984540054 * k->se;
	return oq_json_add_number(json, "hazard_ratio_per_sd", exp(k->b)) && add_interval(json, "wald95", (oq_interval){exp(k->b - reach), exp(k->b + reach)})
		&& oq_json_add_number(json, "z", k->z) && oq_json_add_number(json, "p", k->p) && oq_json_add_number(json, "p_likelihood_ratio", risk->cox.p);
}

static bool add_probe(oq_json *root, const oq_survival_run *run, const oq_risk *risk)
{
	oq_json *json = oq_json_add_object(root, "probe"), *ridges;
	bool good = json && oq_json_add_string(json, "kind", "ridge Cox, out of fold") && oq_json_add_int(json, "size", risk->size)
		&& oq_json_add_int(json, "splits", run->split_count) && oq_json_add_number(json, "harrell_mean_of_folds", risk->folds.value)
		&& add_interval(json, "nadeau_bengio95", risk->folds.interval) && (ridges = oq_json_add_array(json, "ridge_per_event"));
	for (int s = 0; s < run->split_count && good; s++)
		good = oq_json_add_number(ridges, NULL, risk->ridges[s]);
	return good;
}

static bool add_risks(oq_json *root, const oq_survival_run *run)
{
	oq_json *list = oq_json_add_array(root, "scores");
	bool good = list != NULL;
	for (int s = 0; s < run->risk_count && good; s++) {
		const oq_risk *risk = &run->risks[s];
		oq_json *json = oq_json_add_object(list, NULL), *difference;
		good = oq_json_add_string(json, "name", risk->name) && add_concordance(json, "harrell", &risk->harrell, risk->harrell_interval)
			&& add_concordance(json, "uno", &risk->uno, risk->uno_interval) && add_cox(json, risk) && (!risk->probed || add_probe(json, run, risk));
		if (s > 0 && good)
			good = (difference = oq_json_add_object(json, "against_first")) && oq_json_add_number(difference, "harrell", risk->harrell.c - run->risks[0].harrell.c)
				&& add_interval(difference, "bootstrap95", risk->difference);
	}
	return good;
}

/* A column for each figure, a place in it for each distinct time. */
static bool add_curve(oq_json *group, const oq_survival_group *from)
{
	static const char *const keys[] = {"time", "at_risk", "events", "censored", "survival", "low95", "high95", "loglog_low95", "loglog_high95"};
	enum { COLUMNS = sizeof keys / sizeof *keys };
	oq_json *curve = oq_json_add_object(group, "curve"), *columns[COLUMNS];
	bool good = curve != NULL;
	for (int k = 0; k < COLUMNS && good; k++)
		good = (columns[k] = oq_json_add_array(curve, keys[k])) != NULL;
	for (int64_t i = 0; i < from->step_count && good; i++) {
		const oq_km_step *s = &from->steps[i];
		const double values[COLUMNS] = {s->time, (double)s->at_risk, (double)s->events, (double)s->censored, s->survival, s->low, s->high, s->loglog_low,
			s->loglog_high};
		for (int k = 0; k < COLUMNS && good; k++)
			good = oq_json_add_number(columns[k], NULL, values[k]);
	}
	return good;
}

static bool add_groups(oq_json *root, const oq_survival_run *run)
{
	oq_json *json = oq_json_add_object(root, "groups"), *list;
	bool good = json && oq_json_add_string(json, "by", run->options->group ? run->options->group : "median of the first score")
		&& (list = oq_json_add_array(json, "list"));
	for (int g = 0; g < run->group_count && good; g++) {
		const oq_survival_group *group = &run->groups[g];
		oq_json *one = oq_json_add_object(list, NULL);
		good = oq_json_add_string(one, "name", group->name) && oq_json_add_int(one, "rows", group->count) && oq_json_add_int(one, "events", group->events)
			&& oq_json_add_number(one, "median_time", group->median);
		if (run->has_logrank)
			good = good && oq_json_add_number(one, "expected_events", run->logrank.expected[g]);
		good = good && add_curve(one, group);
	}
	oq_json *test = good && run->has_logrank ? oq_json_add_object(json, "log_rank") : NULL;
	return good && (!run->has_logrank || (test && oq_json_add_number(test, "chi_squared", run->logrank.chi_squared)
		&& oq_json_add_int(test, "degrees", run->logrank.degrees) && oq_json_add_number(test, "p", run->logrank.p)));
}

static bool add_notes(oq_json *root, const oq_survival_run *run)
{
	oq_json *notes = NULL;
	bool few = run->events < FEW_EVENTS, probed = run->options->embedding_count > 0;
	bool good = oq_json_add_bool(root, "underpowered", few) && (notes = oq_json_add_array(root, "notes"));
	if (few)
		good = good && oq_json_add_string(notes, NULL, "underpowered: fewer than 20 events");
	if (run->patients < run->rows)
		good = good && oq_json_add_string(notes, NULL, "patients have several rows: bootstrap intervals are by patient; Cox, log-rank and curves count every row");
	if (!run->options->patient)
		good = good && oq_json_add_string(notes, NULL, "no patient column: every row counts as a patient of its own");
	if (probed)
		good = good && oq_json_add_string(notes, NULL, "a probe's score is of rows that it was not trained on; its intervals do not count that it would train differently on other patients");
	if (probed && !run->options->group)
		good = good && oq_json_add_string(notes, NULL, "halves of an out-of-fold score come from several probes: read their log-rank as a description");
	return good;
}

bool oq_survival_describe(const oq_survival_run *run, oq_json *root)
{
	const oq_survival_options *o = run->options;
	oq_json *endpoint, *left;
	bool good = oq_json_add_string(root, "schema", "oncoquant-survival") && oq_json_add_int(root, "version", 1) && (endpoint = oq_json_add_object(root, "endpoint"))
		&& oq_json_add_string(endpoint, "time", o->time) && oq_json_add_string(endpoint, "event", o->event) && oq_json_add_int(endpoint, "rows", run->rows)
		&& oq_json_add_int(endpoint, "events", run->events)
		&& (o->patient ? oq_json_add_int(endpoint, "patients", run->patients) : oq_json_add_string(endpoint, "patients", NULL))
		&& oq_json_add_number(endpoint, "uno_horizon", o->horizon > 0 ? o->horizon : NAN) && (left = oq_json_add_object(endpoint, "left_out"))
		&& oq_json_add_int(left, "failed", run->failed) && oq_json_add_int(left, "without_label", run->unlabelled);
	return good && add_risks(root, run) && add_groups(root, run) && add_notes(root, run);
}

static oq_status write_curves(const oq_survival_run *run, oq_curve_step *room, const char *folder, oq_error *err)
{
	char title[160], note[80];
	oq_curve curves[OQ_LOGRANK_GROUPS];
	for (int g = 0; g < run->group_count; g++) {
		const oq_survival_group *group = &run->groups[g];
		curves[g] = (oq_curve){group->name, room, group->step_count};
		for (int64_t i = 0; i < group->step_count; i++) {
			const oq_km_step *s = &group->steps[i];
			*room++ = (oq_curve_step){s->time, s->survival, s->low, s->high, s->loglog_low, s->loglog_high, s->at_risk, s->events, s->censored};
		}
	}
	snprintf(title, sizeof title, "Kaplan-Meier by %.100s", run->options->group ? run->options->group : run->risks[0].name);
	snprintf(note, sizeof note, "Log-rank p %s %.2g; bands: 95 %%, log-log", run->logrank.p < 1e-4 ? "<" : "=", run->logrank.p < 1e-4 ? 1e-4 : run->logrank.p);
	const oq_curves drawing = {.title = title, .axis = run->options->time, .note = run->has_logrank ? note : "Bands: 95 %, log-log", .curves = curves, .count = run->group_count};
	char *svg = NULL, *csv = NULL;
	oq_status status = oq_report_curves(&drawing, &svg, err);
	if (status == OQ_OK)
		status = oq_report_curves_csv(&drawing, &csv, err);
	if (status == OQ_OK)
		status = oq_survival_write(folder, "survival.svg", svg, err);
	if (status == OQ_OK)
		status = oq_survival_write(folder, "survival.csv", csv, err);
	oq_free(svg);
	oq_free(csv);
	return status;
}

oq_status oq_survival_draw(const oq_survival_run *run, const char *folder, oq_error *err)
{
	oq_curve_step *room = oq_alloc((size_t)run->rows * sizeof *room);
	oq_status status = room ? write_curves(run, room, folder, err) : oq_fail_memory(err, "survival", (size_t)run->rows * sizeof *room);
	oq_free(room);
	return status;
}
