/* Saliency: pictures, deletion curves, figures, agreement of precisions. */
#include "sections.h"

#include "chart.h"
#include "fields.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define PICTURES 4 /* of one document, so that the page stays a page */
#define STEPS 32

static const oq_report_picture *picture_of(const oq_report_source *s, int row)
{
	for (int i = 0; i < s->picture_count; i++)
		if (s->pictures[i].row == row)
			return &s->pictures[i];
	return NULL;
}

static bool is_fine(const oq_json *row)
{
	return !strcmp(oq_field_string(row, "status"), "ok");
}

static void add_table(oq_text *t, const oq_json *rows)
{
	int shown = 0;
	oq_table_begin(t, "#Row|Region|#Share of the map|#Share of the voxels|#Gain|Peak|#Peak to seed, mm|#Deletion gain|#Spearman|#Peaks apart, voxels");
	for (const oq_json *row = oq_json_first(rows); row && shown < OQ_REPORT_ROWS; row = oq_json_next(row), shown++) {
		const oq_json *focus = oq_field(row, "focus"), *agreement = oq_field(row, "agreement");
		oq_text_add(t, "<tr><td class=\"n\">%.0f</td>", oq_field_number(row, "row"));
		if (!is_fine(row)) {
			oq_text_add(t, "<td colspan=\"9\" class=\"bad\">failed: ");
			oq_text_escape(t, oq_field_string(row, "message"));
			oq_text_add(t, "</td></tr>\n");
			continue;
		}
		const oq_json *inside = oq_field(focus, "peak_inside");
		oq_cell_text(t, oq_field_string(focus, "region"));
		oq_text_add(t, "<td class=\"n\">%.1f %%</td><td class=\"n\">%.1f %%</td>", 100 * oq_field_number(focus, "mass"), 100 * oq_field_number(focus, "volume"));
		oq_cell_number(t, oq_field_number(focus, "gain"), 2);
		oq_cell_text(t, inside && oq_json_is_true(inside) ? "inside" : "outside");
		oq_cell_number(t, oq_field_number(row, "peak_to_seed_mm"), 1);
		oq_cell_number(t, oq_field_number(oq_field(row, "deletion"), "gain"), 3);
		oq_cell_number(t, oq_field_number(agreement, "spearman"), 4);
		oq_cell_number(t, oq_field_number(agreement, "peak_distance_voxels"), 1);
		oq_text_add(t, "</tr>\n");
	}
	oq_table_end(t);
}

static void add_curves(oq_text *t, const oq_json *document, const oq_json *row)
{
	const oq_json *shares = oq_field(document, "deletion_shares"), *deletion = oq_field(row, "deletion");
	double x[STEPS], greatest[STEPS], least[STEPS];
	int count = 0;
	for (; count < STEPS && isfinite(oq_field_at(shares, count)); count++) {
		x[count] = oq_field_at(shares, count);
		greatest[count] = oq_field_at(oq_field(deletion, "greatest_first"), count);
		least[count] = oq_field_at(oq_field(deletion, "least_first"), count);
	}
	const oq_chart_curves curves = {.axis_x = "voxels set to 0", .axis_y = "1 - cosine", .first_label = "greatest saliency first", .second_label = "least first", .x = x,
		.first = greatest, .second = least, .count = count};
	if (count)
		oq_chart_two_curves(t, &curves);
}

static void add_examples(oq_text *t, const oq_report_source *s, const oq_json *rows)
{
	int index = 0, shown = 0;
	for (const oq_json *row = oq_json_first(rows); row && shown < PICTURES; row = oq_json_next(row), index++) {
		const oq_report_picture *picture = picture_of(s, index);
		if (!is_fine(row) || !picture)
			continue;
		shown++;
		oq_text_add(t, "<figure class=\"example\"><img alt=\"saliency map of row %d over the scan, three planes\" src=\"data:image/png;base64,", index);
		oq_text_base64(t, picture->bytes, picture->count);
		oq_text_add(t, "\">\n<div class=\"side\">");
		add_curves(t, s->document, row);
		oq_text_add(t, "</div><figcaption>Row %d: axial, coronal and sagittal plane through the seed (green), patch outlined. From dark violet (little) to yellow (greatest, "
			"%.3g).</figcaption></figure>\n", index, oq_field_number(row, "greatest"));
	}
}

/* "astra, bf16" */
static void add_network(oq_text *t, const oq_json *network)
{
	oq_text_escape(t, oq_field_string(network, "name"));
	oq_text_add(t, ", ");
	oq_text_escape(t, oq_field_string(network, "precision_used"));
}

static void add_document(oq_text *t, const oq_report_source *s)
{
	const oq_json *model = oq_field(s->document, "model"), *other = oq_field(s->document, "compared"), *rows = oq_field(s->document, "rows");
	oq_text_add(t, "<h3>");
	add_network(t, model);
	if (other) {
		oq_text_add(t, ", compared with ");
		add_network(t, other);
	}
	oq_text_add(t, "</h3>\n");
	if (!rows || !oq_json_is_array(rows))
		return;
	add_examples(t, s, rows);
	add_table(t, rows);
	oq_text_add(t, "<p class=\"note\">Occlusion by windows of %.0f voxels, variant ", oq_field_number(s->document, "window_voxels"));
	oq_text_escape(t, oq_field_string(s->document, "variant"));
	oq_text_add(t, ".");
	if (oq_json_count(rows) > OQ_REPORT_ROWS)
		oq_text_add(t, " The first %d of %d rows are shown.", OQ_REPORT_ROWS, oq_json_count(rows));
	oq_text_add(t, " Gain: 1 is what a map without preference has. A map says what moves the embedding, not what is malignant.</p>\n");
}

void oq_section_saliency(oq_text *t, const oq_report *report)
{
	if (!oq_report_next(report, OQ_REPORT_SALIENCY, NULL))
		return;
	oq_text_add(t, "<section id=\"saliency\"><h2>Saliency</h2>\n");
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SALIENCY)
		add_document(t, s);
	oq_text_add(t, "</section>\n");
}

void oq_summary_saliency(oq_text *t, const oq_report *report)
{
	OQ_EACH_SOURCE(s, report, OQ_REPORT_SALIENCY) {
		const oq_json *rows = oq_field(s->document, "rows"), *other = oq_field(s->document, "compared");
		double least = INFINITY, farthest = 0;
		int count = 0;
		for (const oq_json *row = rows ? oq_json_first(rows) : NULL; row; row = oq_json_next(row)) {
			const oq_json *agreement = oq_field(row, "agreement");
			count += is_fine(row);
			double rank = oq_field_number(agreement, "spearman");
			least = agreement ? fmin(least, isnan(rank) ? 0 : rank) : least; /* a map that is the same everywhere has no ranks, and shows no agreement */
			farthest = agreement ? fmax(farthest, oq_field_number(agreement, "peak_distance_voxels")) : farthest;
		}
		if (!other || !isfinite(least))
			continue;
		oq_text_add(t, "<li><b>Saliency:</b> maps of %d patch%s by ", count, count == 1 ? "" : "es");
		add_network(t, oq_field(s->document, "model"));
		oq_text_add(t, ", and ");
		add_network(t, other);
		oq_text_add(t, ", agree to a rank correlation of at least %.3f; ", least);
		if (farthest > 0)
			oq_text_add(t, "their peaks lie at most %.1f voxels apart.</li>\n", farthest);
		else
			oq_text_add(t, "their peaks lie in the same voxels.</li>\n");
	}
}
