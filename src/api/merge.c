/* Shards of a cohort, put together end to end. Refuses shards that are missing, twice there, or of different jobs: everything that their
 * sidecars say must be the same, except what a shard is. */
#include "job.h"
#include "names.h"

#include "core/mem.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define CHUNK ((size_t)1 << 18) /* floats, or bytes of text, at a time */

typedef struct shard {
	const char *path;
	oq_json *sidecar;
	oq_npy *array;
	int64_t index, rows, failed; /* index from 1 */
} shard;

typedef struct merge {
	const char *output;
	shard *shards;   /* by index */
	int count;
	int64_t rows, failed;
	oq_outfile *array, *csv, *json;
	oq_error *err;
} merge;

/* Keys that are a shard's own. */
static bool is_own(const char *key)
{
	static const char *const own[] = {"data", "shape", "rows", "failed", "shard"};
	for (size_t i = 0; i < sizeof own / sizeof *own; i++)
		if (!strcmp(key, own[i]))
			return true;
	return false;
}

static oq_status read_sidecar(const char *path, oq_json **out, oq_error *err)
{
	char *json = oq_companion(path, ".json"), *text = NULL;
	size_t length;
	if (!json)
		return oq_fail_memory(err, path, strlen(path));
	oq_status status = oq_file_read_all(json, OQ_JSON_MAX_BYTES, OQ_E_INPUT, &text, &length, err);
	if (status == OQ_OK)
		status = oq_json_parse(text, length, json, out, err);
	oq_free(text);
	oq_free(json);
	return status == OQ_E_MODEL ? OQ_E_INPUT : status;
}

static oq_status open_shard(const char *path, shard *s, int64_t *count, oq_error *err)
{
	const oq_json *described;
	int64_t shape[8];
	s->path = path;
	OQ_TRY(read_sidecar(path, &s->sidecar, err));
	OQ_TRY(oq_npy_open(path, &s->array, err));
	bool good = oq_json_need_object(s->sidecar, "shard", path, &described, err) == OQ_OK
		&& oq_json_need_int(described, "index", path, &s->index, err) == OQ_OK && oq_json_need_int(described, "count", path, count, err) == OQ_OK
		&& oq_json_need_int(s->sidecar, "rows", path, &s->rows, err) == OQ_OK && oq_json_need_int(s->sidecar, "failed", path, &s->failed, err) == OQ_OK
		&& s->array->rank <= 5 && oq_json_need_ints(s->sidecar, "shape", path, shape, s->array->rank, err) == OQ_OK;
	if (!good)
		return oq_fail(err, OQ_E_INPUT, "E_SHARDS", "%s: is no shard: its .json does not say which part of how many it is (see embed --shard)", path);
	if (s->array->dtype != OQ_F32 || s->array->shape[0] != s->rows || memcmp(shape, s->array->shape, (size_t)s->array->rank * sizeof *shape))
		return oq_fail(err, OQ_E_INPUT, "E_SHARDS", "%s: does not have the shape that its .json says", path);
	return OQ_OK;
}

static void close_shard(shard *s)
{
	oq_json_free(s->sidecar);
	oq_npy_close(s->array);
}

/* Each at the place of its index. */
static oq_status open_shards(merge *m, const char *const *paths)
{
	for (int i = 0; i < m->count; i++) {
		if (oq_file_same(paths[i], m->output))
			return oq_fail(m->err, OQ_E_USAGE, "E_OUTPUT", "%s: is a shard as well as the output", m->output);
		shard one = {0};
		int64_t count = 0;
		oq_status status = open_shard(paths[i], &one, &count, m->err);
		if (status == OQ_OK && count != m->count)
			status = oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "%s: is part %lld of %lld, %d parts were given", paths[i], (long long)one.index, (long long)count, m->count);
		else if (status == OQ_OK && (one.index < 1 || one.index > m->count || m->shards[one.index - 1].path))
			status = oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "%s: part %lld is there twice, or is none of %d", paths[i], (long long)one.index, m->count);
		if (status != OQ_OK) {
			close_shard(&one);
			return status;
		}
		m->shards[one.index - 1] = one;
		m->rows += one.rows;
		m->failed += one.failed;
	}
	return OQ_OK;
}

/* Entry `a` of one shard's sidecar against that of the other's. */
static oq_status same_entry(const merge *m, const shard *s, const oq_json *a, const oq_json *other, oq_error *err)
{
	const oq_json *b = oq_json_get(other, oq_json_key(a));
	char *x = NULL, *y = NULL;
	oq_status status = oq_json_print(a, false, &x, err);
	if (status == OQ_OK && b)
		status = oq_json_print(b, false, &y, err);
	if (status == OQ_OK && (!y || strcmp(x, y)))
		status = oq_fail(err, OQ_E_INPUT, "E_SHARDS", "%s: has another \"%s\" than %s", s->path, oq_json_key(a), m->shards[0].path);
	oq_free(x);
	oq_free(y);
	return status;
}

