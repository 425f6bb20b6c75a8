/* Hostile and odd MetaImage and NRRD files, made here from one good header: each is refused with its reason code and one line that names
 * the file, or read with its warning, as docs/formats.md says. The cases are those of the NIfTI list as far as these formats know them. */
#define _DEFAULT_SOURCE
#include "check.h"

#include "io/volume.h"

#include <unistd.h>
#include <zlib.h>

#define GOOD_MHA "ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = False\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n" \
	"Offset = 10 20 30\nElementSpacing = 0.7 0.7 2.5\nDimSize = 8 9 10\nElementType = MET_SHORT\nElementDataFile = LOCAL\n"
#define GOOD_NRRD "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 8 9 10\nspace directions: (0.7,0,0) (0,0.7,0) (0,0,2.5)\n" \
	"endian: little\nencoding: raw\nspace origin: (10,20,30)\n\n"
#define VOXELS 720
#define BYTES 1440

typedef enum voxels {
	GOOD, NONE, SHORT_100, SHORT_1, LONGER, CONSTANT, POSITIVE, WINDOWED, NANS, HUGE_VALUES, /* plain */
	ZLIB, GZIP, HALF_GZIP, BAD_CRC, BAD_SIZE, BITFLIP, TWO_MEMBERS, GARBAGE                  /* compressed */
} voxels;

/* The header with `from` replaced by `to`, and which voxels follow it. */
typedef struct bad {
	const char *from, *to, *code;
	voxels voxels;
} bad;

