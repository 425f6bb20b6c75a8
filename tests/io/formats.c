/* MetaImage and NRRD against SimpleITK: every file of tests/data/io/formats has the voxels and the geometry that SimpleITK reads in it.
 * Then real CTs, saved by this test in every format: all give the patch that the NIfTI file gives, bit for bit. */
#define _DEFAULT_SOURCE
#include "check.h"

#include "core/mem.h"
#include "io/npy.h"
#include "io/patch.h"
#include "io/table.h"

#include <unistd.h>
#include <zlib.h>

#define FORMATS OQ_TEST_DATA "/io/formats/"

/* Relative to the spacing or the origin: both sides do two or three float64 products, so a few units of 2.2e-16 may differ. */
#define GEOMETRY_BAR 2e-15

static void check_voxels(const oq_volume *v, const char *name)
{
	char path[1024];
	oq_npy *npy = NULL;
	oq_error err;
	snprintf(path, sizeof path, FORMATS "%s.npy", name);
	OQ_REQUIRE(oq_npy_open(path, &npy, &err) == OQ_OK);
	OQ_REQUIRE(npy->count == 60);
	float expected[60];
	int different = 0;
	OQ_REQUIRE(oq_npy_read_f32(npy, 0, 60, expected, &err) == OQ_OK);
	oq_npy_close(npy);
	for (int64_t i = 0; i < 60; i++)
		different += oq_volume_hu(v, i % 5, i / 5 % 4, i / 20) != expected[i];
	OQ_CHECK_INT(different, 0);
}

/* line: file, sizes, array, affine, with tabs between. */
static void check_line(char *line)
{
	char file[64], sizes[16], name[8], path[1024];
	int affine_at = 0, before = oq_checks_failed;
	oq_volume *v = NULL;
	oq_error err = {0};
	OQ_REQUIRE(sscanf(line, "%63[^\t]\t%15[^\t]\t%7[^\t]\t%n", file, sizes, name, &affine_at) == 3 && affine_at > 0);
	char *affine = line + affine_at;
	snprintf(path, sizeof path, FORMATS "%s", file);
	OQ_CHECK(oq_volume_read(path, NULL, &v, &err) == OQ_OK);
	if (v) {
		OQ_CHECK_STR(sizes, "5 4 3");
		OQ_CHECK(v->dims[0] == 5 && v->dims[1] == 4 && v->dims[2] == 3);
		check_voxels(v, name);
		for (int i = 0; i < 12; i++) {
			double want = strtod(affine, &affine), scale = i % 4 == 3 ? fabs(want) : v->spacing_mm[i % 4];
			OQ_CHECK_NEAR(v->affine[i / 4][i % 4], want, GEOMETRY_BAR * scale);
		}
	}
	if (oq_checks_failed != before)
		fprintf(stderr, "  %s: %s\n", file, err.message);
	oq_volume_free(v);
}

static int check_parity(void)
{
	char line[2048];
	int count = 0;
	FILE *list = fopen(FORMATS "expected.tsv", "r");
	OQ_REQUIRE(list != NULL);
	for (; fgets(line, sizeof line, list); count++)
		check_line(line);
	fclose(list);
	return count;
}

/* What the writers below save: HU as int16 in file order, with the geometry of the scan in LPS. */
typedef struct scan {
	const oq_volume *from;
	int16_t *hu;
	size_t bytes;
	double lps[3][4];
} scan;

static scan scan_of(const oq_volume *v)
{
	scan s = {.from = v, .bytes = (size_t)(v->dims[0] * v->dims[1] * v->dims[2]) * sizeof(int16_t)};
	s.hu = oq_alloc(s.bytes);
	size_t at = 0;
	for (int64_t k = 0; k < v->dims[2]; k++)
		for (int64_t j = 0; j < v->dims[1]; j++)
			for (int64_t i = 0; i < v->dims[0]; i++)
				s.hu[at++] = (int16_t)oq_volume_hu(v, i, j, k);
	for (int i = 0; i < 3; i++)
		for (int k = 0; k < 4; k++)
			s.lps[i][k] = (i < 2 ? -1 : 1) * v->affine[i][k];
	return s;
}

