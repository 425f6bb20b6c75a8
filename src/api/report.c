/* The report's files: documents from folders or by name, their hashes and dates, pictures from beside them. */
#include "internal.h"

#include "core/file.h"
#include "core/mem.h"
#include "report/report.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define MOST 1024              /* documents */
#define DEPTH 6                /* of folders */
#define PICTURES 4             /* of a document */
#define PICTURE_MOST ((size_t)8 << 20)

typedef struct collection {
	oq_arena arena;            /* names, picture lists */
	oq_report_source sources[MOST];
	oq_json *documents[MOST];
	char *pictures[MOST * PICTURES]; /* bytes, to be freed */
	int count, document_count, picture_count, other;
	const char *output;        /* not to be taken for an input */
	oq_error *err;
} collection;

/* Name without folders and ending. */
static char *stem_of(collection *c, const char *path)
{
	const char *slash = strrchr(path, '/'), *start = slash ? slash + 1 : path, *dot = strrchr(start, '.');
	char *name = oq_arena_strdup(&c->arena, start);
	if (name && dot && dot > start)
		name[dot - start] = 0;
	return name;
}

/* Documents whose names are always the same are called by their folders. */
static char *name_of(collection *c, const char *path)
{
	static const char *const plain[] = {"evidence", "saliency", "similarity", "survival"};
	char *name = stem_of(c, path);
	const char *slash = strrchr(path, '/');
	for (size_t i = 0; name && slash && slash > path && i < sizeof plain / sizeof *plain; i++)
		if (!strcmp(name, plain[i])) {
			char *folder = oq_arena_strdup(&c->arena, path);
			if (folder)
				folder[slash - path] = 0;
			return folder ? stem_of(c, folder) : NULL;
		}
	return name;
}

static void date_of(const char *path, char date[16])
{
	struct stat info;
	struct tm parts;
	date[0] = 0;
	if (stat(path, &info) == 0 && gmtime_r(&info.st_mtime, &parts))
		strftime(date, 16, "%Y-%m-%d", &parts);
}

/* The picture of one row: a plain name beside the document, and really a PNG. */
static oq_status add_picture(collection *c, const char *path, const char *name, int row, oq_report_picture *out)
{
	char full[4096], *bytes = NULL;
	const char *slash = strrchr(path, '/');
	size_t size;
	if (strchr(name, '/') || snprintf(full, sizeof full, "%.*s%s", slash ? (int)(slash - path) + 1 : 0, path, name) >= (int)sizeof full)
		return oq_fail(c->err, OQ_E_INPUT, "E_PATH", "%s: names the picture \"%.60s\", expected a file beside it", path, name);
	OQ_TRY(oq_file_read_all(full, PICTURE_MOST, OQ_E_INPUT, &bytes, &size, c->err));
	c->pictures[c->picture_count++] = bytes;
	if (size < 33 || memcmp(bytes, "\x89PNG\r\n\x1a\n", 8) != 0)
		return oq_fail(c->err, OQ_E_INPUT, "E_PNG", "%s: is no PNG file", full);
	*out = (oq_report_picture){.row = row, .bytes = (const unsigned char *)bytes, .count = size};
	return OQ_OK;
}

static oq_status add_pictures(collection *c, const char *path, oq_report_source *s)
{
	const oq_json *rows = oq_json_get(s->document, "rows");
	oq_report_picture *list = oq_arena_alloc(&c->arena, PICTURES * sizeof *list);
	int index = 0;
	if (!list)
		return oq_fail_memory(c->err, path, PICTURES * sizeof *list);
	s->pictures = list;
	for (const oq_json *row = rows && oq_json_is_array(rows) ? oq_json_first(rows) : NULL; row && s->picture_count < PICTURES; row = oq_json_next(row), index++) {
		const oq_json *overlay = oq_json_is_object(row) ? oq_json_get(row, "overlay") : NULL;
		const char *name = overlay ? oq_json_string(overlay) : NULL;
		if (name)
			OQ_TRY(add_picture(c, path, name, index, &list[s->picture_count++]));
	}
	return OQ_OK;
}

/* What the page shows of a file, which owns the document. */
static oq_status add_source(collection *c, const char *path, oq_report_kind kind, const oq_json *document)
{
	if (c->count == MOST)
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "report: more than %d documents", MOST);
	oq_report_source *s = &c->sources[c->count++];
	*s = (oq_report_source){.name = name_of(c, path), .kind = kind, .document = document};
	if (!s->name)
		return oq_fail_memory(c->err, path, strlen(path));
	date_of(path, s->date);
	OQ_TRY(oq_file_sha256(path, OQ_E_INPUT, s->sha256, c->err));
	return kind == OQ_REPORT_SALIENCY ? add_pictures(c, path, s) : OQ_OK;
}

