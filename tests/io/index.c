/* Packed scans read by their index: the same voxels and warnings as without one in every format, whichever slices are wanted and whichever inflater
 * decodes them. A damaged, stale or strange index changes no voxel; damage of the scan is seen where it is read. usage: index WORK-FOLDER */
#define _DEFAULT_SOURCE
#include "check.h"
#include "nifti_header.h"

#include "../../src/io/index.h"
#include "core/file.h"
#include "core/mem.h"

#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define N 64
#define SLICES 48
#define VOXELS (N * N * SLICES)
#define BYTES (VOXELS * 2)
#define SPAN ((uint64_t)64 << 10)
#define ROOM (4 << 20)

static int16_t voxels[2][VOXELS]; /* of two volumes */
static char folder[900];

/* Noise over steps: partly compressible, so that blocks end at any bit. */
static void fill(void)
{
	uint32_t state = 9;
	for (int i = 0; i < 2 * VOXELS; i++) {
		state = state * 1664525u + 1013904223u;
		voxels[i / VOXELS][i % VOXELS] = (int16_t)(i / 700 % 900 - 800 + (i % 3 ? 0 : (int)(state >> 27)));
	}
}

static size_t pack(const void *data, size_t bytes, int window, unsigned char *out)
{
	z_stream z = {0};
	unsigned char *copy = oq_alloc(bytes);
	OQ_REQUIRE(copy && deflateInit2(&z, 6, Z_DEFLATED, window, 6, Z_DEFAULT_STRATEGY) == Z_OK);
	memcpy(copy, data, bytes);
	z.next_in = copy;
	z.avail_in = (uInt)bytes;
	z.next_out = out;
	z.avail_out = ROOM;
	OQ_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
	size_t n = z.total_out;
	deflateEnd(&z);
	oq_free(copy);
	return n;
}

enum form { NIFTI, NIFTI_4D, MEMBERS, GARBAGE, LONGER, NRRD, MHA, ZRAW, FORMS };
static const char *const names[FORMS] = {"a.nii.gz", "b.nii.gz", "c.nii.gz", "d.nii.gz", "e.nii.gz", "f.nrrd", "g.mha", "h.mhd"};

static size_t own_header(unsigned char h[352], int volumes)
{
	static const int16_t type[2] = {4, 16};
	const int16_t dim[8] = {(int16_t)(volumes > 1 ? 4 : 3), N, N, SLICES, (int16_t)volumes, 1, 1, 1};
	return nifti_header(h, dim, type);
}

