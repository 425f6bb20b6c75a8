#include "eval/groups.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b)
{
	int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
	return (x > y) - (x < y);
}

int64_t oq_groups_number(const int64_t *group, int64_t count, int64_t *room, int64_t *number)
{
	int64_t groups = 0;
	for (int64_t i = 0; i < count; i++)
		room[i] = group[i];
	qsort(room, (size_t)count, sizeof *room, ascending);
	for (int64_t i = 0; i < count; i++)
		if (i == 0 || room[i] != room[groups - 1])
			room[groups++] = room[i];
	for (int64_t i = 0; i < count; i++)
		number[i] = (const int64_t *)bsearch(&group[i], room, (size_t)groups, sizeof *room, ascending) - room;
	return groups;
}
