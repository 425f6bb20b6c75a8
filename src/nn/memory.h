/* Activation memory: every value gets a place in one slab per session; places are reused when lifetimes allow it. */
#ifndef OQ_NN_MEMORY_H
#define OQ_NN_MEMORY_H

#include "op.h"

/* Fills `offset` (floats into the slab, one per value of the graph, SIZE_MAX where a value never exists in memory). `apart`: per value, whether its
 * place is its own and stays so after a run; NULL: no value's. *slab_floats is the size of the slab. */
oq_status oq_memory_plan(const oq_graph *graph, const oq_step *steps, int step_count, const bool *apart, size_t *offset, size_t *slab_floats,
	oq_error *err);

#endif
