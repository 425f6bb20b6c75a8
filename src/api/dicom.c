/* DICOM is not parsed in this process: dcm2niix does it, in a process of its own, started without a shell, into a folder that only the user can
 * read and that is gone afterwards. What it had to repair (slices at uneven distances, a tilted gantry) is refused: the repaired image is
 * interpolated, the other one is in the wrong place. */
#define _GNU_SOURCE
#include "dicom.h"

#include "core/file.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORDS_MOST ((size_t)1 << 20)

extern char **environ;

typedef struct conversion {
	const char *source, *name; /* name: in messages */
	char folder[256], words_path[300], image_path[300];
	char *words;               /* what dcm2niix said */
	oq_error *err;
} conversion;

static oq_status make_folder(conversion *c)
{
	const char *base = getenv("TMPDIR");
	if (!base || base[0] != '/' || strlen(base) > 200)
		base = "/tmp";
	snprintf(c->folder, sizeof c->folder, "%s/oq_dicom_XXXXXX", base);
	if (!mkdtemp(c->folder)) { /* mode 0700 */
		oq_status status = oq_fail_errno(c->err, c->folder, "be created", errno);
		c->folder[0] = 0;
		return status;
	}
	snprintf(c->words_path, sizeof c->words_path, "%s/words", c->folder);
	snprintf(c->image_path, sizeof c->image_path, "%s/scan.nii", c->folder);
	return OQ_OK;
}

static void remove_folder(const conversion *c)
{
	DIR *folder = c->folder[0] ? opendir(c->folder) : NULL;
	if (!folder)
		return;
	for (struct dirent *entry; (entry = readdir(folder));)
		unlinkat(dirfd(folder), entry->d_name, 0); /* it makes files only; "." and ".." stay */
	closedir(folder);
	rmdir(c->folder);
}

/* *code: its exit status, or 128 when it was killed. */
static oq_status spawn(conversion *c, const char *source, int *code)
{
	/* A file per volume called scan.nii; no sidecar, no user's defaults, no cropping, no folders within the folder. */
	union { const char *in; char *out; } word[] = {{"dcm2niix"}, {"-f"}, {"scan"}, {"-z"}, {"n"}, {"-b"}, {"n"}, {"-g"}, {"i"}, {"-x"}, {"i"}, {"-d"}, {"0"}, {"-o"},
		{c->folder}, {source}};
	char *argv[sizeof word / sizeof *word + 1] = {NULL};
	for (size_t i = 0; i < sizeof word / sizeof *word; i++)
		argv[i] = word[i].out; /* posix_spawn does not write to them */
	posix_spawn_file_actions_t actions;
	if (posix_spawn_file_actions_init(&actions))
		return oq_fail_memory(c->err, c->name, sizeof actions);
	posix_spawnattr_t attributes;
	sigset_t held;
	if (posix_spawnattr_init(&attributes)) {
		posix_spawn_file_actions_destroy(&actions);
		return oq_fail_memory(c->err, c->name, sizeof attributes);
	}
	/* A signal that stops a run goes to its whole group; rows in work are finished, and a conversion that was cut off would fail them for good. */
	sigemptyset(&held);
	sigaddset(&held, SIGINT);
	sigaddset(&held, SIGTERM);
	posix_spawnattr_setsigmask(&attributes, &held);
	posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
	pid_t child;
	int failure = posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	failure = failure ? failure : posix_spawn_file_actions_addopen(&actions, 1, c->words_path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
	failure = failure ? failure : posix_spawn_file_actions_adddup2(&actions, 1, 2);
	failure = failure ? failure : posix_spawnp(&child, argv[0], &actions, &attributes, argv, environ);
	posix_spawn_file_actions_destroy(&actions);
	posix_spawnattr_destroy(&attributes);
	if (failure == ENOENT)
		return oq_fail(c->err, OQ_E_UNSUPPORTED, "E_DICOM", "%s: is a folder of DICOM files, for which the command dcm2niix is needed; it is not installed", c->name);
	if (failure)
		return oq_fail_errno(c->err, "dcm2niix", "be started", failure);
	int status;
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return oq_fail_errno(c->err, "dcm2niix", "be waited for", errno);
	if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) /* says nothing about the series: a cohort ends and can be resumed */
		return oq_fail(c->err, OQ_E_RESOURCE, "E_MEMORY", "%s: dcm2niix was killed, as happens when memory runs out", c->name);
	*code = WIFEXITED(status) ? WEXITSTATUS(status) : 128;
	return OQ_OK;
}

