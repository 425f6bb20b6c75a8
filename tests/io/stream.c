/* Streams of a scan file: libdeflate at once and zlib piece by piece give the same bytes wherever the first says it worked, and a file that
 * shrinks while it is read is an error, never zeros and never a signal (row M17 of the project's list of bad inputs). */
#define _DEFAULT_SOURCE
#include "check.h"

#include "../../src/io/inflate.h"
#include "../../src/io/stream.h"
#include "core/mem.h"

#include <unistd.h>
#include <zlib.h>

#define BYTES 300000

static char folder[] = "/tmp/oq_stream_XXXXXX", path[64];

static void save(const void *data, size_t bytes)
{
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

static size_t pack(const unsigned char *data, size_t bytes, int window, int level, unsigned char *out, size_t room)
{
	z_stream z = {0};
	unsigned char *copy = oq_alloc(bytes);
	OQ_REQUIRE(copy && deflateInit2(&z, level, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	memcpy(copy, data, bytes);
	z.next_in = copy;
	z.avail_in = (uInt)bytes;
	z.next_out = out;
	z.avail_out = (uInt)room;
	OQ_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
	size_t n = z.total_out;
	deflateEnd(&z);
	oq_free(copy);
	return n;
}

/* Piece by piece, and at once: both or only the first (the at-once way leaves odd files to zlib). Returns whether zlib was content. */
static bool both_ways(const unsigned char *expected, size_t bytes, bool whole_works)
{
	oq_stream *s = NULL;
	oq_error err;
	size_t got = 0, extra = 0;
	unsigned char *slow = oq_alloc(bytes + 1), *fast = oq_alloc(bytes);
	OQ_REQUIRE(slow && fast && oq_stream_open(path, &s, &err) == OQ_OK);
	bool content = true;
	for (size_t at = 0; content && at < bytes; at += got) {
		size_t piece = at % 7 ? 65521 : 1000;
		content = oq_stream_read(s, slow + at, piece < bytes - at ? piece : bytes - at, &got, &err) == OQ_OK && got > 0;
	}
	content = content && oq_stream_read(s, slow + bytes, 1, &extra, &err) == OQ_OK && extra == 0;
	OQ_CHECK(oq_stream_begin(s, 0, true, NULL) == OQ_OK);
	bool whole = oq_stream_read_whole(s, fast, bytes);
	OQ_CHECK(whole == (whole_works && oq_inflate_whole_works()));
	OQ_CHECK(!whole || content);
	OQ_CHECK(!content || !memcmp(slow, expected, bytes));
	OQ_CHECK(!whole || !memcmp(fast, expected, bytes));
	oq_stream_close(s);
	oq_free(slow);
	oq_free(fast);
	return content;
}

static void test_both_ways(const unsigned char *data)
{
	size_t room = 2 * BYTES;
	unsigned char *packed = oq_alloc(room);
	OQ_REQUIRE(packed != NULL);
	for (int level = 0; level <= 9; level += 3) {
		size_t n = pack(data, BYTES, 31, level, packed, room);
		save(packed, n);
		OQ_CHECK(both_ways(data, BYTES, true));
		OQ_CHECK(!both_ways(data, BYTES - 1, false)); /* holds more than was declared */
		/* cut, damaged, with garbage behind */
		save(packed, n - 1);
		OQ_CHECK(!both_ways(data, BYTES, false));
		packed[n - 6] ^= 1;
		save(packed, n);
		OQ_CHECK(!both_ways(data, BYTES, false));
		packed[n - 6] ^= 1;
		memcpy(packed + n, "garbage", 7);
		save(packed, n + 7);
		OQ_CHECK(both_ways(data, BYTES, false));
	}
	/* members of uneven sizes, one of them empty */
	size_t n = pack(data, 1, 31, 6, packed, room);
	n += pack(data, 0, 31, 6, packed + n, room - n);
	n += pack(data + 1, BYTES - 1, 31, 1, packed + n, room - n);
	save(packed, n);
	OQ_CHECK(both_ways(data, BYTES, true));
	oq_free(packed);
}

static void test_shrinking(const unsigned char *data)
{
	oq_error err = {0};
	size_t got = 0, room = 2 * BYTES, n;
	unsigned char *packed = oq_alloc(room), *buffer = oq_alloc(BYTES);
	OQ_REQUIRE(packed && buffer);
	for (int gzip = 0; gzip < 2; gzip++) {
		oq_stream *s = NULL;
		n = gzip ? pack(data, BYTES, 31, 0, packed, room) : BYTES;
		save(gzip ? packed : data, n);
		OQ_REQUIRE(oq_stream_open(path, &s, &err) == OQ_OK);
		OQ_CHECK(oq_stream_read(s, buffer, 1000, &got, &err) == OQ_OK && got == 1000);
		OQ_REQUIRE(truncate(path, 2000) == 0);
		OQ_CHECK(oq_stream_read(s, buffer, BYTES - 1000, &got, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TRUNCATED"));
		oq_stream_close(s);
	}
	oq_free(packed);
	oq_free(buffer);
}

int main(void)
{
	unsigned char *data = oq_alloc(BYTES);
	uint32_t state = 1;
	OQ_REQUIRE(data && mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/s.gz", folder);
	for (size_t i = 0; i < BYTES; i++) {
		state = state * 1664525u + 1013904223u;
		data[i] = (unsigned char)(i % 5 ? i / 100 : state >> 24); /* partly compressible */
	}
	test_both_ways(data);
	test_shrinking(data);
	unlink(path);
	rmdir(folder);
	oq_free(data);
	return oq_checks_done();
}
