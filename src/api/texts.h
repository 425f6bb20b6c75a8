/* Texts of tables: which are the same, which say nothing. */
#ifndef OQ_API_TEXTS_H
#define OQ_API_TEXTS_H

#include "core/error.h"

/* first[i]: the lowest j whose text is that of i. */
oq_status oq_first_same(const char *const *texts, int64_t count, int64_t *first, oq_error *err);
/* Empty, NaN, NA, null, ...: no value. */
bool oq_cell_is_missing(const char *cell);

#endif
