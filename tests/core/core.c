#define _DEFAULT_SOURCE
/* The core room: conversions, hashes, strict JSON, safetensors, files, packages. Hostile inputs are the rows W1 to W7 and M18
 * to M21 of the project's list of bad inputs. */
#include "check.h"

#include "core/cpu.h"
#include "core/dtype.h"
#include "core/file.h"
#include "core/mem.h"
#include "core/notes.h"
#include "core/package.h"
#include "core/safetensors.h"

#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

static char work[256];

static const char *in_work(const char *name)
{
	static char paths[4][512];
	static int next;
	char *path = paths[next++ % 4];
	snprintf(path, sizeof paths[0], "%s/%s", work, name);
	return path;
}

static void test_half_floats(void)
{
	for (uint32_t bits = 0; bits < 65536; bits++) {
		float value = oq_f16_to_f32((uint16_t)bits);
		if (value != value)
			continue;
		if (oq_f32_to_f16(value) != bits)
			OQ_CHECK(oq_f32_to_f16(value) == bits);
		float wide = oq_bf16_to_f32((uint16_t)bits);
		if (wide == wide && oq_f32_to_bf16(wide) != bits)
			OQ_CHECK(oq_f32_to_bf16(wide) == bits);
	}
	/* Ties go to even, overflow to infinity, tiny values to subnormals. */
	OQ_CHECK_INT(oq_f32_to_f16(2049.0f), 0x6800);
	OQ_CHECK_INT(oq_f32_to_f16(2051.0f), 0x6802);
	OQ_CHECK_INT(oq_f32_to_f16(65519.0f), 0x7bff);
	OQ_CHECK_INT(oq_f32_to_f16(65520.0f), 0x7c00);
	OQ_CHECK_INT(oq_f32_to_f16(0x1p-24f), 1);
	OQ_CHECK_INT(oq_f32_to_f16(0x1p-25f), 0);
	OQ_CHECK_INT(oq_f32_to_f16(0x1.8p-25f), 1);
	OQ_CHECK_INT(oq_f32_to_bf16(1.00390625f), 0x3f80);
	OQ_CHECK_INT(oq_f32_to_bf16(1.01171875f), 0x3f82);
}

static void test_dtypes(void)
{
	const int16_t shorts[3] = {-32768, 0, 32767};
	const double doubles[2] = {1e300, -2.5};
	unsigned char unaligned[16];
	float out[3];
	memcpy(unaligned + 1, shorts, sizeof shorts);
	oq_dtype_to_f32(OQ_I16, unaligned + 1, 3, out);
	OQ_CHECK(out[0] == -32768 && out[1] == 0 && out[2] == 32767);
	oq_dtype_to_f32(OQ_F64, doubles, 2, out);
	OQ_CHECK(isinf(out[0]) && out[1] == -2.5f);
	for (int i = 0; i < OQ_DTYPE_COUNT; i++) {
		oq_dtype parsed;
		OQ_CHECK(oq_dtype_parse(oq_dtype_name((oq_dtype)i), &parsed) && parsed == (oq_dtype)i && oq_dtype_size(parsed) > 0);
	}
	oq_dtype unused;
	OQ_CHECK(!oq_dtype_parse("F8", &unused));
}

static void test_sizes(void)
{
	size_t out = 7;
	const int64_t large[3] = {1 << 30, 1 << 30, 1 << 30}, negative[1] = {-1}, empty[2] = {0, 5};
	OQ_CHECK(!oq_size_mul(SIZE_MAX, 2, &out) && out == 7);
	OQ_CHECK(!oq_size_add(SIZE_MAX, 1, &out) && out == 7);
	OQ_CHECK(!oq_size_product(large, 3, 4, &out) && !oq_size_product(negative, 1, 1, &out));
	OQ_CHECK(oq_size_product(empty, 2, 4, &out) && out == 0);
}

static void check_sha(const char *text, const char *expected)
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	for (const char *c = text; *c; c++)
		oq_sha256_update(&hash, c, 1);
	oq_sha256_hex(&hash, hex);
	OQ_CHECK_STR(hex, expected);
}

