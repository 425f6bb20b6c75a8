#define _GNU_SOURCE
#include "faults.h"

#include <cjson/cJSON.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>

const char *const fault_names[FAULT_KINDS] = {"memory once", "memory from then on", "open", "read", "short read", "interrupted read", "write", "short write",
	"interrupted write", "ftruncate", "fsync", "rename"};

static atomic_long countdown, blocks;
static _Atomic fault_kind armed;
static atomic_bool happened;

/* Does this call fail? */
static bool due(fault_kind kind)
{
	if (atomic_load(&armed) != kind || atomic_load(&countdown) == 0)
		return false;
	if (kind == FAULT_MEMORY_ON && atomic_load(&happened))
		return true;
	if (atomic_fetch_sub(&countdown, 1) != 1)
		return false;
	if (kind == FAULT_MEMORY_ON)
		atomic_store(&countdown, 1);
	atomic_store(&happened, true);
	return true;
}

static bool no_memory(void)
{
	return due(FAULT_MEMORY) || due(FAULT_MEMORY_ON);
}

void *__real_malloc(size_t bytes);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
void __real_free(void *block);
int __real_open64(const char *path, int flags, ...);
ssize_t __real_pread64(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __real_write(int fd, const void *buffer, size_t bytes);
ssize_t __real_pwrite64(int fd, const void *buffer, size_t bytes, off_t offset);
int __real_mkstemp64(char *name);
int __real_ftruncate64(int fd, off_t length);
int __real_rename(const char *from, const char *to);

void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
void __wrap_free(void *block);
int __wrap_open64(const char *path, int flags, ...);
ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_write(int fd, const void *buffer, size_t bytes);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t bytes, off_t offset);
int __wrap_mkstemp64(char *name);
int __wrap_ftruncate64(int fd, off_t length);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);

static void *counted(void *block)
{
	if (block)
		atomic_fetch_add(&blocks, 1);
	return block;
}

void *__wrap_malloc(size_t bytes)
{
	return no_memory() ? NULL : counted(__real_malloc(bytes));
}

void *__wrap_calloc(size_t count, size_t size)
{
	return no_memory() ? NULL : counted(__real_calloc(count, size));
}

void *__wrap_realloc(void *block, size_t bytes)
{
	if (no_memory())
		return NULL;
	void *moved = __real_realloc(block, bytes);
	return block ? moved : counted(moved);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
	return no_memory() ? NULL : counted(__real_aligned_alloc(align, bytes));
}

void __wrap_free(void *block)
{
	if (block)
		atomic_fetch_sub(&blocks, 1);
	__real_free(block);
}

int __wrap_open64(const char *path, int flags, ...)
{
	mode_t mode = 0;
	if (flags & O_CREAT) {
		va_list arguments;
		va_start(arguments, flags);
		mode = va_arg(arguments, mode_t);
		va_end(arguments);
	}
	if (due(FAULT_OPEN)) {
		errno = EMFILE;
		return -1;
	}
	return __real_open64(path, flags, mode);
}

int __wrap_mkstemp64(char *name)
{
	if (due(FAULT_OPEN)) {
		errno = EMFILE;
		return -1;
	}
	return __real_mkstemp64(name);
}

ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset)
{
	if (due(FAULT_READ) || due(FAULT_READ_AGAIN)) {
		errno = atomic_load(&armed) == FAULT_READ ? EIO : EINTR;
		return -1;
	}
	return __real_pread64(fd, buffer, bytes > 1 && due(FAULT_READ_SHORT) ? 1 : bytes, offset);
}

/* Whether a write fails, and how many of its bytes are written otherwise. */
static bool write_fails(size_t *bytes)
{
	if (due(FAULT_WRITE) || due(FAULT_WRITE_AGAIN)) {
		errno = atomic_load(&armed) == FAULT_WRITE ? ENOSPC : EINTR;
		return true;
	}
	if (*bytes > 1 && due(FAULT_WRITE_SHORT))
		*bytes = 1;
	return false;
}

ssize_t __wrap_write(int fd, const void *buffer, size_t bytes)
{
	return write_fails(&bytes) ? -1 : __real_write(fd, buffer, bytes);
}

ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t bytes, off_t offset)
{
	return write_fails(&bytes) ? -1 : __real_pwrite64(fd, buffer, bytes, offset);
}

int __wrap_ftruncate64(int fd, off_t length)
{
	if (due(FAULT_CUT)) {
		errno = EIO;
		return -1;
	}
	return __real_ftruncate64(fd, length);
}

/* Never the real one: thousands of runs would wait for the disk. */
int __wrap_fsync(int fd)
{
	(void)fd;
	if (due(FAULT_SYNC)) {
		errno = EIO;
		return -1;
	}
	return 0;
}

int __wrap_rename(const char *from, const char *to)
{
	if (due(FAULT_RENAME)) {
		errno = EACCES;
		return -1;
	}
	return __real_rename(from, to);
}

void fault_arm(fault_kind kind, long number)
{
	static bool hooked;
	if (!hooked) {
		cJSON_Hooks hooks = {.malloc_fn = __wrap_malloc, .free_fn = __wrap_free};
		cJSON_InitHooks(&hooks);
		hooked = true;
	}
	atomic_store(&happened, false);
	atomic_store(&armed, kind);
	atomic_store(&countdown, number);
}

bool fault_happened(void)
{
	return atomic_load(&happened);
}

long fault_blocks(void)
{
	return atomic_exchange(&blocks, 0);
}
