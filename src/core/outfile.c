/* Output: a temporary file in the same folder, private to the user, that becomes the result in one rename. Refuses targets that are no
 * regular files. A kept file has the fixed name PATH.part, so that a later run finds it, and is locked, so that two runs cannot share it. */
#define _DEFAULT_SOURCE
#include "core/file.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define OUT_BUFFER ((size_t)1 << 20)

struct oq_outfile {
	char *path, *temporary;
	int fd; /* -1 when nothing temporary is left */
	unsigned char *buffer;
	size_t used;
};

static void release(oq_outfile *file)
{
	if (file->fd >= 0)
		close(file->fd);
	oq_free(file->path);
	oq_free(file->temporary);
	oq_free(file->buffer);
	oq_free(file);
}

void oq_outfile_abort(oq_outfile *file)
{
	if (!file)
		return;
	if (file->fd >= 0)
		unlink(file->temporary);
	release(file);
}

void oq_outfile_leave(oq_outfile *file)
{
	if (!file)
		return;
	struct stat info;
	(void)oq_outfile_sync(file, NULL); /* what is missing is found missing by whoever goes on */
	if (file->fd >= 0 && fstat(file->fd, &info) == 0 && info.st_size == 0)
		unlink(file->temporary); /* nothing to go on with */
	release(file);
}

/* Refuse what a rename would replace with surprise: folders, devices such as /dev/full or /dev/stdout. */
static oq_status check_target(const char *path, oq_error *err)
{
	struct stat info;
	if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is a %s, output goes to a regular file", path, S_ISDIR(info.st_mode) ? "folder" : "special file");
	return OQ_OK;
}

static oq_status make(const char *path, oq_outfile **out, oq_error *err)
{
	OQ_TRY(check_target(path, err));
	oq_outfile *file = oq_calloc(1, sizeof *file);
	if (!file)
		return oq_fail_memory(err, path, sizeof *file);
	file->fd = -1;
	file->path = oq_strdup(path);
	file->temporary = oq_alloc(strlen(path) + 32);
	file->buffer = oq_alloc(OUT_BUFFER);
	*out = file;
	if (file->path && file->temporary && file->buffer)
		return OQ_OK;
	release(file);
	return oq_fail_memory(err, path, OUT_BUFFER);
}

oq_status oq_outfile_open(const char *path, oq_outfile **out, oq_error *err)
{
	oq_outfile *file;
	OQ_TRY(make(path, &file, err));
	const char *slash = strrchr(path, '/');
	int folder = slash ? (int)(slash - path + 1) : 0;
	snprintf(file->temporary, strlen(path) + 32, "%.*s.%s.XXXXXX", folder, path, path + folder);
	file->fd = mkstemp(file->temporary); /* mode 0600 */
	if (file->fd < 0) {
		oq_status status = oq_fail_errno(err, path, "be created", errno);
		release(file);
		return status;
	}
	(void)fcntl(file->fd, F_SETFD, FD_CLOEXEC); /* no program that is started meanwhile inherits it */
	*out = file;
	return OQ_OK;
}

/* *again when whoever had the lock put the file in place or removed it meanwhile, so that ours is on a file without a name. */
static oq_status lock_once(const char *path, const char *whose, int *fd, bool *again, oq_error *err)
{
	struct stat ours, named;
	*again = false;
	*fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK, 0600);
	if (*fd < 0)
		return oq_fail_errno(err, path, "be created", errno);
	oq_status status = OQ_OK;
	if (fstat(*fd, &ours) || !S_ISREG(ours.st_mode))
		status = oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is no regular file", path);
	else if (flock(*fd, LOCK_EX | LOCK_NB))
		status = errno == EWOULDBLOCK
			? oq_fail(err, OQ_E_RESOURCE, "E_LOCKED", "%s: another run is writing it", whose)
			: oq_fail(err, OQ_E_RESOURCE, "E_LOCKED", "%s: cannot be locked: %s; this file system cannot keep two runs apart", path, strerror(errno));
	else
		*again = stat(path, &named) || named.st_dev != ours.st_dev || named.st_ino != ours.st_ino;
	if (status != OQ_OK || *again) {
		close(*fd);
		*fd = -1;
	}
	return status;
}

oq_status oq_file_open_locked(const char *path, const char *whose, int *fd, oq_error *err)
{
	bool again;
	do
		OQ_TRY(lock_once(path, whose, fd, &again, err));
	while (again);
	return OQ_OK;
}

