#include "state.h"

#include "core/file.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST_BYTES (16u << 20) /* of a file that is read */
#define LINE_BYTES 1024
#define MAGIC "oncoquant quantize state "

typedef struct measured {
	char *name;
	double value;
} measured;

struct oq_state {
	char *path;
	measured *items;
	size_t count, room;
	int fd;
};

static oq_status remember(oq_state *s, const char *name, size_t length, double value, oq_error *err)
{
	if (s->count == s->room) {
		size_t room = s->room ? 2 * s->room : 64;
		measured *more = oq_calloc(room, sizeof *more);
		if (!more)
			return oq_fail_memory(err, s->path, room * sizeof *more);
		if (s->count)
			memcpy(more, s->items, s->count * sizeof *more);
		oq_free(s->items);
		s->items = more;
		s->room = room;
	}
	char *own = oq_alloc(length + 1);
	if (!own)
		return oq_fail_memory(err, s->path, length + 1);
	memcpy(own, name, length);
	own[length] = 0;
	s->items[s->count++] = (measured){own, value};
	return OQ_OK;
}

/* Lines "BITS NAME" up to the first that is not whole; *good: bytes that hold. */
static oq_status read_lines(oq_state *s, const char *text, size_t size, size_t *good, oq_error *err)
{
	for (size_t at = *good; at < size;) {
		const char *end = memchr(text + at, '\n', size - at);
		char *space = NULL;
		if (!end)
			break;
		unsigned long long bits = strtoull(text + at, &space, 16);
		if (space != text + at + 16 || *space != ' ' || space + 1 >= end)
			break;
		double value;
		memcpy(&value, &bits, sizeof value);
		OQ_TRY(remember(s, space + 1, (size_t)(end - space - 1), value, err));
		at = *good = (size_t)(end - text) + 1;
	}
	return OQ_OK;
}

/* Of a file by the same key: what it says. Any other of a search is begun anew; somebody's file is refused. */
static oq_status read_old(oq_state *s, const char *head, size_t *good, oq_error *err)
{
	char *text = NULL;
	size_t size = 0, length = strlen(head), magic = strlen(MAGIC);
	*good = 0;
	if (access(s->path, F_OK))
		return OQ_OK;
	OQ_TRY(oq_file_read_all(s->path, MOST_BYTES, OQ_E_RESOURCE, &text, &size, err));
	oq_status status = OQ_OK;
	if (memcmp(text, MAGIC, size < magic ? size : magic)) {
		status = oq_fail(err, OQ_E_RESOURCE, "E_OUTPUT", "%s: exists and is not the state of a search; it is left alone", s->path);
	} else if (size >= length && !memcmp(text, head, length)) {
		*good = length;
		status = read_lines(s, text, size, good, err);
	}
	oq_free(text);
	return status;
}

static oq_status write_text(const oq_state *s, const char *text, oq_error *err)
{
	size_t length = strlen(text);
	while (length > 0) {
		ssize_t done = write(s->fd, text, length);
		if (done < 0 && errno == EINTR)
			continue;
		if (done <= 0)
			return oq_fail(err, OQ_E_RESOURCE, "E_WRITE", "%s: %s", s->path, strerror(errno));
		text += done;
		length -= (size_t)done;
	}
	return OQ_OK;
}

static oq_status open_file(oq_state *s, const char *head, oq_error *err)
{
	size_t good;
	OQ_TRY(read_old(s, head, &good, err));
	s->fd = open(s->path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	if (s->fd < 0 || ftruncate(s->fd, (off_t)good) || lseek(s->fd, 0, SEEK_END) < 0)
		return oq_fail(err, OQ_E_RESOURCE, "E_OPEN", "%s: %s", s->path, strerror(errno));
	return good ? OQ_OK : write_text(s, head, err);
}

oq_status oq_state_open(const char *path, const char *key, oq_state **out, oq_error *err)
{
	char head[LINE_BYTES];
	snprintf(head, sizeof head, MAGIC "1 %s\n", key);
	oq_state *s = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, path, sizeof *s);
	s->fd = -1;
	s->path = oq_alloc(strlen(path) + 1);
	oq_status status = s->path ? OQ_OK : oq_fail_memory(err, path, strlen(path) + 1);
	if (status == OQ_OK) {
		memcpy(s->path, path, strlen(path) + 1);
		status = open_file(s, head, err);
	}
	if (status == OQ_OK)
		*out = s;
	else
		oq_state_close(s, false);
	return status;
}

bool oq_state_find(const oq_state *s, const char *name, double *value)
{
	for (size_t i = 0; i < s->count; i++)
		if (!strcmp(s->items[i].name, name)) {
			*value = s->items[i].value;
			return true;
		}
	return false;
}

oq_status oq_state_add(oq_state *s, const char *name, double value, oq_error *err)
{
	char line[LINE_BYTES];
	unsigned long long bits;
	memcpy(&bits, &value, sizeof bits);
	int length = snprintf(line, sizeof line, "%016llx %s\n", bits, name);
	if (length < 0 || (size_t)length >= sizeof line)
		return oq_fail(err, OQ_E_MODEL, "E_NAME", "%s: a layer's name is too long", s->path);
	OQ_TRY(remember(s, name, strlen(name), value, err));
	return write_text(s, line, err);
}

void oq_state_close(oq_state *s, bool done)
{
	if (!s)
		return;
	if (s->fd >= 0)
		close(s->fd);
	if (done && s->path)
		unlink(s->path);
	for (size_t i = 0; i < s->count; i++)
		oq_free(s->items[i].name);
	oq_free(s->items);
	oq_free(s->path);
	oq_free(s);
}
