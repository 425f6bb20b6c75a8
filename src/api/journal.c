#include "journal.h"

#include "core/file.h"
#include "core/mem.h"
#include "core/sha256.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SUM 16           /* digits before a record */
#define MOST ((uint64_t)1 << 36)

struct oq_journal {
	char *path;
	int fd;
	bool made;       /* it was empty, or not there */
	char *text;      /* of an earlier run, until it has been read */
	size_t length, first; /* of its text; where its rows begin */
};

static void sum_of(const char *text, size_t length, char sum[SUM + 1])
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, text, length);
	oq_sha256_hex(&hash, hex);
	memcpy(sum, hex, SUM);
	sum[SUM] = 0;
}

/* The record at `at`: its JSON's place and length. False when there is no whole one. */
static bool whole_record(const oq_journal *j, size_t at, const char **json, size_t *length)
{
	char sum[SUM + 1];
	const char *line = j->text + at, *end = memchr(line, '\n', j->length - at);
	if (!end || end - line < SUM + 2 || line[SUM] != ' ')
		return false;
	*json = line + SUM + 1;
	*length = (size_t)(end - *json);
	sum_of(*json, *length, sum);
	return !memcmp(sum, line, SUM);
}

static oq_status write_record(const oq_journal *j, const char *text, oq_error *err)
{
	size_t length = strlen(text), bytes = SUM + 1 + length + 1;
	char *line = oq_alloc(bytes + 1);
	if (!line)
		return oq_fail_memory(err, j->path, bytes);
	sum_of(text, length, line);
	line[SUM] = ' ';
	memcpy(line + SUM + 1, text, length);
	line[bytes - 1] = '\n';
	oq_status status = OQ_OK;
	for (size_t at = 0; at < bytes && status == OQ_OK;) {
		ssize_t put = write(j->fd, line + at, bytes - at);
		if (put >= 0)
			at += (size_t)put;
		else if (errno != EINTR)
			status = oq_fail_errno(err, j->path, "be written", errno);
	}
	oq_free(line);
	return status;
}

/* Cuts the file after `length` bytes and goes on writing there. */
static oq_status cut(const oq_journal *j, size_t length, oq_error *err)
{
	if (ftruncate(j->fd, (off_t)length) || lseek(j->fd, (off_t)length, SEEK_SET) < 0)
		return oq_fail_errno(err, j->path, "be cut", errno);
	return OQ_OK;
}

static oq_status open_file(oq_journal *j, const char *output, oq_error *err)
{
	struct stat info;
	oq_error reason;
	size_t room = strlen(output) + 16;
	j->path = oq_alloc(room);
	if (!j->path)
		return oq_fail_memory(err, output, room);
	snprintf(j->path, room, "%s.journal", output);
	/* A run that has put its array in place, and with it its lock, still has this one until its journal is gone. */
	oq_status status = oq_file_open_locked(j->path, output, &j->fd, &reason);
	if (status != OQ_OK && !strcmp(reason.code, "E_OUTPUT"))
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is no journal", j->path);
	if (status != OQ_OK)
		return oq_fail(err, status, reason.code, "%s", reason.message);
	if (fstat(j->fd, &info) || (uint64_t)info.st_size > MOST)
		return oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: is no journal", j->path);
	j->length = (size_t)info.st_size;
	j->made = j->length == 0;
	j->text = oq_alloc(j->length + 1);
	if (!j->text)
		return oq_fail_memory(err, j->path, j->length);
	return oq_file_read_at(j->fd, j->path, j->text, j->length, 0, OQ_E_RESOURCE, err);
}

/* Says `b` all that `a` says? If not, the first key of `a` that differs is named. Some keys are there only when their option was given: ask both ways. */
static oq_status has_all(const oq_journal *j, const oq_json *a_says, const oq_json *b_says, oq_error *err)
{
	for (const oq_json *entry = oq_json_first(a_says); entry; entry = oq_json_next(entry)) {
		const oq_json *other = oq_json_get(b_says, oq_json_key(entry));
		char *a = NULL, *b = NULL;
		oq_status status = oq_json_print(entry, false, &a, err);
		if (status == OQ_OK && other)
			status = oq_json_print(other, false, &b, err);
		bool same = a && b && !strcmp(a, b);
		oq_free(a);
		oq_free(b);
		OQ_TRY(status);
		if (!same)
			return oq_fail(err, OQ_E_USAGE, "E_JOURNAL", "%s: was begun with another \"%s\"; remove it to begin afresh", j->path, oq_json_key(entry));
	}
	return OQ_OK;
}

