/* Option parsing: long options with "--x value" or "--x=value", a few short ones, "--" ends them. Unknown options are refused
 * with the nearest known one. */
#include "cli.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

const char *const oq_cli_precisions[] = {"package", "f32", "bf16", "f16", "int8", NULL};
const char *const oq_cli_convolutions[] = {"auto", "direct", "winograd", "winograd4", NULL};

int oq_cli_fail(const oq_error *err)
{
	fflush(stdout);
	fprintf(stderr, "oncoquant: error: %s [%s]\n", err->message, err->code);
	return oq_cli_signal && !strcmp(err->code, "E_CANCELLED") ? 128 + oq_cli_signal : (int)err->status;
}

int oq_cli_make_folder(const char *path)
{
	struct stat info;
	if ((stat(path, &info) == 0 && S_ISDIR(info.st_mode)) || mkdir(path, 0777) == 0 || errno == EEXIST)
		return 0; /* what exists and is no folder is refused by who writes into it */
	oq_error err = {.status = OQ_E_RESOURCE, .code = "E_OUTPUT"};
	snprintf(err.message, sizeof err.message, "%s: cannot be created: %s", path, strerror(errno));
	return oq_cli_fail(&err);
}

bool oq_cli_is_manifest(const char *path)
{
	static const char *const ends[] = {".csv", ".jsonl", ".ndjson"};
	size_t n = strlen(path);
	for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
		if (n > strlen(ends[i]) && !strcmp(path + n - strlen(ends[i]), ends[i]))
			return true;
	return false;
}

void oq_cli_put_quoted(const char *text)
{
	cJSON *string = cJSON_CreateString(text);
	char *quoted = cJSON_PrintUnformatted(string);
	fputs(quoted ? quoted : "null", stdout);
	cJSON_free(quoted);
	cJSON_Delete(string);
}

int oq_cli_usage(const char *format, ...)
{
	va_list args;
	fflush(stdout);
	fputs("oncoquant: error: ", stderr);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	return OQ_E_USAGE;
}

/* Edit distance of two short words. */
static int distance(const char *a, const char *b)
{
	int row[64], n = (int)strlen(b);
	if (n >= 63 || strlen(a) >= 63)
		return 99;
	for (int j = 0; j <= n; j++)
		row[j] = j;
	for (int i = 1; a[i - 1]; i++) {
		int diagonal = row[0];
		row[0] = i;
		for (int j = 1; j <= n; j++) {
			int above = row[j], best = diagonal + (a[i - 1] != b[j - 1]);
			best = above + 1 < best ? above + 1 : best;
			best = row[j - 1] + 1 < best ? row[j - 1] + 1 : best;
			diagonal = above;
			row[j] = best;
		}
	}
	return row[n];
}

static int refuse_unknown(const oq_command *command, const oq_option *options, const char *name)
{
	const char *nearest = NULL;
	int best = 4;
	for (const oq_option *o = options; o->name; o++)
		if (distance(name, o->name) < best) {
			best = distance(name, o->name);
			nearest = o->name;
		}
	if (nearest)
		return oq_cli_usage("%s: unknown option %s; did you mean %s?", command->name, name, nearest);
	return oq_cli_usage("%s: unknown option %s; see oncoquant %s --help", command->name, name, command->name);
}

/* "512M", "1.5G": powers of 1024. */
static bool parse_size(const char *text, uint64_t *bytes)
{
	static const char suffixes[] = "KMGT";
	char *end;
	double number = strtod(text, &end);
	const char *suffix = *end ? strchr(suffixes, *end) : NULL;
	double scale = 1;
	for (const char *s = suffixes; suffix && s <= suffix; s++)
		scale *= 1024;
	if (end == text || (*end && (!suffix || end[1])) || !(number * scale >= 1 && number * scale <= 0x1p60))
		return false;
	*bytes = (uint64_t)(number * scale);
	return true;
}

static int set_value(const oq_option *o, const char *value)
{
	char *end;
	errno = 0;
	switch (o->kind) {
	case OQ_OPTION_FLAG: *(bool *)o->target = true; return 0;
	case OQ_OPTION_TEXT: *(const char **)o->target = value; return 0;
	case OQ_OPTION_INT: {
		long long number = strtoll(value, &end, 10);
		if (end == value || *end || errno || number < o->low || number > o->high)
			return oq_cli_usage("%s is \"%s\", expected a whole number from %lld to %lld", o->name, value, (long long)o->low, (long long)o->high);
		*(int64_t *)o->target = number;
		return 0;
	}
	case OQ_OPTION_NUMBER: {
		double number = strtod(value, &end);
		if (end == value || *end || errno || !(number >= (double)o->low && number <= (double)o->high))
			return oq_cli_usage("%s is \"%s\", expected a number from %lld to %lld", o->name, value, (long long)o->low, (long long)o->high);
		*(double *)o->target = number;
		return 0;
	}
	case OQ_OPTION_SIZE:
		return parse_size(value, o->target) ? 0 : oq_cli_usage("%s is \"%s\", expected a size such as 900M or 1.5G", o->name, value);
	case OQ_OPTION_CHOICE:
		for (int i = 0; o->choices[i]; i++)
			if (!strcmp(o->choices[i], value)) {
				*(int *)o->target = i;
				return 0;
			}
		return oq_cli_usage("%s is \"%s\", expected %s", o->name, value, o->value_name);
	}
	return OQ_E_INTERNAL;
}

