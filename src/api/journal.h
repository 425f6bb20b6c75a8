/* Journal of a cohort run: OUTPUT.npy.journal, beside the unfinished OUTPUT.npy.part. Text, one record a line: 16 hexadecimal digits of
 * the SHA-256 of the rest, a blank, JSON. The first record says what the run is; each further one that a row is finished. A line
 * that is torn or damaged ends the journal; what follows is cut off and computed again. */
#ifndef OQ_API_JOURNAL_H
#define OQ_API_JOURNAL_H

#include "core/json.h"

typedef struct oq_journal oq_journal;

/* Takes one record of an earlier run. OQ_E_RESOURCE ends the reading. */
typedef oq_status (*oq_journal_visit)(void *context, const oq_json *record, oq_error *err);

/* `output` is locked by the caller, and the journal is locked, too. A file whose first line is not a journal's is refused as it is. An unfinished run
 * of the same identity is continued with `resume` (each record goes to `visit`) and refused without; one of another identity is always refused
 * (E_JOURNAL). *resumed: whether there is anything to continue. */
oq_status oq_journal_open(const char *output, const oq_json *identity, bool resume, oq_journal **out, bool *resumed, oq_error *err);
oq_status oq_journal_read(oq_journal *journal, oq_journal_visit visit, void *context, oq_error *err);
/* Frees `record` in every case. */
oq_status oq_journal_append(oq_journal *journal, oq_json *record, bool good, oq_error *err);
oq_status oq_journal_sync(oq_journal *journal, oq_error *err);
/* The file stays, or goes with `remove`. NULL allowed. */
void oq_journal_close(oq_journal *journal, bool remove);

#endif
