/* Parts of the gate that are measured by themselves. */
#ifndef OQ_EVAL_GATE_PARTS_H
#define OQ_EVAL_GATE_PARTS_H

#include "eval/gate.h"

/* A unit is a patient, or a row where patients are not known: unit[rows] of 0 to below the number that is returned;
 * unit has room for [2][rows]. */
int64_t oq_gate_units(const oq_gate_input *input, int64_t *unit);
/* F2 and F3 by dimension: error over noise, loss of reliability, bias shown to be small. */
oq_status oq_gate_dimensions(const oq_gate_input *input, const oq_gate_limits *limits, oq_gate_result *out, oq_error *err);
/* F6: every endpoint's probes. */
oq_status oq_gate_endpoints(const oq_gate_input *input, const oq_gate_limits *limits, oq_gate_result *out, oq_error *err);

#endif