/* Some keys are there only when their option was given, so each of the two is asked for what the other has. */
static oq_status same_job(const merge *m, const shard *s)
{
	const oq_json *first = m->shards[0].sidecar;
	for (const oq_json *entry = oq_json_first(first); entry; entry = oq_json_next(entry))
		if (!is_own(oq_json_key(entry)))
			OQ_TRY(same_entry(m, s, entry, s->sidecar, m->err));
	for (const oq_json *entry = oq_json_first(s->sidecar); entry; entry = oq_json_next(entry))
		if (!is_own(oq_json_key(entry)))
			OQ_TRY(same_entry(m, s, entry, first, m->err));
	return OQ_OK;
}

static oq_status check_same(const merge *m)
{
	const shard *first = &m->shards[0];
	const oq_json *of = oq_json_get(oq_json_get(first->sidecar, "shard"), "of");
	if (oq_json_number(of) != (double)m->rows)
		return oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "%s: the shards have %lld rows together, expected %.0f", first->path, (long long)m->rows, oq_json_number(of));
	for (int i = 1; i < m->count; i++) {
		const shard *s = &m->shards[i];
		OQ_TRY(same_job(m, s));
		if (s->array->rank != first->array->rank || memcmp(s->array->shape + 1, first->array->shape + 1, (size_t)(first->array->rank - 1) * sizeof(int64_t)))
			return oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "%s: has rows of another shape than %s", s->path, first->path);
	}
	return OQ_OK;
}

static oq_status write_array(merge *m, float *room)
{
	char header[512];
	int64_t shape[8];
	const oq_npy *first = m->shards[0].array;
	memcpy(shape, first->shape, sizeof shape);
	shape[0] = m->rows;
	OQ_TRY(oq_outfile_open(m->output, &m->array, m->err));
	size_t length = oq_npy_header(shape, first->rank, header, sizeof header);
	if (!length)
		return oq_fail(m->err, OQ_E_RESOURCE, "E_OUTPUT", "%s: the result is too large", m->output);
	OQ_TRY(oq_outfile_write(m->array, header, length, m->err));
	for (int i = 0; i < m->count; i++)
		for (size_t at = 0, all = m->shards[i].array->count; at < all; at += CHUNK) {
			size_t some = all - at < CHUNK ? all - at : CHUNK;
			OQ_TRY(oq_npy_read_f32(m->shards[i].array, at, some, room, m->err));
			OQ_TRY(oq_outfile_write(m->array, room, some * sizeof *room, m->err));
		}
	return oq_outfile_sync(m->array, m->err);
}

/* A table of `rows` rows without its line of headers; lines may hold line breaks in quotes. */
static oq_status append_table(merge *m, const char *path, int64_t rows, bool with_header, char *room)
{
	uint64_t size;
	int fd = oq_file_open(path, OQ_E_INPUT, &size, m->err);
	if (fd < 0)
		return OQ_E_INPUT;
	bool quoted = false;
	int64_t lines = 0;
	oq_status status = OQ_OK;
	for (uint64_t at = 0; at < size && status == OQ_OK; at += CHUNK) {
		size_t some = size - at < CHUNK ? (size_t)(size - at) : CHUNK, from = with_header || lines ? 0 : some;
		status = oq_file_read_at(fd, path, room, some, at, OQ_E_INPUT, m->err);
		for (size_t i = 0; i < some && status == OQ_OK; i++) {
			quoted ^= room[i] == '"';
			if (room[i] == '\n' && !quoted && lines++ == 0 && !with_header)
				from = i + 1;
		}
		if (status == OQ_OK)
			status = oq_outfile_write(m->csv, room + from, some - from, m->err);
	}
	close(fd);
	if (status == OQ_OK && lines != rows + 1)
		return oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "%s: has %lld lines, expected a header and %lld rows, as its array has", path, (long long)lines,
			(long long)rows);
	return status;
}

/* The manifest itself may bear the name that the merged table will have. */
static oq_status spare_manifest(const merge *m, const char *path)
{
	char hex[65];
	const char *manifest = oq_json_string(oq_json_get(oq_json_get(m->shards[0].sidecar, "input"), "sha256"));
	if (manifest && oq_file_sha256(path, OQ_E_INPUT, hex, NULL) == OQ_OK && !strcmp(hex, manifest))
		return oq_fail(m->err, OQ_E_USAGE, "E_OUTPUT", "%s: is the manifest and would be overwritten by the companion of %s", path, m->output);
	return OQ_OK;
}