static const bad metaimages[] = {
	{"", "", "", GOOD},
	{"ObjectType = Image\n", "", "", GOOD},
	{"\nOffset", "\nModality = MET_MOD_CT\nPatient = DOE^JANE\nOffset", "", GOOD},
	{"", "", "E_TRUNCATED", NONE}, {"", "", "E_TRUNCATED", SHORT_100}, {"", "", "E_TRUNCATED", SHORT_1}, {"", "", "W_TRAILING", LONGER},
	{"ElementDataFile = LOCAL\n", "", "E_TRUNCATED", NONE},
	{"ObjectType = Image", "ObjectType = Tube", "E_FIELD", GOOD},
	{"NDims = 3\n", "", "E_FIELD", GOOD}, {"NDims = 3", "NDims = 2", "E_DIMS", GOOD}, {"NDims = 3", "NDims = 4", "E_4D", GOOD},
	{"NDims = 3", "NDims = 99999999999999999999", "E_FIELD", GOOD}, {"NDims = 3", "NDims = -3", "E_DIMS", GOOD},
	{"8 9 10", "8 0 10", "E_DIMS", GOOD}, {"8 9 10", "8 -9 10", "E_DIMS", GOOD}, {"8 9 10", "8 9", "E_FIELD", GOOD}, {"8 9 10", "8 9 10 1", "E_FIELD", GOOD},
	{"8 9 10", "8 9 1e1", "E_FIELD", GOOD}, {"8 9 10", "32767 32767 32767", "E_TRUNCATED", GOOD}, {"8 9 10", "4294967296 4294967296 2", "E_OVERFLOW", GOOD},
	{"8 9 10", "65536 65536 1", "E_TRUNCATED", GOOD}, {"8 9 10", "72 10 1", "W_THIN", GOOD},
	{"MET_SHORT", "MET_RGB", "E_DTYPE", GOOD}, {"MET_SHORT", "MET_SHORT_ARRAY", "E_DTYPE", GOOD}, {"ElementType = MET_SHORT\n", "", "E_DTYPE", GOOD},
	{"\nOffset", "\nElementNumberOfChannels = 3\nOffset", "E_DTYPE", GOOD}, {"\nOffset", "\nElementNumberOfChannels = 1\nOffset", "", GOOD},
	{"BinaryData = True", "BinaryData = False", "E_ENCODING", GOOD}, {"BinaryData = True", "BinaryData = Perhaps", "E_FIELD", GOOD},
	{"ElementSpacing = 0.7 0.7 2.5\n", "", "E_SPACING", GOOD}, {"ElementSpacing", "ElementSize", "", GOOD},
	{"0.7 0.7 2.5", "0.7 0.7 0", "E_SPACING", GOOD}, {"0.7 0.7 2.5", "-0.7 0.7 2.5", "E_SPACING", GOOD}, {"0.7 0.7 2.5", "nan 0.7 2.5", "E_FIELD", GOOD},
	{"0.7 0.7 2.5", "inf 0.7 2.5", "E_FIELD", GOOD}, {"0.7 0.7 2.5", "1e-9 1e-9 1e-9", "E_SPACING", GOOD}, {"0.7 0.7 2.5", "1e9 1e9 1e9", "E_SPACING", GOOD},
	{"0.7 0.7 2.5", "0,7 0,7 2,5", "E_FIELD", GOOD}, {"0.7 0.7 2.5", "0x1 1 1", "E_FIELD", GOOD},
	{"10 20 30", "1e20 20 30", "E_AFFINE_RANGE", GOOD}, {"10 20 30", "10 20", "E_FIELD", GOOD}, {"Offset = 10 20 30\n", "", "W_ORIENTATION", GOOD},
	{"\nOffset", "\nPosition = 1 2 3\nOffset", "E_FIELD", GOOD}, {"\nOffset", "\nPosition = 10 20 30\nOffset", "", GOOD},
	{"TransformMatrix = 1 0 0 0 1 0 0 0 1\n", "", "W_ORIENTATION", GOOD}, {"1 0 0 0 1 0 0 0 1", "0 0 0 0 0 0 0 0 0", "E_AFFINE_SINGULAR", GOOD},
	{"1 0 0 0 1 0 0 0 1", "1 0 0 1 0 0 0 0 1", "E_AFFINE_SINGULAR", GOOD}, {"1 0 0 0 1 0 0 0 1", "2 0 0 0 1 0 0 0 1", "E_AFFINE", GOOD},
	{"1 0 0 0 1 0 0 0 1", "1 0 0 0 1 0 0 0.342 0.94", "E_SHEAR", GOOD}, {"1 0 0 0 1 0 0 0 1", "-1 0 0 0 1 0 0 0 1", "", GOOD},
	{"\nOffset", "\nHeaderSize = 10\nOffset", "E_OFFSET", GOOD}, {"\nOffset", "\nHeaderSize = -2\nOffset", "E_OFFSET", GOOD},
	{"\nOffset", "\nHeaderSize = 1000000\nOffset", "E_TRUNCATED", GOOD}, {"\nOffset", "\nHeaderSize = -1\nOffset", "", GOOD},
	{"\nOffset", "\nHeaderSize = 1e3\nOffset", "E_FIELD", GOOD}, {"\nOffset", "\nElementToIntensityFunctionOffset = -1024\nOffset", "E_SCALE_AMBIG", GOOD},
	{"\nOffset", "\nElementToIntensityFunctionSlope = nan\nOffset", "E_FIELD", GOOD}, {"\nOffset", "\nElementToIntensityFunctionSlope = 1\nOffset", "", GOOD},
	{"= LOCAL", "= LIST", "E_DATA_FILE", GOOD}, {"= LOCAL", "= slice%03d.raw 1 10 1", "E_DATA_FILE", GOOD}, {"= LOCAL", "= /etc/passwd", "E_DATA_FILE", GOOD},
	{"= LOCAL", "= ../voxels.raw", "E_DATA_FILE", GOOD}, {"= LOCAL", "= a/../../voxels.raw", "E_DATA_FILE", GOOD}, {"= LOCAL", "= a/..", "E_DATA_FILE", GOOD},
	{"= LOCAL", "=", "E_DATA_FILE", GOOD}, {"= LOCAL", "= missing.raw", "E_PAIR", GOOD}, {"= LOCAL", "= .", "E_PAIR", GOOD},
	{"", "", "W_CONSTANT", CONSTANT}, {"", "", "W_HU_RANGE", POSITIVE}, {"MET_SHORT", "MET_UCHAR", "W_HU_RANGE", WINDOWED}, {"MET_SHORT", "MET_FLOAT", "E_NONFINITE", NANS},
	{"MET_SHORT", "MET_FLOAT", "E_HU_RANGE", HUGE_VALUES},
	{"CompressedData = False", "CompressedData = True", "", ZLIB}, {"CompressedData = False", "CompressedData = True", "", GZIP},
	{"CompressedData = False", "CompressedData = True", "E_GZ_DATA", GOOD}, {"CompressedData = False", "CompressedData = True", "E_GZ_TRUNCATED", HALF_GZIP},
	{"CompressedData = False", "CompressedData = True", "E_GZ_CRC", BAD_CRC},
	{"CompressedData = False", "CompressedData = True\nCompressedDataSize = 900000", "E_TRUNCATED", ZLIB},
	{"CompressedData = False", "CompressedData = True\nHeaderSize = -1", "E_OFFSET", ZLIB}, {"CompressedData = False", "CompressedData = Yes", "E_FIELD", GOOD},
};

