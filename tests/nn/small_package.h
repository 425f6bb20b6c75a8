/* Small packages that tests of the engine write for themselves, in a folder below /tmp that goes with them, and what they are filled with.
 * To be included once by a test program: folder and random numbers are its own. */
#ifndef OQ_TESTS_SMALL_PACKAGE_H
#define OQ_TESTS_SMALL_PACKAGE_H

#include "check.h"

#include "core/dtype.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/package.h"
#include "core/safetensors.h"
#include "core/sha256.h"

#include <sys/stat.h>
#include <unistd.h>

static char folder[32];
static uint64_t random_state = 1;

static inline uint64_t random_next(void)
{
	return random_state = random_state * 6364136223846793005u + 1442695040888963407u;
}

/* From -1 to below 1. */
static inline float random_float(void)
{
	return (float)(random_next() >> 40) * 0x1p-23f - 1.0f;
}

/* Calibration patch `index`: a pattern from -1 to below 1. */
static inline void fill_patch(int64_t index, float *patch, int64_t voxels)
{
	for (int64_t i = 0; i < voxels; i++)
		patch[i] = (float)((i * 37 + index * 101 + i * i % (7 + index)) % 64) / 32.0f - 1.0f;
}

static inline void make_folder(void)
{
	snprintf(folder, sizeof folder, "/tmp/oq_test_XXXXXX"); /* mkdtemp's pattern */
	OQ_REQUIRE(mkdtemp(folder) != NULL);
}

/* One of four buffers. */
static inline const char *in_folder(const char *name)
{
	static char paths[4][128];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", folder, name);
	return path;
}

/* A file of a package; `name` "" is the folder itself. */
static inline const char *in_package(const char *name, const char *file)
{
	char path[96];
	snprintf(path, sizeof path, "%s%s%s", name, *name ? "/" : "", file);
	return in_folder(path);
}

typedef struct small_tensor {
	const char *name;
	oq_dtype dtype;
	int rank;
	int64_t shape[5];
	const void *data;
} small_tensor;

static inline size_t small_tensor_bytes(const small_tensor *t)
{
	size_t bytes = oq_dtype_size(t->dtype);
	for (int i = 0; i < t->rank; i++)
		bytes *= (size_t)t->shape[i];
	return bytes;
}

/* `members`: of model.json, each with a comma behind it. */
static inline void write_small_package(const char *name, const char *members, const small_tensor *tensors, int count)
{
	static char json[16384];
	char hex[65];
	oq_error err = {0};
	oq_safetensors_writer *writer = NULL;
	OQ_REQUIRE(!*name || mkdir(in_folder(name), 0700) == 0);
	OQ_REQUIRE(oq_safetensors_writer_open(in_package(name, "weights.safetensors"), &writer, &err) == OQ_OK);
	int length = snprintf(json, sizeof json, "{\"format\": \"%s\", \"format_version\": %d, %s\"weights\": {\"file\": \"weights.safetensors\", \"sha256\": {",
		OQ_PACKAGE_FORMAT, OQ_PACKAGE_VERSION, members);
	for (int i = 0; i < count; i++) {
		const small_tensor *t = &tensors[i];
		oq_sha256 hash;
		oq_sha256_init(&hash);
		oq_sha256_update(&hash, t->data, small_tensor_bytes(t));
		oq_sha256_hex(&hash, hex);
		length += snprintf(json + length, sizeof json - (size_t)length, "%s\"%s\": \"%s\"", i ? ", " : "", t->name, hex);
		OQ_REQUIRE(oq_safetensors_writer_declare(writer, t->name, t->dtype, t->rank, t->shape, &err) == OQ_OK);
	}
	for (int i = 0; i < count; i++)
		OQ_REQUIRE(oq_safetensors_writer_data(writer, tensors[i].data, small_tensor_bytes(&tensors[i]), &err) == OQ_OK);
	length += snprintf(json + length, sizeof json - (size_t)length, "}}}");
	OQ_REQUIRE(oq_safetensors_writer_commit(writer, &err) == OQ_OK);
	OQ_REQUIRE(oq_file_write_all(in_package(name, "model.json"), json, (size_t)length, &err) == OQ_OK);
}

static inline void remove_small_package(const char *name)
{
	unlink(in_package(name, "model.json"));
	unlink(in_package(name, "weights.safetensors"));
	rmdir(in_folder(name));
}

static inline char *read_text(const char *path, size_t *size)
{
	char *text = NULL;
	oq_error err = {0};
	OQ_REQUIRE(oq_file_read_all(path, 1 << 20, OQ_E_INPUT, &text, size, &err) == OQ_OK);
	return text;
}

/* Of two files of the folder. */
static inline void check_same_file(const char *a, const char *b)
{
	size_t a_size = 0, b_size = 0;
	char *x = read_text(in_folder(a), &a_size), *y = read_text(in_folder(b), &b_size);
	OQ_CHECK(a_size == b_size && !memcmp(x, y, a_size));
	oq_free(x);
	oq_free(y);
}

#endif
