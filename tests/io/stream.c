/* Streams of a scan file: decoded in a hurry (ISA-L, where the build has it) and by zlib they give the same bytes, whatever the pieces they are read in; the
 * first takes nothing that the second refuses, and touches nothing that is not its own. A file that shrinks while it is read is an error, never zeros
 * and never a signal (row M17 of the project's list of bad inputs). */
#define _DEFAULT_SOURCE
#include "check.h"

#include "../../src/io/inflate.h"
#include "../../src/io/stream.h"
#include "core/mem.h"

#include <sys/mman.h>
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

#define PIECE_SIZES 3 /* one after the other: within ISA-L's own buffer, its window, and beyond */
static const size_t piece_sizes[PIECE_SIZES] = {1000, 65521, 120001};

/* All of the stream and not a byte more, in pieces; or passed over in part. "" or the code of the error. */
static void read_pieces(oq_stream *s, unsigned char *out, size_t bytes, char code[32])
{
	oq_error err = {0};
	size_t got = 1, at = 0;
	oq_status status = OQ_OK;
	for (int piece = 0; status == OQ_OK && got && at < bytes; at += got, piece++) {
		size_t want = piece_sizes[piece % PIECE_SIZES] < bytes - at ? piece_sizes[piece % PIECE_SIZES] : bytes - at;
		status = oq_stream_read(s, out + at, want, &got, &err);
	}
	if (status == OQ_OK)
		status = oq_stream_read(s, out + at, 1, &got, &err);
	snprintf(code, 32, "%s", status != OQ_OK ? err.code : at < bytes ? "short" : got ? "more" : "");
}

static bool fast_build; /* this build has something faster than zlib */

/* Returns what zlib says: "" or a code; whatever the fast way takes must be just that. */
static const char *both_ways(const unsigned char *expected, size_t bytes)
{
	static char code[32];
	char fast_code[32];
	oq_stream *s = NULL;
	oq_error err;
	unsigned char *slow = oq_calloc(1, bytes + 1), *fast = oq_calloc(1, bytes + 1);
	OQ_REQUIRE(slow && fast && oq_stream_open(path, &s, &err) == OQ_OK);
	OQ_CHECK(oq_stream_begin(s, 0, true, &err) == OQ_OK);
	read_pieces(s, slow, bytes, code);
	bool garbage = oq_stream_has_garbage(s);
	OQ_CHECK(oq_stream_begin(s, 0, true, &err) == OQ_OK && oq_stream_hurry(s) == fast_build);
	read_pieces(s, fast, bytes, fast_code);
	OQ_CHECK(strncmp(code, "E_", 2) ? !strcmp(fast_code, code) : !strncmp(fast_code, "E_", 2));
	OQ_CHECK(oq_stream_has_garbage(s) == garbage);
	if (!code[0])
		OQ_CHECK(!memcmp(slow, expected, bytes) && !memcmp(fast, expected, bytes));
	/* what is passed over is decoded as well */
	uint64_t got = 0;
	OQ_CHECK(oq_stream_begin(s, 0, true, &err) == OQ_OK && oq_stream_hurry(s) == fast_build);
	if (!code[0])
		OQ_CHECK(oq_stream_pass(s, bytes + 5, &got, &err) == OQ_OK && got == bytes);
	else
		OQ_CHECK(oq_stream_pass(s, bytes + 5, &got, &err) != OQ_OK || got != bytes);
	oq_stream_close(s);
	oq_free(slow);
	oq_free(fast);
	return code;
}

