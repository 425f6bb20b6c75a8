/* Activation memory: every value gets a place in one slab per session; places are reused when lifetimes allow it. */
#ifndef OQ_NN_MEMORY_H
#define OQ_NN_MEMORY_H

#include "op.h"

/* Fills the offsets of all steps and of `value_offset` (floats, one per value of the graph, SIZE_MAX where a value never
 * exists in memory). *slab_floats is the size of the slab. */
oq_status oq_memory_plan(const oq_graph *graph, oq_step *steps, int step_count, size_t *value_offset, size_t *slab_floats, oq_error *err);

#endif
