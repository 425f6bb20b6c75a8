/* The hostile NIfTI files that are not stored: made here from one good file by changing a few bytes. Each is refused with its reason code, or
 * read with its warning. Byte offsets are those of the NIfTI-1 header. Values that only look at voxels (NaN, constant) are in formats_bad.c. */
#define _DEFAULT_SOURCE
#include "check.h"

#include "io/volume.h"

#include <sys/resource.h>
#include <unistd.h>
#include <zlib.h>

#define HEADER 352
#define BYTES (HEADER + 1440)
#define NOTHING SIZE_MAX

typedef enum kind { I16, I32, F32, BYTE } kind;

typedef struct change {
	int offset;
	kind kind;
	double value;
} change;

#define DIM 40
#define DATATYPE 70
#define BITPIX 72
#define PIXDIM 76
#define UNITS 123
#define VOX_OFFSET 108
#define SLOPE 112
#define QFORM 252
#define SFORM 254
#define QUATERN 256
#define SROW 280

static const struct {
	const char *what, *code;
	change changes[8];
	int count;
	size_t bytes; /* of the file; 0 = all */
} cases[] = {
	{"unchanged", "", {{0}}, 0, 0},
	{"b02 one byte short of a header", "E_TRUNCATED", {{0}}, 0, 347},
	{"b05 the size of NIfTI-2", "E_MAGIC", {{0, I32, 540}}, 1, 0},
	{"b08 ANALYZE", "E_NO_ORIENTATION", {{344, I32, 0}}, 1, 0},
	{"b11 dim[0] negative", "E_DIMS", {{DIM, I16, -3}}, 1, 0},
	{"b14 70 TB", "E_TRUNCATED", {{DIM + 2, I16, 32767}, {DIM + 4, I16, 32767}, {DIM + 6, I16, 32767}}, 3, 0},
	{"b20 voxels behind the end", "E_TRUNCATED", {{VOX_OFFSET, F32, 1e6}}, 1, 0},
	{"b29 datatype 9999", "E_DTYPE", {{DATATYPE, I16, 9999}}, 1, 0},
	{"b32 bitpix of another type", "W_BITPIX", {{BITPIX, I16, 8}}, 1, 0},
	{"b35 RGBA", "E_DTYPE", {{DATATYPE, I16, 2304}}, 1, 0},
	{"b44 slope NaN", "E_SCALE", {{SLOPE, F32, NAN}}, 1, 0},
	{"b47 slope -1", "W_SCALE_NEG", {{SLOPE, F32, -1}}, 1, 0},
	{"b41 some NaN", "E_NONFINITE", {{DATATYPE, I16, 16}, {BITPIX, I16, 32}, {DIM + 6, I16, 5}, {HEADER, F32, NAN}, {HEADER + 40, F32, NAN}}, 5, 0},
	{"b59 metres", "W_UNITS", {{PIXDIM + 4, F32, 7e-4}, {PIXDIM + 8, F32, 7e-4}, {PIXDIM + 12, F32, 2.5e-3}, {SFORM, I16, 0}, {UNITS, BYTE, 1}}, 5, 0},
	{"b90 nothing at all", "E_TRUNCATED", {{0}}, 0, NOTHING},
	{"b53 pixdim 0", "E_SPACING", {{PIXDIM + 12, F32, 0}}, 1, 0},
	{"b56 pixdim infinite", "E_SPACING", {{PIXDIM + 4, F32, INFINITY}}, 1, 0},
	{"b62 qform 1, another sform 2", "W_QS_MISMATCH", {{SFORM, I16, 2}, {SROW + 12, F32, 500}}, 2, 0},
	{"b62d qform 2, another sform 1", "W_QS_MISMATCH", {{QFORM, I16, 2}, {SROW + 12, F32, 500}}, 2, 0},
	{"b65 sform NaN", "E_AFFINE_NONFINITE", {{SROW + 4, F32, NAN}}, 1, 0},
	{"b66c tilt in the sform, none in the qform", "E_SHEAR", {{SROW + 24, F32, 0.9}}, 1, 0},
	{"b69 quaternion NaN", "E_AFFINE_NONFINITE", {{QUATERN, F32, NAN}}, 1, 0},
	{"b72 codes 99 and -4", "E_XFORM_CODE", {{QFORM, I16, 99}, {SFORM, I16, -4}}, 2, 0},
	{"b75 one slice", "W_THIN", {{DIM + 6, I16, 1}}, 1, HEADER + 144},
	{"b78 one voxel", "W_THIN", {{DIM + 2, I16, 1}, {DIM + 4, I16, 1}, {DIM + 6, I16, 1}}, 3, HEADER + 2},
	{"b81 bytes behind the voxels", "W_TRAILING", {{DIM + 6, I16, 9}}, 1, 0},
	{"b23 voxels at an odd byte", "W_TRAILING", {{VOX_OFFSET, F32, 353}, {DIM + 6, I16, 9}}, 2, 0},
	{"b26 an extension of 2 GB", "W_EXTENSION", {{348, I32, 1}, {352, I32, 2147483647}, {VOX_OFFSET, F32, 368}, {DIM + 6, I16, 9}}, 4, 0},
	{"b38 large int64", "E_HU_RANGE", {{DATATYPE, I16, 1024}, {BITPIX, I16, 64}, {DIM + 6, I16, 2}}, 3, 0},
	{"b96 DICOM", "E_MAGIC", {{0, I32, 0}, {128, I32, 0x4d434944}}, 2, 0},
	{"a single byte", "E_TRUNCATED", {{0}}, 0, 1},
};