static void save(const char *folder, const char *name, const char *head, const void *data, size_t bytes)
{
	char path[1024];
	snprintf(path, sizeof path, "%s/%s", folder, name);
	FILE *file = fopen(path, "wb");
	OQ_REQUIRE(file && fwrite(head, 1, strlen(head), file) == strlen(head) && fwrite(data, 1, bytes, file) == bytes && !fclose(file));
}

/* gzip (31) or zlib (15), by the window bits. */
static void *pack(const scan *s, int window, size_t *bytes)
{
	z_stream z = {0};
	size_t room = s->bytes + s->bytes / 100 + 1024;
	void *out = oq_alloc(room);
	OQ_REQUIRE(out && deflateInit2(&z, 1, Z_DEFLATED, window, 8, Z_DEFAULT_STRATEGY) == Z_OK);
	z.next_in = (unsigned char *)s->hu;
	z.avail_in = (uInt)s->bytes;
	z.next_out = out;
	z.avail_out = (uInt)room;
	OQ_REQUIRE(deflate(&z, Z_FINISH) == Z_STREAM_END);
	*bytes = z.total_out;
	deflateEnd(&z);
	return out;
}

static void metaimage_head(const scan *s, bool packed, const char *data_file, char out[1024])
{
	const double *d = s->from->spacing_mm, (*m)[4] = s->lps;
	snprintf(out, 1024,
		"ObjectType = Image\nNDims = 3\nBinaryData = True\nBinaryDataByteOrderMSB = False\nCompressedData = %s\nTransformMatrix = %.17g %.17g %.17g %.17g %.17g "
		"%.17g %.17g %.17g %.17g\nOffset = %.17g %.17g %.17g\nElementSpacing = %.17g %.17g %.17g\nDimSize = %lld %lld %lld\nElementType = MET_SHORT\n"
		"ElementDataFile = %s\n",
		packed ? "True" : "False", m[0][0] / d[0], m[1][0] / d[0], m[2][0] / d[0], m[0][1] / d[1], m[1][1] / d[1], m[2][1] / d[1], m[0][2] / d[2],
		m[1][2] / d[2], m[2][2] / d[2], m[0][3], m[1][3], m[2][3], d[0], d[1], d[2], (long long)s->from->dims[0], (long long)s->from->dims[1],
		(long long)s->from->dims[2], data_file);
}

static void nrrd_head(const scan *s, bool packed, const char *data_line, char out[1024])
{
	const double(*m)[4] = (const double(*)[4])s->lps;
	snprintf(out, 1024,
		"NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: %lld %lld %lld\nspace directions: (%.17g,%.17g,%.17g) "
		"(%.17g,%.17g,%.17g) (%.17g,%.17g,%.17g)\nkinds: domain domain domain\nendian: little\nencoding: %s\nspace origin: (%.17g,%.17g,%.17g)\n%s\n",
		(long long)s->from->dims[0], (long long)s->from->dims[1], (long long)s->from->dims[2], m[0][0], m[1][0], m[2][0], m[0][1], m[1][1], m[2][1],
		m[0][2], m[1][2], m[2][2], packed ? "gzip" : "raw", m[0][3], m[1][3], m[2][3], data_line);
}

static void save_all(const char *folder, const scan *s)
{
	char head[1024];
	size_t zlib_bytes, gzip_bytes;
	void *zlib_data = pack(s, 15, &zlib_bytes), *gzip_data = pack(s, 31, &gzip_bytes);
	metaimage_head(s, false, "LOCAL", head);
	save(folder, "a.mha", head, s->hu, s->bytes);
	metaimage_head(s, true, "LOCAL", head);
	save(folder, "packed.mha", head, zlib_data, zlib_bytes);
	metaimage_head(s, false, "a.raw", head);
	save(folder, "a.mhd", head, "", 0);
	metaimage_head(s, true, "a.zraw", head);
	save(folder, "packed.mhd", head, "", 0);
	nrrd_head(s, false, "", head);
	save(folder, "a.nrrd", head, s->hu, s->bytes);
	nrrd_head(s, true, "", head);
	save(folder, "packed.nrrd", head, gzip_data, gzip_bytes);
	nrrd_head(s, false, "data file: a.raw\n", head);
	save(folder, "a.nhdr", head, "", 0);
	nrrd_head(s, true, "data file: a.raw.gz\n", head);
	save(folder, "packed.nhdr", head, "", 0);
	save(folder, "a.raw", "", s->hu, s->bytes);
	save(folder, "a.zraw", "", zlib_data, zlib_bytes);
	save(folder, "a.raw.gz", "", gzip_data, gzip_bytes);
	oq_free(zlib_data);
	oq_free(gzip_data);
}

