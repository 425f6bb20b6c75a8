/* Text headers. Refuses what is not text, headers beyond a megabyte, numbers that are not plain decimals, and file names that
 * lead out of the header's folder. */
#include "header_text.h"

#include "core/mem.h"
#include "formats.h"
#include "io/table.h"

#include <stdio.h>
#include <string.h>

#define LIMIT ((size_t)1 << 20)
#define BLANKS " \t\r"

oq_status oq_header_text_read(oq_stream *stream, const char *path, oq_header_text *out, oq_error *err)
{
	if (oq_stream_is_gzip(stream))
		return oq_fail(err, OQ_E_INPUT, "E_MAGIC", "%s: is gzip around a header, expected the header itself; unpack it first", path);
	uint64_t size = oq_stream_size(stream);
	size_t want = size < LIMIT ? (size_t)size : LIMIT;
	*out = (oq_header_text){.text = oq_alloc(want + 1), .whole = size <= LIMIT};
	if (!out->text)
		return oq_fail_memory(err, path, want + 1);
	OQ_TRY(oq_stream_read(stream, out->text, want, &out->bytes, err));
	out->text[out->bytes] = 0;
	return OQ_OK;
}

void oq_header_text_free(oq_header_text *text)
{
	oq_free(text->text);
	*text = (oq_header_text){0};
}

oq_status oq_header_text_line(oq_header_text *t, const char *path, char **line, oq_error *err)
{
	*line = NULL;
	if (t->at == t->bytes && t->whole)
		return OQ_OK;
	char *start = t->text + t->at, *end = memchr(start, '\n', t->bytes - t->at);
	if (!end && !t->whole)
		return oq_fail(err, OQ_E_INPUT, "E_FIELD", "%s: its header does not end within %zu bytes", path, LIMIT);
	size_t length = end ? (size_t)(end - start) : t->bytes - t->at;
	t->at += length + (end != NULL);
	if (memchr(start, 0, length))
		return oq_fail(err, OQ_E_INPUT, "E_FIELD", "%s: its header holds bytes that are not text", path);
	if (length && start[length - 1] == '\r')
		length--;
	start[length] = 0;
	*line = start;
	return OQ_OK;
}

char *oq_text_trim(char *text)
{
	text += strspn(text, BLANKS);
	for (size_t n = strlen(text); n > 0 && strchr(BLANKS, text[n - 1]); n--)
		text[n - 1] = 0;
	return text;
}

/* The next word into `word` (64 bytes); NULL when there is none or it is too long for a number. */
static const char *next_word(const char *text, char word[64])
{
	text += strspn(text, BLANKS);
	size_t n = strcspn(text, BLANKS);
	if (!n || n >= 64)
		return NULL;
	memcpy(word, text, n);
	word[n] = 0;
	return text + n;
}

bool oq_text_numbers(const char *text, int count, double *out)
{
	char word[64];
	for (int i = 0; i < count; i++) {
		text = next_word(text, word);
		if (!text || !oq_parse_number(word, &out[i]))
			return false;
	}
	return !text[strspn(text, BLANKS)];
}

static bool parse_integer(const char *word, int64_t *out)
{
	bool negative = *word == '-';
	size_t n = strlen(word += negative);
	/* 18 digits always fit. */
	if (!n || n > 18 || strspn(word, "0123456789") != n)
		return false;
	int64_t value = 0;
	for (; *word; word++)
		value = 10 * value + (*word - '0');
	*out = negative ? -value : value;
	return true;
}

bool oq_text_integers(const char *text, int count, int64_t *out)
{
	char word[64];
	for (int i = 0; i < count; i++) {
		text = next_word(text, word);
		if (!text || !parse_integer(word, &out[i]))
			return false;
	}
	return !text[strspn(text, BLANKS)];
}

static bool leads_out(const char *name)
{
	if (!*name || *name == '/')
		return true;
	for (const char *part = name; part; part = strchr(part, '/')) {
		part += *part == '/';
		if (!strncmp(part, "..", 2) && (!part[2] || part[2] == '/'))
			return true;
	}
	return false;
}

oq_status oq_text_data_path(const char *header_path, const char *name, char **out, oq_error *err)
{
	if (leads_out(name))
		return oq_fail(err, OQ_E_INPUT, "E_DATA_FILE", "%s: names a data file outside its folder, expected one in it", header_path);
	const char *slash = strrchr(header_path, '/');
	size_t folder = slash ? (size_t)(slash + 1 - header_path) : 0, length = folder + strlen(name) + 1;
	*out = oq_alloc(length);
	if (!*out)
		return oq_fail_memory(err, header_path, length);
	memcpy(*out, header_path, folder);
	memcpy(*out + folder, name, length - folder);
	return OQ_OK;
}
