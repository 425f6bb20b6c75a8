/* The hostile NIfTI files that are not stored: made here from one good file by changing a few bytes. Each is refused with its reason code, or
 * read with its warning. Byte offsets are those of the NIfTI-1 header. Values that only look at voxels (NaN, constant) are in formats_bad.c. */
#define _DEFAULT_SOURCE
#include "check.h"

#include "io/volume.h"

#include <unistd.h>
#include <zlib.h>

#define HEADER 352
#define BYTES (HEADER + 1440)

typedef enum kind { I16, I32, F32 } kind;

typedef struct change {
	int offset;
	kind kind;
	double value;
} change;

#define DIM 40
#define DATATYPE 70
#define BITPIX 72
#define PIXDIM 76
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
		save(path, changed, cases[i].bytes ? cases[i].bytes : BYTES);
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
	for (int axis = 1; axis <= 3; axis++)
		put(base + DIM + 2 * axis, I16, 60);
	save(path, packed, gzip_of(base, BYTES, packed, sizeof packed));
	check_read(path, "b93 within what gzip could give, but not there", "E_TRUNCATED");
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
	OQ_REQUIRE(mkdtemp(folder) != NULL);
	snprintf(plain, sizeof plain, "%s/case.nii", folder);
	snprintf(packed, sizeof packed, "%s/case.nii.gz", folder);
	check_changes(plain);
	check_gzip(packed);
	check_nifti2(plain);
	unlink(plain);
	unlink(packed);
	rmdir(folder);
	return oq_checks_done();
}
