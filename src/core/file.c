/* Files. Reading: regular files only, so that a FIFO or a device in a manifest cannot hang or feed us; sizes first, then
 * memory. */
#include "core/file.h"

#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
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

bool oq_file_same(const char *a, const char *b)
{
	struct stat x, y;
	return stat(a, &x) == 0 && stat(b, &y) == 0 && x.st_dev == y.st_dev && x.st_ino == y.st_ino;
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

bool oq_file_line(const char *folder, const char *file, char *out, size_t room)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, out, room - 1);
	int saved = errno;
	close(fd);
	errno = saved;
	if (got <= 0)
		return false;
	out[got] = 0;
	out[strcspn(out, "\n")] = 0;
	return true;
}
