/* What low precision costs and gives: fidelity to float32, speed, energy. */
#include "sections.h"

#include "chart.h"
#include "fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

void oq_report_label(const oq_report_source *s, char out[96])
{
	const char *model = oq_field_string(s->document, "model"), *asked = oq_field_string(s->document, s->kind == OQ_REPORT_BENCH ? "precision_asked" : "precision");
	const char *used = oq_field_string(s->document, "precision_used");
	bool other = asked[0] && used[0] && strcmp(asked, used) != 0; /* weights in f16, arithmetic in f32 */
	snprintf(out, 96, "%.40s%s%.12s%s%.12s", model[0] ? model : s->name, asked[0] ? ", " : "", asked, other ? ", computed in " : "", other ? used : "");
}

static bool has_passed(const oq_json *document)
{
	return !strncmp(oq_field_string(document, "verdict"), "PASS", 4);
}

/* How far patches are from float32: the median to the worst, on a logarithmic axis. */
static void draw_errors(oq_text *t, const oq_report *report)
{
	oq_chart_row rows[OQ_REPORT_ROWS];
	oq_chart chart = {.title = "Distance to float32, patch by patch", .axis = "1 - centred cosine: point median, bar to the worst patch", .from = -7, .to = 0, .step = 1,
		.powers = true, .line = NAN, .line_label = "limit of the worst (int8)", .rows = rows};
	OQ_EACH_SOURCE(s, report, OQ_REPORT_FIDELITY) {
		const oq_json *patches = oq_field(s->document, "patches");
		double median = oq_field_number(patches, "centred_cosine_median"), least = oq_field_number(patches, "centred_cosine_min");
		double limit = oq_field_number(oq_field(s->document, "limits"), "centred_cosine_min");
		if (chart.count == OQ_REPORT_ROWS || !isfinite(median))
			continue;
		oq_chart_row *r = &rows[chart.count++];
		*r = (oq_chart_row){.value = log10(fmax(1 - median, 1e-7)), .group = has_passed(s->document) ? 0 : 1};
		r->low = r->value;
		r->high = log10(fmax(1 - least, 1e-7));
		oq_report_label(s, r->label);
		snprintf(r->text, sizeof r->text, "%.1e, worst %.1e", fmax(1 - median, 0), fmax(1 - least, 0));
		if (limit < 0.99) /* that of int8; lower precisions are judged by the loosest one drawn */
			chart.line = log10(1 - limit);
	}
	if (chart.count)
		oq_chart_forest(t, &chart);
}

static void add_fidelity_row(oq_text *t, const oq_report_source *s)
{
	char label[96];
	const oq_json *patches = oq_field(s->document, "patches"), *yardstick = oq_field(s->document, "yardstick"), *findings = oq_field(s->document, "findings");
	double ratio = oq_field_number(yardstick, "error_to_retest_variance_upper95");
	if (!isfinite(ratio))
		ratio = oq_field_number(yardstick, "error_to_jitter_variance_upper95");
	oq_report_label(s, label);
	oq_text_add(t, "<tr><td class=\"d\">");
	oq_text_escape(t, label);
	oq_text_add(t, "</td><td class=\"%s\"><b>", has_passed(s->document) ? "good" : "bad");
	oq_text_escape(t, oq_field_string(s->document, "verdict"));
	oq_text_add(t, "</b></td>");
	oq_cell_number(t, oq_field_number(s->document, "rows"), 0);
	oq_cell_number(t, oq_field_number(patches, "centred_cosine_median"), 5);
	oq_cell_number(t, oq_field_number(patches, "centred_cosine_min"), 5);
	oq_cell_number(t, ratio, 4);
	oq_cell_number(t, oq_field_number(oq_field(s->document, "neighbours"), "recall10"), 3);
	oq_cell_number(t, oq_field_number(oq_field(s->document, "dimensions"), "ccc_min"), 4);
	oq_text_add(t, "<td class=\"d\">");
	for (const oq_json *f = findings ? oq_json_first(findings) : NULL; f; f = oq_json_next(f)) {
		oq_text_escape(t, oq_field_string(f, "code"));
		oq_text_add(t, " %.3g (limit %.3g)<br>", oq_field_number(f, "value"), oq_field_number(f, "limit"));
	}
	oq_text_add(t, "</td></tr>\n");
}

