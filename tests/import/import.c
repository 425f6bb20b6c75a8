/* Checkpoint import: what torch.save writes is read, what an attacker or a broken copy writes is refused with its reason;
 * the synthetic rule is bit-exact. The .pt files in tests/data/import were written by PyTorch 2.13, the bad ones then edited. */
#include "check.h"

#include "checkpoint.h"
#include "core/mem.h"
#include "core/sha256.h"
#include "pickle.h"
#include "quantize/recipe.h"
#include "synthetic.h"
#include "source.h"

#include <unistd.h>

#define DATA OQ_TEST_DATA "/import/"

static int find(const oq_checkpoint *c, const char *name)
{
	for (int i = 0; i < oq_checkpoint_count(c); i++)
		if (!strcmp(oq_checkpoint_at(c, i)->name, name))
			return i;
	return -1;
}

/* The tensor's values as float32, in row-major order. */
static void check_values(const oq_checkpoint *c, const char *name, oq_dtype dtype, int count, const float *expected)
{
	oq_error err = {0};
	int index = find(c, name);
	OQ_REQUIRE(index >= 0);
	const oq_tensor_info *info = oq_checkpoint_at(c, index);
	OQ_CHECK(info->dtype == dtype);
	OQ_CHECK_INT(info->count, count);
	unsigned char raw[512];
	float values[64];
	OQ_REQUIRE(info->bytes <= sizeof raw);
	OQ_REQUIRE(oq_checkpoint_read(c, index, raw, &err) == OQ_OK);
	oq_dtype_to_f32(dtype, raw, info->count, values);
	for (int i = 0; i < count; i++)
		OQ_CHECK_NEAR(values[i], expected[i], 0);
}

static void test_good(const char *path, const char *nesting)
{
	oq_error err = {0};
	oq_checkpoint *c = NULL;
	float base[24], turned[24];
	for (int i = 0; i < 24; i++)
		base[i] = (float)i;
	/* permute(2,0,1) of [2][3][4]: out[c][a][b] = in[a][b][c] */
	for (int i = 0; i < 24; i++)
		turned[i] = base[i / 3 % 2 * 12 + i % 3 * 4 + i / 6];
	const float slice[4] = {17, 18, 21, 22}, count[1] = {7}, ones[3] = {1, 1, 1};
	OQ_REQUIRE(oq_checkpoint_open(path, nesting, false, &c, &err) == OQ_OK);
	OQ_CHECK_INT(oq_checkpoint_count(c), 9);
	check_values(c, "module.a.weight", OQ_F32, 24, base);
	check_values(c, "module.a.half", OQ_F16, 12, base);
	check_values(c, "module.a.brain", OQ_BF16, 12, base + 12);
	check_values(c, "module.t", OQ_F32, 24, turned);
	check_values(c, "module.slice", OQ_F32, 4, slice);
	check_values(c, "module.count", OQ_I64, 1, count);
	check_values(c, "module.d", OQ_F64, 24, base);
	check_values(c, "module.empty", OQ_F32, 0, base);
	check_values(c, "module.param", OQ_F32, 3, ones);
	oq_checkpoint_close(c);
}

