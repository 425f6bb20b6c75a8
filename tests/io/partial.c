/* Scans read slice by slice, where patches need them: the same bits and the same judgement in every format and for any number of threads, no more
 * bytes than the slices have, and an error when the file shrinks meanwhile. usage: partial WORK-PREFIX */
#define _DEFAULT_SOURCE
#include "check.h"
#include "nifti_header.h"

#include "core/mem.h"
#include "io/patch.h"

#include <pthread.h>
#include <unistd.h>
#include <zlib.h>

#define N 64           /* voxels along i and j */
#define SLICES 200
#define PLANE (N * N)
#define SIZE 12
#define NEAR_SLICE 20  /* of the seed; the patch needs about SIZE slices around it */
#define FAR_SLICE 170
#define TEXT_MOST (1 << 20) /* of a file whose header is text that much is read to find its end */

static const oq_patch_spec spec = {"LPS", {SIZE, SIZE, SIZE}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false};
static const double seed[3] = {20, 20, NEAR_SLICE}, far_seed[3] = {20, 20, FAR_SLICE};

static float value_at(int i, int j, int k)
{
	return (float)((i * 7 + j * 13 + k * 29) % 900 - 500);
}

static float voxels[PLANE * SLICES];

static void fill(void)
{
	for (int v = 0; v < PLANE * SLICES; v++)
		voxels[v] = value_at(v % N, v / N % N, v / PLANE);
}

static const struct {
	const char *name, *header;
	bool gzip, swapped;
} files[] = {
	{"raw.nrrd", "encoding: raw\nendian: little", false, false},
	{"gzip.nrrd", "encoding: gzip\nendian: little", true, false},
	{"big.nrrd", "encoding: raw\nendian: big", false, true},
	{"raw.mha", "ElementByteOrderMSB = False\nCompressedData = False", false, false},
	{"packed.mha", "ElementByteOrderMSB = False\nCompressedData = True", true, false},
	{"plain.nii", NULL, false, false},
	{"packed.nii.gz", NULL, true, false},
};
#define FILES ((int)(sizeof files / sizeof *files))

static size_t own_header(unsigned char h[352])
{
	static const int16_t dim[8] = {3, N, N, SLICES, 1, 1, 1, 1}, type[2] = {16, 32};
	return nifti_header(h, dim, type);
}

static size_t text_header(int f, char text[600])
{
	const char *nrrd = "NRRD0004\ntype: float\ndimension: 3\nsizes: %d %d %d\nspace: LPS\nspace directions: (1,0,0) (0,1,0) (0,0,1)\nspace origin: (0,0,0)\n%s\n\n";
	const char *meta = "NDims = 3\nDimSize = %d %d %d\nElementType = MET_FLOAT\nElementSpacing = 1 1 1\nOffset = 0 0 0\nTransformMatrix = 1 0 0 0 1 0 0 0 1\n%s\n"
		"ElementDataFile = LOCAL\n";
	return (size_t)snprintf(text, 600, strstr(files[f].name, ".nrrd") ? nrrd : meta, N, N, SLICES, files[f].header);
}

static void write_packed(const char *path, const void *header, size_t bytes, const void *data)
{
	/* a NIfTI file is gzip as a whole, the others' voxels alone */
	bool whole = strstr(path, ".nii") != NULL;
	FILE *plain = whole ? NULL : fopen(path, "wb");
	if (plain)
		OQ_REQUIRE(fwrite(header, 1, bytes, plain) == bytes && !fclose(plain));
	gzFile packed = gzopen(path, plain ? "ab1" : "wb1");
	OQ_REQUIRE(packed && (plain || gzwrite(packed, header, (unsigned)bytes) == (int)bytes) && gzwrite(packed, data, sizeof voxels) == (int)sizeof voxels
		&& gzclose(packed) == Z_OK);
}

static void write_file(int f, const char *path)
{
	static unsigned char data[sizeof voxels];
	unsigned char header[600];
	size_t bytes = files[f].header ? text_header(f, (char *)header) : own_header(header);
	memcpy(data, voxels, sizeof voxels);
	for (size_t i = 0; files[f].swapped && i < sizeof voxels; i++)
		data[i] = ((const unsigned char *)voxels)[i ^ 3];
	if (files[f].gzip) {
		write_packed(path, header, bytes, data);
		return;
	}
	FILE *out = fopen(path, "wb");
	OQ_REQUIRE(out && fwrite(header, 1, bytes, out) == bytes && fwrite(data, 1, sizeof voxels, out) == sizeof voxels && !fclose(out));
}