static void test_sha256(void)
{
	/* FIPS 180-4 examples. */
	check_sha("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	check_sha("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	check_sha("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	char *million = oq_alloc(1000001), hex[65];
	memset(million, 'a', 1000000);
	oq_sha256 hash;
	oq_sha256_init(&hash);
	oq_sha256_update(&hash, million, 1000000);
	oq_sha256_hex(&hash, hex);
	OQ_CHECK_STR(hex, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	oq_free(million);
}

static void test_json(void)
{
	static const char *const good[] = {"{}", "[]", " {\"a\": [1, -2.5e3, true, false, null, \"\\u00e9\\n\"]} ", "0", "\"\\ud83d\\ude00\"", "[[],{}]"};
	static const char *const bad[] = {"", "{", "[1,]", "{\"a\":1,}", "{a:1}", "01", "1.", ".5", "+1", "nul", "NaN", "1e999", "\"\x01\"", "\"\\x\"", "\"\\u00\"",
		"\"\\ud800\"", "\"\\u0000\"", "{\"a\":1}x", "{\"a\":1,\"a\":2}", "\"\xff\"", "\"\xc0\x80\"", "[1 2]", "\"abc", "{\"a\" 1}", "[}",
		"1111111111111111111111111111111111111111111111111111111111111111111"};
	oq_error err;
	for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
		oq_json *json = NULL;
		OQ_CHECK(oq_json_parse(good[i], strlen(good[i]), "good", &json, &err) == OQ_OK);
		oq_json_free(json);
	}
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		oq_json *json = NULL;
		OQ_CHECK(oq_json_parse(bad[i], strlen(bad[i]), "bad", &json, &err) == OQ_E_MODEL);
		OQ_CHECK_STR(err.code, "E_JSON");
		oq_json_free(json);
	}
	char deep[200000];
	memset(deep, '[', sizeof deep);
	oq_json *json = NULL;
	OQ_CHECK(oq_json_parse(deep, sizeof deep, "deep", &json, &err) == OQ_E_MODEL && strstr(err.message, "deep:1:65: nested"));
}

/* Every double reads back to the bit, with no more digits than that takes. */
static void test_json_numbers(void)
{
	static const double awkward[] = {0.1, 1.0 / 3, 0.6315514432387569, 5e-324, 2.2250738585072014e-308, 1.7976931348623157e308, 9007199254740993.0, 1e22, -0.3,
		4.9e15, 0.5, 1e15, 123456789.0};
	oq_error err = {0};
	oq_json *list = oq_json_array(), *back = NULL;
	char *text = NULL;
	uint64_t state = 1;
	OQ_REQUIRE(list);
	for (size_t i = 0; i < sizeof awkward / sizeof *awkward; i++)
		OQ_REQUIRE(oq_json_add_number(list, NULL, awkward[i]));
	for (int i = 0; i < 2000; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		OQ_REQUIRE(oq_json_add_number(list, NULL, ldexp((double)(state >> 11), (int)(state % 120) - 110)));
	}
	OQ_REQUIRE(oq_json_print(list, false, &text, &err) == OQ_OK);
	OQ_CHECK(!strncmp(text, "[0.1,0.3333333333333333,0.6315514432387569,", 43));
	OQ_REQUIRE(oq_json_parse(text, strlen(text), "numbers", &back, &err) == OQ_OK);
	const oq_json *b = oq_json_first(back);
	for (const oq_json *a = oq_json_first(list); a && b; a = oq_json_next(a), b = oq_json_next(b))
		OQ_CHECK_NEAR(oq_json_number(b), oq_json_number(a), 0);
	OQ_CHECK(oq_json_count(back) == oq_json_count(list));
	oq_free(text);
	oq_json_free(list);
	oq_json_free(back);
}

static void test_json_fields(void)
{
	static const char text[] = "{\"s\": \"x\", \"i\": 3, \"h\": 2.5, \"b\": true, \"v\": [1, 2], \"big\": 9007199254740993}";
	static const char *const known[] = {"s", "i", "h", "b", "v", NULL};
	oq_json *json = NULL;
	oq_error err;
	const char *s = NULL;
	int64_t i = 0, v[2] = {0}, absent = 5;
	bool b = false;
	OQ_REQUIRE(oq_json_parse(text, strlen(text), "t", &json, &err) == OQ_OK);
	OQ_CHECK(oq_json_need_string(json, "s", "t", &s, &err) == OQ_OK && oq_json_need_int(json, "i", "t", &i, &err) == OQ_OK && i == 3);
	OQ_CHECK(oq_json_need_int(json, "h", "t", &i, &err) == OQ_E_MODEL && strstr(err.message, "\"h\" is a number, expected an integer"));
	OQ_CHECK(oq_json_need_ints(json, "v", "t", v, 2, &err) == OQ_OK && v[1] == 2 && oq_json_need_ints(json, "v", "t", v, 3, &err) == OQ_E_MODEL);
	OQ_CHECK(oq_json_want_int(json, "none", "t", &absent, &err) == OQ_OK && absent == 5);
	OQ_CHECK(oq_json_need_int(json, "none", "t", &absent, &err) == OQ_E_MODEL && strstr(err.message, "is missing"));
	OQ_CHECK(oq_json_want_bool(json, "b", "t", &b, &err) == OQ_OK && b);
	OQ_CHECK(oq_json_only_keys(json, known, "t", &err) == OQ_E_MODEL && strstr(err.message, "\"big\" is unknown"));
	OQ_CHECK(oq_json_only_keys(oq_json_get(json, "v"), known, "t", &err) == OQ_E_MODEL && strstr(err.message, "is an array"));
	oq_json_free(json);
}

static void test_outfile(void)
{
	oq_error err;
	struct stat info;
	const char *path = in_work("out.txt");
	OQ_CHECK(oq_file_write_all(path, "old", 3, &err) == OQ_OK);
	OQ_CHECK(stat(path, &info) == 0 && (info.st_mode & 0777) == 0600);
	oq_outfile *file = NULL;
	OQ_REQUIRE(oq_outfile_open(path, &file, &err) == OQ_OK);
	OQ_CHECK(oq_outfile_write(file, "new", 3, &err) == OQ_OK);
	oq_outfile_abort(file);
	char *data = NULL;
	size_t size = 0;
	OQ_REQUIRE(oq_file_read_all(path, 100, OQ_E_INPUT, &data, &size, &err) == OQ_OK);
	OQ_CHECK_STR(data, "old"); /* an abandoned result leaves the old one whole */
	oq_free(data);
	OQ_CHECK(oq_file_read_all(path, 2, OQ_E_INPUT, &data, &size, &err) == OQ_E_INPUT && !strcmp(err.code, "E_SIZE"));
	OQ_CHECK(oq_file_write_all("/dev/full", "x", 1, &err) == OQ_E_RESOURCE && oq_file_write_all(work, "x", 1, &err) == OQ_E_RESOURCE);
	OQ_CHECK(oq_file_write_all(in_work("none/x"), "x", 1, &err) == OQ_E_RESOURCE);
	OQ_CHECK(oq_file_read_all(work, 100, OQ_E_INPUT, &data, &size, &err) == OQ_E_INPUT && strstr(err.message, "folder"));
}

/* A safetensors file from a header and `data_bytes` zeros, or `data`. */
static void write_safetensors_data(const char *path, const char *header, const void *data, size_t data_bytes, int64_t declared)
{
	oq_error err;
	size_t length = strlen(header);
	uint64_t prefix = declared < 0 ? length : (uint64_t)declared;
	unsigned char *bytes = oq_calloc(8 + length + data_bytes, 1);
	memcpy(bytes, &prefix, 8);
	memcpy(bytes + 8, header, length);
	if (data)
		memcpy(bytes + 8 + length, data, data_bytes);
	OQ_REQUIRE(oq_file_write_all(path, bytes, 8 + length + data_bytes, &err) == OQ_OK);
	oq_free(bytes);
}

static void write_safetensors(const char *path, const char *header, size_t data_bytes, int64_t declared)
{
	write_safetensors_data(path, header, NULL, data_bytes, declared);
}

static void test_bad_safetensors(void)
{
	static const struct {
		const char *header;
		size_t data;
		int64_t declared;
	} cases[] = {
		{"", 0, INT64_MAX}, {"{}", 0, 3}, {"[]", 0, -1}, {"{}", 4, -1},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]}}", 8, -1},            /* range does not hold the shape */
		{"{\"a\":{\"dtype\":\"F99\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]}}", 4, -1},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[4611686018427387904,4],\"data_offsets\":[0,4]}}", 4, -1},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]}}", 8, -1},             /* hole */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]},\"b\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 4, -1}, /* overlap */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]}}", 4, -1},             /* reversed */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 8, -1},             /* trailing bytes */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]}}", 3, -1},             /* short */
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]}}", 4, -1},
		{"{\"a\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4],\"x\":1}}", 4, -1},
		{"{\"__metadata__\":{\"a\":1}}", 0, -1},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		oq_error err = {0};
		oq_safetensors *file = NULL;
		write_safetensors(in_work("bad.safetensors"), cases[i].header, cases[i].data, cases[i].declared);
		OQ_CHECK(oq_safetensors_open(in_work("bad.safetensors"), &file, &err) == OQ_E_MODEL && strstr(err.message, ":"));
		oq_safetensors_close(file);
	}
}

