/* Endpoints: how well embeddings tell classes apart, with intervals, and what of the ranking is settled. */
#include "sections.h"

#include "chart.h"
#include "fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct entry {
	const oq_json *json;
	const char *name, *kind; /* of the interval */
	oq_measure auc;
	int best, worst;         /* ranks that it may have */
} entry;

typedef struct endpoint {
	entry entries[OQ_REPORT_ROWS];
	int count, left_out;
	bool tested;             /* ranks are by paired tests, else by intervals */
} endpoint;

static bool take(entry *e, const oq_json *group, const char *value, const char *interval, const char *kind)
{
	e->auc = oq_field_measure(group, value, interval);
	e->kind = kind;
	return isfinite(e->auc.value) && oq_measure_has_interval(e->auc);
}

/* Pooled scores where there are any; the mean over splits else. The honest interval first, the reference's last. */
static void read_entry(const oq_json *json, entry *e)
{
	const oq_json *pooled = oq_field(json, "pooled"), *auc = oq_field(json, "auc");
	*e = (entry){.json = json, .name = oq_field_string(json, "name")};
	if (!take(e, pooled, "auc", "bootstrap95", "bootstrap by patient") && !take(e, pooled, "auc", "delong95", "DeLong")
		&& !take(e, auc, "mean", "nadeau_bengio95", "Nadeau-Bengio") && !take(e, auc, "mean", "reference95", "reference (too narrow)"))
		e->kind = "none";
}

static int find(const endpoint *p, const char *name)
{
	for (int i = 0; i < p->count; i++)
		if (!strcmp(p->entries[i].name, name))
			return i;
	return -1;
}

/* b - a is a comparison's difference. */
static void rank_by_tests(endpoint *p, const oq_json *comparisons)
{
	for (const oq_json *c = oq_json_first(comparisons); c; c = oq_json_next(c)) {
		int a = find(p, oq_field_string(c, "a")), b = find(p, oq_field_string(c, "b"));
		double difference = oq_field_number(c, "difference");
		if (a < 0 || b < 0 || !(oq_field_number(c, "p_holm") < 0.05))
			continue;
		p->entries[difference > 0 ? b : a].worst--;
		p->entries[difference > 0 ? a : b].best++;
	}
}

static void rank_by_intervals(endpoint *p)
{
	for (int i = 0; i < p->count; i++)
		for (int k = 0; k < p->count; k++) {
			p->entries[i].best += p->entries[k].auc.low > p->entries[i].auc.high;
			p->entries[i].worst -= p->entries[k].auc.high < p->entries[i].auc.low;
		}
}

static void read_endpoint(const oq_json *document, endpoint *p)
{
	const oq_json *models = oq_field(document, "models"), *comparisons = oq_field(document, "comparisons");
	*p = (endpoint){.tested = comparisons && oq_json_count(comparisons) > 0};
	for (const oq_json *m = models ? oq_json_first(models) : NULL; m; m = oq_json_next(m))
		if (p->count < OQ_REPORT_ROWS)
			read_entry(m, &p->entries[p->count++]);
		else
			p->left_out++;
	for (int i = 0; i < p->count; i++) {
		p->entries[i].best = 1;
		p->entries[i].worst = p->count;
	}
	if (p->tested)
		rank_by_tests(p, comparisons);
	else
		rank_by_intervals(p);
}

static int best_of(const endpoint *p)
{
	int best = -1;
	for (int i = 0; i < p->count; i++)
		if (isfinite(p->entries[i].auc.value) && (best < 0 || p->entries[i].auc.value > p->entries[best].auc.value))
			best = i;
	return best;
}

static void draw(oq_text *t, const endpoint *p, const char *title)
{
	oq_chart_row rows[OQ_REPORT_ROWS];
	double least = 0.4;
	for (int i = 0; i < p->count; i++)
		rows[i] = oq_chart_share(p->entries[i].name, p->entries[i].auc, &least);
	const oq_chart chart = {.title = title, .axis = "area under the ROC curve (95 % interval)", .from = least, .to = 1, .step = 0.1, .line = 0.5, .line_label = "chance",
		.rows = rows, .count = p->count};
	oq_chart_forest(t, &chart);
}

