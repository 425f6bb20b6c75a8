/* Survival curves into a text that goes on. */
#ifndef OQ_REPORT_CURVES_DRAW_H
#define OQ_REPORT_CURVES_DRAW_H

#include "report/curves.h"
#include "text.h"

/* `attributes` of the svg element, beginning with a blank, or "". */
void oq_curves_draw(oq_text *text, const oq_curves *curves, const char *attributes);

#endif
