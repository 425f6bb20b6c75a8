/* Evidence that a quantised package carries about itself. */
#ifndef OQ_API_EVIDENCE_H
#define OQ_API_EVIDENCE_H

#include "internal.h"

/* What of a processor may change a quantised embedding: "avx512-vnni-bf16", "avx2", ... */
void oq_cpu_class(char out[48]);
/* OQ_OK for packages that are not quantised, and for quantised ones whose evidence.json was made of this very package on this class of
 * processor and does not say FAIL or UNDERPOWERED; else OQ_E_GATE. */
oq_status oq_evidence_check(const oq_package *package, oq_error *err);

#endif
