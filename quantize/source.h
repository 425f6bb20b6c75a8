/* Where a conversion's tensors come from: an official checkpoint, or the synthetic rule. Opening settles names and shapes:
 * every tensor that the graph needs is there with its shape, and what else is there is skipped by a rule of the recipe. */
#ifndef OQ_QUANTIZE_SOURCE_H
#define OQ_QUANTIZE_SOURCE_H

#include "core/safetensors.h"
#include "recipe.h"

typedef struct oq_source oq_source;

/* `tensors`: name -> shape, of the graph. */
oq_status oq_source_open_checkpoint(const oq_recipe *recipe, const oq_json *tensors, const char *path, oq_source **out, oq_error *err);
oq_status oq_source_open_synthetic(const oq_recipe *recipe, const oq_json *tensors, uint64_t seed, oq_source **out, oq_error *err);
void oq_source_close(oq_source *source);
int oq_source_count(const oq_source *source);
/* In the graph's order; the name is the graph's. */
const oq_tensor_info *oq_source_at(const oq_source *source, int index);
oq_status oq_source_read(const oq_source *source, int index, void *buffer, oq_error *err);
/* Adds kind, file, hash, skipped keys or seed to the provenance; false when out of memory. */
bool oq_source_describe(const oq_source *source, oq_json *provenance);

#endif