static void print_help(const oq_command *command, const oq_option *options)
{
	printf("usage: oncoquant %s %s\n\n%s\n\noptions:\n", command->name, command->arguments, command->description);
	for (const oq_option *o = options; o->name; o++) {
		char left[64];
		snprintf(left, sizeof left, "%s%s%s%s%s", o->short_name ? o->short_name : "", o->short_name ? ", " : "", o->name, o->value_name ? " " : "",
			o->value_name ? o->value_name : "");
		printf("  %-34s %s\n", left, o->help);
	}
	printf("\nexamples:\n%s", command->examples);
}

static const oq_option *find(const oq_option *options, const char *word, size_t length)
{
	for (const oq_option *o = options; o->name; o++)
		if ((strlen(o->name) == length && !strncmp(o->name, word, length))
			|| (o->short_name && strlen(o->short_name) == length && !strncmp(o->short_name, word, length)))
			return o;
	return NULL;
}

/* "-0.5" and "-" are values, not options. */
static bool is_option(const char *word)
{
	return word[0] == '-' && word[1] && !(word[1] >= '0' && word[1] <= '9') && word[1] != '.';
}

int oq_options_parse(const oq_command *command, const oq_option *options, oq_common *common, int argc, char **argv, const char **arguments, int most,
	int *count)
{
	bool only_arguments = false;
	*count = 0;
	for (int i = 0; i < argc; i++) {
		if (!only_arguments && !strcmp(argv[i], "--")) {
			only_arguments = true;
			continue;
		}
		if (only_arguments || !is_option(argv[i])) {
			if (*count == most)
				return oq_cli_usage("%s: unexpected argument %s; see oncoquant %s --help", command->name, argv[i], command->name);
			arguments[(*count)++] = argv[i];
			continue;
		}
		const char *equals = strchr(argv[i], '='), *value = NULL;
		size_t length = equals ? (size_t)(equals - argv[i]) : strlen(argv[i]);
		const oq_option *o = find(options, argv[i], length);
		if (!o)
			return refuse_unknown(command, options, argv[i]);
		if (o->kind != OQ_OPTION_FLAG) {
			value = equals ? equals + 1 : i + 1 < argc ? argv[++i] : NULL;
			if (!value)
				return oq_cli_usage("%s: option %s wants a value (%s)", command->name, o->name, o->value_name);
		} else if (equals) {
			return oq_cli_usage("%s: option %s takes no value", command->name, o->name);
		}
		int code = set_value(o, value);
		if (code)
			return code;
	}
	if (common->help) {
		print_help(command, options);
		return -1;
	}
	return 0;
}

double oq_cli_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

bool oq_cli_triple(const char *text, double out[3])
{
	for (int i = 0; i < 3; i++) {
		char *end;
		out[i] = strtod(text, &end);
		if (end == text || *end != (i < 2 ? ',' : 0) || !(out[i] - out[i] == 0))
			return false;
		text = end + 1;
	}
	return true;
}

int oq_cli_flush(void)
{
	if (fflush(stdout) == 0 && !ferror(stdout))
		return OQ_OK;
	fprintf(stderr, "oncoquant: error: standard output cannot be written: %s\n", strerror(errno));
	return OQ_E_RESOURCE;
}

int oq_cli_print(const char *text)
{
	fputs(text, stdout);
	fputc('\n', stdout);
	return oq_cli_flush();
}

int oq_cli_tell(const oq_common *common, char *text, void (*people)(const cJSON *report))
{
	if (text && common->json) {
		puts(text);
	} else if (text && !common->quiet) {
		cJSON *report = cJSON_Parse(text);
		people(report);
		cJSON_Delete(report);
	}
	oq_string_free(text);
	return oq_cli_flush();
}

int oq_cli_wrote(const oq_common *common, const char *path)
{
	if (common->json) {
		printf("{\"output\": ");
		oq_cli_put_quoted(path);
		printf("}\n");
	} else if (!common->quiet) {
		printf("wrote %s\n", path);
	}
	return oq_cli_flush();
}

const char *oq_cli_text(const cJSON *object, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsString(value) ? value->valuestring : "";
}

double oq_cli_number(const cJSON *object, const char *key)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(object, key);
	return cJSON_IsNumber(value) ? value->valuedouble : 0;
}
