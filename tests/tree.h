/* A made-up tree of small files in a folder of its own, such as /proc and /sys, for what reads them below a root. One per program. */
#ifndef OQ_TESTS_TREE_H
#define OQ_TESTS_TREE_H

#include "check.h"

#include <stdarg.h>
#include <sys/stat.h>
#include <unistd.h>

static char root[64];

static void open_tree(const char *name)
{
	snprintf(root, sizeof root, "%s_XXXXXX", name); /* mkdtemp's pattern */
	OQ_REQUIRE(mkdtemp(root));
}

static void remove_tree(void)
{
	char command[128];
	snprintf(command, sizeof command, "rm -r %s", root);
	OQ_CHECK(system(command) == 0);
}

/* Writes ROOT/FILE with the folders on the way. */
__attribute__((format(printf, 2, 3))) static void put(const char *file, const char *format, ...)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", root, file);
	for (char *at = path + strlen(root) + 1; (at = strchr(at, '/')); at++) {
		*at = 0;
		(void)mkdir(path, 0700);
		*at = '/';
	}
	FILE *out = fopen(path, "w");
	OQ_REQUIRE(out);
	va_list list;
	va_start(list, format);
	OQ_CHECK(vfprintf(out, format, list) >= 0);
	va_end(list);
	OQ_CHECK(fclose(out) == 0);
}

#endif
