/* Survival: what scores and embeddings say about the time to an event, and whether groups differ. */
#include "sections.h"

#include "chart.h"
#include "curves_draw.h"
#include "fields.h"

#include "core/mem.h"

#include <math.h>
#include <stdio.h>

static const oq_json *scores_of(const oq_report_source *s)
{
	const oq_json *list = oq_field(s->document, "scores");
	return list && oq_json_is_array(list) ? oq_json_first(list) : NULL;
}

static void add_cell(oq_text *t, oq_measure m)
{
	char text[48];
	oq_measure_text(m, text);
	oq_text_add(t, "<td class=\"n\">%s</td>", text);
}

static void add_p(oq_text *t, double p)
{
	if (isfinite(p))
		oq_text_add(t, p < 1e-4 ? "&lt; 0.0001" : "%.4f", p);
	else
		oq_text_add(t, "&ndash;");
}

/* Harrell's C of all scores of a document. */
static void draw(oq_text *t, const oq_report_source *s, const char *title)
{
	oq_chart_row rows[OQ_REPORT_ROWS];
	oq_chart chart = {.title = title, .axis = "Harrell's C (95 % interval)", .from = 0.4, .to = 1, .step = 0.1, .line = 0.5, .line_label = "chance", .rows = rows};
	for (const oq_json *score = scores_of(s); score && chart.count < OQ_REPORT_ROWS; score = oq_json_next(score))
		rows[chart.count++] = oq_chart_share(oq_field_string(score, "name"), oq_field_measure(oq_field(score, "harrell"), "c", "bootstrap95"), &chart.from);
	if (chart.count)
		oq_chart_forest(t, &chart);
}

static void add_scores(oq_text *t, const oq_report_source *s)
{
	oq_table_begin(t, "Score|#Harrell's C|#Uno's C|#Harrell's C less the first's|#Hazard ratio per SD|#p (Wald)|How");
	for (const oq_json *score = scores_of(s); score; score = oq_json_next(score)) {
		const oq_json *cox = oq_field(score, "cox");
		const char *missing = oq_field_string(cox, "not_fitted");
		oq_text_add(t, "<tr>");
		oq_cell_text(t, oq_field_string(score, "name"));
		add_cell(t, oq_field_measure(oq_field(score, "harrell"), "c", "bootstrap95"));
		add_cell(t, oq_field_measure(oq_field(score, "uno"), "c", "bootstrap95"));
		add_cell(t, oq_field_measure(oq_field(score, "against_first"), "harrell", "bootstrap95"));
		add_cell(t, oq_field_measure(cox, "hazard_ratio_per_sd", "wald95"));
		oq_text_add(t, "<td class=\"n\">");
		add_p(t, oq_field_number(cox, "p"));
		oq_text_add(t, "</td><td>%s", oq_field(score, "probe") ? "ridge Cox on the embedding, out of fold" : "score as given");
		oq_text_add(t, missing[0] ? "; Cox not fitted: " : "");
		oq_text_escape(t, missing);
		oq_text_add(t, "</td></tr>\n");
	}
	oq_table_end(t);
}

static void add_groups(oq_text *t, const oq_report_source *s)
{
	const oq_json *groups = oq_field(s->document, "groups"), *list = oq_field(groups, "list"), *test = oq_field(groups, "log_rank");
	if (!list || !oq_json_is_array(list))
		return;
	oq_text_add(t, "<p>Groups by ");
	oq_text_escape(t, oq_field_string(groups, "by"));
	if (test) {
		oq_text_add(t, ": log-rank &chi;&sup2; %.3f, %.0f degree%s of freedom, p ", oq_field_number(test, "chi_squared"), oq_field_number(test, "degrees"),
			oq_field_number(test, "degrees") > 1 ? "s" : "");
		add_p(t, oq_field_number(test, "p"));
	}
	oq_text_add(t, ".</p>\n");
	oq_table_begin(t, "Group|#Rows|#Events|#Events expected if groups were alike|#Median time");
	for (const oq_json *g = oq_json_first(list); g; g = oq_json_next(g)) {
		double median = oq_field_number(g, "median_time");
		oq_text_add(t, "<tr>");
		oq_cell_text(t, oq_field_string(g, "name"));
		oq_cell_number(t, oq_field_number(g, "rows"), 0);
		oq_cell_number(t, oq_field_number(g, "events"), 0);
		oq_cell_number(t, oq_field_number(g, "expected_events"), 1);
		oq_text_add(t, isfinite(median) ? "<td class=\"n\">%g</td></tr>\n" : "<td class=\"n\">not reached</td></tr>\n", median);
	}
	oq_table_end(t);
}

static bool is_step(const oq_curve_step *s)
{
	return s->time >= 0 && s->survival >= 0 && s->survival <= 1 && s->at_risk >= 0 && s->events >= 0 && s->censored >= 0;
}

static int64_t read_count(const oq_json *value)
{
	double number = oq_json_number(value);
	return number >= 0 && number < 1e15 ? (int64_t)number : -1;
}