static void put(unsigned char *at, kind k, double value)
{
	int16_t small = k == I16 ? (int16_t)value : (int16_t)0;
	int32_t whole = k == I32 ? (int32_t)value : 0;
	float real = (float)value;
	if (k == BYTE)
		*at = (unsigned char)value;
	else
		memcpy(at, k == I16 ? (const void *)&small : k == I32 ? (const void *)&whole : (const void *)&real, k == I16 ? 2 : 4);
}

static void read_base(unsigned char out[BYTES])
{
	FILE *file = fopen(OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii", "rb");
	OQ_REQUIRE(file && fread(out, 1, BYTES, file) == BYTES && fgetc(file) == EOF);
	fclose(file);
}

static void save(const char *path, const void *data, size_t bytes)
{
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

static void check_read(const char *path, const char *what, const char *code)
{
	oq_error err = {0};
	oq_volume *volume = NULL;
	oq_status status = oq_volume_read(path, NULL, &volume, &err);
	bool good = code[0] == 'E' ? status != OQ_OK && !strcmp(err.code, code) && strstr(err.message, path)
		: status == OQ_OK && (code[0] ? oq_notes_has(&volume->notes, code) : volume->notes.count == 0);
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  %s: expected %s, got %s %s\n", what, code, status == OQ_OK ? "read" : err.code, status == OQ_OK ? "" : err.message);
	oq_volume_free(volume);
}

static void check_changes(const char *path)
{
	unsigned char base[BYTES], changed[BYTES];
	read_base(base);
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		memcpy(changed, base, BYTES);
		for (int c = 0; c < cases[i].count; c++)
			put(changed + cases[i].changes[c].offset, cases[i].changes[c].kind, cases[i].changes[c].value);
		save(path, changed, cases[i].bytes == NOTHING ? 0 : cases[i].bytes ? cases[i].bytes : BYTES);
		check_read(path, cases[i].what, cases[i].code);
	}
}

static size_t gzip_of(const unsigned char *data, size_t bytes, unsigned char *out, size_t room)
{
	z_stream z = {0};
	unsigned char copy[BYTES];
	OQ_REQUIRE(bytes <= BYTES && deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
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

/* b17, b84, b87, b93: what only a compressed file can do. */
static void check_gzip(const char *path)
{
	unsigned char base[BYTES], packed[2 * BYTES];
	read_base(base);
	size_t n = gzip_of(base, 700, packed, sizeof packed);
	n += gzip_of(base + 700, BYTES - 700, packed + n, sizeof packed - n);
	save(path, packed, n);
	check_read(path, "b87 two members", "");
	n = gzip_of(base, BYTES, packed, sizeof packed);
	packed[n - 4] ^= 1;
	save(path, packed, n);
	check_read(path, "b84 length is wrong", "E_GZ_SIZE");
	for (int axis = 1; axis <= 3; axis++)
		put(base + DIM + 2 * axis, I16, axis == 3 ? 200 : 3200);
	save(path, packed, gzip_of(base, BYTES, packed, sizeof packed));
	check_read(path, "b17 4 GB declared", "E_TRUNCATED");
	save(path, packed, 0);
	check_read(path, "b90 nothing at all, named .gz", "E_TRUNCATED");
	for (int axis = 1; axis <= 3; axis++)
		put(base + DIM + 2 * axis, I16, 60);
	save(path, packed, gzip_of(base, BYTES, packed, sizeof packed));
	check_read(path, "b93 within what gzip could give, but not there", "E_TRUNCATED");
}

/* b50: one value everywhere. */
static void check_constant(const char *path)
{
	unsigned char base[BYTES];
	read_base(base);
	for (int i = HEADER; i < BYTES; i += 2)
		put(base + i, I16, -1024);
	save(path, base, BYTES);
	check_read(path, "b50 constant", "W_CONSTANT");
}

static double lowest(const oq_volume *v)
{
	double range[2];
	oq_volume_range(v, 0, v->dims[2], range);
	return range[0];
}

static oq_volume *read_as(const char *path, const oq_volume_options *options, const char *code)
{
	oq_error err = {0};
	oq_volume *volume = NULL;
	oq_status status = oq_volume_read(path, options, &volume, &err);
	bool good = code[0] == 'E' ? status != OQ_OK && !strcmp(err.code, code) : status == OQ_OK && (!code[0] || oq_notes_has(&volume->notes, code));
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  expected %s, got %s\n", code, status == OQ_OK ? "read" : err.message);
	return volume;
}

/* What is refused by default and read when asked for: b41, b61, b66, b76. */
static void check_options(const char *path)
{
	unsigned char base[BYTES], file[BYTES];
	read_base(base);
	memcpy(file, base, BYTES);
	put(file + QFORM, I16, 0);
	put(file + SFORM, I16, 0);
	save(path, file, BYTES);
	oq_volume *v = read_as(path, &(oq_volume_options){.assume_orientation = true}, "W_ORIENTATION");
	OQ_CHECK(v && v->affine[0][0] == -v->spacing_mm[0] && v->affine[1][1] == -v->spacing_mm[1] && v->affine[2][2] == v->spacing_mm[2] && v->affine[0][3] == 0);
	oq_volume_free(v);

	memcpy(file, base, BYTES);
	put(file + QFORM, I16, 0);
	put(file + SROW + 24, F32, 0.7); /* z moves the slice along y as well; the column's length stays within the tolerance */
	put(file + SROW + 40, F32, 2.4);
	save(path, file, BYTES);
	oq_volume_free(read_as(path, NULL, "E_SHEAR"));
	v = read_as(path, &(oq_volume_options){.allow_shear = true}, "W_SHEAR");
	double ras[3], back[3];
	if (v) {
		oq_volume_to_ras(v, (const double[3]){1, 2, 3}, ras);
		oq_volume_from_ras(v, ras, back);
		OQ_CHECK_NEAR(back[0], 1, 1e-12);
		OQ_CHECK_NEAR(back[1], 2, 1e-12);
		OQ_CHECK_NEAR(back[2], 3, 1e-12);
	}
	oq_volume_free(v);

	/* Five floats more than the int16 file had room for are left out: 8 x 9 x 5. */
	memcpy(file, base, BYTES);
	put(file + DATATYPE, I16, 16);
	put(file + BITPIX, I16, 32);
	put(file + DIM + 6, I16, 5);
	for (int i = 0; i < 360; i++)
		put(file + HEADER + 4 * i, F32, i % 7 ? (double)(i - 100) : (double)(i % 2 ? INFINITY : NAN));
	save(path, file, BYTES);
	v = read_as(path, &(oq_volume_options){.nonfinite_as_air = true}, "W_NONFINITE");
	OQ_CHECK(v && oq_volume_hu(v, 0, 0, 0) == -1024 && oq_volume_hu(v, 7, 0, 0) == -1024 && oq_volume_hu(v, 1, 0, 0) == -99 && lowest(v) == -1024);
	OQ_CHECK(v && strstr(v->notes.items[v->notes.count - 1].text, "52 voxels"));
	oq_volume_free(v);
	for (int i = 0; i < 360; i++)
		put(file + HEADER + 4 * i, F32, NAN);
	save(path, file, BYTES);
	oq_volume_free(read_as(path, &(oq_volume_options){.nonfinite_as_air = true}, "E_NONFINITE"));
}

/* Volumes of a 4-D file, plain and gzip, each the voxels it is said to be. */
static void check_volumes(const char *plain, const char *packed)
{
	unsigned char file[BYTES], gz[2 * BYTES];
	read_base(file);
	put(file + DIM, I16, 4);
	put(file + DIM + 6, I16, 2);
	put(file + DIM + 8, I16, 5);
	save(plain, file, BYTES);
	size_t n = gzip_of(file, BYTES, gz, sizeof gz);
	save(packed, gz, n);
	oq_volume_free(read_as(plain, NULL, "E_4D"));
	for (int which = 1; which <= 5; which++)
		for (int p = 0; p < 2; p++) {
			int16_t want;
			memcpy(&want, file + HEADER + 2 * (144 * (which - 1) + 100), 2);
			oq_volume *v = read_as(p ? packed : plain, &(oq_volume_options){.volume = which}, "");
			OQ_CHECK(v && v->notes.count == 0 && oq_volume_hu(v, 100 % 8, 100 / 8 % 9, 100 / 72) == want);
			oq_volume_free(v);
		}
	oq_volume_free(read_as(plain, &(oq_volume_options){.volume = 6}, "E_4D"));
	/* A volume that is there in a file that lacks another is not read either. */
	save(plain, file, BYTES - 10);
	oq_volume_free(read_as(plain, &(oq_volume_options){.volume = 1}, "E_TRUNCATED"));
	gz[n - 6] ^= 1;
	save(packed, gz, n);
	oq_volume_free(read_as(packed, &(oq_volume_options){.volume = 1}, "E_GZ_CRC"));
}

/* A name takes the path's place in every message. */
static void check_names(const char *path)
{
	unsigned char base[BYTES];
	oq_error err = {0};
	oq_volume *v = NULL;
	read_base(base);
	for (size_t bytes = 0; bytes < BYTES; bytes += 347) {
		save(path, base, bytes);
		OQ_CHECK(oq_volume_read(path, &(oq_volume_options){.name = "scan"}, &v, &err) != OQ_OK && !strstr(err.message, "case") && !strncmp(err.message, "scan: ", 6));
	}
	OQ_CHECK(oq_volume_read("/tmp/DOE^JANE.nii", &(oq_volume_options){.name = "scan"}, &v, &err) != OQ_OK && !strstr(err.message, "DOE"));
	OQ_CHECK(oq_volume_read(OQ_TEST_DATA "/nifti_bad/pair_missing_img.hdr", &(oq_volume_options){.name = "scan"}, &v, &err) != OQ_OK
		&& !strstr(err.message, "pair_missing"));
}

/* Nothing of all this took memory for what a header declares: the rule is 64 MB over the baseline. */
static void check_memory(long before_kb)
{
	struct rusage use;
	OQ_REQUIRE(getrusage(RUSAGE_SELF, &use) == 0);
	OQ_CHECK(use.ru_maxrss - before_kb < 64 * 1024);
}

static void put64(unsigned char *at, int64_t value)
{
	memcpy(at, &value, 8);
}

/* NIfTI-2, from a stored file whose only fault is its vox_offset. */
static void check_nifti2(const char *path)
{
	unsigned char file[4096];
	FILE *from = fopen(OQ_TEST_DATA "/nifti_bad/n2_05_voxoff_neg.nii", "rb");
	OQ_REQUIRE(from != NULL);
	size_t n = fread(file, 1, sizeof file, from);
	fclose(from);
	put64(file + 168, 544);
	save(path, file, n);
	check_read(path, "n2_00 good", "");
	put64(file + 168, (int64_t)1 << 62);
	save(path, file, n);
	check_read(path, "n2_06 vox_offset 2^62", "E_OFFSET");
	put64(file + 168, 544);
	put64(file + 24, (int64_t)1 << 62);
	save(path, file, n);
	check_read(path, "n2_03 dim 2^62", "E_OVERFLOW");
}

int main(void)
{
	char folder[] = "/tmp/oq_made_XXXXXX", plain[64], packed[64];
	struct rusage use;
	OQ_REQUIRE(mkdtemp(folder) != NULL && getrusage(RUSAGE_SELF, &use) == 0);
	snprintf(plain, sizeof plain, "%s/case.nii", folder);
	snprintf(packed, sizeof packed, "%s/case.nii.gz", folder);
	check_changes(plain);
	check_gzip(packed);
	check_nifti2(plain);
	check_constant(plain);
	check_options(plain);
	check_volumes(plain, packed);
	check_names(plain);
	check_memory(use.ru_maxrss);
	unlink(plain);
	unlink(packed);
	rmdir(folder);
	return oq_checks_done();
}
