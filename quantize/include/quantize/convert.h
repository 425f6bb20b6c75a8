/* Conversion: recipe + weights -> package. */
#ifndef OQ_QUANTIZE_CONVERT_H
#define OQ_QUANTIZE_CONVERT_H

#include "quantize/recipe.h"

typedef struct oq_convert_request {
	const char *recipe;      /* name or path */
	const char *checkpoint;  /* official file, or NULL for synthetic weights */
	uint64_t seed;           /* of synthetic weights */
	const char *output;      /* package directory; an existing package is replaced, anything else is refused */
} oq_convert_request;

/* The package appears whole or not at all. Missing, extra or misshaped tensors are named and refused (OQ_E_MODEL). */
oq_status oq_convert_package(const oq_convert_request *request, oq_error *err);

#endif