static void save(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

static char *load(const char *path, size_t *bytes)
{
	char *data = NULL;
	OQ_REQUIRE(oq_file_read_all(path, ROOM, OQ_E_INPUT, &data, bytes, NULL) == OQ_OK);
	return data;
}

/* Plain bytes of a NIfTI file of one or two volumes into members that begin at odd places; one of them is empty. */
static size_t pack_nifti(enum form form, unsigned char *out)
{
	static unsigned char plain[352 + 2 * BYTES + 100];
	int volumes = form == NIFTI_4D ? 2 : 1;
	size_t bytes = own_header(plain, volumes), n = 0;
	memcpy(plain + bytes, voxels, (size_t)volumes * BYTES);
	bytes += (size_t)volumes * BYTES + (form == LONGER ? 100 : 0);
	const size_t cuts[] = {0, form == MEMBERS ? 100 : bytes, form == MEMBERS ? 100 : bytes, form == MEMBERS ? 199999 : bytes, bytes};
	for (int i = 0; i < 4; i++)
		if (i == 0 || form == MEMBERS)
			n += pack(plain + cuts[i], cuts[i + 1] - cuts[i], 31, out + n);
	if (form == GARBAGE)
		memcpy(out + n, "garbage", 7);
	return n + (form == GARBAGE ? 7 : 0);
}

/* The path of the scan; *stream: of the file that its voxels are in. */
static void make_scan(enum form form, char path[1000], char stream[1000])
{
	static unsigned char out[ROOM];
	static const char *const nrrd = "NRRD0004\ntype: int16\ndimension: 3\nsizes: 64 64 48\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n"
		"encoding: gzip\nendian: little\n\n";
	static const char *const meta = "NDims = 3\nDimSize = 64 64 48\nElementType = MET_SHORT\nElementSpacing = 1 1 1\nOffset = 0 0 0\n"
		"TransformMatrix = 1 0 0 0 1 0 0 0 1\nElementByteOrderMSB = False\nCompressedData = True\nElementDataFile = ";
	snprintf(path, 1000, "%s/%s", folder, names[form]);
	snprintf(stream, 1000, "%s/%s", folder, form == ZRAW ? "h.zraw" : names[form]);
	if (form < NRRD) {
		save(path, out, pack_nifti(form, out));
		return;
	}
	size_t n = form == NRRD ? (size_t)snprintf((char *)out, 1000, "%s", nrrd) : (size_t)snprintf((char *)out, 1000, "%s%s\n", meta, form == MHA ? "LOCAL" : "h.zraw");
	if (form == ZRAW) {
		save(path, out, n);
		n = 0;
	}
	save(stream, out, n + pack(voxels, BYTES, form == NRRD ? 31 : 15, out + n));
}

static oq_volume *open_scan(enum form form, const char *path, const char *indexes)
{
	oq_volume *volume = NULL;
	oq_error err;
	if (oq_volume_open(path, &(oq_volume_options){.volume = form == NIFTI_4D ? 2 : 0, .index_folder = indexes, .name = "scan"}, &volume, &err) != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	OQ_REQUIRE(volume != NULL);
	return volume;
}

static void make_index(enum form form, const char *path, const char *indexes, oq_index_made expected)
{
	oq_index_made made;
	uint64_t bytes;
	oq_error err = {0};
	oq_volume *volume = open_scan(form, path, indexes);
	OQ_CHECK(oq_index_make(volume, indexes, SPAN, &made, &bytes, &err) == OQ_OK);
	OQ_CHECK_STR(err.message, "");
	OQ_CHECK_INT(made, expected);
	oq_volume_free(volume);
}

/* Slices [first,end) are right, read in one pass that uses an index or not. */
static oq_status expect_slices(oq_volume *v, enum form form, int64_t first, int64_t end, oq_error *err)
{
	const int16_t *right = voxels[form == NIFTI_4D];
	oq_volume_want(v, first, end);
	OQ_TRY(oq_volume_unpack(v, err));
	OQ_TRY(oq_volume_need(v, first, end, err));
	OQ_CHECK(!memcmp((const int16_t *)v->voxels + first * N * N, right + first * N * N, (size_t)(end - first) * N * N * 2));
	return OQ_OK;
}

static oq_index_use use_of(enum form form, const char *path, const char *indexes, int64_t first, int64_t end)
{
	oq_error err;
	oq_volume *v = open_scan(form, path, indexes);
	OQ_CHECK(expect_slices(v, form, first, end, &err) == OQ_OK);
	oq_index_use use = oq_volume_index_use(v);
	oq_volume_free(v);
	return use;
}

/* Both inflaters, from every point on. Returns how many points lie within a byte. */
static int test_parts(const char *path, uint64_t offset)
{
	oq_stream *s = NULL;
	oq_index x = {.fd = -1};
	unsigned char window[OQ_WINDOW];
	int within = 0;
	oq_inflater *fast = oq_inflater_make();
	OQ_REQUIRE(oq_stream_open(path, &s, NULL) == OQ_OK && oq_stream_begin(s, offset, true, NULL) == OQ_OK);
	OQ_REQUIRE(oq_index_of(s, offset, NULL, &x, NULL) == OQ_OK && oq_index_read(&x, NULL) == OQ_OK);
	OQ_CHECK(x.count >= 4);
	for (uint64_t i = 0; i < x.count; i++) {
		const oq_index_point *p = &x.points[i];
		uint64_t first = p->in - (p->bits > 0);
		unsigned char *in = oq_alloc(p[1].in - first), *out = oq_alloc(p[1].out - p->out);
		OQ_REQUIRE(in && out && oq_stream_read_at(s, in, p[1].in - first, first - offset, NULL) == OQ_OK);
		OQ_REQUIRE(!p->window_bytes || oq_index_window(&x, i, window, NULL) == OQ_OK);
		const oq_part part = {in, p[1].in - first, p->bits, p->window_bytes ? window : NULL, out, p[1].out - p->out};
		for (int hurry = 0; hurry <= (fast != NULL); hurry++) {
			memset(out, 0x5a, part.out_bytes);
			OQ_CHECK(oq_part_inflate(&part, hurry) && oq_bytes_crc(0, out, part.out_bytes) == p->crc);
		}
		OQ_CHECK(oq_bytes_crc(0, out, part.out_bytes) == crc32(0, out, (uInt)part.out_bytes));
		within += p->bits > 0;
		oq_free(in);
		oq_free(out);
	}
	oq_index_close(&x);
	oq_stream_close(s);
	oq_inflater_free(fast);
	return within;
}

static uint64_t stream_offset(const char *path)
{
	size_t bytes;
	char *data = load(path, &bytes);
	uint64_t at = 0;
	for (size_t i = 0; i + 1 < bytes && !at && (unsigned char)data[0] != 0x1f && (unsigned char)data[0] != 0x78; i++) /* a text header ends with a line */
		if (data[i] == '\n' && ((unsigned char)data[i + 1] == 0x1f || (unsigned char)data[i + 1] == 0x78))
			at = i + 1;
	oq_free(data);
	return at;
}

static void test_form(enum form form)
{
	char path[1000], stream[1000], index[1100];
	oq_error err;
	make_scan(form, path, stream);
	snprintf(index, sizeof index, "%s.oqx", stream);
	unlink(index);
	OQ_CHECK_INT(use_of(form, path, NULL, 20, 23), OQ_INDEX_UNUSED);
	make_index(form, path, NULL, OQ_INDEX_WRITTEN);
	make_index(form, path, NULL, OQ_INDEX_FRESH);
	struct stat info;
	OQ_CHECK(stat(index, &info) == 0 && (info.st_mode & 0777) == 0600);
	for (int64_t first = 0; first < SLICES; first += 5)
		for (int64_t end = first + 1; end <= SLICES && end < first + 25; end += 6)
			OQ_CHECK(use_of(form, path, NULL, first, end) == OQ_INDEX_USED || end - first > 13); /* not where most is needed */
	/* One after the other in one volume: far apart, together, what nobody announced, and in the end all of it. */
	oq_volume *v = open_scan(form, path, NULL), *whole = open_scan(form, path, folder); /* where no index is */
	oq_volume_want(v, 2, 3);
	OQ_CHECK(expect_slices(v, form, 40, 42, &err) == OQ_OK && expect_slices(v, form, 2, 3, &err) == OQ_OK);
	OQ_CHECK(oq_volume_index_use(v) == OQ_INDEX_USED);
	OQ_CHECK(oq_volume_need(v, 10, 12, &err) == OQ_OK && expect_slices(v, form, 10, 12, &err) == OQ_OK);
	OQ_CHECK(oq_volume_load(v, &err) == OQ_OK && expect_slices(v, form, 0, SLICES, &err) == OQ_OK);
	OQ_CHECK(expect_slices(whole, form, 40, 42, &err) == OQ_OK && oq_volume_index_use(whole) == OQ_INDEX_UNUSED);
	OQ_CHECK_INT(v->notes.count, whole->notes.count);
	OQ_CHECK(oq_notes_has(&v->notes, "W_TRAILING") == (form == GARBAGE || form == LONGER));
	oq_volume_free(v);
	oq_volume_free(whole);
	OQ_CHECK(test_parts(stream, stream_offset(stream)) > 0);
}

/* One bit of every byte turned, and the end cut off: believed only where it does not matter. */
static void test_damaged_index(void)
{
	char path[1000], stream[1000], index[1100];
	size_t bytes;
	make_scan(NRRD, path, stream);
	snprintf(index, sizeof index, "%s.oqx", stream);
	make_index(NRRD, path, NULL, OQ_INDEX_FRESH);
	char *data = load(index, &bytes);
	int unfit = 0;
	size_t tables = 176 + 40 * (size_t)data[16];
	for (size_t at = 0; at < bytes; at += at < tables ? 1 : 97) {
		data[at] ^= (char)(1 << at % 8);
		save(index, data, bytes);
		bool seen = use_of(NRRD, path, NULL, 24, 26) == OQ_INDEX_UNFIT;
		OQ_CHECK(seen || at >= tables); /* windows that are not needed are not looked at */
		unfit += seen;
		data[at] ^= (char)(1 << at % 8);
	}
	OQ_CHECK(unfit >= (int)tables + 2);
	for (size_t cut = 0; cut < bytes; cut += cut < tables ? 7 : 499) {
		save(index, data, cut);
		oq_index_use use = use_of(NRRD, path, NULL, 24, 26);
		OQ_CHECK(use == OQ_INDEX_UNFIT || cut > tables);
	}
	/* Damage in a window only: it is no good, and made again. */
	data[bytes - 20] ^= 1;
	save(index, data, bytes);
	make_index(NRRD, path, NULL, OQ_INDEX_WRITTEN);
	data[bytes - 20] ^= 1;
	size_t again;
	char *other = load(index, &again);
	OQ_CHECK(again == bytes && !memcmp(data, other, bytes)); /* the same bytes each time */
	oq_free(other);
	oq_free(data);
}

/* What an index says is not believed when its checksum was made to fit: numbers that lie are refused, or end in a part that is not what it was. */
static void test_lies(void)
{
	char path[1000], stream[1000];
	oq_stream *s = NULL;
	oq_index x = {.fd = -1};
	make_scan(NIFTI, path, stream);
	make_index(NIFTI, path, NULL, OQ_INDEX_FRESH);
	OQ_REQUIRE(oq_stream_open(path, &s, NULL) == OQ_OK && oq_index_of(s, 0, NULL, &x, NULL) == OQ_OK && oq_index_read(&x, NULL) == OQ_OK);
	unsigned char *windows[64] = {0}, window[OQ_WINDOW], packed[OQ_INDEX_WINDOW];
	for (uint64_t i = 0; i < x.count; i++) {
		if (!x.points[i].window_bytes)
			continue;
		uLongf bytes = sizeof packed;
		OQ_REQUIRE(oq_index_window(&x, i, window, NULL) == OQ_OK && compress2(packed, &bytes, window, sizeof window, 6) == Z_OK);
		windows[i] = oq_alloc(bytes);
		OQ_REQUIRE(windows[i] && bytes == x.points[i].window_bytes);
		memcpy(windows[i], packed, bytes);
	}
	const oq_index_point right = x.points[3];
	const uint64_t last = x.points[x.count].out;
	for (int lie = 0; lie < 11; lie++) {
		oq_index_point *p = &x.points[3];
		*p = right;
		x.points[x.count].out = last;
		switch (lie) {
		case 0: p->in++; break;
		case 1: p->in = UINT64_MAX; break;
		case 2: p->in = 0; break;
		case 3: p->out++; break;
		case 4: p->out = UINT64_MAX - 3; break;
		case 5: p->out = x.points[2].out; break;
		case 6: p->crc ^= 1; break;
		case 7: p->bits = 7 - p->bits; break;
		case 8: p->bits = 200; break;
		case 9: x.points[x.count].out = 10; break;
		default: x.points[x.count].out = UINT64_MAX; break;
		}
		OQ_REQUIRE(oq_index_write(&x, (const unsigned char *const *)windows, NULL) == OQ_OK);
		OQ_CHECK_INT(use_of(NIFTI, path, NULL, 22, 32), OQ_INDEX_UNFIT);
	}
	x.points[3] = right;
	x.points[x.count].out = last;
	OQ_REQUIRE(oq_index_write(&x, (const unsigned char *const *)windows, NULL) == OQ_OK);
	OQ_CHECK_INT(use_of(NIFTI, path, NULL, 22, 32), OQ_INDEX_USED);
	for (int i = 0; i < 64; i++)
		oq_free(windows[i]);
	oq_index_close(&x);
	oq_stream_close(s);
}

/* Damage of the scan: right voxels, because it lies elsewhere, or the error that reading all of it gives. */
static void test_damaged_scan(void)
{
	char path[1000], stream[1000];
	size_t bytes;
	int refused = 0, passed = 0;
	make_scan(MHA, path, stream);
	make_index(MHA, path, NULL, OQ_INDEX_FRESH);
	char *data = load(path, &bytes);
	for (size_t at = stream_offset(path); at < bytes; at += 211) {
		oq_error err = {0};
		data[at] ^= (char)(1 << at % 8);
		save(path, data, bytes);
		oq_volume *v = open_scan(MHA, path, NULL);
		oq_status status = expect_slices(v, MHA, 24, 26, &err);
		OQ_CHECK(status == OQ_OK ? oq_volume_index_use(v) == OQ_INDEX_USED : !strncmp(err.code, "E_GZ_", 5) && oq_volume_index_use(v) == OQ_INDEX_UNFIT);
		passed += status == OQ_OK;
		refused += status != OQ_OK;
		oq_volume_free(v);
		data[at] ^= (char)(1 << at % 8);
	}
	OQ_CHECK(passed > 50 && refused > 20);
	save(path, data, bytes);
	/* Touched: its bytes are what counts. Replaced by another scan of the same size, and by one that is cut: they are what is read. */
	OQ_CHECK_INT(use_of(MHA, path, NULL, 24, 26), OQ_INDEX_USED);
	voxels[0][0] ^= 1;
	make_scan(MHA, path, stream);
	OQ_CHECK_INT(use_of(MHA, path, NULL, 24, 26), OQ_INDEX_UNFIT);
	voxels[0][0] ^= 1;
	save(path, data, bytes - 1);
	oq_error err = {0};
	oq_volume *v = open_scan(MHA, path, NULL);
	OQ_CHECK(expect_slices(v, MHA, 24, 26, &err) == OQ_E_INPUT && !strcmp(err.code, "E_GZ_TRUNCATED"));
	oq_volume_free(v);
	save(path, data, bytes);
	oq_free(data);
}

/* No index of what is raw, small or damaged; in a folder it is found for any copy, and its name tells nothing. */
static void test_making(void)
{
	char path[1000], stream[1000], copy[1000], indexes[1000], command[2100];
	oq_index_made made;
	uint64_t size;
	oq_error err;
	size_t bytes;
	make_scan(ZRAW, path, stream);
	oq_volume *v = open_scan(ZRAW, path, folder);
	OQ_CHECK(oq_index_make(v, folder, BYTES / 2, &made, &size, &err) == OQ_OK && made == OQ_INDEX_SMALL && size == 0);
	oq_volume_free(v);
	char *data = load(stream, &bytes);
	data[bytes - 2] ^= 1;
	snprintf(copy, sizeof copy, "%s/indexes", folder);
	mkdir(copy, 0700);
	save(stream, data, bytes);
	v = open_scan(ZRAW, path, NULL);
	OQ_CHECK(oq_index_make(v, copy, SPAN, &made, &size, &err) == OQ_E_INPUT && !strcmp(err.code, "E_GZ_CRC") && !strncmp(err.message, "scan: ", 6));
	oq_volume_free(v);
	OQ_CHECK(rmdir(copy) == 0 && mkdir(copy, 0700) == 0); /* nothing was written */
	oq_free(data);
	make_scan(NIFTI, path, stream);
	snprintf(indexes, sizeof indexes, "%s", copy);
	make_index(NIFTI, path, indexes, OQ_INDEX_WRITTEN);
	snprintf(copy, sizeof copy, "%s/copy.nii.gz", folder);
	data = load(path, &bytes);
	save(copy, data, bytes);
	oq_free(data);
	OQ_CHECK_INT(use_of(NIFTI, copy, indexes, 7, 9), OQ_INDEX_USED);
	OQ_CHECK_INT(use_of(NIFTI, copy, NULL, 7, 9), OQ_INDEX_UNUSED);
	snprintf(command, sizeof command, "ls '%s' | grep -qE '^[0-9a-f]{32}\\.oqx$'", indexes);
	OQ_CHECK(system(command) == 0);
	static unsigned char plain[352 + BYTES];
	memcpy(plain + own_header(plain, 1), voxels, BYTES);
	snprintf(copy, sizeof copy, "%s/raw.nii", folder);
	save(copy, plain, sizeof plain);
	v = open_scan(NIFTI, copy, NULL);
	OQ_CHECK(oq_index_make(v, NULL, SPAN, &made, &size, &err) == OQ_OK && made == OQ_INDEX_RAW);
	oq_volume_free(v);
	/* fewer voxels than its header declares */
	static unsigned char out[ROOM];
	snprintf(copy, sizeof copy, "%s/short.nii.gz", folder);
	save(copy, out, pack(plain, sizeof plain - 1, 31, out));
	v = open_scan(NIFTI, copy, NULL);
	OQ_CHECK(oq_index_make(v, NULL, SPAN, &made, &size, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TRUNCATED"));
	oq_volume_free(v);
}

typedef struct bits {
	unsigned char *out;
	size_t count;
} bits;

/* A Huffman code: its first bit first. */
static void put_code(bits *b, unsigned code, int length)
{
	for (int i = length - 1; i >= 0; i--, b->count++)
		b->out[b->count / 8] |= (unsigned char)((code >> i & 1) << b->count % 8);
}

static void put_byte(bits *b, unsigned char byte)
{
	put_code(b, byte < 144 ? 48u + byte : 400u + byte - 144, byte < 144 ? 8 : 9);
}

/* One block of 68 MB, of the fixed code: 512 x 512 x 130 voxels of 0, all but the first of them repeated. There is nowhere to begin in it. */
static void test_one_block(void)
{
	static unsigned char file[ROOM] = {0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3};
	static const unsigned char zeros[258];
	static const int16_t dims[3] = {512, 512, 130};
	unsigned char header[352];
	size_t left = (size_t)512 * 512 * 130 * 2, all = left + own_header(header, 1);
	memcpy(header + 42, dims, sizeof dims);
	uLong sum = crc32(0, header, sizeof header);
	bits b = {file + 10, 0};
	put_code(&b, 6, 3); /* last, fixed */
	for (size_t i = 0; i < sizeof header; i++)
		put_byte(&b, header[i]);
	for (size_t some; left > 0; left -= some) {
		bool match = left <= all - sizeof header - 1 && left >= 258; /* length 258, distance 1 */
		some = match ? 258 : 1;
		put_code(&b, match ? 0xc5 << 5 : 48, match ? 13 : 8);
		sum = crc32(sum, zeros, (uInt)some);
	}
	put_code(&b, 0, 7);
	size_t n = 10 + (b.count + 7) / 8;
	for (int i = 0; i < 4; i++, n++) {
		file[n] = (unsigned char)(sum >> 8 * i);
		file[n + 4] = (unsigned char)(all >> 8 * i);
	}
	char path[1000];
	oq_index_made made;
	uint64_t size;
	oq_error err = {0};
	snprintf(path, sizeof path, "%s/block.nii.gz", folder);
	save(path, file, n + 4);
	oq_volume *v = open_scan(NIFTI, path, NULL);
	OQ_CHECK(oq_index_make(v, NULL, OQ_INDEX_SPAN, &made, &size, &err) == OQ_E_UNSUPPORTED);
	OQ_CHECK_STR(err.code, "E_INDEX");
	OQ_CHECK(!strncmp(err.message, "scan.oqx: a block of", 20));
	OQ_CHECK(oq_volume_need(v, 100, 101, &err) == OQ_OK && oq_volume_hu(v, 3, 4, 100) == 0); /* it is read all the same */
	oq_volume_free(v);
}

int main(int argc, char **argv)
{
	char command[2000];
	OQ_REQUIRE(argc == 2);
	snprintf(folder, sizeof folder, "%s", argv[1]);
	snprintf(command, sizeof command, "rm -rf '%s' && mkdir '%s'", folder, folder);
	OQ_REQUIRE(system(command) == 0);
	fill();
	for (int form = 0; form < FORMS; form++)
		test_form((enum form)form);
	test_damaged_index();
	test_lies();
	test_damaged_scan();
	test_making();
	test_one_block();
	return oq_checks_done();
}