static oq_status write_table(merge *m, char *room)
{
	char *path = oq_companion(m->output, ".csv");
	oq_status status = path ? spare_manifest(m, path) : oq_fail_memory(m->err, m->output, 0);
	if (status == OQ_OK)
		status = oq_outfile_open(path, &m->csv, m->err);
	oq_free(path);
	for (int i = 0; i < m->count && status == OQ_OK; i++) {
		char *part = oq_companion(m->shards[i].path, ".csv");
		status = part ? append_table(m, part, m->shards[i].rows, i == 0, room) : oq_fail_memory(m->err, m->output, 0);
		oq_free(part);
	}
	return status == OQ_OK ? oq_outfile_sync(m->csv, m->err) : status;
}

/* The first shard's document with what is of all of them. */
static oq_json *describe(const merge *m)
{
	const char *slash = strrchr(m->output, '/');
	const oq_npy *array = m->shards[0].array;
	oq_json *root = oq_json_object();
	bool good = root != NULL;
	for (const oq_json *entry = oq_json_first(m->shards[0].sidecar); entry && good; entry = oq_json_next(entry)) {
		const char *key = oq_json_key(entry);
		int64_t shape[8];
		memcpy(shape, array->shape, sizeof shape);
		shape[0] = m->rows;
		if (!strcmp(key, "data"))
			good = oq_json_add_string(root, key, slash ? slash + 1 : m->output);
		else if (!strcmp(key, "shape"))
			good = oq_json_add_ints(root, key, shape, array->rank);
		else if (!strcmp(key, "rows") || !strcmp(key, "failed"))
			good = oq_json_add_int(root, key, key[0] == 'r' ? m->rows : m->failed);
		else if (!is_own(key))
			good = oq_json_add(root, key, oq_json_copy(entry));
	}
	if (good)
		return root;
	oq_json_free(root);
	return NULL;
}

static oq_status write_sidecar(merge *m)
{
	char *path = oq_companion(m->output, ".json"), *text = NULL;
	oq_json *json = describe(m);
	oq_status status = path ? oq_outfile_open(path, &m->json, m->err) : oq_fail_memory(m->err, m->output, 0);
	if (status == OQ_OK)
		status = json ? oq_json_print(json, true, &text, m->err) : oq_fail_memory(m->err, m->output, 0);
	if (status == OQ_OK)
		status = oq_outfile_write(m->json, text, strlen(text), m->err);
	if (status == OQ_OK)
		status = oq_outfile_sync(m->json, m->err);
	oq_json_free(json);
	oq_free(text);
	oq_free(path);
	return status;
}

static oq_status write_all(merge *m)
{
	float *room = oq_alloc(CHUNK * sizeof *room);
	oq_status status = room ? OQ_OK : oq_fail_memory(m->err, m->output, CHUNK * sizeof *room);
	if (status == OQ_OK)
		status = write_array(m, room);
	if (status == OQ_OK)
		status = write_table(m, (char *)room);
	if (status == OQ_OK)
		status = write_sidecar(m);
	if (status == OQ_OK)
		status = oq_outfile_place(m->csv, m->err);
	if (status == OQ_OK)
		status = oq_outfile_place(m->json, m->err);
	if (status == OQ_OK)
		status = oq_outfile_place(m->array, m->err);
	oq_free(room);
	return status;
}

static oq_status run(merge *m, const char *const *paths)
{
	m->shards = oq_calloc((size_t)m->count, sizeof *m->shards);
	if (!m->shards)
		return oq_fail_memory(m->err, m->output, (size_t)m->count * sizeof *m->shards);
	OQ_TRY(open_shards(m, paths));
	OQ_TRY(check_same(m));
	if (m->failed == m->rows)
		return oq_fail(m->err, OQ_E_INPUT, "E_SHARDS", "all %lld rows failed", (long long)m->rows);
	OQ_TRY(write_all(m));
	return m->failed ? oq_fail(m->err, OQ_E_SOME_ROWS, "E_SHARDS", "%lld of %lld rows failed", (long long)m->failed, (long long)m->rows) : OQ_OK;
}

oq_status oq_merge(const char *output, const char *const *shards, int count, oq_job_summary *summary, oq_error *err)
{
	oq_error own = {0};
	merge m = {.output = output, .count = count, .err = err ? err : &own};
	if (!output || !shards || count < 1)
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "merge: an output and its shards are needed");
	oq_status status = run(&m, shards);
	if (summary)
		*summary = (oq_job_summary){.rows = m.rows, .failed = m.failed};
	for (int i = 0; m.shards && i < count; i++)
		close_shard(&m.shards[i]);
	oq_outfile_abort(m.array);
	oq_outfile_abort(m.csv);
	oq_outfile_abort(m.json);
	oq_free(m.shards);
	return status;
}
