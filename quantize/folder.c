#define _DEFAULT_SOURCE
#include "folder.h"

#include "core/file.h"
#include "core/mem.h"
#include "core/package.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char *join(const char *folder, const char *name)
{
	size_t room = strlen(folder) + strlen(name) + 2;
	char *out = oq_alloc(room);
	if (out)
		snprintf(out, room, "%s%s", folder, name);
	return out;
}

oq_status oq_folder_check(const char *output, oq_error *err)
{
	struct stat info;
	if (lstat(output, &info))
		return errno == ENOENT ? OQ_OK : oq_fail_errno(err, output, "be looked at", errno);
	oq_error ignored;
	oq_package *old = NULL;
	if (!S_ISDIR(info.st_mode) || oq_package_open(output, &old, &ignored) != OQ_OK)
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: exists and is not an OncoQuant package; it is left alone", output);
	oq_package_close(old);
	return OQ_OK;
}

oq_status oq_folder_open(const char *output, oq_folder *folder, oq_error *err)
{
	*folder = (oq_folder){.output = oq_strdup(output)};
	if (!folder->output)
		return oq_fail_memory(err, output, strlen(output));
	for (size_t length = strlen(output); length > 1 && folder->output[length - 1] == '/';)
		folder->output[--length] = 0;
	OQ_TRY(oq_folder_check(folder->output, err));
	char *template = join(folder->output, ".XXXXXX");
	if (!template)
		return oq_fail_memory(err, output, strlen(output));
	if (!mkdtemp(template)) { /* mode 0700 */
		int saved = errno;
		oq_free(template);
		return oq_fail_errno(err, output, "be created", saved);
	}
	folder->folder = template;
	folder->model_path = join(folder->folder, "/model.json");
	folder->weights_path = join(folder->folder, "/weights.safetensors");
	return folder->model_path && folder->weights_path ? OQ_OK : oq_fail_memory(err, output, strlen(output));
}

oq_status oq_folder_write_model(const oq_folder *folder, const oq_json *document, oq_error *err)
{
	char *text = NULL;
	OQ_TRY(oq_json_print(document, true, &text, err));
	oq_status status = oq_file_write_all(folder->model_path, text, strlen(text), err);
	oq_free(text);
	return status;
}

/* Removes the files that a package may consist of, and the folder when nothing else is in it. */
static void remove_package(const char *folder)
{
	static const char *const names[] = {"/model.json", "/weights.safetensors", "/evidence.json", "/evidence.html"};
	for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
		char *path = join(folder, names[i]);
		if (path)
			unlink(path);
		oq_free(path);
	}
	rmdir(folder);
}

/* rename() replaces an empty folder only, so an old package steps aside first and comes back when the rename fails. */
oq_status oq_folder_commit(oq_folder *folder, oq_error *err)
{
	char *aside = join(folder->folder, ".old");
	if (!aside)
		return oq_fail_memory(err, folder->output, strlen(folder->output));
	bool had_old = rename(folder->output, aside) == 0;
	oq_status status = OQ_OK;
	if (rename(folder->folder, folder->output)) {
		status = oq_fail_errno(err, folder->output, "be put in place", errno);
		if (had_old)
			(void)rename(aside, folder->output);
	} else {
		oq_free(folder->folder);
		folder->folder = NULL;
		if (had_old)
			remove_package(aside);
	}
	oq_free(aside);
	return status;
}

void oq_folder_close(oq_folder *folder)
{
	if (folder->folder)
		remove_package(folder->folder);
	oq_free(folder->folder);
	oq_free(folder->model_path);
	oq_free(folder->weights_path);
	oq_free(folder->output);
	*folder = (oq_folder){0};
}