void oq_section_fidelity(oq_text *t, const oq_report *report)
{
	if (!oq_report_next(report, OQ_REPORT_FIDELITY, NULL))
		return;
	oq_text_add(t, "<section id=\"fidelity\"><h2>Fidelity of low precision</h2>\n<p>Embeddings in low precision beside those of the same network in float32, patch by patch.</p>\n");
	draw_errors(t, report);
	oq_table_begin(t, "Package|Verdict|#Patches|#Centred cosine, median|#least|#Error / yardstick|#Recall of 10 neighbours|#Worst concordance|Beyond limits");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_FIDELITY)
		add_fidelity_row(t, s);
	oq_table_end(t);
	oq_text_add(t, "<p class=\"note\">Error / yardstick: variance of the error as a share of what a second scan (or, without one, a moved seed) changes; upper end of its 95 %% interval. "
		"A verdict other than PASS means: do not use, or too little is known. UNDERPOWERED: too few test patches for a verdict.</p>\n</section>\n");
}

static double field_of_bench(const oq_report_source *s, const char *key)
{
	return oq_field_number(s->document, key);
}

/* "measured-rapl, 1.02 to 1.18 J"; without an interval where there is none. */
static void energy_text(const oq_json *energy, char out[96])
{
	const char *label = oq_field_string(energy, "label");
	double low = oq_field_number(energy, "joules_per_patch_low"), high = oq_field_number(energy, "joules_per_patch_high");
	if (!label[0])
		snprintf(out, 96, "not asked for");
	else if (!strcmp(label, "none"))
		snprintf(out, 96, "n/a: %s", oq_field_string(energy, "source")[0] ? "counters not believed" : "no counters");
	else if (isfinite(low) && isfinite(high))
		snprintf(out, 96, "%.24s, %.3g to %.3g J", label, low, high);
	else
		snprintf(out, 96, "%.24s", label);
}

/* What speaks against a figure, or against there being one though there are counters. */
static void list_doubts(oq_text *t, const oq_report *report)
{
	char label[96];
	OQ_EACH_SOURCE(s, report, OQ_REPORT_BENCH) {
		const oq_json *energy = oq_field(s->document, "energy");
		if (!oq_field_string(energy, "source")[0] || !oq_field_string(energy, "why")[0])
			continue;
		oq_report_label(s, label);
		oq_text_add(t, "<p class=\"note\">Energy of ");
		oq_text_escape(t, label);
		oq_text_add(t, " (");
		oq_text_escape(t, oq_field_string(energy, "label"));
		oq_text_add(t, "): ");
		oq_text_escape(t, oq_field_string(energy, "why"));
		oq_text_add(t, ".</p>\n");
	}
}

/* Bars of ms or joules. */
static void draw_bars(oq_text *t, const oq_report *report, bool energy)
{
	oq_chart_row rows[OQ_REPORT_ROWS];
	oq_chart chart = {.title = energy ? "Energy per patch" : "Time per patch", .axis = energy ? "joules per patch" : "milliseconds per patch (median)", .line = NAN, .rows = rows};
	OQ_EACH_SOURCE(s, report, OQ_REPORT_BENCH) {
		const oq_json *e = oq_field(s->document, "energy");
		double value = energy ? oq_field_number(e, "joules_per_patch") : field_of_bench(s, "ms_per_patch_median");
		if (chart.count == OQ_REPORT_ROWS || !isfinite(value))
			continue;
		oq_chart_row *r = &rows[chart.count++];
		*r = (oq_chart_row){.value = value, .low = NAN, .high = NAN, .group = energy && strcmp(oq_field_string(e, "label"), "measured-rapl") ? 2 : 0};
		oq_report_label(s, r->label);
		if (energy)
			snprintf(r->text, sizeof r->text, "%.3g J, %.24s", value, oq_field_string(e, "label"));
		else
			snprintf(r->text, sizeof r->text, "%.1f ms", value);
	}
	if (chart.count)
		oq_chart_bars(t, &chart);
}

/* The float32 run of the same model on as many threads; NaN when there is none. */
static double float_time(const oq_report *report, const oq_report_source *s)
{
	OQ_EACH_SOURCE(other, report, OQ_REPORT_BENCH)
		if (!strcmp(oq_field_string(other->document, "model"), oq_field_string(s->document, "model")) && !strcmp(oq_field_string(other->document, "precision_asked"), "f32")
			&& !(field_of_bench(other, "threads") < field_of_bench(s, "threads")) && !(field_of_bench(other, "threads") > field_of_bench(s, "threads")))
			return field_of_bench(other, "ms_per_patch_median");
	return NAN;
}

