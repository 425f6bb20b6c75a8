/* A square matrix as a drawing (SVG, self-contained) and as CSV. */
#ifndef OQ_REPORT_HEATMAP_H
#define OQ_REPORT_HEATMAP_H

#include "core/error.h"

typedef struct oq_heatmap {
	const char *title;
	const char *const *names; /* [count], of rows and columns */
	int count;
	const double *values;     /* [count][count]; NaN is drawn empty */
	double low, high;         /* ends of the colour scale */
} oq_heatmap;

/* Free *text with oq_free. */
oq_status oq_report_heatmap(const oq_heatmap *map, char **text, oq_error *err);
oq_status oq_report_matrix_csv(const oq_heatmap *map, char **text, oq_error *err);

#endif
