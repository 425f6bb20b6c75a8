/* Filling errors. Messages come partly from file contents: control characters are replaced so that one error is one line
 * and cannot steer a terminal, and what is not UTF-8, so that a journal that quotes it can be read. */
#include "core/error.h"

#include "json_scan.h"

#include <stdio.h>
#include <string.h>

static void sanitize(char *text)
{
	for (unsigned char *c = (unsigned char *)text; *c; c++)
		if (*c < 0x20 || *c == 0x7f)
			*c = '?';
	oq_utf8_mend(text);
}

oq_status oq_fail(oq_error *err, oq_status status, const char *code, const char *format, ...)
{
	if (!err)
		return status;
	err->status = status;
	snprintf(err->code, sizeof err->code, "%s", code);
	va_list args;
	va_start(args, format);
	vsnprintf(err->message, sizeof err->message, format, args);
	va_end(args);
	sanitize(err->message);
	return status;
}

oq_status oq_error_prefix(oq_error *err, const char *prefix)
{
	if (!err)
		return OQ_E_INTERNAL;
	char old[sizeof err->message];
	memcpy(old, err->message, sizeof old);
	int written = snprintf(err->message, sizeof err->message, "%.*s: ", (int)(sizeof err->message / 2), prefix);
	size_t used = written > 0 ? (size_t)written : 0;
	snprintf(err->message + used, sizeof err->message - used, "%s", old);
	sanitize(err->message);
	return err->status;
}

void oq_error_rename(oq_error *err, const char *path, const char *name)
{
	size_t n = 0;
	char old[sizeof err->message];
	if (!err)
		return;
	/* Control characters of the path were replaced, and a long path may be all that fits. */
	while (path[n] && err->message[n] && (err->message[n] == path[n] || err->message[n] == '?'))
		n++;
	if (path[n] && err->message[n])
		return;
	memcpy(old, err->message, sizeof old);
	snprintf(err->message, sizeof err->message, "%s%.*s", name, (int)(sizeof old / 2), old + n);
	sanitize(err->message);
}

oq_status oq_fail_memory(oq_error *err, const char *what, size_t bytes)
{
	return oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "%s: out of memory, %zu bytes were wanted", what, bytes);
}

oq_status oq_fail_errno(oq_error *err, const char *path, const char *doing, int saved_errno)
{
	return oq_fail(err, OQ_E_RESOURCE, "E_IO", "%s: cannot %s: %s", path, doing, strerror(saved_errno));
}