/* Bytes that this process has read so far; -1 where that cannot be told. */
static long long bytes_read(void)
{
	long long bytes = -1;
	FILE *io = fopen("/proc/self/io", "r");
	if (io && fscanf(io, "rchar: %lld", &bytes) != 1)
		bytes = -1;
	if (io)
		fclose(io);
	return bytes;
}

static oq_volume *open_volume(const char *path, const oq_volume_options *options)
{
	oq_error err = {0};
	oq_volume *volume = NULL;
	if (oq_volume_open(path, options, &volume, &err) != OQ_OK)
		fprintf(stderr, "  %s\n", err.message);
	OQ_REQUIRE(volume != NULL);
	return volume;
}

static void expect_patch(const oq_volume *volume, const double at[3], const float *expected, const char *code)
{
	float patch[SIZE * SIZE * SIZE];
	oq_error err = {0};
	oq_patch_info info;
	oq_status status = oq_patch_extract(volume, &spec, at, patch, &info, &err);
	OQ_CHECK_STR(err.code, code);
	OQ_CHECK((status == OQ_OK) == !code[0]);
	if (status == OQ_OK && expected) {
		OQ_CHECK(!memcmp(patch, expected, sizeof patch));
		OQ_CHECK(info.slices[0] >= NEAR_SLICE - SIZE / 2 - 2 && info.slices[1] <= NEAR_SLICE + SIZE / 2 + 3);
	}
}

typedef struct sharer {
	const oq_volume *volume;
	const float *near_patch, *far_patch;
} sharer;

static void *cut_patches(void *context)
{
	const sharer *s = context;
	size_t wrong = 0;
	for (int i = 0; i < 8; i++) {
		float patch[SIZE * SIZE * SIZE];
		const float *right = i % 2 ? s->far_patch : s->near_patch;
		wrong += oq_patch_extract(s->volume, &spec, i % 2 ? far_seed : seed, patch, NULL, NULL) != OQ_OK || memcmp(patch, right, sizeof patch) != 0;
	}
	return (void *)wrong;
}

/* Eight threads of POSIX, not OpenMP's, whose barriers ThreadSanitizer does not see. */
static void share(const oq_volume *volume, const float *near_patch, const float *far_patch)
{
	pthread_t threads[8];
	sharer s = {volume, near_patch, far_patch};
	for (int i = 0; i < 8; i++)
		OQ_REQUIRE(pthread_create(&threads[i], NULL, cut_patches, &s) == 0);
	for (int i = 0; i < 8; i++) {
		void *wrong;
		OQ_REQUIRE(pthread_join(threads[i], &wrong) == 0);
		OQ_CHECK(wrong == NULL);
	}
}

/* The same patch from a part of the file as from all of it, and hardly more bytes read than that part has. */
static void test_part(int f, const char *path)
{
	float expected[SIZE * SIZE * SIZE];
	oq_error err = {0};
	oq_volume *whole = NULL;
	OQ_REQUIRE(oq_volume_read(path, NULL, &whole, &err) == OQ_OK && oq_patch_extract(whole, &spec, seed, expected, NULL, &err) == OQ_OK);
	OQ_CHECK(whole->notes.count == 0);
	oq_volume_free(whole);
	long long before = bytes_read();
	oq_volume *part = open_volume(path, NULL);
	expect_patch(part, seed, expected, "");
	long long used = bytes_read() - before;
	if (before >= 0 && !files[f].gzip)
		OQ_CHECK(used > 4LL * PLANE * SIZE && used < 4LL * PLANE * (SIZE + 6) + (files[f].header ? TEXT_MOST : 0));
	before = bytes_read();
	expect_patch(part, seed, expected, ""); /* is there by now */
	OQ_CHECK(bytes_read() - before < 1000);
	oq_volume_free(part);
	oq_volume *shared = open_volume(path, NULL);
	float reference[SIZE * SIZE * SIZE];
	OQ_REQUIRE(oq_patch_extract(shared, &spec, far_seed, reference, NULL, &err) == OQ_OK);
	oq_volume_free(shared);
	shared = open_volume(path, NULL);
	share(shared, expected, reference);
	oq_volume_free(shared);
}