#define JOULES_PER_KWH 3.6e6
#define SPEED_COLUMNS "Model, precision|#Threads|#Median, ms|#Fastest, ms|#Patches/s|#Times float32|#Weights, MB|#Peak memory, MB|#J per patch|"

static void add_speed_row(oq_text *t, const oq_report *report, const oq_report_source *s)
{
	char label[96], how[96];
	const oq_json *energy = oq_field(s->document, "energy");
	double median = field_of_bench(s, "ms_per_patch_median");
	oq_report_label(s, label);
	energy_text(energy, how);
	oq_text_add(t, "<tr>");
	oq_cell_text(t, label);
	oq_cell_number(t, field_of_bench(s, "threads"), 0);
	oq_cell_number(t, median, 1);
	oq_cell_number(t, field_of_bench(s, "ms_per_patch_min"), 1);
	oq_cell_number(t, 1000 / median, 2);
	oq_cell_number(t, float_time(report, s) / median, 2);
	oq_cell_number(t, field_of_bench(s, "weight_bytes") / 1e6, 0);
	oq_cell_number(t, field_of_bench(s, "peak_rss_mb"), 0);
	oq_cell_number(t, oq_field_number(energy, "joules_per_patch"), 2);
	if (report->gco2_per_kwh > 0)
		oq_cell_number(t, oq_field_number(energy, "joules_per_patch") * report->gco2_per_kwh * 1000 / JOULES_PER_KWH, 2);
	oq_cell_text(t, how);
	oq_text_add(t, "</tr>\n");
}

void oq_section_speed(oq_text *t, const oq_report *report)
{
	const oq_report_source *first = oq_report_next(report, OQ_REPORT_BENCH, NULL);
	if (!first)
		return;
	oq_text_add(t, "<section id=\"speed\"><h2>Speed and energy</h2>\n<p>On ");
	oq_text_escape(t, oq_field_string(first->document, "processor"));
	oq_text_add(t, ".</p>\n");
	draw_bars(t, report, false);
	draw_bars(t, report, true);
	bool carbon = report->gco2_per_kwh > 0;
	oq_table_begin(t, carbon ? SPEED_COLUMNS "#gCO2e per 1000 patches|Energy by" : SPEED_COLUMNS "Energy by");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_BENCH)
		add_speed_row(t, report, s);
	oq_table_end(t);
	list_doubts(t, report);
	oq_text_add(t, "<p class=\"note\">Times of the network alone, on made-up patches. measured-rapl: the processor package's own counters, not the wall socket, with the 95 %% interval of "
		"repeated turns; rapl-suspect: the same, with a reason to doubt it; estimate-tdp: no measurement, its ratios are those of the times. "
		"Other work on the machine slows everything down; compare only what was measured together.");
	if (carbon) {
		oq_text_add(t, " gCO2e: %g g per kWh, after ", report->gco2_per_kwh);
		oq_text_escape(t, report->gco2_source);
		oq_text_add(t, ", times that energy: only what the energy column covers.");
	}
	oq_text_add(t, "</p>\n</section>\n");
}

void oq_summary_fidelity(oq_text *t, const oq_report *report)
{
	OQ_EACH_SOURCE(s, report, OQ_REPORT_FIDELITY) {
		char label[96];
		oq_report_label(s, label);
		oq_text_add(t, "<li><b>Fidelity of ");
		oq_text_escape(t, label);
		oq_text_add(t, ":</b> <span class=\"%s\">", has_passed(s->document) ? "good" : "bad");
		oq_text_escape(t, oq_field_string(s->document, "verdict"));
		oq_text_add(t, "</span> on %.0f patches; least centred cosine to float32 %.5f.</li>\n", oq_field_number(s->document, "rows"),
			oq_field_number(oq_field(s->document, "patches"), "centred_cosine_min"));
	}
}

void oq_summary_speed(oq_text *t, const oq_report *report)
{
	const oq_report_source *best = NULL;
	double most = 0;
	OQ_EACH_SOURCE(s, report, OQ_REPORT_BENCH) {
		double times = float_time(report, s) / field_of_bench(s, "ms_per_patch_median");
		if (times > most) {
			most = times;
			best = s;
		}
	}
	if (!best)
		return;
	char label[96];
	oq_report_label(best, label);
	oq_text_add(t, "<li><b>Speed:</b> the fastest is ");
	oq_text_escape(t, label);
	oq_text_add(t, ": %.1f ms per patch, %.2f times as fast as float32 on the same threads.</li>\n", field_of_bench(best, "ms_per_patch_median"), most);
}