static void test_bad(void)
{
	static const struct {
		const char *file, *code, *word;
	} cases[] = {
		{"bad_bigendian.pt", "E_CHECKPOINT", "big-endian"}, {"bad_deflated.pt", "E_ZIP", "compressed"}, {"bad_path.pt", "E_ZIP", "unsafe"},
		{"bad_no_pickle.pt", "E_CHECKPOINT", "data.pkl"}, {"bad_missing_storage.pt", "E_CHECKPOINT", "module.a.weight"},
		{"bad_short_storage.pt", "E_CHECKPOINT", "module.a.weight"}, {"bad_os_system.pt", "E_PICKLE", "os.system"},
		{"bad_eval.pt", "E_PICKLE", "builtins.eval"}, {"bad_opcode.pt", "E_PICKLE", "opcode 0x69"}, {"bad_memo.pt", "E_PICKLE", "memo"},
		{"bad_setitems.pt", "E_PICKLE", "container"}, {"bad_truncated_pickle.pt", "E_MODEL_TRUNCATED", "ends"}, {"bad_stride.pt", "E_PICKLE", "reaches behind"},
		{"bad_truncated.pt", "E_MODEL_TRUNCATED", "truncated"}, {"bad_empty.pt", "E_MODEL_TRUNCATED", "0 bytes"}, {"legacy.pt", "E_CHECKPOINT", "1.6"},
		{"none.pt", "E_OPEN", "No such file"},
	};
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
		char path[1024];
		oq_error err = {0};
		oq_checkpoint *c = NULL;
		snprintf(path, sizeof path, DATA "%s", cases[i].file);
		bool good = oq_checkpoint_open(path, NULL, false, &c, &err) == OQ_E_MODEL && !strcmp(err.code, cases[i].code) && strstr(err.message, cases[i].word);
		OQ_CHECK(good);
		if (!good)
			fprintf(stderr, "  %s: %s %s\n", cases[i].file, err.code, err.message);
		oq_checkpoint_close(c);
	}
	/* One flipped bit is found when its tensor is read, not before. */
	oq_error err = {0};
	oq_checkpoint *c = NULL;
	float values[24];
	OQ_REQUIRE(oq_checkpoint_open(DATA "bad_crc.pt", NULL, false, &c, &err) == OQ_OK);
	OQ_CHECK(oq_checkpoint_read(c, find(c, "module.a.weight"), values, &err) == OQ_E_MODEL && !strcmp(err.code, "E_CHECKSUM"));
	oq_checkpoint_close(c);
	OQ_CHECK(oq_checkpoint_open(DATA "good.pt", "net", false, &c, &err) == OQ_E_MODEL && strstr(err.message, "\"net\""));
}

static void refuse_pickle(const char *bytes, size_t size, const char *word)
{
	oq_arena arena = {0};
	const oq_pickle_value *root = NULL;
	oq_error err = {0};
	bool good = oq_pickle_parse((const unsigned char *)bytes, size, "pickle", &arena, &root, &err) == OQ_E_MODEL && strstr(err.message, word);
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  %s: %s\n", word, err.message);
	oq_arena_free(&arena);
}

/* Rows W10 of the list of bad inputs that are no file: each is refused before anything could have been built. */
static void test_bad_pickles(void)
{
	static const char stack_global[] = "\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x02id\x85R.", instance[] = "\x80\x02(X\x02\0\0\0idios\nsystem\n.";
	static const char long4[] = "\x80\x02\x8b\xff\xff\xff\x7f.", negative[] = "\x80\x02\x8b\xff\xff\xff\xff.", text[] = "\x80\x02X\xff\xff\xff\xff" "a.";
	static const char persistent[] = "\x80\x02K\x01Q.", reduce[] = "\x80\x02K\x01)R.", memo[] = "\x80\x02h\x07.";
	refuse_pickle(stack_global, sizeof stack_global - 1, "os.system");
	refuse_pickle(instance, sizeof instance - 1, "opcode 0x69");
	refuse_pickle(long4, sizeof long4 - 1, "pickle");
	refuse_pickle(negative, sizeof negative - 1, "pickle");
	refuse_pickle(text, sizeof text - 1, "pickle");
	refuse_pickle(persistent, sizeof persistent - 1, "persistent id");
	/* A call of something that is no function gives a value that nothing can use. */
	oq_arena arena = {0};
	const oq_pickle_value *root = NULL;
	oq_error err = {0};
	OQ_CHECK(oq_pickle_parse(reduce, sizeof reduce - 1, "pickle", &arena, &root, &err) == OQ_OK && root->kind == OQ_PICKLE_OPAQUE);
	oq_arena_free(&arena);
	refuse_pickle(memo, sizeof memo - 1, "never remembered");
}

