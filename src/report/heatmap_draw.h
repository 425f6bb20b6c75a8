/* A heat map into a text that goes on. */
#ifndef OQ_REPORT_HEATMAP_DRAW_H
#define OQ_REPORT_HEATMAP_DRAW_H

#include "report/heatmap.h"
#include "text.h"

/* `attributes` of the svg element, beginning with a blank, or "". */
void oq_heatmap_draw(oq_text *text, const oq_heatmap *map, const char *attributes);

#endif
