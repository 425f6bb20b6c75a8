/* The evidence of a quantised package as one self-contained HTML page: verdict, figures against their limits, and drawings. */
#ifndef OQ_REPORT_EVIDENCE_H
#define OQ_REPORT_EVIDENCE_H

#include "core/json.h"

/* `evidence` is the document that oq_certify writes (docs/fidelity.md). Free *html with oq_free. */
oq_status oq_report_evidence(const oq_json *evidence, char **html, oq_error *err);

#endif