/* A zip archive whose directory lies (row W9): entries, size and place of the directory, and of what zip64 says, byte by byte. */
static void test_lying_zip(void)
{
	static unsigned char file[1 << 16];
	char path[64];
	FILE *from = fopen(DATA "good.pt", "rb");
	OQ_REQUIRE(from != NULL);
	size_t n = fread(file, 1, sizeof file, from), end = n - 22;
	fclose(from);
	OQ_REQUIRE(n > 22 && n < sizeof file && !memcmp(file + end, "PK\005\006", 4));
	snprintf(path, sizeof path, "/tmp/oq_zip_%ld.pt", (long)getpid());
	for (size_t field = 8; field < 20; field++) {
		unsigned char keep = file[end + field];
		for (int value = 0; value < 256; value += 51) {
			oq_checkpoint *c = NULL;
			oq_error err = {0};
			file[end + field] = (unsigned char)value;
			FILE *to = fopen(path, "wb");
			OQ_REQUIRE(to && fwrite(file, 1, n, to) == n && !fclose(to));
			oq_status status = oq_checkpoint_open(path, "state_dict", false, &c, &err);
			OQ_CHECK(value == keep ? status == OQ_OK : status == OQ_OK || status == OQ_E_MODEL);
			/* The number of entries, and where the directory is, cannot be something else. */
			OQ_CHECK(value == keep || (field != 10 && field != 11 && field < 16) || status == OQ_E_MODEL);
			oq_checkpoint_close(c);
		}
		file[end + field] = keep;
	}
	unlink(path);
}

static void put_little(unsigned char *at, uint64_t value, int bytes)
{
	for (int i = 0; i < bytes; i++)
		at[i] = (unsigned char)(value >> 8 * i);
}

/* A directory of a million entries (row W9), as zip64 can say it: refused by its number, before a byte of its 60 MB is read or room for it is made. */
static void test_many_entries(void)
{
	const uint64_t entries = 1000000, bytes = 60 * entries;
	unsigned char end[56 + 20 + 22] = {0};
	char path[64];
	memcpy(end, "PK\006\006", 4);
	put_little(end + 4, 44, 8);
	put_little(end + 24, entries, 8);
	put_little(end + 32, entries, 8);
	put_little(end + 40, bytes, 8);
	memcpy(end + 56, "PK\006\007", 4);
	put_little(end + 64, bytes, 8);
	put_little(end + 72, 1, 4);
	memcpy(end + 76, "PK\005\006", 4);
	memset(end + 84, 0xff, 12);
	snprintf(path, sizeof path, "/tmp/oq_zip_%ld.pt", (long)getpid());
	FILE *to = fopen(path, "wb");
	OQ_REQUIRE(to && fwrite("PK\003\004", 1, 4, to) == 4 && !fseek(to, (long)bytes, SEEK_SET) && fwrite(end, 1, sizeof end, to) == sizeof end && !fclose(to));
	oq_checkpoint *c = NULL;
	oq_error err = {0};
	OQ_CHECK(oq_checkpoint_open(path, NULL, false, &c, &err) == OQ_E_MODEL && !strcmp(err.code, "E_ZIP") && strstr(err.message, "1000000"));
	if (strcmp(err.code, "E_ZIP"))
		fprintf(stderr, "  %s %s\n", err.code, err.message);
	unlink(path);
}

/* Objects that are no tensors are inert and listed, never made. */
static void test_inert(void)
{
	oq_error err = {0};
	oq_checkpoint *c = NULL;
	OQ_REQUIRE(oq_checkpoint_open(DATA "namespace.pt", "state_dict", false, &c, &err) == OQ_OK);
	OQ_CHECK_INT(oq_checkpoint_count(c), 9);
	oq_checkpoint_close(c);
}