static const bad nrrds[] = {
	{"", "", "", GOOD},
	{"endian", "DICOM_0010_0010:=DOE^JANE\n# a comment\ncontent: DOE\nendian", "", GOOD},
	{"", "", "E_TRUNCATED", NONE}, {"", "", "E_TRUNCATED", SHORT_100}, {"", "", "E_TRUNCATED", SHORT_1}, {"", "", "W_TRAILING", LONGER},
	{"30)\n\n", "30)\n", "E_TRUNCATED", NONE}, {"NRRD0004", "NRRD0009", "E_MAGIC", GOOD}, {"NRRD0004", "NRRD00040", "E_MAGIC", GOOD}, {"NRRD0004", "NRRX", "E_MAGIC", GOOD},
	{"dimension: 3", "dimension: 2", "E_DIMS", GOOD}, {"dimension: 3", "dimension: 4", "E_4D", GOOD}, {"dimension: 3\n", "", "E_FIELD", GOOD},
	{"dimension: 3", "dimension: 200", "E_DIMS", GOOD}, {"dimension: 3", "dimension: x", "E_FIELD", GOOD}, {"dimension: 3", "dimension 3", "E_FIELD", GOOD},
	{"8 9 10", "8 0 10", "E_DIMS", GOOD}, {"8 9 10", "8 -9 10", "E_DIMS", GOOD}, {"8 9 10", "8 9", "E_FIELD", GOOD}, {"8 9 10", "32767 32767 32767", "E_TRUNCATED", GOOD},
	{"8 9 10", "4294967296 4294967296 2", "E_OVERFLOW", GOOD}, {"8 9 10", "99999999999999999999 1 1", "E_FIELD", GOOD}, {"8 9 10", "72 10 1", "W_THIN", GOOD},
	{"type: short", "type: block", "E_DTYPE", GOOD}, {"type: short\n", "", "E_DTYPE", GOOD}, {"type: short", "type: complex", "E_DTYPE", GOOD},
	{"endian: little\n", "", "E_FIELD", GOOD}, {"endian: little", "endian: middle", "E_FIELD", GOOD},
	{"encoding: raw\n", "", "E_FIELD", GOOD}, {"encoding: raw", "encoding: ascii", "E_ENCODING", GOOD}, {"encoding: raw", "encoding: bzip2", "E_ENCODING", GOOD},
	{"encoding: raw", "encoding: hex", "E_ENCODING", GOOD},
	{"encoding: raw", "encoding: gzip", "", GZIP}, {"encoding: raw", "encoding: gz", "", TWO_MEMBERS}, {"encoding: raw", "encoding: gzip", "W_TRAILING", GARBAGE},
	{"encoding: raw", "encoding: gzip", "E_GZ_TRUNCATED", HALF_GZIP}, {"encoding: raw", "encoding: gzip", "E_GZ_CRC", BAD_CRC},
	{"encoding: raw", "encoding: gzip", "E_GZ_SIZE", BAD_SIZE}, {"encoding: raw", "encoding: gzip", "E_GZ", BITFLIP}, {"encoding: raw", "encoding: gzip", "E_GZ_DATA", GOOD},
	{"encoding: raw", "encoding: gzip", "E_TRUNCATED", NONE},
	{"space: left-posterior-superior\n", "", "E_NO_ORIENTATION", GOOD}, {"left-posterior-superior", "scanner-xyz", "E_NO_ORIENTATION", GOOD},
	{"left-posterior-superior", "3D-right-handed", "E_NO_ORIENTATION", GOOD}, {"space: left-posterior-superior", "space dimension: 3", "E_NO_ORIENTATION", GOOD},
	{"left-posterior-superior", "lps", "", GOOD}, {"space origin: (10,20,30)\n", "", "W_ORIENTATION", GOOD},
	{"(10,20,30)", "(1e20,20,30)", "E_AFFINE_RANGE", GOOD}, {"(10,20,30)", "(10,20)", "E_FIELD", GOOD}, {"(10,20,30)", "10,20,30", "E_FIELD", GOOD},
	{"(10,20,30)", "(nan,20,30)", "E_FIELD", GOOD},
	{"space directions: (0.7,0,0) (0,0.7,0) (0,0,2.5)\n", "spacings: 0.7 0.7 2.5\n", "E_NO_ORIENTATION", GOOD}, {"(0.7,0,0)", "none", "E_FIELD", GOOD},
	{"(0.7,0,0)", "(0,0,0)", "E_AFFINE_SINGULAR", GOOD}, {"(0.7,0,0)", "(0,0.7,0)", "E_AFFINE_SINGULAR", GOOD}, {"(0.7,0,0)", "(0.7,0.3,0)", "E_SHEAR", GOOD},
	{"(0.7,0,0)", "(1e-9,0,0)", "E_SPACING", GOOD}, {"(0.7,0,0)", "(1e9,0,0)", "E_SPACING", GOOD}, {"(0.7,0,0)", "(-0.7,0,0)", "", GOOD},
	{"(0.7,0,0)", "( 0.7 , 0 , 0 )", "", GOOD}, {"(0.7,0,0)", "(0.7 0 0)", "E_FIELD", GOOD}, {"(0,0,2.5)", "(0,0,2.5) (1,0,0)", "E_FIELD", GOOD},
	{"endian", "space units: \"mm\" \"mm\" \"mm\"\nendian", "", GOOD}, {"endian", "space units: \"m\" \"m\" \"m\"\nendian", "E_FIELD", GOOD},
	{"endian", "foo: bar\nendian", "E_FIELD", GOOD}, {"endian", "sizes: 8 9 10\nendian", "E_FIELD", GOOD}, {"endian", "kinds: domain domain domain\nendian", "", GOOD},
	{"endian", "byte skip: -2\nendian", "E_OFFSET", GOOD}, {"endian", "byte skip: 4611686018427387904\nendian", "E_OFFSET", GOOD},
	{"endian", "byte skip: 5000\nendian", "E_TRUNCATED", GOOD}, {"endian", "byte skip: -1\nendian", "", GOOD}, {"endian", "line skip: 2\nendian", "E_OFFSET", GOOD},
	{"encoding: raw", "byte skip: 100000\nencoding: gzip", "E_TRUNCATED", GZIP},
	{"encoding: raw", "byte skip: -1\nencoding: gzip", "E_OFFSET", GZIP}, {"encoding: raw", "byte skip: 4\nencoding: gzip", "E_TRUNCATED", GZIP},
	{"endian", "data file: LIST\nendian", "E_DATA_FILE", GOOD}, {"endian", "data file: s%02d.raw 1 10 1\nendian", "E_DATA_FILE", GOOD},
	{"endian", "data file: /etc/passwd\nendian", "E_DATA_FILE", GOOD}, {"endian", "datafile: ../x.raw\nendian", "E_DATA_FILE", GOOD},
	{"endian", "data file: missing.raw\nendian", "E_PAIR", GOOD},
	{"", "", "W_CONSTANT", CONSTANT}, {"", "", "W_HU_RANGE", POSITIVE}, {"short", "uchar", "W_HU_RANGE", WINDOWED}, {"short", "float", "E_NONFINITE", NANS},
	{"short", "float", "E_HU_RANGE", HUGE_VALUES},
};

