/* Scans on a network drive: reads that give less than was asked for or are interrupted give the same patches, and one whose file handle has gone stale is an
 * error that names the scan and the reason, after which the same volume can be read again (row S7 of the project's list of bad inputs). */
#define _GNU_SOURCE
#include "check.h"

#include "io/patch.h"

#include <errno.h>
#include <unistd.h>

#define SIZE 4
#define FLOATS (SIZE * SIZE * SIZE)

static const oq_patch_spec spec = {"LPS", {SIZE, SIZE, SIZE}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false};
static const double seed[3] = {1, 2, 3};

static bool stormy;
static long calls, stale_at; /* the call that finds its handle stale; 0: none */

ssize_t __real_pread64(int fd, void *buffer, size_t bytes, off_t offset);
ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset);

ssize_t __wrap_pread64(int fd, void *buffer, size_t bytes, off_t offset)
{
	calls++;
	if (calls == stale_at || (stormy && calls % 3 == 0)) {
		errno = calls == stale_at ? ESTALE : EINTR;
		return -1;
	}
	size_t most = (size_t)(1 + calls % 7);
	return __real_pread64(fd, buffer, stormy && bytes > most ? most : bytes, offset);
}

static oq_status cut(oq_volume **volume, const char *path, float patch[FLOATS], oq_error *err)
{
	*volume = NULL;
	OQ_TRY(oq_volume_open(path, &(oq_volume_options){.name = "scan"}, volume, err));
	oq_patch_want(*volume, &spec, seed, (const int64_t[3]){0});
	OQ_TRY(oq_volume_unpack(*volume, err));
	return oq_patch_extract(*volume, &spec, seed, patch, NULL, err);
}

static void test_file(const char *path)
{
	float expected[FLOATS], patch[FLOATS];
	oq_error err = {0};
	oq_volume *volume;
	calls = 0;
	OQ_REQUIRE(cut(&volume, path, expected, &err) == OQ_OK);
	oq_volume_free(volume);
	long count = calls;
	stormy = true;
	OQ_CHECK(cut(&volume, path, patch, &err) == OQ_OK && !memcmp(patch, expected, sizeof patch));
	OQ_CHECK(calls - count > 20);
	oq_volume_free(volume);
	stormy = false;
	int failed = 0;
	for (long n = 1; n <= count; n++) {
		calls = 0;
		stale_at = n;
		oq_status status = cut(&volume, path, patch, &err);
		stale_at = 0;
		failed += status != OQ_OK; /* not where ISA-L met it: zlib reads again */
		if (status != OQ_OK) {
			OQ_CHECK_INT(status, OQ_E_RESOURCE);
			OQ_CHECK_STR(err.code, "E_IO");
			const char *after = strstr(err.message, ": cannot be read: ");
			OQ_CHECK(!strncmp(err.message, "scan: ", 6) || !strncmp(err.message, "data file: ", 11));
			OQ_CHECK(after && strstr(after, strerror(ESTALE)) && !strstr(err.message, path));
		}
		if (volume)
			OQ_CHECK(oq_patch_extract(volume, &spec, seed, patch, NULL, &err) == OQ_OK && !memcmp(patch, expected, sizeof patch));
		oq_volume_free(volume);
	}
	OQ_CHECK(count > 2 && failed > 1);
}

int main(void)
{
	test_file(OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii");
	test_file(OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz");
	test_file(OQ_TEST_DATA "/nifti_bad/pair_ok.hdr");
	return oq_checks_done();
}
