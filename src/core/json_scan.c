/* A recogniser of RFC 8259 without recursion: refuses what cJSON would let pass (trailing text, bad UTF-8, NUL, control
 * characters, odd numbers) and bounds depth and length of numbers. Messages give name:line:column. */
#include "json_scan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 64
#define MAX_NUMBER 64

typedef struct scanner {
	const unsigned char *text;
	size_t length, at;
	const char *name;
	oq_error *err;
} scanner;

static oq_status refuse(const scanner *s, const char *what)
{
	size_t line = 1, column = 1;
	for (size_t i = 0; i < s->at && i < s->length; i++) {
		column = s->text[i] == '\n' ? 1 : column + 1;
		line += s->text[i] == '\n';
	}
	return oq_fail(s->err, OQ_E_MODEL, "E_JSON", "%s:%zu:%zu: %s", s->name, line, column, what);
}

static int peek(const scanner *s)
{
	return s->at < s->length ? s->text[s->at] : -1;
}

static void skip_space(scanner *s)
{
	while (s->at < s->length && (s->text[s->at] == ' ' || s->text[s->at] == '\t' || s->text[s->at] == '\n' || s->text[s->at] == '\r'))
		s->at++;
}

/* Bytes of the UTF-8 sequence at `c`, of which `left` bytes are there; 0 when it is malformed (overlong, surrogate, beyond U+10FFFF). */
static size_t utf8_length(const unsigned char *c, size_t left)
{
	if (c[0] < 0x80)
		return 1;
	size_t n = c[0] >= 0xf0 ? 4 : c[0] >= 0xe0 ? 3 : 2;
	if (c[0] < 0xc2 || c[0] > 0xf4 || left < n)
		return 0;
	for (size_t i = 1; i < n; i++)
		if ((c[i] & 0xc0) != 0x80)
			return 0;
	bool overlong = (c[0] == 0xe0 && c[1] < 0xa0) || (c[0] == 0xf0 && c[1] < 0x90);
	bool outside = (c[0] == 0xed && c[1] > 0x9f) || (c[0] == 0xf4 && c[1] > 0x8f);
	return overlong || outside ? 0 : n;
}

void oq_utf8_mend(char *text)
{
	for (size_t at = 0, length = strlen(text); at < length;) {
		size_t n = utf8_length((unsigned char *)text + at, length - at);
		if (n == 0)
			text[at] = '?';
		at += n ? n : 1;
	}
}

/* Four hexadecimal digits at s->at, or -1. */
static int hex4(const scanner *s)
{
	int value = 0;
	for (size_t i = 0; i < 4; i++) {
		int c = s->at + i < s->length ? s->text[s->at + i] : -1;
		int digit = c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
		if (digit < 0)
			return -1;
		value = value * 16 + digit;
	}
	return value;
}

static oq_status scan_escape(scanner *s)
{
	int c = peek(s);
	if (c != 'u') {
		if (c < 0 || !strchr("\"\\/bfnrt", c))
			return refuse(s, "unknown escape in a string");
		s->at++;
		return OQ_OK;
	}
	s->at++;
	int unit = hex4(s);
	if (unit <= 0)
		return refuse(s, unit ? "\\u without four hexadecimal digits" : "NUL inside a string");
	s->at += 4;
	if (unit >= 0xdc00 && unit <= 0xdfff)
		return refuse(s, "lone surrogate in a string");
	if (unit < 0xd800 || unit > 0xdbff)
		return OQ_OK;
	if (s->at + 6 > s->length || s->text[s->at] != '\\' || s->text[s->at + 1] != 'u')
		return refuse(s, "lone surrogate in a string");
	s->at += 2;
	int low = hex4(s);
	if (low < 0xdc00 || low > 0xdfff)
		return refuse(s, "lone surrogate in a string");
	s->at += 4;
	return OQ_OK;
}

static oq_status scan_string(scanner *s)
{
	s->at++; /* the opening quote */
	for (;;) {
		int c = peek(s);
		if (c < 0)
			return refuse(s, "the text ends inside a string");
		if (c < 0x20)
			return refuse(s, "control character inside a string");
		if (c == '"') {
			s->at++;
			return OQ_OK;
		}
		if (c == '\\') {
			s->at++;
			OQ_TRY(scan_escape(s));
			continue;
		}
		size_t n = utf8_length(s->text + s->at, s->length - s->at);
		if (!n)
			return refuse(s, "not UTF-8");
		s->at += n;
	}
}