static size_t pack(const void *data, size_t bytes, int window, unsigned char *out, size_t room)
{
	z_stream z = {0};
	OQ_REQUIRE(deflateInit2(&z, 6, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	unsigned char copy[4 * VOXELS];
	memcpy(copy, data, bytes);
	z.next_in = copy;
	z.avail_in = (uInt)bytes;
	z.next_out = out;
	z.avail_out = (uInt)room;
	OQ_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
	size_t n = z.total_out;
	deflateEnd(&z);
	return n;
}

static size_t floats_of(float value, unsigned char *out)
{
	for (size_t i = 0; i < VOXELS; i++)
		memcpy(out + 4 * i, &value, 4);
	return 4 * VOXELS;
}

static size_t packed_voxels(voxels kind, const int16_t *hu, unsigned char *out, size_t room)
{
	size_t n = pack(hu, BYTES, kind == ZLIB ? 15 : 31, out, room), half;
	switch (kind) {
	case HALF_GZIP: return n / 2;
	case BAD_CRC: out[n - 8] ^= 1; return n;
	case BAD_SIZE: out[n - 4] ^= 1; return n;
	case BITFLIP: out[n / 2] ^= 4; return n;
	case GARBAGE: memcpy(out + n, "garbage", 7); return n + 7;
	case TWO_MEMBERS:
		half = pack(hu, BYTES / 2, 31, out, room);
		return half + pack(hu + VOXELS / 2, BYTES / 2, 31, out + half, room - half);
	default: return n;
	}
}

static size_t voxels_of(voxels kind, unsigned char *out, size_t room)
{
	int16_t hu[VOXELS + 50];
	for (int i = 0; i < VOXELS + 50; i++)
		hu[i] = (int16_t)(kind == CONSTANT ? -1024 : kind == POSITIVE ? i + 24 : (i * 7919) % 2000 - 1000);
	switch (kind) {
	case NONE: return 0;
	case NANS: return floats_of(NAN, out);
	case HUGE_VALUES: return floats_of(3e38f, out);
	case WINDOWED:
		for (int i = 0; i < VOXELS; i++)
			out[i] = (unsigned char)i;
		return VOXELS;
	case GOOD: case SHORT_100: case SHORT_1: case LONGER: case CONSTANT: case POSITIVE: {
		size_t n = kind == SHORT_100 ? BYTES - 100 : kind == SHORT_1 ? BYTES - 1 : kind == LONGER ? BYTES + 99 : BYTES;
		memcpy(out, hu, n);
		return n;
	}
	default: return packed_voxels(kind, hu, out, room);
	}
}

static void write_case(const char *path, const char *head, const bad *b)
{
	unsigned char data[8192];
	const char *at = b->from[0] ? strstr(head, b->from) : head;
	OQ_REQUIRE(at != NULL);
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file != NULL);
	size_t before = (size_t)(at - head), n = voxels_of(b->voxels, data, sizeof data - 16);
	fwrite(head, 1, before, file);
	fputs(b->to, file);
	fputs(at + strlen(b->from), file);
	fwrite(data, 1, n, file);
	OQ_REQUIRE(!fclose(file));
}

static void check_read(const char *path, const char *code, const char *what)
{
	oq_error err = {0};
	oq_volume *volume = NULL;
	oq_status status = oq_volume_read(path, NULL, &volume, &err);
	bool refused = code[0] == 'E';
	bool one_line = strstr(err.message, path) && !strchr(err.message, '\n') && !strstr(err.message, "DOE");
	bool good = refused ? status != OQ_OK && !strncmp(err.code, code, strlen(code)) && one_line
		: status == OQ_OK && (code[0] ? oq_notes_has(&volume->notes, code) : volume->notes.count == 0);
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  %s: expected %s, got %s %s%s\n", what, code, status == OQ_OK ? "read" : err.code, status == OQ_OK ? "" : err.message,
			status == OQ_OK && volume->notes.count ? volume->notes.items[0].code : "");
	oq_volume_free(volume);
}