oq_status oq_outfile_open_kept(const char *path, oq_outfile **out, oq_error *err)
{
	oq_outfile *file;
	OQ_TRY(make(path, &file, err));
	snprintf(file->temporary, strlen(path) + 32, "%s.part", path);
	oq_status status = oq_file_open_locked(file->temporary, file->path, &file->fd, err);
	if (status == OQ_OK)
		*out = file;
	else
		release(file);
	return status;
}

oq_status oq_outfile_clear(oq_outfile *file, oq_error *err)
{
	file->used = 0;
	if (ftruncate(file->fd, 0) || lseek(file->fd, 0, SEEK_SET) < 0)
		return oq_fail_errno(err, file->temporary, "be emptied", errno);
	return OQ_OK;
}

bool oq_outfile_has(const oq_outfile *file, void *buffer, size_t bytes, uint64_t offset)
{
	return oq_file_read_at(file->fd, file->temporary, buffer, bytes, offset, OQ_E_RESOURCE, NULL) == OQ_OK;
}

static oq_status write_fully(const oq_outfile *file, const void *data, size_t bytes, oq_error *err)
{
	const unsigned char *in = data;
	while (bytes > 0) {
		ssize_t put = write(file->fd, in, bytes);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return oq_fail_errno(err, file->path, "be written", errno);
		in += put;
		bytes -= (size_t)put;
	}
	return OQ_OK;
}

static oq_status flush(oq_outfile *file, oq_error *err)
{
	size_t used = file->used;
	file->used = 0;
	return write_fully(file, file->buffer, used, err);
}

oq_status oq_outfile_write(oq_outfile *file, const void *data, size_t bytes, oq_error *err)
{
	if (bytes > OUT_BUFFER - file->used)
		OQ_TRY(flush(file, err));
	if (bytes > OUT_BUFFER)
		return write_fully(file, data, bytes, err);
	memcpy(file->buffer + file->used, data, bytes);
	file->used += bytes;
	return OQ_OK;
}

oq_status oq_outfile_write_at(oq_outfile *file, const void *data, size_t bytes, uint64_t offset, oq_error *err)
{
	OQ_TRY(flush(file, err));
	const unsigned char *in = data;
	while (bytes > 0) {
		ssize_t put = pwrite(file->fd, in, bytes, (off_t)offset);
		if (put < 0 && errno == EINTR)
			continue;
		if (put < 0)
			return oq_fail_errno(err, file->path, "be written", errno);
		in += put;
		bytes -= (size_t)put;
		offset += (uint64_t)put;
	}
	return OQ_OK;
}

/* A rename is durable once its folder is on disk; filesystems that cannot sync a folder say EINVAL, which loses nothing. */
static oq_status sync_folder(const char *path, oq_error *err)
{
	const char *slash = strrchr(path, '/');
	char *folder = oq_strdup(slash ? path : ".");
	if (!folder)
		return oq_fail_memory(err, path, strlen(path));
	if (slash)
		folder[slash == path ? 1 : slash - path] = 0;
	int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	oq_status status = OQ_OK;
	if (fd >= 0 && fsync(fd) && errno != EINVAL)
		status = oq_fail_errno(err, path, "be synced", errno);
	if (fd >= 0)
		close(fd);
	oq_free(folder);
	return status;
}

oq_status oq_outfile_sync(oq_outfile *file, oq_error *err)
{
	OQ_TRY(flush(file, err));
	return fsync(file->fd) ? oq_fail_errno(err, file->path, "be synced", errno) : OQ_OK;
}

oq_status oq_outfile_place(oq_outfile *file, oq_error *err)
{
	OQ_TRY(oq_outfile_sync(file, err));
	if (rename(file->temporary, file->path))
		return oq_fail_errno(err, file->path, "be put in place", errno);
	close(file->fd);
	file->fd = -1;
	return sync_folder(file->path, err);
}

oq_status oq_outfile_commit(oq_outfile *file, oq_error *err)
{
	oq_status status = oq_outfile_place(file, err);
	oq_outfile_abort(file);
	return status;
}

oq_status oq_file_write_all(const char *path, const void *data, size_t bytes, oq_error *err)
{
	oq_outfile *file = NULL;
	OQ_TRY(oq_outfile_open(path, &file, err));
	oq_status status = oq_outfile_write(file, data, bytes, err);
	if (status == OQ_OK)
		return oq_outfile_commit(file, err);
	oq_outfile_abort(file);
	return status;
}
