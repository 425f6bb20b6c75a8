/* Families: each turns the parameters of a recipe into a graph (see nn/nn.h for its form). Used by `convert` only, never at run time. */
#ifndef OQ_ARCH_ARCH_H
#define OQ_ARCH_ARCH_H

#include "core/json.h"

/* Builds the object "graph" for `family` from the recipe's "parameters". Unknown family or parameter: OQ_E_MODEL. */
oq_status oq_arch_build(const char *family, const oq_json *parameters, const char *where, oq_json **graph, oq_error *err);

#endif
