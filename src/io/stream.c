#include "stream.h"

#include "core/file.h"
#include "core/mem.h"
#include "inflate.h"

#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define CHUNK ((size_t)256 << 10)
#define GZIP_MOST 1032 /* deflate expands by at most this factor */

struct oq_stream {
	char *path;
	int fd;
	uint64_t size, at, start; /* of the file */
	bool gzip;                /* the file begins like one */
	bool inflating;           /* z is set up, and what is read comes from it */
	bool ended, garbage;
	z_stream z;
	unsigned char *chunk;
};

static bool gzip_follows(const unsigned char *p, uint64_t left)
{
	return left >= 2 && p[0] == 0x1f && p[1] == 0x8b;
}

static oq_status open_stream(oq_stream *s, oq_error *err)
{
	unsigned char magic[2] = {0};
	s->fd = oq_file_open(s->path, OQ_E_INPUT, &s->size, err);
	if (s->fd < 0)
		return OQ_E_INPUT;
	if (s->size >= 2)
		OQ_TRY(oq_file_read_at(s->fd, s->path, magic, 2, 0, OQ_E_INPUT, err));
	s->gzip = gzip_follows(magic, s->size);
	return oq_stream_begin(s, 0, s->gzip, err);
}

oq_status oq_stream_begin(oq_stream *s, uint64_t offset, bool inflate, oq_error *err)
{
	if (s->inflating)
		inflateEnd(&s->z);
	s->inflating = s->ended = s->garbage = false;
	s->at = s->start = offset;
	if (!inflate)
		return OQ_OK;
	if (!s->chunk)
		s->chunk = oq_alloc(CHUNK);
	s->z = (z_stream){0};
	/* 15 = the largest window, 32 = gzip or zlib by its first bytes */
	if (!s->chunk || inflateInit2(&s->z, 15 + 32) != Z_OK)
		return oq_fail_memory(err, s->path, CHUNK);
	s->inflating = true;
	return OQ_OK;
}

oq_status oq_stream_open(const char *path, oq_stream **out, oq_error *err)
{
	oq_stream *s = oq_calloc(1, sizeof *s);
	if (!s)
		return oq_fail_memory(err, path, sizeof *s);
	s->fd = -1;
	s->path = oq_strdup(path);
	oq_status status = s->path ? open_stream(s, err) : oq_fail_memory(err, path, strlen(path));
	if (status == OQ_OK)
		*out = s;
	else
		oq_stream_close(s);
	return status;
}

void oq_stream_close(oq_stream *s)
{
	if (!s)
		return;
	if (s->inflating)
		inflateEnd(&s->z);
	if (s->fd >= 0)
		close(s->fd);
	oq_free(s->chunk);
	oq_free(s->path);
	oq_free(s);
}

const char *oq_stream_path(const oq_stream *s)
{
	return s->path;
}

bool oq_stream_is_inflating(const oq_stream *s)
{
	return s->inflating;
}

bool oq_stream_is_gzip(const oq_stream *s)
{
	return s->gzip;
}

uint64_t oq_stream_capacity(const oq_stream *s)
{
	return (s->size - s->start) * (s->inflating ? GZIP_MOST : 1);
}

uint64_t oq_stream_size(const oq_stream *s)
{
	return s->size;
}

bool oq_stream_has_garbage(const oq_stream *s)
{
	return s->garbage;
}

static oq_status read_plain(oq_stream *s, void *buffer, size_t bytes, size_t *got, oq_error *err)
{
	uint64_t left = s->size - s->at;
	*got = bytes < left ? bytes : (size_t)left;
	OQ_TRY(oq_file_read_at(s->fd, s->path, buffer, *got, s->at, OQ_E_INPUT, err));
	s->at += *got;
	return OQ_OK;
}

static oq_status refill(oq_stream *s, oq_error *err)
{
	size_t got;
	OQ_TRY(read_plain(s, s->chunk, CHUNK, &got, err));
	s->z.next_in = s->chunk;
	s->z.avail_in = (uInt)got;
	return OQ_OK;
}

