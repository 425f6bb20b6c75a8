/* The page around the sections: style, summary, contents, provenance. */
#include "report/report.h"

#include "chart.h"
#include "fields.h"
#include "sections.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* How each kind of document names itself, and what the report calls it. */
static const struct {
	const char *key, *value, *title;
} kinds[OQ_REPORT_KINDS] = {
	[OQ_REPORT_EVALUATE] = {"schema", "oncoquant-evaluate", "endpoint"},
	[OQ_REPORT_SURVIVAL] = {"schema", "oncoquant-survival", "survival"},
	[OQ_REPORT_ROBUSTNESS] = {"format", "oncoquant-robustness", "robustness"},
	[OQ_REPORT_SIMILARITY] = {"format", "oncoquant-similarity", "similarity"},
	[OQ_REPORT_SALIENCY] = {"format", "oncoquant-saliency", "saliency"},
	[OQ_REPORT_FIDELITY] = {"format", "oncoquant-fidelity", "fidelity"},
	[OQ_REPORT_BENCH] = {"format", "oncoquant-bench", "speed"},
};

bool oq_report_kind_of(const oq_json *document, oq_report_kind *out)
{
	for (int i = 0; i < OQ_REPORT_KINDS; i++)
		if (!strcmp(oq_field_string(document, kinds[i].key), kinds[i].value)) {
			*out = (oq_report_kind)i;
			return true;
		}
	return false;
}

const oq_report_source *oq_report_next(const oq_report *report, oq_report_kind kind, const oq_report_source *after)
{
	for (const oq_report_source *s = after ? after + 1 : report->sources; s < report->sources + report->count; s++)
		if (s->kind == kind)
			return s;
	return NULL;
}

void oq_cell_number(oq_text *t, double value, int decimals)
{
	if (isfinite(value))
		oq_text_add(t, "<td class=\"n\">%.*f</td>", decimals, value);
	else
		oq_text_add(t, "<td class=\"n\">&ndash;</td>");
}

void oq_cell_text(oq_text *t, const char *value)
{
	oq_text_add(t, "<td>");
	oq_text_escape(t, value);
	oq_text_add(t, "</td>");
}

void oq_table_begin(oq_text *t, const char *headings)
{
	oq_text_add(t, "<div class=\"wide\"><table><thead><tr>");
	while (*headings) {
		size_t length = strcspn(headings, "|");
		bool number = *headings == '#';
		oq_text_add(t, "<th%s>%.*s</th>", number ? " class=\"n\"" : "", (int)(length - number), headings + number);
		headings += length + (headings[length] == '|');
	}
	oq_text_add(t, "</tr></thead><tbody>\n");
}

void oq_table_end(oq_text *t)
{
	oq_text_add(t, "</tbody></table></div>\n");
}