static void check_all(const char *path, const char *head, const bad *cases, size_t count)
{
	for (size_t i = 0; i < count; i++) {
		write_case(path, head, &cases[i]);
		check_read(path, cases[i].code, cases[i].to);
	}
}

/* Other things under these names. */
static void check_impostors(const char *path)
{
	static const struct {
		const char *text, *code;
	} impostors[] = {
		{"", "E_TRUNCATED"}, {"<!DOCTYPE html><html>404</html>", "E_MAGIC"}, {"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 5\n", "E_MAGIC"},
		{"\x89PNG\r\n", "E_MAGIC"}, {"\x1f\x8b\x08", "E_GZ_TRUNCATED"}, {"hello", "E_MAGIC"},
	};
	for (size_t i = 0; i < sizeof impostors / sizeof *impostors; i++) {
		FILE *file = fopen(path, "wb");
		OQ_REQUIRE(file && fputs(impostors[i].text, file) >= 0 && !fclose(file));
		check_read(path, impostors[i].code, impostors[i].text);
	}
}

/* A header without an end must not be searched for one without bound. */
static void check_endless(const char *path, const char *start)
{
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file && fputs(start, file) >= 0);
	for (int i = 0; i < 2 << 20; i++)
		fputc('x', file);
	OQ_REQUIRE(!fclose(file));
	check_read(path, "E_FIELD", "endless");
}

int main(void)
{
	char folder[] = "/tmp/oq_bad_XXXXXX", mha[64], nrrd[64];
	OQ_REQUIRE(mkdtemp(folder) != NULL);
	snprintf(mha, sizeof mha, "%s/case.mha", folder);
	snprintf(nrrd, sizeof nrrd, "%s/case.nrrd", folder);
	check_all(mha, GOOD_MHA, metaimages, sizeof metaimages / sizeof *metaimages);
	check_all(nrrd, GOOD_NRRD, nrrds, sizeof nrrds / sizeof *nrrds);
	check_impostors(mha);
	check_impostors(nrrd);
	check_endless(mha, "NDims = 3\nComment = ");
	check_endless(nrrd, "NRRD0004\n# ");
	unlink(mha);
	unlink(nrrd);
	rmdir(folder);
	return oq_checks_done();
}