static void test_safetensors(void)
{
	oq_error err;
	oq_safetensors_writer *writer = NULL;
	const int64_t shape[2] = {2, 3}, empty[2] = {0, 4};
	const float values[6] = {1, 2, 3, 4, 5, 6};
	float back[6];
	OQ_REQUIRE(oq_safetensors_writer_open(in_work("good.safetensors"), &writer, &err) == OQ_OK);
	OQ_CHECK(oq_safetensors_writer_declare(writer, "w", OQ_F32, 2, shape, &err) == OQ_OK);
	OQ_CHECK(oq_safetensors_writer_declare(writer, "none", OQ_F32, 2, empty, &err) == OQ_OK);
	OQ_CHECK(oq_safetensors_writer_declare(writer, "w", OQ_F32, 2, shape, &err) == OQ_E_INTERNAL);
	OQ_CHECK(oq_safetensors_writer_data(writer, values, 8, &err) == OQ_OK && oq_safetensors_writer_data(writer, values + 2, 16, &err) == OQ_OK);
	OQ_CHECK(oq_safetensors_writer_commit(writer, &err) == OQ_OK);
	oq_safetensors *file = NULL;
	OQ_REQUIRE(oq_safetensors_open(in_work("good.safetensors"), &file, &err) == OQ_OK);
	const oq_tensor_info *w = oq_safetensors_find(file, "w"), *none = oq_safetensors_find(file, "none");
	OQ_REQUIRE(w && none);
	OQ_CHECK(w->count == 6 && none->count == 0 && !oq_safetensors_find(file, "x") && oq_safetensors_count(file) == 2);
	OQ_CHECK(oq_safetensors_read(file, w, back, &err) == OQ_OK && !memcmp(values, back, sizeof values));
	oq_safetensors_close(file);
}

