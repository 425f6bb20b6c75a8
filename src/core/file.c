/* Files. Reading: regular files only, so that a FIFO or a device in a manifest cannot hang or feed us; sizes first, then
 * memory. Writing: a temporary file in the same folder, private to the user, that becomes the result in one rename. */
#define _DEFAULT_SOURCE
#include "core/file.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int oq_file_open(const char *path, oq_status on_failure, uint64_t *size, oq_error *err)
{
	struct stat info;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
	if (fd < 0) {
		oq_fail(err, on_failure, "E_OPEN", "%s: cannot be opened: %s", path, strerror(errno));
		return -1;
	}
	if (fstat(fd, &info) || !S_ISREG(info.st_mode)) {
		oq_fail(err, on_failure, "E_OPEN", "%s: is a %s, expected a regular file", path, S_ISDIR(info.st_mode) ? "folder" : "special file");
		close(fd);
		return -1;
	}
	*size = (uint64_t)info.st_size;
	return fd;
}

oq_status oq_file_read_at(int fd, const char *path, void *buffer, size_t bytes, uint64_t offset, oq_status on_failure, oq_error *err)
{
	unsigned char *out = buffer;
	while (bytes > 0) {
		size_t some = bytes < ((size_t)1 << 30) ? bytes : (size_t)1 << 30;
		ssize_t got = pread(fd, out, some, (off_t)offset);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return oq_fail_errno(err, path, "be read", errno);
		if (got == 0)
			return oq_fail(err, on_failure, "E_TRUNCATED", "%s: ends at byte %llu, %zu more bytes were expected", path, (unsigned long long)offset, bytes);
		out += got;
		bytes -= (size_t)got;
		offset += (uint64_t)got;
	}
	return OQ_OK;
}

oq_status oq_file_read_all(const char *path, size_t limit, oq_status on_failure, char **data, size_t *size, oq_error *err)
{
	uint64_t file_size;
	int fd = oq_file_open(path, on_failure, &file_size, err);
	if (fd < 0)
		return on_failure;
	oq_status status = OQ_OK;
	char *buffer = NULL;
	if (file_size > limit)
		status = oq_fail(err, on_failure, "E_SIZE", "%s: has %llu bytes, at most %zu are accepted", path, (unsigned long long)file_size, limit);
	else if (!(buffer = oq_alloc((size_t)file_size + 1)))
		status = oq_fail_memory(err, path, (size_t)file_size + 1);
	else
		status = oq_file_read_at(fd, path, buffer, (size_t)file_size, 0, on_failure, err);
	close(fd);
	if (status != OQ_OK) {
		oq_free(buffer);
		return status;
	}
	buffer[file_size] = 0;
	*data = buffer;
	*size = (size_t)file_size;
	return OQ_OK;
}

#define HASH_CHUNK ((size_t)1 << 20)

oq_status oq_file_sha256(const char *path, oq_status on_failure, char hex[65], oq_error *err)
{
	uint64_t size;
	int fd = oq_file_open(path, on_failure, &size, err);
	if (fd < 0)
		return on_failure;
	unsigned char *chunk = oq_alloc(HASH_CHUNK);
	oq_status status = chunk ? OQ_OK : oq_fail_memory(err, path, HASH_CHUNK);
	oq_sha256 hash;
	oq_sha256_init(&hash);
	for (uint64_t at = 0; at < size && status == OQ_OK; at += HASH_CHUNK) {
		size_t some = size - at < HASH_CHUNK ? (size_t)(size - at) : HASH_CHUNK;
		status = oq_file_read_at(fd, path, chunk, some, at, on_failure, err);
		if (status == OQ_OK)
			oq_sha256_update(&hash, chunk, some);
	}
	oq_sha256_hex(&hash, hex);
	oq_free(chunk);
	close(fd);
	return status;
}

#define OUT_BUFFER ((size_t)1 << 20)

struct oq_outfile {
	char *path, *temporary;
	int fd;
	unsigned char *buffer;
	size_t used;
};

void oq_outfile_abort(oq_outfile *file)
{
	if (!file)
		return;
	if (file->fd >= 0) {
		close(file->fd);
		unlink(file->temporary);
	}
	oq_free(file->path);
	oq_free(file->temporary);
	oq_free(file->buffer);
	oq_free(file);
}

/* Refuse what a rename would replace with surprise: folders, devices such as /dev/full or /dev/stdout. */
static oq_status check_target(const char *path, oq_error *err)
{
	struct stat info;
	if (stat(path, &info) == 0 && !S_ISREG(info.st_mode))
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is a %s, output goes to a regular file", path, S_ISDIR(info.st_mode) ? "folder" : "special file");
	return OQ_OK;
}

oq_status oq_outfile_open(const char *path, oq_outfile **out, oq_error *err)
{
	OQ_TRY(check_target(path, err));
	oq_outfile *file = oq_calloc(1, sizeof *file);
	if (!file)
		return oq_fail_memory(err, path, sizeof *file);
	file->fd = -1;
	size_t room = strlen(path) + 32;
	file->path = oq_strdup(path);
	file->temporary = oq_alloc(room);
	file->buffer = oq_alloc(OUT_BUFFER);
	oq_status status = OQ_OK;
	if (!file->path || !file->temporary || !file->buffer) {
		status = oq_fail_memory(err, path, OUT_BUFFER);
	} else {
		const char *slash = strrchr(path, '/');
		int folder = slash ? (int)(slash - path + 1) : 0;
		snprintf(file->temporary, room, "%.*s.%s.XXXXXX", folder, path, path + folder);
		file->fd = mkstemp(file->temporary); /* mode 0600 */
		if (file->fd < 0)
			status = oq_fail_errno(err, path, "be created", errno);
	}
	if (status == OQ_OK)
		*out = file;
	else
		oq_outfile_abort(file);
	return status;
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

oq_status oq_outfile_commit(oq_outfile *file, oq_error *err)
{
	oq_status status = flush(file, err);
	if (status == OQ_OK && fsync(file->fd))
		status = oq_fail_errno(err, file->path, "be synced", errno);
	if (status == OQ_OK && rename(file->temporary, file->path))
		status = oq_fail_errno(err, file->path, "be put in place", errno);
	if (status == OQ_OK) {
		close(file->fd);
		file->fd = -1; /* nothing temporary is left */
		status = sync_folder(file->path, err);
	}
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
