/* Package: the directory `NAME.oq/` with model.json (graph, preprocessing, provenance, tensor hashes) and weights.safetensors.
 * Opening checks format, version, and that the tensors of both files agree; reading a tensor checks its SHA-256. */
#ifndef OQ_CORE_PACKAGE_H
#define OQ_CORE_PACKAGE_H

#include "core/safetensors.h"

#define OQ_PACKAGE_FORMAT "oncoquant-package"
#define OQ_PACKAGE_VERSION 1

typedef struct oq_package oq_package;

oq_status oq_package_open(const char *directory, oq_package **out, oq_error *err);
void oq_package_close(oq_package *package);
const char *oq_package_path(const oq_package *package);
const oq_json *oq_package_json(const oq_package *package);     /* whole model.json */
const char *oq_package_sha256(const oq_package *package);      /* of model.json, which covers every tensor through its hash */
const oq_safetensors *oq_package_weights(const oq_package *package);
/* Tensor as float32 (converted where stored as F16, BF16), hash checked, finite values only. `dst` has info->count floats. */
oq_status oq_package_read_f32(const oq_package *package, const char *tensor, float *dst, size_t count, oq_error *err);
/* Raw bytes of a tensor, hash checked. */
oq_status oq_package_read(const oq_package *package, const char *tensor, void *dst, size_t bytes, oq_error *err);

#endif
