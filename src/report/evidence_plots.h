/* Drawings of the evidence page. */
#ifndef OQ_REPORT_EVIDENCE_PLOTS_H
#define OQ_REPORT_EVIDENCE_PLOTS_H

#include "text.h"

#include "core/json.h"

/* How 1 - centred cosine is spread over the patches, on a logarithmic axis. */
void oq_plot_errors(oq_text *text, const oq_json *evidence);
/* Every patch: its error against what moving its seed does, both axes logarithmic. */
void oq_plot_noise(oq_text *text, const oq_json *evidence);
/* Shared neighbours at 1, 5, 10, 50: within the candidate, in the reference's index, and with a retest. */
void oq_plot_recall(oq_text *text, const oq_json *evidence);
/* The response to a contrast that grows. */
void oq_plot_ramp(oq_text *text, const oq_json *evidence);
/* Clipped codes of every 8-bit layer's input, on a logarithmic axis. */
void oq_plot_saturation(oq_text *text, const oq_json *evidence);

#endif