static oq_status run(conversion *c, int *code)
{
	/* What begins with a dash would be an option. */
	size_t room = strlen(c->source) + 3, size;
	char *source = oq_alloc(room);
	if (!source)
		return oq_fail_memory(c->err, c->name, room);
	snprintf(source, room, "%s%s", c->source[0] == '-' ? "./" : "", c->source);
	oq_status status = spawn(c, source, code);
	oq_free(source);
	if (status == OQ_OK && oq_file_read_all(c->words_path, WORDS_MOST, OQ_E_INPUT, &c->words, &size, NULL) != OQ_OK)
		c->words = NULL; /* it said too much to be passed on */
	return status;
}

/* Its warnings and errors, one after the other, without the paths that they name. */
static void quote(const conversion *c, char out[200])
{
	static const char *const starts[] = {"Warning: ", "Error: "}, *const usual[] = {"Empty protocol name"};
	size_t n = 0;
	out[0] = 0;
	for (const char *line = c->words; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
		const char *text = NULL;
		for (size_t i = 0; i < sizeof starts / sizeof *starts; i++)
			text = strncmp(line, starts[i], strlen(starts[i])) ? text : line + strlen(starts[i]);
		if (!text || !strncmp(text, usual[0], strlen(usual[0])))
			continue;
		size_t length = strcspn(text, "\n");
		const char *path = memchr(text, '/', length);
		while (path && path > text && path[-1] != ' ')
			path = memchr(path + 1, '/', length - (size_t)(path + 1 - text));
		length = path ? (size_t)(path - text) : length;
		n += (size_t)snprintf(out + n, 200 - n, "%s%.*s", n ? "; " : "", (int)length, text);
		if (n >= 199)
			return;
	}
}

typedef struct made {
	int images, tilted, uneven;
} made;

static made count_images(const conversion *c)
{
	made m = {0};
	DIR *folder = opendir(c->folder);
	for (struct dirent *entry; folder && (entry = readdir(folder));) {
		bool repaired = strstr(entry->d_name, "_Tilt") || strstr(entry->d_name, "_Eq");
		m.tilted += strstr(entry->d_name, "_Tilt") != NULL;
		m.uneven += strstr(entry->d_name, "_Eq") != NULL;
		m.images += !repaired && strstr(entry->d_name, ".nii") != NULL;
	}
	if (folder)
		closedir(folder);
	return m;
}

static oq_status check(const conversion *c, int code)
{
	char words[200];
	made m = count_images(c);
	quote(c, words);
	const char *what = m.tilted ? "has a tilted gantry" : m.uneven ? "has slices at uneven distances" : m.images > 1 ? "holds more than one series"
		: m.images < 1 ? "holds no series of images" : code ? "could not be converted whole" : NULL;
	if (!what)
		return OQ_OK;
	return oq_fail(c->err, OQ_E_INPUT, "E_DICOM", "%s: %s, expected one even series; dcm2niix ended with %d and said: %s", c->name, what, code,
		words[0] ? words : "nothing");
}

static oq_status convert(conversion *c, const oq_volume_options *options, oq_volume **out)
{
	int code;
	char words[200];
	OQ_TRY(make_folder(c));
	OQ_TRY(run(c, &code));
	OQ_TRY(check(c, code));
	OQ_TRY(oq_volume_open(c->image_path, options, out, c->err));
	quote(c, words);
	if (words[0])
		oq_notes_add(&(*out)->notes, "W_DICOM", "dcm2niix said: %s", words);
	return OQ_OK;
}

oq_status oq_dicom_read(const char *folder, const oq_volume_options *options, oq_volume **out, oq_error *err)
{
	conversion c = {.source = folder, .name = options->name ? options->name : folder, .err = err};
	oq_volume_options own = *options;
	own.name = c.name;
	oq_status status = convert(&c, &own, out);
	remove_folder(&c);
	oq_free(c.words);
	return status;
}
