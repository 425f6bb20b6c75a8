/* Making an index: one pass of zlib over the stream, which is checked as any reading checks it, with a point where a block begins every few megabytes
 * and at the begin of every member. Refuses streams of blocks, or of more members, than an index can hold. */
#include "index.h"

#include "core/mem.h"
#include "voxels.h"

#include <string.h>

typedef struct maker {
	oq_index index;
	uint64_t span;
	unsigned char **windows; /* packed, of each point; NULL where there is none */
	size_t room;             /* of both lists, in points */
	uint64_t out;            /* decoded so far */
	uint32_t crc;            /* of what was decoded since the last point */
} maker;

static oq_status grow(maker *m, oq_error *err)
{
	size_t room = m->room ? 2 * m->room : 64;
	oq_index_point *points = oq_realloc(m->index.points, (room + 1) * sizeof *points);
	if (points)
		m->index.points = points;
	unsigned char **windows = oq_realloc((void *)m->windows, room * sizeof *windows);
	if (windows)
		m->windows = windows;
	if (!points || !windows)
		return oq_fail_memory(err, m->index.path, room * sizeof *points);
	m->room = room;
	return OQ_OK;
}

/* What the decoder may still refer to, packed. */
static oq_status keep_window(maker *m, oq_index_point *p, z_stream *z, oq_error *err)
{
	unsigned char window[OQ_WINDOW] = {0}, packed[OQ_INDEX_WINDOW];
	uInt have = 0;
	uLongf bytes = sizeof packed;
	if (inflateGetDictionary(z, window, &have) != Z_OK || have != OQ_WINDOW || compress2(packed, &bytes, window, sizeof window, 6) != Z_OK)
		return oq_fail_memory(err, m->index.path, sizeof packed);
	p->window_bytes = (uint32_t)bytes;
	unsigned char *kept = oq_alloc(bytes);
	m->windows[m->index.count] = kept;
	if (!kept)
		return oq_fail_memory(err, m->index.path, bytes);
	memcpy(kept, packed, bytes);
	return OQ_OK;
}

/* The part that was begun last ends here; nothing is left of one without a byte. */
static oq_status end_part(maker *m, uint64_t at, oq_error *err)
{
	oq_index *x = &m->index;
	oq_index_point *last = x->count ? &x->points[x->count - 1] : NULL;
	if (last && last->out == m->out) {
		oq_free(m->windows[--x->count]);
		m->windows[x->count] = NULL;
	} else if (last && (m->out - last->out > OQ_INDEX_PART || at - last->in >= OQ_INDEX_PART))
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_INDEX", "%s: a block of its packed data holds more than %d MB; such a scan has no index, decode it once and for all",
			x->path, (int)(OQ_INDEX_PART >> 20));
	else if (last)
		last->crc = m->crc;
	m->crc = 0;
	return OQ_OK;
}

static oq_status begin_part(maker *m, z_stream *z, uint64_t at, oq_error *err)
{
	oq_index *x = &m->index;
	OQ_TRY(end_part(m, at, err));
	if (x->count == OQ_INDEX_POINTS)
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_INDEX", "%s: more than %d members or parts; such a scan has no index", x->path, (int)OQ_INDEX_POINTS);
	if (x->count == m->room)
		OQ_TRY(grow(m, err));
	oq_index_point *p = &x->points[x->count];
	*p = (oq_index_point){.in = at, .out = m->out, .bits = z->data_type & 7};
	m->windows[x->count] = NULL;
	if (z->total_out > 0)
		OQ_TRY(keep_window(m, p, z, err));
	x->count++;
	return OQ_OK;
}

/* Bits 7 and 6 of data_type: a block begins; the one that has ended was the last. */
static oq_status watch(void *context, z_stream *z, uint64_t at, const unsigned char *bytes, size_t count, oq_error *err)
{
	maker *m = context;
	const oq_index *x = &m->index;
	m->crc = oq_bytes_crc(m->crc, bytes, count);
	m->out += count;
	m->index.points[x->count].in = at; /* the end, as far as is known */
	bool block = (z->data_type & 128) && !(z->data_type & 64), member = block && !z->total_out;
	return member || (block && m->out - x->points[x->count - 1].out >= m->span) ? begin_part(m, z, at, err) : OQ_OK;
}

/* All of the stream, and no less than the header says of it. */
static oq_status decode(const oq_volume *v, maker *m, oq_error *err)
{
	const oq_voxels *s = v->source;
	uint64_t got, declared = s->skip + (uint64_t)v->dims[2] * oq_slice_bytes(v) + s->behind;
	OQ_TRY(oq_stream_begin(s->stream, s->offset, true, err));
	oq_stream_watch(s->stream, watch, m);
	OQ_TRY(oq_stream_pass(s->stream, UINT64_MAX, &got, err));
	if (got < declared)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: holds %llu bytes, its header declares %llu", s->path, (unsigned long long)got,
			(unsigned long long)declared);
	uint64_t end = m->index.points[m->index.count].in;
	OQ_TRY(end_part(m, end, err));
	m->index.points[m->index.count] = (oq_index_point){.in = end, .out = m->out};
	m->index.garbage = oq_stream_has_garbage(s->stream);
	return OQ_OK;
}

/* A good index, windows included. */
static bool is_fresh(oq_index *x)
{
	unsigned char window[OQ_WINDOW];
	bool good = oq_index_read(x, NULL) == OQ_OK;
	for (uint64_t i = 0; i < x->count && good; i++)
		good = !x->points[i].window_bytes || oq_index_window(x, i, window, NULL) == OQ_OK;
	return good;
}

static oq_status make(const oq_volume *v, maker *m, oq_error *err)
{
	oq_index *x = &m->index;
	oq_free(x->points); /* of one that is no good */
	x->points = NULL;
	x->count = 0;
	OQ_TRY(grow(m, err));
	x->points[0] = (oq_index_point){0};
	OQ_TRY(decode(v, m, err));
	return oq_index_write(x, (const unsigned char *const *)m->windows, err);
}

oq_status oq_index_make(const oq_volume *v, const char *folder, uint64_t span, oq_index_made *made, uint64_t *bytes, oq_error *err)
{
	const oq_voxels *s = v->source;
	maker m = {.index = {.fd = -1}, .span = span > OQ_WINDOW ? span : OQ_WINDOW};
	*bytes = 0;
	*made = !s || !s->packed ? OQ_INDEX_RAW : OQ_INDEX_SMALL;
	if (*made == OQ_INDEX_RAW || s->skip + (uint64_t)v->dims[2] * oq_slice_bytes(v) <= 2 * m.span)
		return OQ_OK;
	oq_status status = oq_index_of(s->stream, s->offset, folder, &m.index, err);
	*made = status == OQ_OK && is_fresh(&m.index) ? OQ_INDEX_FRESH : OQ_INDEX_WRITTEN;
	if (status == OQ_OK && *made == OQ_INDEX_WRITTEN)
		status = make(v, &m, err);
	*bytes = m.index.bytes;
	for (uint64_t i = 0; m.windows && i < m.index.count; i++)
		oq_free(m.windows[i]);
	oq_free((void *)m.windows);
	oq_index_close(&m.index);
	if (status != OQ_OK && s->name) {
		oq_error_rename(err, s->path, s->name);
		oq_error_rename(err, oq_stream_path(s->stream), s->name);
	}
	return status;
}
