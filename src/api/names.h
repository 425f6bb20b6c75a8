/* Names of models, from the names of their files. */
#ifndef OQ_API_NAMES_H
#define OQ_API_NAMES_H

#include "core/error.h"

/* names[count]: file names without ending, or with their folder where two would be the same (one folder per precision, say). Free each with
 * oq_free, also after a failure; names start as NULL. */
oq_status oq_name_files(const char *const *paths, int count, char **names, oq_error *err);
/* PATH.npy -> PATH + suffix; NULL when out of memory. Free with oq_free. */
char *oq_companion(const char *path, const char *suffix);

#endif