/* Packages that were on the bench in turns are shown one by one. */
static oq_status add_document(collection *c, const char *path, oq_report_kind kind, const oq_json *document)
{
	const oq_json *packages = kind == OQ_REPORT_BENCH ? oq_json_get(document, "packages") : NULL;
	if (!packages || !oq_json_is_array(packages))
		return add_source(c, path, kind, document);
	for (const oq_json *p = oq_json_first(packages); p; p = oq_json_next(p))
		OQ_TRY(add_source(c, path, kind, p));
	return OQ_OK;
}

static oq_status add_file(collection *c, const char *path, bool named)
{
	oq_report_kind kind;
	oq_json *document = NULL;
	if (!named && !strcmp(path, c->output))
		return OQ_OK;
	oq_status status = oq_json_read_file(path, &document, c->err);
	if (status != OQ_OK) /* the reader speaks of models */
		return c->err && status == OQ_E_MODEL ? (c->err->status = OQ_E_INPUT) : status;
	if (!oq_report_kind_of(document, &kind)) {
		oq_json_free(document);
		c->other++;
		return named ? oq_fail(c->err, OQ_E_INPUT, "E_FORMAT", "%s: has no \"schema\" or \"format\" of a result, expected one of evaluate, similarity, robustness, compare, certify, "
			"bench or saliency", path) : OQ_OK;
	}
	if (c->document_count == MOST) {
		oq_json_free(document);
		return oq_fail(c->err, OQ_E_USAGE, "E_ARGUMENT", "report: more than %d documents", MOST);
	}
	c->documents[c->document_count++] = document;
	return add_document(c, path, kind, document);
}

static bool is_folder(const char *path)
{
	struct stat info;
	return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_json(const char *name)
{
	size_t length = strlen(name);
	return length > 5 && !strcmp(name + length - 5, ".json");
}

/* In the order of names, so that the same folder gives the same page. */
static oq_status add_folder(collection *c, const char *path, int depth)
{
	struct dirent **entries = NULL;
	int count = scandir(path, &entries, NULL, alphasort);
	oq_status status = count < 0 ? oq_fail(c->err, OQ_E_INPUT, "E_OPEN", "%s: cannot be read: %s", path, strerror(errno)) : OQ_OK;
	for (int i = 0; i < count; i++) {
		char full[4096];
		const char *name = entries[i]->d_name;
		bool fits = snprintf(full, sizeof full, "%s/%s", path, name) < (int)sizeof full;
		if (status == OQ_OK && name[0] != '.' && !fits)
			status = oq_fail(c->err, OQ_E_INPUT, "E_PATH", "%s: the path is too long", path);
		else if (status == OQ_OK && name[0] != '.' && is_folder(full))
			status = depth > 1 ? add_folder(c, full, depth - 1) : OQ_OK;
		else if (status == OQ_OK && name[0] != '.' && is_json(name))
			status = add_file(c, full, false);
		free(entries[i]); /* scandir's own */
	}
	free((void *)entries);
	return status;
}

static oq_status write_page(collection *c, const oq_report_options *options)
{
	char *html = NULL;
	const oq_report report = {.title = options->title ? options->title : "Imaging networks on this cohort", .sources = c->sources, .count = c->count, .other_files = c->other,
		.gco2_per_kwh = options->gco2_per_kwh, .gco2_source = options->gco2_source};
	if (!c->count)
		return oq_fail(c->err, OQ_E_INPUT, "E_EMPTY", "%s: holds no result of evaluate, similarity, robustness, compare, certify, bench or saliency", options->inputs[0]);
	OQ_TRY(oq_report_page(&report, &html, c->err));
	oq_status status = oq_file_write_all(options->output, html, strlen(html), c->err);
	oq_free(html);
	return status;
}

oq_status oq_report_write(const oq_report_options *options, oq_error *err)
{
	if (options->count < 1 || !options->inputs || !options->output)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "report: inputs and an output are needed");
	if ((options->gco2_per_kwh > 0) != (options->gco2_source && options->gco2_source[0]))
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "report: grams of CO2 per kWh and where they are from go together, one is missing");
	collection *c = oq_calloc(1, sizeof *c);
	if (!c)
		return oq_fail_memory(err, "report", sizeof *c);
	oq_status status = OQ_OK;
	c->err = err;
	c->output = options->output;
	for (int i = 0; i < options->count && status == OQ_OK; i++)
		status = is_folder(options->inputs[i]) ? add_folder(c, options->inputs[i], DEPTH) : add_file(c, options->inputs[i], true);
	if (status == OQ_OK)
		status = write_page(c, options);
	for (int i = 0; i < c->document_count; i++)
		oq_json_free(c->documents[i]);
	for (int i = 0; i < c->picture_count; i++)
		oq_free(c->pictures[i]);
	oq_arena_free(&c->arena);
	oq_free(c);
	return status;
}