void oq_list_warnings(oq_text *t, const oq_json *notes)
{
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

static const char style[] =
	":root{--ink:#1b2733;--soft:#5b6773;--line:#d9dee3;--main:#1f4e79;--paper:#fff}"
	"*{box-sizing:border-box}html{-webkit-text-size-adjust:100%}"
	"body{margin:0 auto;max-width:66rem;padding:2.2rem 1.6rem 4rem;color:var(--ink);background:var(--paper);font:15px/1.55 \"Source Sans 3\",\"Segoe UI\",\"Helvetica Neue\","
	"\"DejaVu Sans\",Arial,sans-serif}"
	"header{border-bottom:3px solid var(--main);padding-bottom:.9rem;margin-bottom:1.4rem}"
	"h1{font-size:1.75rem;line-height:1.2;margin:0 0 .25rem;letter-spacing:-.01em}header p{margin:0;color:var(--soft)}"
	"h2{font-size:1.25rem;color:var(--main);margin:2.4rem 0 .5rem;padding-bottom:.2rem;border-bottom:1px solid var(--line)}"
	"h3{font-size:1.02rem;margin:1.5rem 0 .4rem}p{margin:.5rem 0}b{font-weight:600}"
	".use{display:inline-block;margin-top:.7rem;padding:.15rem .6rem;border:1px solid #a3262a;color:#a3262a;border-radius:3px;font-weight:600;font-size:.88rem}"
	".summary{background:#f4f7fa;border-left:4px solid var(--main);padding:.7rem 1.1rem;margin:1rem 0}.summary h2{border:0;margin:.1rem 0 .4rem;padding:0}"
	".summary ul{margin:0;padding-left:1.1rem}.summary li{margin:.3rem 0}"
	"nav{font-size:.9rem;color:var(--soft)}nav a{color:var(--main);margin-right:1.1rem;text-decoration:none}"
	"table{border-collapse:collapse;font-size:.86rem;width:100%;font-variant-numeric:tabular-nums}.wide{overflow-x:auto;margin:.7rem 0}"
	"th{text-align:left;font-weight:600;color:var(--soft);border-bottom:2px solid var(--line);padding:.3rem .7rem .3rem 0;vertical-align:bottom}"
	"td{border-bottom:1px solid var(--line);padding:.3rem .7rem .3rem 0;vertical-align:top}th.n,td.n{text-align:right}td.n,td.d{white-space:nowrap}"
	".good{color:#1d6b3a;font-weight:600}.bad{color:#a3262a;font-weight:600}.note{color:var(--soft);font-size:.86rem}.warn{color:#7a4d00;font-size:.9rem}"
	"figure{margin:.8rem 0}svg{max-width:100%;height:auto;display:block}svg text{font-family:inherit;font-size:13px}"
	"svg text.k{font-size:11.5px}svg text.k:not([fill]){fill:var(--soft)}svg text.c{font-size:14.5px;font-weight:600}svg text.n{font-size:12.5px}"
	".maps{display:flex;flex-wrap:wrap;gap:1rem 2rem}.maps figure{flex:1 1 27rem;max-width:36rem}"
	".example img{width:100%;border:1px solid var(--line);background:#000;display:block}.example .side{margin-top:.5rem}figcaption{color:var(--soft);font-size:.86rem;margin-top:.3rem}"
	"code{font:12px/1.4 \"DejaVu Sans Mono\",Consolas,monospace;overflow-wrap:anywhere}footer{margin-top:2.5rem;border-top:1px solid var(--line);color:var(--soft);font-size:.86rem}"
	"@page{margin:16mm 14mm}@media print{body{font-size:10.5pt;max-width:none;padding:0}nav{display:none}h2,h3{break-after:avoid}figure,tr,.summary{break-inside:avoid}"
	".wide{overflow:visible}.summary,td,th,svg *{-webkit-print-color-adjust:exact;print-color-adjust:exact}}";

static void add_head(oq_text *t, const oq_report *report)
{
	oq_text_add(t, "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width, initial-scale=1\"><title>");
	oq_text_escape(t, report->title);
	oq_text_add(t, "</title>\n<style>%s</style></head>\n<body>\n<header><h1>", style);
	oq_text_escape(t, report->title);
	oq_text_add(t, "</h1>\n<p>Embeddings of CT patches by imaging networks: accuracy, robustness, agreement of precisions, speed. Made by OncoQuant %s from %d document%s.</p>\n"
		"<p class=\"use\">Research use only. Not a medical device.</p></header>\n", oq_version(), report->count, report->count == 1 ? "" : "s");
}

static void add_summary(oq_text *t, const oq_report *report)
{
	static const struct {
		oq_report_kind kind;
		const char *id, *title;
	} links[] = {{OQ_REPORT_EVALUATE, "endpoints", "Endpoints"}, {OQ_REPORT_SURVIVAL, "survival", "Survival"}, {OQ_REPORT_ROBUSTNESS, "robustness", "Robustness"}, {OQ_REPORT_SIMILARITY, "similarity", "Similarity"},
		{OQ_REPORT_SALIENCY, "saliency", "Saliency"}, {OQ_REPORT_FIDELITY, "fidelity", "Fidelity"}, {OQ_REPORT_BENCH, "speed", "Speed and energy"}};
	oq_text_add(t, "<nav>");
	for (size_t i = 0; i < sizeof links / sizeof *links; i++)
		if (oq_report_next(report, links[i].kind, NULL))
			oq_text_add(t, "<a href=\"#%s\">%s</a>", links[i].id, links[i].title);
	oq_text_add(t, "<a href=\"#provenance\">Provenance</a></nav>\n<div class=\"summary\"><h2>Summary</h2>\n<ul>\n");
	oq_summary_endpoints(t, report);
	oq_summary_survival(t, report);
	oq_summary_fidelity(t, report);
	oq_summary_speed(t, report);
	oq_summary_measures(t, report);
	oq_summary_saliency(t, report);
	oq_text_add(t, "<li>Figures describe the cohort they were made on. They are no evidence of clinical benefit.</li>\n</ul></div>\n");
}

/* A package's hash stands in different places. */
static const char *package_of(const oq_json *d)
{
	const char *own = oq_field_string(d, "package_sha256");
	return own[0] ? own : oq_field_string(oq_field(d, "model"), "package_sha256");
}

static void add_provenance(oq_text *t, const oq_report *report)
{
	oq_text_add(t, "<section id=\"provenance\"><h2>Provenance</h2>\n");
	oq_table_begin(t, "Document|What|Date|Tool|Processor, kernels|oneDNN|SHA-256 of the document and, where it names one, of the package");
	for (int i = 0; i < report->count; i++) {
		const oq_report_source *s = &report->sources[i];
		const oq_json *d = s->document;
		oq_text_add(t, "<tr>");
		oq_cell_text(t, s->name);
		oq_cell_text(t, kinds[s->kind].title);
		oq_text_add(t, "<td class=\"d\">%s</td>", s->date);
		oq_cell_text(t, oq_field_string(d, "tool_version"));
		oq_text_add(t, "<td>");
		oq_text_escape(t, oq_field_string(d, "processor"));
		oq_text_add(t, oq_field_string(d, "kernels")[0] ? ", " : "");
		oq_text_escape(t, oq_field_string(d, "kernels"));
		oq_text_add(t, "</td><td>");
		oq_text_escape(t, oq_field_string(d, "onednn_version"));
		oq_text_add(t, " ");
		oq_text_escape(t, oq_field_string(d, "onednn_isa"));
		oq_text_add(t, "</td><td><code>%s</code>", s->sha256);
		if (package_of(d)[0]) {
			oq_text_add(t, "<br><code>");
			oq_text_escape(t, package_of(d));
			oq_text_add(t, "</code>");
		}
		oq_text_add(t, "</td></tr>\n");
	}
	oq_table_end(t);
	if (report->other_files)
		oq_text_add(t, "<p class=\"note\">%d more JSON file%s found that %s no result of a command this report knows.</p>\n", report->other_files,
			report->other_files == 1 ? " was" : "s were", report->other_files == 1 ? "is" : "are");
	oq_text_add(t, "<p class=\"note\">Dates are those of the files, UTC. Empty cells: the document does not say.</p>\n</section>\n");
}

static void add_limits(oq_text *t)
{
	oq_text_add(t, "<section><h2>How to read this</h2>\n<ul class=\"note\"><li>Intervals are 95 %% intervals. Where two overlap, the order of two models may be chance.</li>"
		"<li>Nothing here is corrected for having looked at several endpoints, protocols and models, except where it says so.</li>"
		"<li>Fidelity compares a network with itself in another precision; it says nothing about whether the network is right.</li>"
		"<li>Results hold for the scans, seeds, processor and versions of the provenance table.</li></ul></section>\n");
}

oq_status oq_report_page(const oq_report *report, char **html, oq_error *err)
{
	oq_text text = {0};
	add_head(&text, report);
	add_summary(&text, report);
	oq_section_endpoints(&text, report);
	oq_section_survival(&text, report);
	oq_section_robustness(&text, report);
	oq_section_similarity(&text, report);
	oq_section_saliency(&text, report);
	oq_section_fidelity(&text, report);
	oq_section_speed(&text, report);
	add_limits(&text);
	add_provenance(&text, report);
	oq_text_add(&text, "<footer><p>OncoQuant %s. Research use only. Not a medical device.</p></footer>\n</body></html>\n", oq_version());
	return oq_text_finish(&text, html, err);
}
