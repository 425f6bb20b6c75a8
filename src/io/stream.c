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
	oq_inflater *fast;        /* decodes what follows a header; NULL: z does, or never was asked for */
	bool hurried, in_member;  /* `fast` is used; now */
	bool gzip_member;         /* else a zlib stream */
	oq_stream_watcher *watch; /* or NULL */
	void *context;
	z_stream z;
	unsigned char *chunk, *passed; /* [OQ_INFLATE_BACK + CHUNK], of the file; [CHUNK], decoded for nobody */
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
	s->inflating = s->ended = s->garbage = s->hurried = s->in_member = false;
	s->watch = NULL;
	s->at = s->start = offset;
	if (!inflate)
		return OQ_OK;
	if (!s->chunk)
		s->chunk = oq_calloc(1, OQ_INFLATE_BACK + CHUNK);
	if (!s->chunk)
		return oq_fail_memory(err, s->path, CHUNK);
	s->z = (z_stream){.next_in = s->chunk + OQ_INFLATE_BACK};
	/* 15 = the largest window, 32 = gzip or zlib by its first bytes */
	if (inflateInit2(&s->z, 15 + 32) != Z_OK)
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
	oq_inflater_free(s->fast);
	oq_free(s->chunk);
	oq_free(s->passed);
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

/* More of the file behind what is left of the piece before. */
static oq_status refill(oq_stream *s, oq_error *err)
{
	size_t got, kept = s->z.avail_in + OQ_INFLATE_BACK;
	memmove(s->chunk, s->z.next_in - OQ_INFLATE_BACK, kept);
	OQ_TRY(read_plain(s, s->chunk + kept, OQ_INFLATE_BACK + CHUNK - kept, &got, err));
	s->z.next_in = s->chunk + OQ_INFLATE_BACK;
	s->z.avail_in += (uInt)got;
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
	if (s->z.avail_in < 2 && s->at < s->size)
		OQ_TRY(refill(s, err));
	if (!gzip_follows(s->z.next_in, s->z.avail_in)) {
		s->ended = true;
		s->garbage = s->z.avail_in > 0;
		return OQ_OK;
	}
	s->in_member = false;
	s->gzip_member = true;
	return inflateReset(&s->z) == Z_OK ? OQ_OK : oq_fail_memory(err, s->path, 0);
}

/* One step of the decoder whose turn it is: zlib, which in a hurry stops behind the header of a member, or what is faster. */
static int step(oq_stream *s)
{
	if (s->in_member)
		return oq_inflater_run(s->fast, &s->z);
	int code = inflate(&s->z, s->hurried || s->watch ? Z_BLOCK : Z_NO_FLUSH);
	if (s->hurried && code == Z_OK && s->z.data_type & 128) { /* bit 7: a header has ended */
		oq_inflater_begin(s->fast, s->gzip_member);
		s->in_member = true;
	}
	return code;
}

static oq_status read_gzip(oq_stream *s, unsigned char *buffer, size_t bytes, size_t *got, oq_error *err)
{
	*got = 0;
	while (*got < bytes && !s->ended) {
		if (!s->z.avail_in && s->at < s->size)
			OQ_TRY(refill(s, err));
		bool all = !s->z.avail_in; /* of the file: what comes now comes from within the decoder */
		size_t some = bytes - *got < CHUNK ? bytes - *got : CHUNK; /* its checksum is taken while it is in the cache */
		s->z.next_out = buffer + *got;
		s->z.avail_out = (uInt)some;
		int code = step(s);
		some -= s->z.avail_out;
		if (s->watch && (code == Z_OK || code == Z_STREAM_END))
			OQ_TRY(s->watch(s->context, &s->z, s->at - s->z.avail_in, buffer + *got, some, err));
		*got += some;
		if (code == Z_STREAM_END)
			OQ_TRY(next_member(s, err));
		else if (code == Z_MEM_ERROR)
			return oq_fail_memory(err, s->path, 0);
		else if (code != Z_OK && code != Z_BUF_ERROR)
			return refuse_data(s, err);
		else if (all && !some)
			return oq_fail(err, OQ_E_INPUT, "E_GZ_TRUNCATED", "%s: the compressed stream ends in the middle; the file is truncated", s->path);
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

oq_status oq_stream_pass(oq_stream *s, uint64_t bytes, uint64_t *got, oq_error *err)
{
	*got = 0;
	if (!s->passed)
		s->passed = oq_alloc(CHUNK);
	if (!s->passed)
		return oq_fail_memory(err, s->path, CHUNK);
	for (size_t some = 1; some && *got < bytes; *got += some)
		OQ_TRY(oq_stream_read(s, s->passed, bytes - *got < CHUNK ? (size_t)(bytes - *got) : CHUNK, &some, err));
	return OQ_OK;
}

void oq_stream_watch(oq_stream *s, oq_stream_watcher *watch, void *context)
{
	s->watch = watch;
	s->context = context;
}

bool oq_stream_hurry(oq_stream *s)
{
	unsigned char magic[2];
	if (s->watch || !s->inflating || s->size - s->start < 2 || oq_file_read_at(s->fd, s->path, magic, 2, s->start, OQ_E_INPUT, NULL) != OQ_OK)
		return false;
	if (!s->fast)
		s->fast = oq_inflater_make();
	s->gzip_member = gzip_follows(magic, 2);
	s->hurried = s->fast != NULL;
	return s->hurried;
}
