/* Robustness and similarity. */
#include "sections.h"

#include "chart.h"
#include "fields.h"
#include "heatmap_draw.h"

#include "core/mem.h"

#include <math.h>
#include <stdio.h>

#define MOST 64 /* models of a heat map */

/* A figure of robustness documents and how it is drawn. */
typedef struct drawn {
	const char *group, *key, *value, *low, *high, *title, *axis;
} drawn;

static const drawn drawings[] = {
	{"by_dimension", "icc_2_1", "median", "p5", "p95", "ICC(2,1) of the embedding's dimensions", "median; bar: 5th to 95th percentile of the dimensions"},
	{"by_row", "centred_cosine", "mean", "low95", "high95", "Centred cosine of a lesion with itself", "mean over lesions (95 % bootstrap interval)"},
};

/* Of all documents together. */
static void draw_figure(oq_text *t, const oq_report *report, const drawn *d)
{
	oq_chart_row rows[OQ_REPORT_ROWS];
	oq_chart chart = {.title = d->title, .axis = d->axis, .from = 0, .to = 1, .step = 0.2, .line = NAN, .rows = rows};
	OQ_EACH_SOURCE(s, report, OQ_REPORT_ROBUSTNESS) {
		const oq_json *figure = oq_field(oq_field(s->document, d->group), d->key);
		oq_chart_row *r = &rows[chart.count];
		if (!figure || chart.count == OQ_REPORT_ROWS)
			continue;
		*r = (oq_chart_row){.value = oq_field_number(figure, d->value), .low = oq_field_number(figure, d->low), .high = oq_field_number(figure, d->high)};
		snprintf(r->label, sizeof r->label, "%.90s", s->name);
		if (isfinite(r->low) && isfinite(r->high))
			snprintf(r->text, sizeof r->text, "%.3f (%.3f to %.3f)", r->value, r->low, r->high);
		else
			snprintf(r->text, sizeof r->text, "%.3f", r->value);
		if (r->low < chart.from) {
			chart.from = floor(5 * r->low) / 5;
			chart.from = chart.from < -1 ? -1 : chart.from;
		}
		chart.count++;
	}
	if (chart.count)
		oq_chart_forest(t, &chart);
}

static void add_robustness_table(oq_text *t, const oq_report *report)
{
	oq_table_begin(t, "Comparison|#Rows|#Retests|#Cosine|#Centred cosine|#Identification|#Discriminability|#ICC(2,1) median|#ICC 0.75 or more");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_ROBUSTNESS) {
		static const char *const figures[] = {"cosine", "centred_cosine", "identification", "discriminability"};
		const oq_json *rows = oq_field(s->document, "by_row"), *dimensions = oq_field(s->document, "by_dimension");
		oq_text_add(t, "<tr>");
		oq_cell_text(t, s->name);
		oq_cell_number(t, oq_field_number(s->document, "rows"), 0);
		oq_cell_number(t, oq_field_number(s->document, "retests"), 0);
		for (size_t i = 0; i < sizeof figures / sizeof *figures; i++)
			oq_cell_number(t, oq_field_number(oq_field(rows, figures[i]), "mean"), 4);
		oq_cell_number(t, oq_field_number(oq_field(dimensions, "icc_2_1"), "median"), 3);
		oq_text_add(t, "<td class=\"n\">%.0f %%</td></tr>\n", 100 * oq_field_number(dimensions, "share_icc_2_1_from_0_75"));
	}
	oq_table_end(t);
}

void oq_section_robustness(oq_text *t, const oq_report *report)
{
	if (!oq_report_next(report, OQ_REPORT_ROBUSTNESS, NULL))
		return;
	oq_text_add(t, "<section id=\"robustness\"><h2>Robustness</h2>\n<p>The same lesions embedded twice: another scan, a moved seed, a changed patch.</p>\n");
	for (size_t i = 0; i < sizeof drawings / sizeof *drawings; i++)
		draw_figure(t, report, &drawings[i]);
	add_robustness_table(t, report);
	oq_text_add(t, "<p class=\"note\">A plain cosine rewards collapse: a model that maps everything to one point has 1. The centred cosine, identification (chance: one in as many "
		"as there are rows) and discriminability (chance: 0.5) do not. Intervals take rows as independent; several lesions of a patient make them too narrow.</p>\n</section>\n");
}

