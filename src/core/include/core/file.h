/* Files: bounded reading of regular files, and output that is either whole or absent. */
#ifndef OQ_CORE_FILE_H
#define OQ_CORE_FILE_H

#include "core/error.h"
#include "core/sha256.h"

/* Open a regular file for reading (refuses folders, FIFOs, devices; never blocks); *size is its size. Returns a descriptor or -1. */
int oq_file_open(const char *path, oq_status on_failure, uint64_t *size, oq_error *err);
/* Read exactly `bytes` at `offset`; a short file is "E_TRUNCATED" with status `on_failure`. */
oq_status oq_file_read_at(int fd, const char *path, void *buffer, size_t bytes, uint64_t offset, oq_status on_failure, oq_error *err);
/* Whole file, NUL-terminated after its last byte; larger than `limit` is refused before allocation. Free with oq_free. */
oq_status oq_file_read_all(const char *path, size_t limit, oq_status on_failure, char **data, size_t *size, oq_error *err);
/* One file under two names, or twice the same name? False when one of them is not there. */
bool oq_file_same(const char *a, const char *b);
/* Opens for reading and writing, makes when it is not there (mode 0600), and locks: E_LOCKED says that another run is writing `whose`. The lock goes
 * with the descriptor; to remove the file, unlink it before closing. */
oq_status oq_file_open_locked(const char *path, const char *whose, int *fd, oq_error *err);
/* The first line of FOLDER/FILE, a small file such as the kernel's, without its end; false when it is absent or may not be read (errno says which). */
bool oq_file_line(const char *folder, const char *file, char *out, size_t room);
oq_status oq_file_sha256(const char *path, oq_status on_failure, char hex[65], oq_error *err);

/* Output: a temporary file in the same folder, made whole by commit (flush, fsync, rename, fsync of the folder).
 * Output is private (mode 0600). Abort removes the temporary file and leaves an old result untouched. */
typedef struct oq_outfile oq_outfile;
oq_status oq_outfile_open(const char *path, oq_outfile **out, oq_error *err);
oq_status oq_outfile_write(oq_outfile *file, const void *data, size_t bytes, oq_error *err);
oq_status oq_outfile_write_at(oq_outfile *file, const void *data, size_t bytes, uint64_t offset, oq_error *err); /* flushes, does not move the end */
oq_status oq_outfile_sync(oq_outfile *file, oq_error *err);   /* flushes; durable, not yet in place */
oq_status oq_outfile_place(oq_outfile *file, oq_error *err);  /* the result is there; still to be freed by abort, which then removes nothing */
oq_status oq_outfile_commit(oq_outfile *file, oq_error *err); /* place and free, in every case */
void oq_outfile_abort(oq_outfile *file);                     /* frees; NULL allowed */
/* The same for work that may be interrupted and continued: the temporary file is PATH.part and holds what an earlier run left there. It is locked:
 * a second run is refused (E_LOCKED); the lock of a run that died is gone with it. */
oq_status oq_outfile_open_kept(const char *path, oq_outfile **out, oq_error *err);
oq_status oq_outfile_clear(oq_outfile *file, oq_error *err);  /* starts afresh */
bool oq_outfile_has(const oq_outfile *file, void *buffer, size_t bytes, uint64_t offset); /* reads back; false when it ends before, or cannot be read */
void oq_outfile_leave(oq_outfile *file);                      /* frees; PATH.part stays for another run; NULL allowed */
/* Whole text or bytes in one go. */
oq_status oq_file_write_all(const char *path, const void *data, size_t bytes, oq_error *err);

#endif
