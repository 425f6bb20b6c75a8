#include "text.h"

#include "core/mem.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static bool make_room(oq_text *text, size_t more)
{
	if (text->failed || text->length + more + 1 <= text->room)
		return !text->failed;
	size_t room = (text->length + more + 1) * 2;
	char *bytes = oq_alloc(room);
	if (!bytes) {
		text->failed = true;
		return false;
	}
	if (text->bytes)
		memcpy(bytes, text->bytes, text->length + 1);
	oq_free(text->bytes);
	text->bytes = bytes;
	text->room = room;
	return true;
}

void oq_text_add(oq_text *text, const char *format, ...)
{
	va_list args, again;
	va_start(args, format);
	va_copy(again, args);
	int length = vsnprintf(NULL, 0, format, args);
	if (length >= 0 && make_room(text, (size_t)length))
		text->length += (size_t)vsnprintf(text->bytes + text->length, (size_t)length + 1, format, again);
	va_end(again);
	va_end(args);
}

void oq_text_escape(oq_text *text, const char *value)
{
	for (; value && *value; value++) {
		const char *entity = *value == '&' ? "&amp;" : *value == '<' ? "&lt;" : *value == '>' ? "&gt;" : *value == '"' ? "&quot;" : NULL;
		if (entity)
			oq_text_add(text, "%s", entity);
		else
			oq_text_add(text, "%c", *value);
	}
}

void oq_text_field(oq_text *text, const char *value)
{
	bool formula = value[0] && strchr("=+-@", value[0]);
	if (!formula && !strpbrk(value, ",\"\n\r")) {
		oq_text_add(text, "%s", value);
		return;
	}
	oq_text_add(text, "\"%s", formula ? "'" : "");
	for (; *value; value++)
		oq_text_add(text, *value == '"' ? "\"\"" : "%c", *value);
	oq_text_add(text, "\"");
}

void oq_text_base64(oq_text *text, const unsigned char *bytes, size_t count)
{
	static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char line[4 * 256 + 1];
	size_t length = 0;
	for (size_t i = 0; i < count; i += 3) {
		size_t left = count - i;
		unsigned word = (unsigned)bytes[i] << 16 | (left > 1 ? (unsigned)bytes[i + 1] << 8 : 0) | (left > 2 ? (unsigned)bytes[i + 2] : 0);
		for (size_t k = 0; k < 4; k++)
			line[length++] = k <= left ? letters[word >> (18 - 6 * k) & 63] : '=';
		if (length == sizeof line - 1 || left <= 3) {
			line[length] = 0;
			oq_text_add(text, "%s", line);
			length = 0;
		}
	}
}

oq_status oq_text_finish(oq_text *text, char **out, oq_error *err)
{
	if (text->failed || !text->bytes) {
		oq_free(text->bytes);
		return oq_fail_memory(err, "report", text->length);
	}
	*out = text->bytes;
	return OQ_OK;
}
