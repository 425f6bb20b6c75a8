/* Memory: checked sizes, plain and aligned allocation, and an arena. Refuses overflowing sizes before it allocates. */
#ifndef OQ_CORE_MEM_H
#define OQ_CORE_MEM_H

#include "core/error.h"

#define OQ_ALIGN 64 /* a cache line and an AVX-512 register */

/* *out = a*b or a+b; false (and *out untouched) on overflow. */
bool oq_size_mul(size_t a, size_t b, size_t *out);
bool oq_size_add(size_t a, size_t b, size_t *out);
/* Product of `rank` non-negative extents times `item`; false on a negative extent or overflow. */
bool oq_size_product(const int64_t *extents, int rank, size_t item, size_t *out);

/* All return NULL on failure; size 0 gives a valid pointer. Free with oq_free. */
void *oq_alloc(size_t bytes);
void *oq_calloc(size_t count, size_t size);
void *oq_realloc(void *block, size_t bytes);
char *oq_strdup(const char *text);
void oq_free(void *block);

/* OQ_ALIGN-aligned, not cleared; free with oq_free_aligned. Large blocks ask for huge pages where the kernel offers them. */
void *oq_alloc_aligned(size_t bytes);
void oq_free_aligned(void *block);

/* Arena: many small blocks, freed together. A zeroed arena is valid and empty. */
typedef struct oq_arena {
	struct oq_arena_block *head;
} oq_arena;
void *oq_arena_alloc(oq_arena *arena, size_t bytes); /* zeroed, aligned to 16; NULL when out of memory */
char *oq_arena_strdup(oq_arena *arena, const char *text);
void oq_arena_free(oq_arena *arena);

#endif
