/* Allocation. Everything in the project allocates here. */
#define _GNU_SOURCE
#include "core/mem.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

bool oq_size_mul(size_t a, size_t b, size_t *out)
{
	size_t product;
	if (__builtin_mul_overflow(a, b, &product))
		return false;
	*out = product;
	return true;
}

bool oq_size_add(size_t a, size_t b, size_t *out)
{
	size_t sum;
	if (__builtin_add_overflow(a, b, &sum))
		return false;
	*out = sum;
	return true;
}

bool oq_size_product(const int64_t *extents, int rank, size_t item, size_t *out)
{
	size_t product = item;
	for (int i = 0; i < rank; i++)
		if (extents[i] < 0 || !oq_size_mul(product, (size_t)extents[i], &product))
			return false;
	*out = product;
	return true;
}

void *oq_alloc(size_t bytes)
{
	return malloc(bytes ? bytes : 1);
}

void *oq_calloc(size_t count, size_t size)
{
	return calloc(count ? count : 1, size ? size : 1);
}

void *oq_realloc(void *block, size_t bytes)
{
	return realloc(block, bytes ? bytes : 1);
}

char *oq_strdup(const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = oq_alloc(bytes);
	if (copy)
		memcpy(copy, text, bytes);
	return copy;
}

void oq_free(void *block)
{
	free(block);
}

#define HUGE_PAGE ((size_t)2 << 20)

void *oq_alloc_aligned(size_t bytes)
{
	/* Two huge pages are the least that is worth asking for: packed weights are read front to back, where TLB misses cost. */
	size_t align = bytes >= 2 * HUGE_PAGE ? HUGE_PAGE : OQ_ALIGN, padded;
	if (!oq_size_add(bytes, align - 1, &padded))
		return NULL;
	padded &= ~(align - 1);
	void *block = aligned_alloc(align, padded ? padded : align);
	if (block && align == HUGE_PAGE)
		(void)madvise(block, padded, MADV_HUGEPAGE); /* only advice: a refusal changes speed, not results */
	return block;
}

void oq_free_aligned(void *block)
{
	free(block);
}

struct oq_arena_block {
	struct oq_arena_block *next;
	size_t used, size;
	_Alignas(16) unsigned char data[];
};

void *oq_arena_alloc(oq_arena *arena, size_t bytes)
{
	size_t want;
	if (!oq_size_add(bytes, 15, &want))
		return NULL;
	want &= ~(size_t)15;
	struct oq_arena_block *block = arena->head;
	if (!block || block->size - block->used < want) {
		size_t size = want > 65536 ? want : 65536, total;
		if (!oq_size_add(size, sizeof *block, &total) || !(block = oq_alloc(total)))
			return NULL;
		*block = (struct oq_arena_block){.next = arena->head, .size = size};
		arena->head = block;
	}
	void *out = block->data + block->used;
	block->used += want;
	memset(out, 0, want);
	return out;
}

char *oq_arena_strdup(oq_arena *arena, const char *text)
{
	size_t bytes = strlen(text) + 1;
	char *copy = oq_arena_alloc(arena, bytes);
	if (copy)
		memcpy(copy, text, bytes);
	return copy;
}

void oq_arena_free(oq_arena *arena)
{
	while (arena->head) {
		struct oq_arena_block *block = arena->head;
		arena->head = block->next;
		oq_free(block);
	}
}
