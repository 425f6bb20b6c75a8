/* Tables: CSV as RFC 4180 says, JSON lines, numbers, and what is refused (rows M1 to M6 and M18 to M21 of the project's list of bad inputs). */
#define _DEFAULT_SOURCE
#include "check.h"

#include "io/table.h"

#include <locale.h>
#include <unistd.h>

typedef oq_status parser(const char *text, size_t length, const char *name, oq_table **out, oq_error *err);

/* The table as one line: cells with | between them, rows with / between them; or the code and place of the refusal. */
static void flatten(parser *parse, const char *text, size_t length, char out[512])
{
	oq_table *t = NULL;
	oq_error err = {0};
	if (parse(text, length, "t", &t, &err) != OQ_OK) {
		snprintf(out, 512, "%d %s %.400s", err.status, err.code, err.message);
		return;
	}
	size_t n = 0;
	for (int64_t r = -1; r < oq_table_rows(t); r++)
		for (int c = 0; c < oq_table_columns(t); c++)
			n += (size_t)snprintf(out + n, 512 - n, "%s%s", c ? "|" : r < 0 ? "" : "/", r < 0 ? oq_table_header(t, c) : oq_table_cell(t, r, c));
	oq_table_free(t);
}

static void same(parser *parse, const char *text, const char *expected)
{
	char got[512];
	flatten(parse, text, strlen(text), got);
	OQ_CHECK_STR(got, expected);
}

/* Refused with this status and code, and this text in the message. */
static void refused(parser *parse, const char *text, const char *start, const char *word)
{
	char got[512];
	flatten(parse, text, strlen(text), got);
	bool good = !strncmp(got, start, strlen(start)) && strstr(got, word);
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  %s: got %s, expected %s ... %s\n", text, got, start, word);
}

static void test_csv(void)
{
	same(oq_table_parse, "a,b\n1,2\n", "a|b/1|2");
	same(oq_table_parse, "\xef\xbb\xbf" "a,b\r\n1,2\r\n", "a|b/1|2");
	same(oq_table_parse, ",a,b\n0,1,2\n", "|a|b/0|1|2");
	same(oq_table_parse, "a,b\n1,2,\n", "a|b/1|2");
	same(oq_table_parse, "a,b\n\"1,\n2\",\"x \"\"y\"\"\"\n", "a|b/1,\n2|x \"y\"");
	same(oq_table_parse, "a,b\n\n1,2", "a|b/1|2");
	refused(oq_table_parse, "a;b\n1;2\n", "2 E_CSV", "separated by ';'");
	refused(oq_table_parse, "", "4 E_CSV", "is empty");
	refused(oq_table_parse, "a,b\n1\n", "4 E_CSV", "t:2:");
	refused(oq_table_parse, "a,b\n1,2,3\n", "4 E_CSV", "3 fields");
	refused(oq_table_parse, "a,b\n\"1,2\n", "4 E_CSV", "does not end");
	refused(oq_table_parse, "a,b\n1\"2\",3\n", "4 E_CSV", "quote");
	char got[512];
	flatten(oq_table_parse, "a,b\n1,\0002\n", 9, got);
	OQ_CHECK(strstr(got, "NUL"));
}

