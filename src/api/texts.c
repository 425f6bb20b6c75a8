#include "texts.h"

#include "core/mem.h"

#include <stdlib.h>
#include <string.h>

typedef struct numbered {
	const char *text;
	int64_t number;
} numbered;

static int compare(const void *a, const void *b)
{
	const numbered *x = a, *y = b;
	int by_text = strcmp(x->text, y->text);
	return by_text ? by_text : (x->number > y->number) - (x->number < y->number);
}

oq_status oq_first_same(const char *const *texts, int64_t count, int64_t *first, oq_error *err)
{
	numbered *sorted = oq_calloc((size_t)count, sizeof *sorted);
	if (!sorted)
		return oq_fail_memory(err, "texts", (size_t)count * sizeof *sorted);
	for (int64_t i = 0; i < count; i++)
		sorted[i] = (numbered){texts[i], i};
	qsort(sorted, (size_t)count, sizeof *sorted, compare);
	for (int64_t i = 0; i < count; i++)
		first[sorted[i].number] = i && !strcmp(sorted[i].text, sorted[i - 1].text) ? first[sorted[i - 1].number] : sorted[i].number;
	oq_free(sorted);
	return OQ_OK;
}

bool oq_cell_is_missing(const char *cell)
{
	static const char *const words[] = {"", "nan", "NaN", "NA", "N/A", "NULL", "null", "None", "."};
	for (size_t i = 0; i < sizeof words / sizeof *words; i++)
		if (!strcmp(cell, words[i]))
			return true;
	return false;
}