static bool untouched(const oq_volume *volume, int64_t first, int64_t end)
{
	const unsigned char *bytes = volume->voxels;
	for (int64_t i = first * 4 * PLANE; i < end * 4 * PLANE; i++)
		if (bytes[i] != 0x5a)
			return false;
	return true;
}

/* Packed: one pass for all that was announced, which keeps nothing else; another one for what was not. Its bytes are the same. */
static void test_passes(int f, const char *path)
{
	if (!files[f].gzip)
		return;
	oq_error err = {0};
	const int64_t none[3] = {0};
	float expected[SIZE * SIZE * SIZE];
	oq_volume *volume = open_volume(path, NULL);
	expect_patch(volume, seed, NULL, "");
	OQ_REQUIRE(oq_patch_extract(volume, &spec, seed, expected, NULL, &err) == OQ_OK);
	oq_volume_free(volume);
	volume = open_volume(path, NULL);
	memset(volume->voxels, 0x5a, sizeof voxels);
	oq_patch_want(volume, &spec, seed, none);
	oq_volume_want(volume, SLICES - 1, SLICES);
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_OK && volume->notes.count == 0);
	OQ_CHECK(untouched(volume, 0, NEAR_SLICE - SIZE / 2 - 2) && untouched(volume, NEAR_SLICE + SIZE / 2 + 3, SLICES - 1));
	long long before = bytes_read();
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_OK); /* once */
	expect_patch(volume, seed, expected, "");
	OQ_CHECK(bytes_read() - before < 1000);
	OQ_CHECK(oq_volume_need(volume, SLICES - 1, SLICES, &err) == OQ_OK);
	OQ_CHECK(oq_volume_hu(volume, 5, 6, SLICES - 1) == value_at(5, 6, SLICES - 1));
	before = bytes_read();
	expect_patch(volume, far_seed, NULL, ""); /* nobody said so */
	OQ_CHECK(before < 0 || bytes_read() - before > 1000);
	expect_patch(volume, seed, expected, "");
	OQ_CHECK(untouched(volume, 0, NEAR_SLICE - SIZE / 2 - 2) && untouched(volume, NEAR_SLICE + SIZE / 2 + 3, FAR_SLICE - SIZE / 2 - 2));
	oq_volume_free(volume);
}

/* A NaN in one slice: patches that do not need it are as before, those that do are refused; or it is air, and counted where it is. */
static void test_values(int f, const char *path)
{
	oq_error err = {0};
	oq_notes notes = {0};
	float expected[SIZE * SIZE * SIZE];
	oq_volume *volume = open_volume(path, NULL);
	OQ_REQUIRE(oq_patch_extract(volume, &spec, seed, expected, NULL, &err) == OQ_OK);
	oq_volume_free(volume);
	voxels[FAR_SLICE * PLANE] = NAN;
	write_file(f, path);
	volume = open_volume(path, NULL);
	expect_patch(volume, seed, expected, "");
	expect_patch(volume, far_seed, NULL, "E_NONFINITE");
	expect_patch(volume, seed, expected, "");
	oq_volume_free(volume);
	OQ_CHECK(oq_volume_read(path, NULL, &volume, &err) != OQ_OK && !strcmp(err.code, "E_NONFINITE") && strstr(err.message, ": 1 voxels"));
	volume = open_volume(path, &(oq_volume_options){.nonfinite_as_air = true});
	expect_patch(volume, far_seed, NULL, "");
	OQ_CHECK(oq_volume_judge(volume, FAR_SLICE - 3, FAR_SLICE + 3, &notes, &err) == OQ_OK && notes.count == 1 && oq_notes_has(&notes, "W_NONFINITE"));
	OQ_CHECK(oq_volume_hu(volume, 0, 0, FAR_SLICE) == -1024);
	oq_notes_free(&notes);
	oq_volume_free(volume);
	for (int i = 0; i < PLANE; i++) /* a whole slice: air, unless nothing else is there */
		voxels[FAR_SLICE * PLANE + i] = i % 2 ? NAN : INFINITY;
	write_file(f, path);
	volume = open_volume(path, &(oq_volume_options){.nonfinite_as_air = true});
	OQ_REQUIRE(oq_volume_need(volume, FAR_SLICE - 1, FAR_SLICE + 2, &err) == OQ_OK);
	OQ_CHECK(oq_volume_judge(volume, FAR_SLICE - 1, FAR_SLICE + 2, NULL, &err) == OQ_OK);
	OQ_CHECK(oq_volume_judge(volume, FAR_SLICE, FAR_SLICE + 1, NULL, &err) != OQ_OK && !strcmp(err.code, "E_NONFINITE"));
	oq_volume_free(volume);
	fill();
	voxels[NEAR_SLICE * PLANE + 5] = 3e8f;
	write_file(f, path);
	volume = open_volume(path, NULL);
	expect_patch(volume, far_seed, NULL, "");
	expect_patch(volume, seed, NULL, "E_HU_RANGE");
	oq_volume_free(volume);
	fill();
}