typedef struct matrix {
	const char *names[MOST];
	double values[MOST * MOST];
	int count;
} matrix;

static bool read_matrix(const oq_json *document, const char *key, matrix *m)
{
	const oq_json *names = oq_field(document, "names"), *rows = oq_field(document, key);
	if (!names || !rows || !oq_json_is_array(names) || !oq_json_is_array(rows) || oq_json_count(names) > MOST || oq_json_count(rows) != oq_json_count(names))
		return false;
	m->count = oq_json_count(names);
	int i = 0;
	for (const oq_json *n = oq_json_first(names); n; n = oq_json_next(n))
		m->names[i++] = oq_json_string(n) ? oq_json_string(n) : "";
	i = 0;
	for (const oq_json *row = oq_json_first(rows); row; row = oq_json_next(row), i++)
		for (int k = 0; k < m->count; k++)
			m->values[i * m->count + k] = oq_field_at(row, k);
	return true;
}

void oq_section_similarity(oq_text *t, const oq_report *report)
{
	static const struct {
		const char *key, *title;
		double high;
	} maps[] = {{"debiased_cka", "Debiased CKA", 1}, {"mutual_knn10", "Shared neighbours of 10", 1},
		{"procrustes_angle", "Procrustes angle (radians)", 1.5707963267948966}};
	matrix *m = oq_alloc(sizeof *m);
	if (!m)
		t->failed = true;
	if (m && oq_report_next(report, OQ_REPORT_SIMILARITY, NULL))
		oq_text_add(t, "<section id=\"similarity\"><h2>Similarity of models and precisions</h2>\n");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SIMILARITY) {
		oq_text_add(t, "<p>");
		oq_text_escape(t, s->name);
		oq_text_add(t, ": %.0f patches seen by all.</p>\n<div class=\"maps\">\n", oq_field_number(s->document, "rows"));
		for (size_t i = 0; m && i < sizeof maps / sizeof *maps; i++)
			if (read_matrix(s->document, maps[i].key, m)) {
				const oq_heatmap map = {.title = maps[i].title, .names = m->names, .count = m->count, .values = m->values, .low = 0, .high = maps[i].high};
				oq_text_add(t, "<figure>");
				oq_heatmap_draw(t, &map, " role=\"img\" style=\"font-family:inherit\"");
				oq_text_add(t, "</figure>\n");
			}
		oq_text_add(t, "</div>\n");
	}
	if (m && oq_report_next(report, OQ_REPORT_SIMILARITY, NULL))
		oq_text_add(t, "<p class=\"note\">Debiased CKA: 1 is the same up to rotation and scale, 0 unrelated. Shared neighbours: share of common patches among "
		"the 10 nearest. Procrustes angle: radians, 0 is the same. CKA does not see a shift or a stretch that all patches share; the neighbours and the fidelity figures do.</p>\n</section>\n");
	oq_free(m);
}

void oq_summary_measures(oq_text *t, const oq_report *report)
{
	const oq_report_source *worst = NULL;
	double least = INFINITY;
	int count = 0;
	OQ_EACH_SOURCE(s, report, OQ_REPORT_ROBUSTNESS) {
		double icc = oq_field_number(oq_field(oq_field(s->document, "by_dimension"), "icc_2_1"), "median");
		count++;
		if (icc < least) {
			least = icc;
			worst = s;
		}
	}
	if (!worst)
		return;
	oq_text_add(t, "<li><b>Robustness:</b> %d comparison%s; the lowest median ICC(2,1) is %.3f (", count, count == 1 ? "" : "s", least);
	oq_text_escape(t, worst->name);
	oq_text_add(t, ").</li>\n");
}
