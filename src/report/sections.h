/* The sections of the report. Each adds nothing when there is no document of its kind. */
#ifndef OQ_REPORT_SECTIONS_H
#define OQ_REPORT_SECTIONS_H

#include "report/report.h"
#include "text.h"

#define OQ_REPORT_ROWS 256 /* that a drawing or a table takes; more are counted, not shown */

/* The sources of one kind, in order; NULL after the last. */
const oq_report_source *oq_report_next(const oq_report *report, oq_report_kind kind, const oq_report_source *after);
/* The same as an iteration. */
#define OQ_EACH_SOURCE(s, report, kind) \
	for (const oq_report_source *s = oq_report_next(report, kind, NULL); s; s = oq_report_next(report, kind, s))

void oq_section_endpoints(oq_text *text, const oq_report *report);
void oq_section_survival(oq_text *text, const oq_report *report);
void oq_section_robustness(oq_text *text, const oq_report *report);
void oq_section_similarity(oq_text *text, const oq_report *report);
void oq_section_saliency(oq_text *text, const oq_report *report);
void oq_section_fidelity(oq_text *text, const oq_report *report);
void oq_section_speed(oq_text *text, const oq_report *report);
/* What the summary says, one list item each. */
void oq_summary_endpoints(oq_text *text, const oq_report *report);
void oq_summary_survival(oq_text *text, const oq_report *report);
void oq_summary_measures(oq_text *text, const oq_report *report);
void oq_summary_saliency(oq_text *text, const oq_report *report);
void oq_summary_fidelity(oq_text *text, const oq_report *report);
void oq_summary_speed(oq_text *text, const oq_report *report);

/* "MODEL, PRECISION" of a fidelity or bench document; the file's name when it has no model. */
void oq_report_label(const oq_report_source *source, char out[96]);

/* A table cell of a number; a dash when it is not finite. */
void oq_cell_number(oq_text *text, double value, int decimals);
void oq_cell_text(oq_text *text, const char *value);
/* A row of headings, texts separated by '|'; those that begin with '#' stand above numbers. */
void oq_table_begin(oq_text *text, const char *headings);
void oq_table_end(oq_text *text);
/* A document's notes as a list; nothing when there are none. */
void oq_list_warnings(oq_text *text, const oq_json *notes);

#endif
