/* What a search has measured so far, in a small text file beside the output: a line per number. It outlives an interruption, and the next
 * run with the same package, calibration patches, options, tool and processor goes on from it; any other run starts anew. A file of
 * that name that is no such state is refused. */
#ifndef OQ_QUANTIZE_STATE_H
#define OQ_QUANTIZE_STATE_H

#include "core/error.h"

typedef struct oq_state oq_state;

/* `key`: a word that names everything the numbers depend on. */
oq_status oq_state_open(const char *path, const char *key, oq_state **out, oq_error *err);
/* Whether `name` has been measured, and what. */
bool oq_state_find(const oq_state *state, const char *name, double *value);
/* Written through to the file at once. */
oq_status oq_state_add(oq_state *state, const char *name, double value, oq_error *err);
/* `done`: removes the file. NULL is fine. */
void oq_state_close(oq_state *state, bool done);

#endif
