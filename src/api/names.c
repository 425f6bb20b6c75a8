#include "names.h"

#include "core/mem.h"

#include <string.h>

/* File name without ending, and without folders or with the last of them: whole paths can hold names of patients or machines. */
static char *name_of(const char *path, bool with_folder)
{
	const char *slash = strrchr(path, '/'), *start = slash ? slash + 1 : path, *dot = strrchr(start, '.');
	if (with_folder && slash)
		for (start = slash; start > path && start[-1] != '/'; start--)
			continue;
	size_t length = dot && dot > start ? (size_t)(dot - start) : strlen(start);
	char *name = oq_alloc(length + 1);
	if (name) {
		memcpy(name, start, length);
		name[length] = 0;
	}
	return name;
}

oq_status oq_name_files(const char *const *paths, int count, char **names, oq_error *err)
{
	for (int i = 0; i < count; i++) {
		bool shared = false;
		names[i] = name_of(paths[i], false);
		for (int j = 0; j < count && names[i] && !shared; j++) {
			char *other = j != i ? name_of(paths[j], false) : NULL;
			shared = other && !strcmp(other, names[i]);
			oq_free(other);
		}
		if (shared) {
			oq_free(names[i]);
			names[i] = name_of(paths[i], true);
		}
		if (!names[i])
			return oq_fail_memory(err, paths[i], 0);
	}
	return OQ_OK;
}

char *oq_companion(const char *path, const char *suffix)
{
	size_t length = strlen(path), stem = length > 4 && !strcmp(path + length - 4, ".npy") ? length - 4 : length;
	char *out = oq_alloc(stem + strlen(suffix) + 1);
	if (out) {
		memcpy(out, path, stem);
		strcpy(out + stem, suffix);
	}
	return out;
}
