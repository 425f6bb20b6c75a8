/* What the pickle machine knows of Python objects: which names are refused, which are understood, all others inert. */
#ifndef OQ_QUANTIZE_PICKLE_OBJECTS_H
#define OQ_QUANTIZE_PICKLE_OBJECTS_H

#include "pickle.h"

/* Refuses names that have no place in a checkpoint and every place in an attack. */
oq_status oq_pickle_check_global(const char *full, const char *where, oq_error *err);
/* What `callable(*arguments)` stands for; unknown callables give an inert value. */
oq_status oq_pickle_make(const char *callable, const oq_pickle_value *arguments, const char *where, oq_pickle_value *out, oq_error *err);
/* ('storage', torch.XStorage, key, location, elements) */
oq_status oq_pickle_make_storage(const oq_pickle_value *id, const char *where, oq_pickle_value *out, oq_error *err);

#endif