static void add_table(oq_text *t, const endpoint *p)
{
	oq_table_begin(t, "Model|#AUC|#95 % interval|Interval by|#Possible rank|#Mean of splits|#SD of splits");
	for (int i = 0; i < p->count; i++) {
		const entry *e = &p->entries[i];
		const oq_json *auc = oq_field(e->json, "auc");
		char text[64] = "", rank[48];
		if (oq_measure_has_interval(e->auc))
			snprintf(text, sizeof text, "%.3f to %.3f", e->auc.low, e->auc.high);
		snprintf(rank, sizeof rank, e->best == e->worst ? "%d" : "%d to %d", e->best, e->worst);
		oq_text_add(t, "<tr>");
		oq_cell_text(t, e->name);
		oq_cell_number(t, e->auc.value, 3);
		oq_text_add(t, "<td class=\"n\">%s</td>", text);
		oq_cell_text(t, e->kind);
		oq_text_add(t, "<td class=\"n\">%s</td>", rank);
		oq_cell_number(t, oq_field_number(auc, "mean"), 3);
		oq_cell_number(t, oq_field_number(auc, "sd"), 3);
		oq_text_add(t, "</tr>\n");
	}
	oq_table_end(t);
}

static void add_notes(oq_text *t, const oq_json *document, const endpoint *p)
{
	const oq_json *notes = oq_field(document, "notes"), *about = oq_field(document, "endpoint"), *splits = oq_field(document, "splits");
	oq_text_add(t, "<p class=\"note\">%.0f rows", oq_field_number(about, "rows"));
	if (isfinite(oq_field_number(about, "patients")))
		oq_text_add(t, " of %.0f patients", oq_field_number(about, "patients"));
	oq_text_add(t, "; %.0f splits, ", oq_field_number(splits, "count"));
	oq_text_escape(t, oq_field_string(splits, "kind"));
	oq_text_add(t, "; fewest test cases of a class in a split: %.0f. Possible ranks: ", oq_field_number(splits, "fewest_test_cases_of_a_class"));
	oq_text_add(t, p->tested ? "a model stands above another where their paired DeLong test, corrected after Holm, has p below 0.05.</p>\n"
		: "a model stands above another where their intervals do not overlap, which is stricter than a paired test.</p>\n");
	if (p->left_out)
		oq_text_add(t, "<p class=\"warn\">%d more models are in the document and not shown.</p>\n", p->left_out);
	oq_list_warnings(t, notes);
}

static void make_title(const oq_report_source *s, char title[192])
{
	const char *probe = oq_field_string(s->document, "probe");
	snprintf(title, 192, "%.80s by %.30s, %.20s protocol", oq_field_string(oq_field(s->document, "endpoint"), "column"), !strcmp(probe, "knn") ? "nearest neighbours" : probe,
		oq_field_string(s->document, "protocol"));
}

void oq_section_endpoints(oq_text *t, const oq_report *report)
{
	endpoint p;
	bool first = true;
	OQ_EACH_SOURCE(s, report, OQ_REPORT_EVALUATE) {
		char title[192];
		if (first)
			oq_text_add(t, "<section id=\"endpoints\"><h2>Endpoints</h2>\n");
		first = false;
		make_title(s, title);
		read_endpoint(s->document, &p);
		draw(t, &p, title);
		add_table(t, &p);
		add_notes(t, s->document, &p);
	}
	if (!first)
		oq_text_add(t, "</section>\n");
}

void oq_summary_endpoints(oq_text *t, const oq_report *report)
{
	endpoint p;
	OQ_EACH_SOURCE(s, report, OQ_REPORT_EVALUATE) {
		char title[192];
		read_endpoint(s->document, &p);
		int best = best_of(&p), rivals = 0;
		if (best < 0)
			continue;
		for (int i = 0; i < p.count; i++)
			rivals += i != best && p.entries[i].best == 1;
		make_title(s, title);
		oq_text_add(t, "<li><b>");
		oq_text_escape(t, title);
		oq_text_add(t, ":</b> highest AUC %.3f (", p.entries[best].auc.value);
		oq_text_escape(t, p.entries[best].name);
		if (oq_measure_has_interval(p.entries[best].auc))
			oq_text_add(t, "; 95 %% interval %.3f to %.3f", p.entries[best].auc.low, p.entries[best].auc.high);
		oq_text_add(t, ")");
		if (p.count > 1)
			oq_text_add(t, "; %d of the other %d cannot be told from it", rivals, p.count - 1);
		oq_text_add(t, ".%s</li>\n", oq_json_is_true(oq_field(s->document, "underpowered") ? oq_field(s->document, "underpowered") : s->document)
			? " <span class=\"bad\">Underpowered: too few cases for a verdict.</span>" : "");
	}
}