static size_t skip_digits(scanner *s)
{
	size_t first = s->at;
	while (peek(s) >= '0' && peek(s) <= '9')
		s->at++;
	return s->at - first;
}

static oq_status scan_number(scanner *s)
{
	size_t first = s->at;
	s->at += peek(s) == '-';
	bool zero = peek(s) == '0';
	size_t digits = skip_digits(s);
	if (!digits || (zero && digits > 1))
		return refuse(s, "not a JSON number");
	if (peek(s) == '.') {
		s->at++;
		if (!skip_digits(s))
			return refuse(s, "not a JSON number");
	}
	if (peek(s) == 'e' || peek(s) == 'E') {
		s->at++;
		s->at += peek(s) == '+' || peek(s) == '-';
		if (!skip_digits(s))
			return refuse(s, "not a JSON number");
	}
	char copy[MAX_NUMBER + 1];
	if (s->at - first > MAX_NUMBER)
		return refuse(s, "a number of more than 64 characters");
	memcpy(copy, s->text + first, s->at - first);
	copy[s->at - first] = 0;
	/* strtod's decimal point depends on the locale; magnitude does not, so a '.' it stops at is harmless here. */
	return isfinite(strtod(copy, NULL)) ? OQ_OK : refuse(s, "a number beyond the range of a double");
}

static oq_status scan_word(scanner *s, const char *word)
{
	size_t n = strlen(word);
	if (s->length - s->at < n || memcmp(s->text + s->at, word, n))
		return refuse(s, "unexpected character");
	s->at += n;
	return OQ_OK;
}

static oq_status scan_scalar(scanner *s)
{
	switch (peek(s)) {
	case '"': return scan_string(s);
	case 't': return scan_word(s, "true");
	case 'f': return scan_word(s, "false");
	case 'n': return scan_word(s, "null");
	case -1: return refuse(s, "the text ends before its value does");
	default: return peek(s) == '-' || (peek(s) >= '0' && peek(s) <= '9') ? scan_number(s) : refuse(s, "unexpected character");
	}
}

static oq_status scan_key(scanner *s)
{
	if (peek(s) != '"')
		return refuse(s, "expected a key in quotes");
	OQ_TRY(scan_string(s));
	skip_space(s);
	if (peek(s) != ':')
		return refuse(s, "expected a colon after a key");
	s->at++;
	skip_space(s);
	return OQ_OK;
}

/* After a value: closes containers as long as brackets close, then expects a comma when one is still open. */
static oq_status after_value(scanner *s, char stack[MAX_DEPTH], int *depth)
{
	for (skip_space(s); *depth > 0; skip_space(s)) {
		char open = stack[*depth - 1];
		if (peek(s) == (open == '{' ? '}' : ']')) {
			s->at++;
			(*depth)--;
			continue;
		}
		if (peek(s) != ',')
			return refuse(s, "expected a comma or a closing bracket");
		s->at++;
		skip_space(s);
		return open == '{' ? scan_key(s) : OQ_OK;
	}
	return OQ_OK;
}

oq_status oq_json_scan(const char *text, size_t length, const char *name, oq_error *err)
{
	scanner s = {.text = (const unsigned char *)text, .length = length, .name = name, .err = err};
	char stack[MAX_DEPTH];
	int depth = 0;
	do {
		skip_space(&s);
		int c = peek(&s);
		if (c == '{' || c == '[') {
			if (depth == MAX_DEPTH)
				return refuse(&s, "nested more than 64 deep");
			stack[depth++] = (char)c;
			s.at++;
			skip_space(&s);
			if (peek(&s) == (c == '{' ? '}' : ']')) {
				s.at++;
				depth--;
			} else {
				if (c == '{')
					OQ_TRY(scan_key(&s));
				continue; /* the first element */
			}
		} else {
			OQ_TRY(scan_scalar(&s));
		}
		OQ_TRY(after_value(&s, stack, &depth));
	} while (depth > 0);
	skip_space(&s);
	return s.at == length ? OQ_OK : refuse(&s, "text after the end of the value");
}