static const char two_bf16[] = "{\"a\":{\"dtype\":\"BF16\",\"shape\":[2],\"data_offsets\":[0,4]}}";

static void write_package(const char *version, const char *hash)
{
	char text[512];
	oq_error err;
	mkdir(in_work("p.oq"), 0700);
	snprintf(text, sizeof text, "{\"format\": \"oncoquant-package\", \"format_version\": %s, \"weights\": {\"file\": \"weights.safetensors\", \"bytes\": 4, \"sha256\": {\"a\": \"%s\"}}}",
		version, hash);
	OQ_REQUIRE(oq_file_write_all(in_work("p.oq/model.json"), text, strlen(text), &err) == OQ_OK);
	write_safetensors(in_work("p.oq/weights.safetensors"), two_bf16, 4, -1);
}

/* Row W8: the hash is right, the weights are no numbers; the tensor and the place are named. */
static void test_nonfinite_weights(void)
{
	static const unsigned char values[][4] = {{0, 0, 0xc0, 0x7f}, {0, 0, 0x80, 0xff}};
	for (int i = 0; i < 2; i++) {
		char hex[65];
		oq_sha256 hash;
		oq_error err = {0};
		oq_package *package = NULL;
		float read[2];
		oq_sha256_init(&hash);
		oq_sha256_update(&hash, values[i], 4);
		oq_sha256_hex(&hash, hex);
		write_package("1", hex);
		write_safetensors_data(in_work("p.oq/weights.safetensors"), two_bf16, values[i], 4, -1);
		OQ_REQUIRE(oq_package_open(in_work("p.oq"), &package, &err) == OQ_OK);
		OQ_CHECK(oq_package_read_f32(package, "a", read, 2, &err) == OQ_E_MODEL && !strcmp(err.code, "E_NONFINITE") && strstr(err.message, "tensor a[1]"));
		oq_package_close(package);
	}
}

