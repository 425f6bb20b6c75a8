/* oneDNN behind a few calls of our own; with conv.c the only code that includes dnnl.h. Statuses become oq_status, descriptors
 * are full-length because oneDNN's C API reads whole dnnl_dims_t arrays. */
#ifndef OQ_NN_ONEDNN_H
#define OQ_NN_ONEDNN_H

#include "core/error.h"

#include <dnnl.h>

/* OQ_E_UNSUPPORTED for dnnl_unimplemented, OQ_E_RESOURCE for out of memory, OQ_E_INTERNAL otherwise. */
oq_status oq_dnnl_check(dnnl_status_t status, const char *where, const char *doing, oq_error *err);

#endif