/* Whole, too long, cut, damaged, with garbage or another member behind; gzip (window 31) and zlib (15). */
static void test_one(const unsigned char *data, int window, int level, unsigned char *packed, size_t room)
{
	const bool gzip = window == 31;
	size_t n = pack(data, BYTES, window, level, packed, room);
	save(packed, n);
	OQ_CHECK_STR(both_ways(data, BYTES), "");
	OQ_CHECK_STR(both_ways(data, BYTES - 1), "more"); /* than was declared */
	OQ_CHECK_STR(both_ways(data, BYTES + 1), "short");
	for (size_t cut = 1; cut < n; cut = cut < 12 ? cut + 1 : cut * 3) {
		save(packed, n - cut);
		OQ_CHECK_STR(both_ways(data, BYTES), "E_GZ_TRUNCATED");
	}
	packed[n - (gzip ? 6 : 2)] ^= 1;
	save(packed, n);
	OQ_CHECK_STR(both_ways(data, BYTES), "E_GZ_CRC");
	packed[n - (gzip ? 6 : 2)] ^= 1;
	if (gzip) {
		packed[n - 2] ^= 1;
		save(packed, n);
		OQ_CHECK_STR(both_ways(data, BYTES), "E_GZ_SIZE");
		packed[n - 2] ^= 1;
	}
	memcpy(packed + n, "garbage", 7);
	for (size_t behind = 1; behind <= 7; behind++) {
		save(packed, n + behind);
		OQ_CHECK_STR(both_ways(data, BYTES), "");
	}
}

/* A header with every optional field, cut by the end of the first piece of the file that is read; and one with a flag that does not exist. */
static void test_headers(const unsigned char *data, unsigned char *packed, size_t room)
{
	enum { EXTRA = 60000, NAMES = 5 };
	unsigned char header[10] = {0x1f, 0x8b, 8, 4 + 8 + 16, 0, 0, 0, 0, 0, 3}, *file = oq_calloc(1, room + NAMES * (size_t)EXTRA);
	OQ_REQUIRE(file != NULL);
	size_t n = pack(data, BYTES, -15, 6, packed, room), at = 0;
	unsigned long sum = crc32(0, data, BYTES);
	for (int member = 0; member < NAMES; member++) { /* empty ones come first */
		static const unsigned char nothing[2] = {3, 0};
		memcpy(file + at, header, 10);
		at += 10;
		file[at] = EXTRA % 256;
		file[at + 1] = EXTRA / 256;
		at += 2 + EXTRA;
		memcpy(file + at, "name\0comment", 13);
		at += 13;
		const bool last = member == NAMES - 1;
		memcpy(file + at, last ? packed : nothing, last ? n : 2);
		at += last ? n : 2;
		for (int i = 0; i < 4; i++) {
			file[at + i] = (unsigned char)(last ? sum >> 8 * i : 0);
			file[at + 4 + i] = (unsigned char)(last ? (unsigned long)BYTES >> 8 * i : 0);
		}
		at += 8;
	}
	save(file, at);
	OQ_CHECK_STR(both_ways(data, BYTES), "");
	file[3] |= 0x80;
	save(file, at);
	OQ_CHECK_STR(both_ways(data, BYTES), "E_GZ_DATA");
	oq_free(file);
}

/* Bytes turned at random: never accepted by one and not by the other, never other bytes. */
static void test_turned(const unsigned char *data, unsigned char *packed, size_t room)
{
	uint32_t state = 7;
	for (int trial = 0; trial < 60; trial++) {
		size_t n = pack(data, 20000, trial % 2 ? 31 : 15, 1 + trial % 9, packed, room);
		for (int turned = 0; turned <= trial % 4; turned++) {
			state = state * 1664525u + 1013904223u;
			packed[(state >> 8) % (trial % 3 ? n : 60)] ^= (unsigned char)(1u << (state & 7));
		}
		save(packed, n);
		both_ways(data, 20000);
	}
}

