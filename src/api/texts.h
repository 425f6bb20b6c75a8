/* Which of many texts are the same. */
#ifndef OQ_API_TEXTS_H
#define OQ_API_TEXTS_H

#include "core/error.h"

/* first[i]: the lowest j whose text is that of i. */
oq_status oq_first_same(const char *const *texts, int64_t count, int64_t *first, oq_error *err);

#endif
