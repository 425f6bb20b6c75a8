/* Survival: what scores and embeddings say about the time to an event, and whether groups differ. */
#include "sections.h"

#include "chart.h"
#include "fields.h"

#include <math.h>
#include <stdio.h>

typedef struct measure {
	double value, low, high;
} measure;

static measure read_measure(const oq_json *group, const char *value, const char *interval)
{
	const oq_json *pair = oq_field(group, interval);
	return (measure){oq_field_number(group, value), oq_field_at(pair, 0), oq_field_at(pair, 1)};
}

static void format_measure(char text[48], measure m, const char *missing)
{
	if (!isfinite(m.value))
		snprintf(text, 48, "%s", missing);
	else if (isfinite(m.low) && isfinite(m.high))
		snprintf(text, 48, "%.3f (%.3f to %.3f)", m.value, m.low, m.high);
	else
		snprintf(text, 48, "%.3f", m.value);
}

static const oq_json *scores_of(const oq_report_source *s)
{
	const oq_json *list = oq_field(s->document, "scores");
	return list && oq_json_is_array(list) ? oq_json_first(list) : NULL;
}

static void add_cell(oq_text *t, measure m)
{
	char text[48];
	format_measure(text, m, "\xe2\x80\x93");
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
	for (const oq_json *score = scores_of(s); score && chart.count < OQ_REPORT_ROWS; score = oq_json_next(score)) {
		measure c = read_measure(oq_field(score, "harrell"), "c", "bootstrap95");
		oq_chart_row *r = &rows[chart.count++];
		*r = (oq_chart_row){.value = c.value, .low = c.low, .high = c.high};
		snprintf(r->label, sizeof r->label, "%.90s", oq_field_string(score, "name"));
		format_measure(r->text, c, "");
		double least = fmin(c.value, isfinite(c.low) ? c.low : c.value);
		if (least < chart.from)
			chart.from = floor(fmax(least, 0) * 10) / 10;
	}
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
		add_cell(t, read_measure(oq_field(score, "harrell"), "c", "bootstrap95"));
		add_cell(t, read_measure(oq_field(score, "uno"), "c", "bootstrap95"));
		add_cell(t, read_measure(oq_field(score, "against_first"), "harrell", "bootstrap95"));
		add_cell(t, read_measure(cox, "hazard_ratio_per_sd", "wald95"));
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
		oq_text_add(t, ": log-rank &chi;&sup2; %.3f, %.0f degrees of freedom, p ", oq_field_number(test, "chi_squared"), oq_field_number(test, "degrees"));
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
	oq_text_add(t, " Not drawn here: the Kaplan-Meier curves, which evaluate survival -o writes beside its document (survival.svg).</p>\n");
	if (!notes || !oq_json_is_array(notes) || !oq_json_count(notes))
		return;
	oq_text_add(t, "<ul class=\"warn\">");
	for (const oq_json *n = oq_json_first(notes); n; n = oq_json_next(n)) {
		oq_text_add(t, "<li>");
		oq_text_escape(t, oq_json_string(n));
		oq_text_add(t, "</li>");
	}
	oq_text_add(t, "</ul>\n");
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
		add_notes(t, s);
	}
	oq_text_add(t, "</section>\n");
}

void oq_summary_survival(oq_text *t, const oq_report *report)
{
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SURVIVAL) {
		const oq_json *best = NULL, *few = oq_field(s->document, "underpowered");
		measure most = {.value = -1};
		char title[192], text[48];
		for (const oq_json *score = scores_of(s); score; score = oq_json_next(score)) {
			measure c = read_measure(oq_field(score, "harrell"), "c", "bootstrap95");
			if (c.value > most.value) {
				most = c;
				best = score;
			}
		}
		if (!best)
			continue;
		make_title(s, title);
		format_measure(text, most, "");
		oq_text_add(t, "<li><b>");
		oq_text_escape(t, title);
		oq_text_add(t, ":</b> highest Harrell's C %s: ", text);
		oq_text_escape(t, oq_field_string(best, "name"));
		oq_text_add(t, ".%s</li>\n", few && oq_json_is_true(few) ? " <span class=\"bad\">Underpowered: too few events for a verdict.</span>" : "");
	}
}