/* NULL when the columns of a group's curve are not all there, of one length and in their ranges. Free the steps with oq_free. */
static oq_curve_step *read_curve(const oq_json *group, int64_t *count)
{
	static const char *const keys[] = {"time", "at_risk", "events", "censored", "survival", "low95", "high95", "loglog_low95", "loglog_high95"};
	enum { COLUMNS = sizeof keys / sizeof *keys };
	const oq_json *columns = oq_field(group, "curve"), *at[COLUMNS];
	*count = oq_json_count(oq_field(columns, "time"));
	for (int k = 0; k < COLUMNS; k++) {
		const oq_json *column = oq_field(columns, keys[k]);
		if (!column || !oq_json_is_array(column) || oq_json_count(column) != *count)
			return NULL;
		at[k] = oq_json_first(column);
	}
	oq_curve_step *steps = oq_alloc((size_t)*count * sizeof *steps);
	bool good = steps && *count > 0;
	for (int64_t i = 0; i < *count && good; i++) {
		steps[i] = (oq_curve_step){oq_json_number(at[0]), oq_json_number(at[4]), oq_json_number(at[5]), oq_json_number(at[6]), oq_json_number(at[7]),
			oq_json_number(at[8]), read_count(at[1]), read_count(at[2]), read_count(at[3])};
		good = is_step(&steps[i]);
		for (int k = 0; k < COLUMNS; k++)
			at[k] = oq_json_next(at[k]);
	}
	if (good)
		return steps;
	oq_free(steps);
	return NULL;
}

/* Kaplan-Meier curves of the groups, with numbers at risk. */
static void draw_curves(oq_text *t, const oq_report_source *s)
{
	const oq_json *list = oq_field(oq_field(s->document, "groups"), "list");
	oq_curve_step *steps[OQ_CURVES] = {0};
	oq_curve curves[OQ_CURVES];
	oq_curves drawing = {.title = "Kaplan-Meier curves", .axis = oq_field_string(oq_field(s->document, "endpoint"), "time"),
		.note = "Bands: 95 % (Greenwood, log-log); strokes: end of follow-up", .curves = curves};
	bool good = list && oq_json_is_array(list);
	for (const oq_json *g = good ? oq_json_first(list) : NULL; g && good && drawing.count < OQ_CURVES; g = oq_json_next(g)) {
		oq_curve *c = &curves[drawing.count];
		*c = (oq_curve){.name = oq_field_string(g, "name")};
		c->steps = steps[drawing.count] = read_curve(g, &c->count);
		good = c->steps != NULL;
		drawing.count += good;
	}
	if (good && drawing.count) {
		oq_text_add(t, "<figure>");
		oq_curves_draw(t, &drawing, " role=\"img\" aria-label=\"Kaplan-Meier curves\" style=\"font-family:inherit\"");
		oq_text_add(t, "</figure>\n");
	} else {
		oq_text_add(t, "<p class=\"note\">The document holds no survival curves.</p>\n");
	}
	for (int i = 0; i < OQ_CURVES; i++)
		oq_free(steps[i]);
}

static void add_notes(oq_text *t, const oq_report_source *s)
{
	const oq_json *about = oq_field(s->document, "endpoint"), *notes = oq_field(s->document, "notes");
	double horizon = oq_field_number(about, "uno_horizon");
	oq_text_add(t, "<p class=\"note\">%.0f rows", oq_field_number(about, "rows"));
	if (isfinite(oq_field_number(about, "patients")))
		oq_text_add(t, " of %.0f patients", oq_field_number(about, "patients"));
	oq_text_add(t, ", %.0f events. Intervals of C by bootstrap over patients, of the hazard ratio after Wald.", oq_field_number(about, "events"));
	if (isfinite(horizon))
		oq_text_add(t, " Uno's C up to time %g.", horizon);
	oq_text_add(t, "</p>\n");
	oq_list_warnings(t, notes);
}

static void make_title(const oq_report_source *s, char title[192])
{
	const oq_json *endpoint = oq_field(s->document, "endpoint");
	snprintf(title, 192, "%.80s: %.40s until %.40s", s->name, oq_field_string(endpoint, "time"), oq_field_string(endpoint, "event"));
}

void oq_section_survival(oq_text *t, const oq_report *report)
{
	if (!oq_report_next(report, OQ_REPORT_SURVIVAL, NULL))
		return;
	oq_text_add(t, "<section id=\"survival\"><h2>Survival</h2>\n");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SURVIVAL) {
		char title[192];
		make_title(s, title);
		draw(t, s, title);
		add_scores(t, s);
		add_groups(t, s);
		draw_curves(t, s);
		add_notes(t, s);
	}
	oq_text_add(t, "</section>\n");
}

void oq_summary_survival(oq_text *t, const oq_report *report)
{
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SURVIVAL) {
		const oq_json *best = NULL, *few = oq_field(s->document, "underpowered");
		oq_measure most = {.value = -1};
		char title[192], text[48];
		for (const oq_json *score = scores_of(s); score; score = oq_json_next(score)) {
			oq_measure c = oq_field_measure(oq_field(score, "harrell"), "c", "bootstrap95");
			if (c.value > most.value) {
				most = c;
				best = score;
			}
		}
		if (!best)
			continue;
		make_title(s, title);
		oq_measure_text(most, text);
		oq_text_add(t, "<li><b>");
		oq_text_escape(t, title);
		oq_text_add(t, ":</b> highest Harrell's C %s: ", text);
		oq_text_escape(t, oq_field_string(best, "name"));
		oq_text_add(t, ".%s</li>\n", few && oq_json_is_true(few) ? " <span class=\"bad\">Underpowered: too few events for a verdict.</span>" : "");
	}
}