/* What a run that was killed while it wrote its first line leaves: the beginning of one. */
static bool torn_header(const oq_journal *j)
{
	size_t sum = 0;
	while (sum < j->length && sum < SUM && strchr("0123456789abcdef", j->text[sum]) && j->text[sum])
		sum++;
	if (memchr(j->text, '\n', j->length) || (sum < SUM && sum < j->length))
		return false;
	return j->length <= SUM || (j->text[SUM] == ' ' && (j->length == SUM + 1 || j->text[SUM + 1] == '{'));
}

/* An earlier run that finished no row left nothing to lose and is begun afresh; a file that we cannot read is not ours to empty. */
static oq_status look_back(oq_journal *j, const oq_json *identity, bool resume, bool *resumed, oq_error *err)
{
	const char *json;
	size_t length;
	*resumed = false;
	if (!whole_record(j, 0, &json, &length))
		return torn_header(j) ? OQ_OK
			: oq_fail(err, OQ_E_USAGE, "E_JOURNAL", "%s: its first line is damaged or not a journal's; removing the file begins afresh", j->path);
	j->first = SUM + 1 + length + 1;
	if (!memchr(j->text + j->first, '\n', j->length - j->first)) /* not even a damaged row */
		return OQ_OK;
	if (!resume)
		return oq_fail(err, OQ_E_USAGE, "E_JOURNAL", "%s: an unfinished run; --resume continues it, removing the file begins afresh", j->path);
	oq_json *then = NULL;
	OQ_TRY(oq_json_parse(json, length, j->path, &then, err));
	oq_status status = has_all(j, identity, then, err);
	if (status == OQ_OK)
		status = has_all(j, then, identity, err);
	oq_json_free(then);
	*resumed = status == OQ_OK;
	return status;
}

static oq_status begin(oq_journal *j, const oq_json *identity, oq_error *err)
{
	char *text = NULL;
	OQ_TRY(cut(j, 0, err));
	OQ_TRY(oq_json_print(identity, false, &text, err));
	oq_status status = write_record(j, text, err);
	oq_free(text);
	return status;
}

oq_status oq_journal_open(const char *output, const oq_json *identity, bool resume, oq_journal **out, bool *resumed, oq_error *err)
{
	oq_journal *j = oq_calloc(1, sizeof *j);
	if (!j)
		return oq_fail_memory(err, output, sizeof *j);
	j->fd = -1;
	oq_status status = open_file(j, output, err);
	if (status == OQ_OK)
		status = look_back(j, identity, resume, resumed, err);
	if (status == OQ_OK && !*resumed)
		status = begin(j, identity, err);
	if (status == OQ_OK)
		*out = j;
	else
		oq_journal_close(j, j->made);
	return status;
}

oq_status oq_journal_read(oq_journal *j, oq_journal_visit visit, void *context, oq_error *err)
{
	const char *text;
	size_t at = j->first, length;
	oq_status status = OQ_OK;
	while (status == OQ_OK && whole_record(j, at, &text, &length)) {
		oq_json *record = NULL;
		status = oq_json_parse(text, length, j->path, &record, err);
		if (status == OQ_OK)
			status = visit(context, record, err);
		oq_json_free(record);
		at += SUM + 1 + length + 1;
	}
	oq_free(j->text);
	j->text = NULL;
	return status == OQ_OK ? cut(j, at, err) : status;
}

oq_status oq_journal_append(oq_journal *j, oq_json *record, bool good, oq_error *err)
{
	char *text = NULL;
	oq_status status = good ? oq_json_print(record, false, &text, err) : oq_fail_memory(err, j->path, 0);
	oq_json_free(record);
	if (status == OQ_OK)
		status = write_record(j, text, err);
	oq_free(text);
	return status;
}

oq_status oq_journal_sync(oq_journal *j, oq_error *err)
{
	return fsync(j->fd) ? oq_fail_errno(err, j->path, "be synced", errno) : OQ_OK;
}

void oq_journal_close(oq_journal *j, bool remove)
{
	if (!j)
		return;
	if (remove && j->path)
		unlink(j->path); /* while it is still locked: a run that has the file open already then sees that it has no name any more */
	if (j->fd >= 0)
		close(j->fd);
	oq_free(j->path);
	oq_free(j->text);
	oq_free(j);
}