/* Room for `bytes` whose end is followed by a page that nobody may touch, as its begin is preceded by one when it is a multiple of a page. */
static unsigned char *guarded(size_t bytes)
{
	size_t page = (size_t)sysconf(_SC_PAGESIZE), pages = (bytes + page - 1) / page;
	unsigned char *block = mmap(NULL, (pages + 2) * page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	OQ_REQUIRE(block != MAP_FAILED && mprotect(block + page, pages * page, PROT_READ | PROT_WRITE) == 0);
	return block + (1 + pages) * page - bytes;
}

/* Damaged data in pieces and to room of every size: the machine code of the fast decoder, which sanitizers do not see, stays within both. */
static void test_guards(const unsigned char *data, unsigned char *packed, size_t room)
{
	enum { PLAIN = 30000, MOST = 8192, TRIALS = 1500 };
	unsigned char *in = guarded(MOST), *out = guarded(MOST);
	oq_inflater *f = oq_inflater_make();
	uint32_t state = 3;
	int ended = 0, refused = 0;
	for (int trial = 0; f && trial < TRIALS; trial++) {
		size_t n = pack(data + trial, PLAIN, -15, 1 + trial % 9, packed, room), at = 0;
		for (int turned = 0; turned < trial % 3; turned++) {
			state = state * 1664525u + 1013904223u;
			packed[(state >> 8) % (trial % 2 ? n : 80)] ^= (unsigned char)(1u << (state & 7));
		}
		memset(packed + n, 0, 8); /* a wrong trailer, which only undamaged data comes to */
		n += 8;
		oq_inflater_begin(f, trial % 4 != 0);
		int code = Z_OK;
		z_stream z = {.next_in = in + MOST};
		for (bool still = false; code == Z_OK && !still;) {
			state = state * 1664525u + 1013904223u;
			size_t piece = 1 + (state >> 8) % (MOST - OQ_INFLATE_BACK), take = 1 + (state >> 4) % MOST;
			if (!z.avail_in) {
				piece = piece < n - at ? piece : n - at;
				z.next_in = in + MOST - piece;
				memcpy(z.next_in, packed + at, piece);
				z.avail_in = (uInt)piece;
				at += piece;
			}
			z.next_out = out + MOST - take;
			z.avail_out = (uInt)take;
			still = !z.avail_in;
			code = oq_inflater_run(f, &z);
			still = still && z.avail_out == take;
		}
		ended += code == Z_OK;
		refused += code == Z_DATA_ERROR;
		OQ_CHECK(code != Z_STREAM_END);
	}
	OQ_CHECK(!f || refused > TRIALS / 2);
	OQ_CHECK(!f || refused + ended == TRIALS);
	oq_inflater_free(f);
}

static void test_both_ways(const unsigned char *data)
{
	size_t room = 2 * BYTES;
	unsigned char *packed = oq_alloc(room);
	OQ_REQUIRE(packed != NULL);
	for (int level = 0; level <= 9; level += 3) {
		test_one(data, 31, level, packed, room);
		test_one(data, 15, level, packed, room);
	}
	/* members of uneven sizes, one of them empty */
	size_t n = pack(data, 1, 31, 6, packed, room);
	n += pack(data, 0, 31, 6, packed + n, room - n);
	n += pack(data + 1, BYTES - 1, 31, 1, packed + n, room - n);
	save(packed, n);
	OQ_CHECK_STR(both_ways(data, BYTES), "");
	n += pack(data, 3, 31, 6, packed + n, room - n);
	save(packed, n);
	OQ_CHECK_STR(both_ways(data, BYTES), "more");
	test_headers(data, packed, room);
	test_turned(data, packed, room);
	test_guards(data, packed, room);
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
	oq_stream *s = NULL;
	OQ_REQUIRE(data && mkdtemp(folder) != NULL);
	snprintf(path, sizeof path, "%s/s.gz", folder);
	for (size_t i = 0; i < BYTES; i++) {
		state = state * 1664525u + 1013904223u;
		data[i] = (unsigned char)(i % 5 ? i / 100 : state >> 24); /* partly compressible */
	}
	save("\x1f\x8b", 2);
	OQ_REQUIRE(oq_stream_open(path, &s, NULL) == OQ_OK);
	fast_build = oq_stream_hurry(s);
	oq_stream_close(s);
	test_both_ways(data);
	test_shrinking(data);
	unlink(path);
	rmdir(folder);
	oq_free(data);
	return oq_checks_done();
}
