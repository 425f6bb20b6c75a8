/* Compressed voxels: without an index (indexed.c) their stream is decoded by one reader from its beginning to its end, where its checksum is, and only
 * slices that somebody wants are kept. Slices that are wanted later cost another pass, so users say first what they will need. */
#include "voxels.h"

/* Past what is not wanted, before the voxels or behind them. */
static oq_status pass(const oq_voxels *s, uint64_t bytes, const char *where, oq_error *err)
{
	uint64_t got;
	OQ_TRY(oq_stream_pass(s->stream, bytes, &got, err));
	if (got < bytes)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: ends within the %llu bytes %s its voxels", s->path, (unsigned long long)bytes, where);
	return OQ_OK;
}

/* Slices [first,end), all of them wanted, or none. */
static oq_status decode_run(const oq_volume *v, int64_t first, int64_t end, oq_error *err)
{
	const oq_voxels *s = v->source;
	size_t slice = oq_slice_bytes(v), bytes = (size_t)(end - first) * slice, kept = 0;
	uint64_t got;
	if (s->slices[first].state == OQ_SLICE_WANTED) {
		OQ_TRY(oq_stream_read(s->stream, oq_slice_start(v, first), bytes, &kept, err));
		got = kept;
	} else
		OQ_TRY(oq_stream_pass(s->stream, bytes, &got, err));
	if (got < bytes)
		return oq_fail(err, OQ_E_INPUT, "E_TRUNCATED", "%s: holds %llu bytes of voxels, its header declares %zu", s->path,
			(unsigned long long)((uint64_t)first * slice + got), (size_t)v->dims[2] * slice);
	return OQ_OK;
}

static oq_status decode(const oq_volume *v, oq_error *err)
{
	oq_voxels *s = v->source;
	uint64_t extra;
	OQ_TRY(pass(s, s->skip, "before", err));
	for (int64_t at = 0, next; at < v->dims[2]; at = next) {
		bool wanted = s->slices[at].state == OQ_SLICE_WANTED;
		for (next = at + 1; next < v->dims[2] && (s->slices[next].state == OQ_SLICE_WANTED) == wanted; next++)
			;
		OQ_TRY(decode_run(v, at, next, err));
	}
	OQ_TRY(pass(s, s->behind, "behind", err));
	/* Reading on to the end makes gzip check its checksum and length: bytes too many may be what damage made of voxels. */
	OQ_TRY(oq_stream_pass(s->stream, UINT64_MAX, &extra, err));
	s->trailing = extra || oq_stream_has_garbage(s->stream);
	return OQ_OK;
}

/* In a hurry first. What does not work out is done again by zlib, whose answer is the one that counts, so that every build refuses and warns alike. */
static oq_status decode_twice(const oq_volume *v, oq_error *err)
{
	oq_voxels *s = v->source;
	OQ_TRY(oq_stream_begin(s->stream, s->offset, true, err));
	if (oq_stream_hurry(s->stream)) {
		if (decode(v, NULL) == OQ_OK)
			return OQ_OK;
		OQ_TRY(oq_stream_begin(s->stream, s->offset, true, err));
	}
	return decode(v, err);
}

oq_status oq_voxels_unpack(const oq_volume *v, oq_error *err)
{
	oq_voxels *s = v->source;
	bool done;
	oq_status status = oq_voxels_unpack_parts(v, &done, err);
	if (status == OQ_OK && !done)
		status = decode_twice(v, err);
	s->unpacked |= status == OQ_OK;
	for (int64_t k = 0; k < v->dims[2] && status == OQ_OK; k++)
		if (s->slices[k].state == OQ_SLICE_WANTED)
			s->slices[k].state = OQ_SLICE_HELD;
	if (status != OQ_OK && s->name) {
		oq_error_rename(err, s->path, s->name);
		oq_error_rename(err, oq_stream_path(s->stream), s->name);
	}
	return status;
}
