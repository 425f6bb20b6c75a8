/* Drawings of the report: SVG inside the page, one look for all. Numbers that are not finite are left out. */
#ifndef OQ_REPORT_CHART_H
#define OQ_REPORT_CHART_H

#include "fields.h"
#include "text.h"

typedef struct oq_chart_row {
	char label[96];
	double value, low, high; /* low and high NaN: no interval */
	char text[48];           /* at the right */
	int group;               /* colour: 0 main, 1 second, 2 grey */
} oq_chart_row;

typedef struct oq_chart {
	const char *title, *axis;
	double from, to, step;   /* ticks; from equal to `to`: found from the rows, beginning at 0 */
	bool powers;             /* values are powers of ten and labelled so */
	double line;             /* a reference; NaN: none */
	const char *line_label;
	const oq_chart_row *rows;
	int count;
} oq_chart;

/* A row of a figure between 0 and 1; `from`, where an axis of tenths begins, goes down to it. */
oq_chart_row oq_chart_share(const char *label, oq_measure share, double *from);
/* Points with intervals. */
void oq_chart_forest(oq_text *text, const oq_chart *chart);
/* Bars from the left end. */
void oq_chart_bars(oq_text *text, const oq_chart *chart);

/* Two curves over shares of 0 to 1, from (0, 0); `x` and both `y` have `count` points. */
typedef struct oq_chart_curves {
	const char *axis_x, *axis_y, *first_label, *second_label;
	const double *x, *first, *second;
	int count;
} oq_chart_curves;
void oq_chart_two_curves(oq_text *text, const oq_chart_curves *curves);

#endif