static const char *const saved[] = {"a.mha", "packed.mha", "a.mhd", "packed.mhd", "a.nrrd", "packed.nrrd", "a.nhdr", "packed.nhdr"};

#define SIDE 48

static void patch_of(const oq_volume *v, const double seed[3], float *out)
{
	const oq_patch_spec spec = {"SPL", {SIDE, SIDE, SIDE}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false};
	oq_error err;
	OQ_REQUIRE(oq_patch_extract(v, &spec, seed, out, NULL, &err) == OQ_OK);
}

static void check_same_patches(const char *folder, const char *image, const double seed[3])
{
	static float expected[SIDE * SIDE * SIDE], got[SIDE * SIDE * SIDE];
	char path[1024];
	oq_volume *nifti = NULL;
	oq_error err;
	snprintf(path, sizeof path, OQ_TEST_DATA "/%s", image);
	OQ_REQUIRE(oq_volume_read(path, NULL, &nifti, &err) == OQ_OK);
	scan s = scan_of(nifti);
	save_all(folder, &s);
	patch_of(nifti, seed, expected);
	for (size_t i = 0; i < sizeof saved / sizeof *saved; i++) {
		oq_volume *other = NULL;
		int different = 0;
		snprintf(path, sizeof path, "%s/%s", folder, saved[i]);
		bool read = oq_volume_read(path, NULL, &other, &err) == OQ_OK;
		OQ_CHECK(read);
		if (!read) {
			fprintf(stderr, "  %s\n", err.message);
			continue;
		}
		patch_of(other, seed, got);
		for (size_t k = 0; k < sizeof got / sizeof *got; k++)
			different += got[k] != expected[k];
		OQ_CHECK_INT(different, 0);
		if (different)
			fprintf(stderr, "  %s saved as %s\n", image, saved[i]);
		oq_volume_free(other);
	}
	oq_free(s.hu);
	oq_volume_free(nifti);
}

static void clean(const char *folder)
{
	static const char *const data[] = {"a.raw", "a.zraw", "a.raw.gz"};
	char path[1024];
	for (size_t i = 0; i < sizeof saved / sizeof *saved + sizeof data / sizeof *data; i++) {
		snprintf(path, sizeof path, "%s/%s", folder, i < sizeof saved / sizeof *saved ? saved[i] : data[i - sizeof saved / sizeof *saved]);
		unlink(path);
	}
	rmdir(folder);
}

int main(void)
{
	char folder[] = "/tmp/oq_formats_XXXXXX";
	oq_table *table = NULL;
	oq_error err;
	OQ_CHECK_INT(check_parity(), 93);
	OQ_REQUIRE(mkdtemp(folder) != NULL);
	OQ_REQUIRE(oq_table_read(OQ_TEST_DATA "/seeds.csv", &table, &err) == OQ_OK);
	for (int64_t row = 0; row < oq_table_rows(table); row++) {
		double seed[3];
		for (int i = 0; i < 3; i++)
			OQ_REQUIRE(oq_parse_number(oq_table_cell(table, row, oq_table_find(table, i == 0 ? "coordX" : i == 1 ? "coordY" : "coordZ")), &seed[i]));
		check_same_patches(folder, oq_table_cell(table, row, oq_table_find(table, "image_path")), seed);
	}
	oq_table_free(table);
	clean(folder);
	return oq_checks_done();
}