static oq_status refuse_data(const oq_stream *s, oq_error *err)
{
	const char *what = s->z.msg ? s->z.msg : "damaged";
	if (!strcmp(what, "incorrect data check"))
		return oq_fail(err, OQ_E_INPUT, "E_GZ_CRC", "%s: checksum does not match its data; the file is damaged", s->path);
	if (!strcmp(what, "incorrect length check"))
		return oq_fail(err, OQ_E_INPUT, "E_GZ_SIZE", "%s: gzip length does not match its data; the file is damaged", s->path);
	return oq_fail(err, OQ_E_INPUT, "E_GZ_DATA", "%s: compressed data is damaged", s->path);
}

/* At the end of a member: another one, or the end, or garbage (ignored, but told). */
static oq_status next_member(oq_stream *s, oq_error *err)
{
	if (s->z.avail_in < 2 && s->at < s->size) {
		/* Keep a lone byte in front of what follows. */
		unsigned char keep = s->z.avail_in ? *s->z.next_in : 0;
		size_t kept = s->z.avail_in, got;
		s->chunk[0] = keep;
		OQ_TRY(read_plain(s, s->chunk + kept, CHUNK - kept, &got, err));
		s->z.next_in = s->chunk;
		s->z.avail_in = (uInt)(kept + got);
	}
	if (!gzip_follows(s->z.next_in, s->z.avail_in)) {
		s->ended = true;
		s->garbage = s->z.avail_in > 0;
		return OQ_OK;
	}
	return inflateReset(&s->z) == Z_OK ? OQ_OK : oq_fail_memory(err, s->path, 0);
}

static oq_status read_gzip(oq_stream *s, unsigned char *buffer, size_t bytes, size_t *got, oq_error *err)
{
	*got = 0;
	while (*got < bytes && !s->ended) {
		if (!s->z.avail_in) {
			if (s->at == s->size)
				return oq_fail(err, OQ_E_INPUT, "E_GZ_TRUNCATED", "%s: the compressed stream ends in the middle; the file is truncated", s->path);
			OQ_TRY(refill(s, err));
		}
		size_t some = bytes - *got < ((size_t)1 << 30) ? bytes - *got : (size_t)1 << 30;
		s->z.next_out = buffer + *got;
		s->z.avail_out = (uInt)some;
		int code = inflate(&s->z, Z_NO_FLUSH);
		*got += some - s->z.avail_out;
		if (code == Z_STREAM_END)
			OQ_TRY(next_member(s, err));
		else if (code == Z_MEM_ERROR)
			return oq_fail_memory(err, s->path, 0);
		else if (code != Z_OK && code != Z_BUF_ERROR)
			return refuse_data(s, err);
	}
	return OQ_OK;
}

oq_status oq_stream_read(oq_stream *s, void *buffer, size_t bytes, size_t *got, oq_error *err)
{
	return s->inflating ? read_gzip(s, buffer, bytes, got, err) : read_plain(s, buffer, bytes, got, err);
}

oq_status oq_stream_read_at(const oq_stream *s, void *buffer, size_t bytes, uint64_t offset, oq_error *err)
{
	return oq_file_read_at(s->fd, s->path, buffer, bytes, s->start + offset, OQ_E_INPUT, err);
}

bool oq_stream_read_whole(oq_stream *s, void *out, size_t bytes)
{
	/* Data that does not compress grows by far less than an eighth; a file larger than that holds something else behind. */
	uint64_t packed = s->size - s->start, most = (uint64_t)bytes + bytes / 8 + CHUNK;
	if (!s->inflating || !oq_inflate_whole_works() || packed > most)
		return false;
	unsigned char *data = oq_alloc_aligned((size_t)packed); /* huge pages: touching small ones takes a fifth of the time of decoding */
	bool good = data && oq_file_read_at(s->fd, s->path, data, (size_t)packed, s->start, OQ_E_INPUT, NULL) == OQ_OK
		&& oq_inflate_whole(data, (size_t)packed, out, bytes);
	oq_free_aligned(data);
	return good;
}
