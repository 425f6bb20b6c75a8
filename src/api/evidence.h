/* Evidence that a quantised package carries about itself. */
#ifndef OQ_API_EVIDENCE_H
#define OQ_API_EVIDENCE_H

#include "internal.h"

/* "arithmetic": everything besides package and patch that an embedding's bits depend on. */
bool oq_evidence_add_arithmetic(oq_json *root, const oq_model *model);
/* OQ_OK for packages that are not quantised, and for quantised ones whose evidence.json was made of this very package with the arithmetic that
 * the model has here, and does not say FAIL or UNDERPOWERED; else OQ_E_GATE, and the message names what differs. */
oq_status oq_evidence_check(const oq_model *model, oq_error *err);

#endif