static oq_json *document(const char *text)
{
	oq_json *json = NULL;
	oq_error err;
	OQ_REQUIRE(oq_json_parse(text, strlen(text), "test", &json, &err) == OQ_OK);
	return json;
}

/* A recipe of our own, and the rules for missing, extra and misshaped tensors. */
static void test_source(void)
{
	static const char *const tensors[] = {
		"{\"a.weight\": [2,3,4], \"param\": [3]}", "{\"a.weight\": [2,3,4], \"b\": [1], \"c\": [1]}", "{\"a.weight\": [4,3,2]}"};
	static const char *const codes[] = {"", "E_TENSOR_MISSING", "E_TENSOR_SHAPE"};
	oq_error err = {0};
	oq_recipe *recipe = NULL;
	OQ_REQUIRE(oq_recipe_load(DATA "tiny.json", &recipe, &err) == OQ_OK);
	for (size_t i = 0; i < 3; i++) {
		oq_source *source = NULL;
		oq_json *json = document(tensors[i]);
		oq_status status = oq_source_open_checkpoint(recipe, json, DATA "good.pt", &source, &err);
		OQ_CHECK(codes[i][0] ? status == OQ_E_MODEL && !strcmp(err.code, codes[i]) : status == OQ_OK);
		if (i == 1)
			OQ_CHECK(strstr(err.message, "2 tensors are missing: module.b, module.c") != NULL);
		oq_source_close(source);
		oq_json_free(json);
	}
	oq_recipe_free(recipe);
	/* The same file under a recipe that skips nothing: every key left over is named. */
	OQ_REQUIRE(oq_recipe_load(DATA "strict.json", &recipe, &err) == OQ_OK);
	oq_source *source = NULL;
	oq_json *json = document(tensors[0]);
	OQ_CHECK(oq_source_open_checkpoint(recipe, json, DATA "good.pt", &source, &err) == OQ_E_MODEL && !strcmp(err.code, "E_TENSOR_EXTRA")
		&& strstr(err.message, "module.a.half"));
	oq_json_free(json);
	oq_recipe_free(recipe);
	OQ_CHECK(oq_recipe_load("ct-fn", &recipe, &err) == OQ_E_USAGE);
}

static const oq_json *find_row(const oq_json *rows, const char *name)
{
	for (const oq_json *row = oq_json_first(rows); row; row = oq_json_next(row))
		if (!strcmp(oq_json_string(oq_json_first(row)), name))
			return row;
	return NULL;
}

static void parse_init(const oq_json *json, oq_init *init)
{
	const char *kind = oq_json_string(oq_json_get(json, "kind"));
	*init = (oq_init){.kind = !strcmp(kind, "range") ? OQ_INIT_RANGE : !strcmp(kind, "weight") ? OQ_INIT_WEIGHT : OQ_INIT_CONST,
		.low = (float)oq_json_number(oq_json_get(json, "lo")), .span = (float)oq_json_number(oq_json_get(json, "span")),
		.bound = (float)oq_json_number(oq_json_get(json, "bound")), .spread = oq_json_is_true(oq_json_get(json, "spread")),
		.antisym = oq_json_is_true(oq_json_get(json, "antisym")), .value = oq_json_number(oq_json_get(json, "value"))};
	init->channels = init->kind == OQ_INIT_WEIGHT ? (int64_t)oq_json_number(oq_json_get(json, "channels")) : 0;
}

