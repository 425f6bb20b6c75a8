/* Status and error: the one way in which anything in OncoQuant fails. */
#ifndef OQ_CORE_ERROR_H
#define OQ_CORE_ERROR_H

#include <oncoquant.h>
#include <stdarg.h>

/* Fill `err` (may be NULL) and return `status`, so that `return oq_fail(err, ...)` is the whole failure path.
 * The message reads `<file or node>: <what is>, <what was expected>`; control characters in it are replaced, never a newline inside.
 * `code` is a literal such as "E_TRUNCATED". */
#if defined(__GNUC__)
__attribute__((format(printf, 4, 5)))
#endif
oq_status oq_fail(oq_error *err, oq_status status, const char *code, const char *format, ...);

/* Put "prefix: " in front of an error's message; returns its status. */
oq_status oq_error_prefix(oq_error *err, const char *prefix);

/* A message that begins with `path` begins with `name` instead: paths can hold names of patients. */
void oq_error_rename(oq_error *err, const char *path, const char *name);

/* Out of memory while wanting `bytes`. */
oq_status oq_fail_memory(oq_error *err, const char *what, size_t bytes);

/* A failed system call on `path`: message from `saved_errno`, status OQ_E_RESOURCE. */
oq_status oq_fail_errno(oq_error *err, const char *path, const char *doing, int saved_errno);

#define OQ_TRY(expr)                                   \
	do {                                           \
		oq_status oq_try_status_ = (expr);     \
		if (oq_try_status_ != OQ_OK)           \
			return oq_try_status_;         \
	} while (0)

#endif