/* Packed data is decoded to its end, whatever is wanted of it: damage anywhere is an error of the scan, with its name in place of its path. */
static void test_damage(int f, const char *path)
{
	if (!files[f].gzip)
		return;
	oq_error err = {0};
	oq_volume *volume = open_volume(path, &(oq_volume_options){.name = "scan"});
	FILE *file = fopen(path, "r+b");
	OQ_REQUIRE(file && !fseek(file, -8, SEEK_END)); /* the checksum */
	int sum = fgetc(file);
	OQ_REQUIRE(!fseek(file, -8, SEEK_END) && fputc(sum ^ 1, file) != EOF && !fclose(file));
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_E_INPUT && !strcmp(err.code, "E_GZ_CRC") && !strncmp(err.message, "scan: checksum", 14));
	expect_patch(volume, seed, NULL, "E_GZ_CRC");
	OQ_REQUIRE(truncate(path, 60000) == 0);
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TRUNCATED") && !strstr(err.message, path));
	oq_volume_free(volume);
	volume = open_volume(path, NULL);
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_E_INPUT && !strcmp(err.code, "E_GZ_TRUNCATED"));
	oq_volume_free(volume);
	write_file(f, path);
	file = fopen(path, "ab");
	OQ_REQUIRE(file && fputs("more", file) > 0 && !fclose(file));
	volume = open_volume(path, NULL);
	OQ_CHECK(oq_volume_unpack(volume, &err) == OQ_OK && volume->notes.count == 1 && oq_notes_has(&volume->notes, "W_TRAILING"));
	oq_volume_free(volume);
	write_file(f, path);
}

/* Cut after opening: an error with the scan's name in place of its path, no signal, and never zeros; what was read before stays good. */
static void test_shrinking(int f, const char *path)
{
	if (files[f].gzip)
		return;
	oq_error err = {0};
	float patch[SIZE * SIZE * SIZE];
	oq_volume *volume = open_volume(path, &(oq_volume_options){.name = "scan"});
	expect_patch(volume, seed, NULL, "");
	OQ_REQUIRE(truncate(path, 4L * PLANE * FAR_SLICE) == 0);
	OQ_CHECK(oq_patch_extract(volume, &spec, far_seed, patch, NULL, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TRUNCATED"));
	OQ_CHECK(!strncmp(err.message, "scan: ends at byte ", 19) && !strstr(err.message, path));
	expect_patch(volume, seed, NULL, "");
	oq_volume_free(volume);
	OQ_CHECK(oq_volume_open(path, NULL, &volume, &err) == OQ_E_INPUT && !strcmp(err.code, "E_TRUNCATED")); /* sizes come first */
	write_file(f, path);
}

int main(int argc, char **argv)
{
	char path[1000];
	OQ_REQUIRE(argc == 2);
	fill();
	for (int f = 0; f < FILES; f++) {
		snprintf(path, sizeof path, "%s%s", argv[1], files[f].name);
		write_file(f, path);
		test_part(f, path);
		test_passes(f, path);
		test_damage(f, path);
		test_values(f, path);
		write_file(f, path);
		test_shrinking(f, path);
		unlink(path);
	}
	return oq_checks_done();
}
