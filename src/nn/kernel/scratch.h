/* Rooms one behind another in a kernel's scratch memory. */
#ifndef OQ_NN_KERNEL_SCRATCH_H
#define OQ_NN_KERNEL_SCRATCH_H

#include "core/mem.h"

#include <stdint.h>

/* Room for `count` elements of `size` bytes, *at bytes into the scratch, which moves on behind it. Without `scratch` it is only counted. */
static inline void *oq_scratch_place(char *scratch, size_t *at, int64_t count, size_t size)
{
	size_t here = *at;
	*at += ((size_t)count * size + OQ_ALIGN - 1) / OQ_ALIGN * OQ_ALIGN;
	return scratch ? scratch + here : NULL;
}

#endif