/* All tensors of a table in its order: the hash of the official layout's required tensors. */
static void check_hash(const oq_json *table, const char *expected)
{
	char hex[65];
	oq_sha256 hash;
	oq_sha256_init(&hash);
	const char *prefix = oq_json_string(oq_json_get(table, "prefix"));
	for (const oq_json *row = oq_json_first(oq_json_get(table, "tensors")); row; row = oq_json_next(row)) {
		char key[512];
		oq_init init;
		size_t count = 1;
		const oq_json *shape = oq_json_next(oq_json_first(row));
		for (const oq_json *extent = oq_json_first(shape); extent; extent = oq_json_next(extent))
			count *= (size_t)oq_json_number(extent);
		snprintf(key, sizeof key, "%s%s", prefix, oq_json_string(oq_json_first(row)));
		parse_init(oq_json_next(shape), &init);
		float *values = oq_alloc(count * sizeof *values);
		oq_synthetic_fill(1, key, &init, OQ_F32, count, values);
		oq_sha256_update(&hash, values, count * sizeof *values);
		oq_free(values);
	}
	oq_sha256_hex(&hash, hex);
	OQ_CHECK_STR(hex, expected);
}

static const struct {
	const char *recipe, *spec;
} models[] = {{"ct-fm", "ct_fm"}, {"vista3d", "vista3d"}, {"fmcib", "fmcib"}, {"models-genesis", "modelsgen"}, {"suprem", "suprem"}, {"pasta", "pasta"},
	{"merlin", "merlin"}};

static int check_vectors(const oq_json *vectors, const oq_json *table, const char *spec)
{
	const char *prefix = oq_json_string(oq_json_get(table, "prefix"));
	int checked = 0;
	for (const oq_json *v = oq_json_first(vectors); v; v = oq_json_next(v)) {
		const char *key = oq_json_string(oq_json_get(v, "key"));
		if (strcmp(oq_json_string(oq_json_get(v, "model")), spec) || strncmp(key, prefix, strlen(prefix)))
			continue;
		const oq_json *row = find_row(oq_json_get(table, "tensors"), key + strlen(prefix));
		if (!row)
			continue;
		size_t count = 1;
		const oq_json *shape = oq_json_next(oq_json_first(row));
		for (const oq_json *extent = oq_json_first(shape); extent; extent = oq_json_next(extent))
			count *= (size_t)oq_json_number(extent);
		oq_init init;
		parse_init(oq_json_next(shape), &init);
		float *values = oq_alloc(count * sizeof *values);
		oq_synthetic_fill((uint64_t)oq_json_number(oq_json_get(v, "seed")), key, &init, OQ_F32, count, values);
		char hex[16];
		uint32_t bits;
		memcpy(&bits, &values[(size_t)oq_json_number(oq_json_get(v, "index"))], sizeof bits);
		snprintf(hex, sizeof hex, "%08x", bits);
		OQ_CHECK_STR(hex, oq_json_string(oq_json_get(v, "hex")));
		oq_free(values);
		checked++;
	}
	return checked;
}

static void test_synthetic(void)
{
	oq_error err;
	oq_json *vectors = NULL, *hashes = NULL;
	int checked = 0;
	OQ_REQUIRE(oq_json_read_file(DATA "generator_vectors.json", &vectors, &err) == OQ_OK);
	OQ_REQUIRE(oq_json_read_file(DATA "checkpoint_sha256.json", &hashes, &err) == OQ_OK);
	for (size_t i = 0; i < sizeof models / sizeof *models; i++) {
		oq_recipe *recipe = NULL;
		OQ_REQUIRE(oq_recipe_load(models[i].recipe, &recipe, &err) == OQ_OK);
		checked += check_vectors(vectors, oq_recipe_synthetic(recipe), models[i].spec);
		check_hash(oq_recipe_synthetic(recipe), oq_json_string(oq_json_get(oq_json_get(hashes, models[i].spec), "sha256_of_required_tensors_in_list_order")));
		oq_recipe_free(recipe);
	}
	printf("%d spot values of synthetic weights\n", checked);
	OQ_CHECK(checked > 150);
	oq_json_free(vectors);
	oq_json_free(hashes);
}

int main(void)
{
	test_good(DATA "good.pt", "state_dict");
	test_good(DATA "flat.pt", NULL);
	test_bad();
	test_bad_pickles();
	test_lying_zip();
	test_many_entries();
	test_inert();
	test_source();
	test_synthetic();
	return oq_checks_done();
}