/* Sparse files of gigabytes: what they declare is compared with limits before memory is taken or a byte is read (rows W2 and M21). */
static void test_large(void)
{
	oq_error err = {0};
	oq_json *json = NULL;
	oq_safetensors *weights = NULL;
	const uint64_t header = (uint64_t)150 << 20;
	const char *path = in_work("large");
	OQ_REQUIRE(oq_file_write_all(path, &header, sizeof header, &err) == OQ_OK && truncate(path, (off_t)2 << 30) == 0);
	OQ_CHECK(oq_json_read_file(path, &json, &err) != OQ_OK && !strcmp(err.code, "E_SIZE"));
	OQ_CHECK(oq_safetensors_open(path, &weights, &err) == OQ_E_MODEL);
	for (size_t bytes = 0; bytes < 8; bytes++) { /* W1: not even a length */
		OQ_REQUIRE(truncate(path, (off_t)bytes) == 0);
		OQ_CHECK(oq_safetensors_open(path, &weights, &err) == OQ_E_MODEL && !strcmp(err.code, "E_MODEL_TRUNCATED"));
	}
	unlink(path);
}

static void test_package(void)
{
	/* SHA-256 of four zero bytes. */
	static const char zeros[] = "df3f619804a92fdb4057192dc43dd748ea778adc52bc498ce80524c014b81119";
	oq_error err;
	oq_package *package = NULL;
	float values[2];
	write_package("1", zeros);
	OQ_REQUIRE(oq_package_open(in_work("p.oq"), &package, &err) == OQ_OK);
	OQ_CHECK(oq_package_read_f32(package, "a", values, 2, &err) == OQ_OK && values[0] == 0);
	OQ_CHECK(oq_package_read_f32(package, "b", values, 2, &err) == OQ_E_MODEL && oq_package_read_f32(package, "a", values, 3, &err) == OQ_E_MODEL);
	oq_package_close(package);
	write_package("2", zeros);
	OQ_CHECK(oq_package_open(in_work("p.oq"), &package, &err) == OQ_E_MODEL && !strcmp(err.code, "E_VERSION"));
	/* One wrong bit: the tensor is named. */
	char other[65];
	memcpy(other, zeros, sizeof other);
	other[0] = 'e';
	write_package("1", other);
	OQ_REQUIRE(oq_package_open(in_work("p.oq"), &package, &err) == OQ_OK);
	OQ_CHECK(oq_package_read_f32(package, "a", values, 2, &err) == OQ_E_MODEL && !strcmp(err.code, "E_CHECKSUM") && strstr(err.message, "tensor a"));
	oq_package_close(package);
}

static void test_small_things(void)
{
	oq_notes notes = {0};
	OQ_CHECK(oq_notes_add(&notes, "W_A", "one\n%d", 1) && oq_notes_add(&notes, "W_A", "again") && notes.count == 1);
	OQ_CHECK_STR(notes.items[0].text, "one?1");
	oq_notes_free(&notes);
	oq_error err;
	OQ_CHECK(oq_fail(&err, OQ_E_INPUT, "E_X", "a\033[31m") == OQ_E_INPUT && !strchr(err.message, '\033'));
	oq_cpu cpu;
	oq_cpu_detect(&cpu);
	OQ_CHECK(cpu.processors >= 1 && oq_isa_name(cpu.isa)[0]);
	oq_arena arena = {0};
	char *large = oq_arena_alloc(&arena, 1 << 20), *small = oq_arena_strdup(&arena, "x");
	OQ_CHECK(large && small && large[(1 << 20) - 1] == 0);
	oq_arena_free(&arena);
}

int main(void)
{
	snprintf(work, sizeof work, "/tmp/oq_core_XXXXXX");
	OQ_REQUIRE(mkdtemp(work) != NULL);
	test_half_floats();
	test_dtypes();
	test_sizes();
	test_sha256();
	test_json();
	test_json_numbers();
	test_json_fields();
	test_outfile();
	test_safetensors();
	test_bad_safetensors();
	test_large();
	test_package();
	test_nonfinite_weights();
	test_small_things();
	char command[300];
	snprintf(command, sizeof command, "rm -rf %s", work);
	OQ_CHECK(system(command) == 0);
	return oq_checks_done();
}
