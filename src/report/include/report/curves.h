/* Survival curves as a drawing (SVG, self-contained, readable in print) and as CSV. */
#ifndef OQ_REPORT_CURVES_H
#define OQ_REPORT_CURVES_H

#include "core/error.h"

#include <stdint.h>

#define OQ_CURVES 8

typedef struct oq_curve_step {
	double time, survival, low, high; /* low, high: 95 % by the logarithm; NaN where there is no interval */
	double loglog_low, loglog_high;   /* by log(-log): what is drawn */
	int64_t at_risk, events, censored;
} oq_curve_step;

typedef struct oq_curve {
	const char *name;
	const oq_curve_step *steps; /* by time */
	int64_t count;
} oq_curve;

typedef struct oq_curves {
	const char *title, *axis, *note; /* axis: of time; note: a line below the title, or NULL */
	const oq_curve *curves;
	int count;                       /* 1 to OQ_CURVES */
} oq_curves;

/* Free *text with oq_free. */
oq_status oq_report_curves(const oq_curves *curves, char **text, oq_error *err);
oq_status oq_report_curves_csv(const oq_curves *curves, char **text, oq_error *err);

#endif