static void test_jsonl(void)
{
	same(oq_table_parse_jsonl, "{\"a\": \"x\", \"b\": 1.5}\n{\"b\": -2e3, \"c\": true}\n", "a|b|c/x|1.5|/|-2000|true");
	same(oq_table_parse_jsonl, "\xef\xbb\xbf\r\n{\"a\": \"\\u00e9, \\\"q\\\"\", \"b\": null}\r\n\n", "a|b/\xc3\xa9, \"q\"|");
	same(oq_table_parse_jsonl, "{\"a\": 9007199254740991, \"b\": 0.1}", "a|b/9007199254740991|0.1");
	same(oq_table_parse_jsonl, "{\"a\": 0.30000000000000004}", "a/0.30000000000000004");
	refused(oq_table_parse_jsonl, "{\"a\": 9007199254740993}", "4 E_JSON t:1:", "2^53");
	refused(oq_table_parse_jsonl, "{\"a\": 1}\n{\"a\": [1]}\n", "4 E_JSON t:2:", "nested");
	refused(oq_table_parse_jsonl, "{\"a\": 1}\n{\"a\": 1,}\n", "4 E_JSON t:2:9", "");
	refused(oq_table_parse_jsonl, "{\"a\": 1, \"a\": 2}", "4 E_JSON t:1: ", "twice");
	refused(oq_table_parse_jsonl, "{\"a\": 1e999}", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "{\"a\": NaN}", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "[1, 2]", "4 E_JSON t:1:", "no object");
	refused(oq_table_parse_jsonl, "{\"a\": \"\xff\"}", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "{\"a\": \"\\u0000\"}", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "{\"a\": 1} x", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "{\"a\": 1", "4 E_JSON t:1:", "");
	refused(oq_table_parse_jsonl, "", "4 E_EMPTY", "0 rows");
	refused(oq_table_parse_jsonl, "{}\n", "4 E_EMPTY", "0 rows");
	char deep[3000], got[512];
	memset(deep, '[', sizeof deep);
	flatten(oq_table_parse_jsonl, deep, sizeof deep, got);
	OQ_CHECK(strstr(got, "E_JSON t:1:"));
}

/* A file that makes a large table of nothing: a new key on every line. */
static void test_sparse(void)
{
	static char text[2000 * 16];
	char got[512];
	size_t n = 0;
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "{\"k%d\": 1}\n", i);
	flatten(oq_table_parse_jsonl, text, n, got);
	OQ_CHECK(strstr(got, "nearly empty"));
	n = 0;
	for (int i = 0; i < 2000; i++)
		n += (size_t)snprintf(text + n, sizeof text - n, "{}\n");
	flatten(oq_table_parse_jsonl, text, n, got);
	OQ_CHECK(strstr(got, "0 rows"));
}

static void test_numbers(void)
{
	static const char *const bad[] = {"", " ", "12,5", "NaN", "nan", "inf", "-inf", "1e400", "0x10", "1 2", "--1", "1e", "e5", ".", "1.2.3", "12px",
		"1111111111111111111111111111111111111111111111111111111111111111111111"};
	static const struct {
		const char *text;
		double value;
	} good[] = {{"-12.5", -12.5}, {" 3 ", 3}, {"+1e-3", 1e-3}, {".5", 0.5}, {"5.", 5}, {"-0", -0.0}, {"1E2", 100}};
	double value;
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
		OQ_CHECK(!oq_parse_number(bad[i], &value));
	for (size_t i = 0; i < sizeof good / sizeof *good; i++)
		OQ_CHECK(oq_parse_number(good[i].text, &value) && value == good[i].value);
}

/* A file far beyond what a table may be is refused by its size, before a byte is read. */
static void test_large(void)
{
	char path[] = "/tmp/oq_table_XXXXXX";
	int fd = mkstemp(path);
	oq_table *t = NULL;
	oq_error err = {0};
	OQ_REQUIRE(fd >= 0 && ftruncate(fd, (off_t)3 << 30) == 0);
	OQ_CHECK(oq_table_read(path, &t, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SIZE"));
	close(fd);
	unlink(path);
}

int main(void)
{
	test_csv();
	test_jsonl();
	test_sparse();
	test_numbers();
	test_large();
	/* A host program's locale with a decimal comma changes nothing. */
	if (setlocale(LC_NUMERIC, "de_DE.UTF-8") || setlocale(LC_NUMERIC, "de_DE"))
		test_numbers(), test_jsonl();
	else
		printf("NOTICE: no German locale here, numbers were not tried under it\n");
	return oq_checks_done();
}
