/* Every allocation, open, read, write, cut, sync and rename of a cohort run, a merge, an index and a conversion fails once, in turn. Whatever fails:
 * the exit code says so, files are old or new and never half, nothing leaks, and the same job, resumed, ends with the bytes of a run
 * in which nothing failed.
 * usage: survive WORK [STEP]: with a step, only every STEP'th call fails (sanitizers are slow). */
#define _GNU_SOURCE
#include "check.h"

#include "faults.h"

#include "core/file.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILES 6
#define OLD "an old result\n"

/* What is run: its files, and those that it may leave when it fails. */
typedef struct action {
	const char *name;
	oq_status (*run)(oq_error *err);
	void (*prepare)(void);
	const char *files[FILES];
	oq_status good;         /* when nothing fails */
} action;

static const char *const tiny = OQ_TEST_DATA "/tools/tiny";
static long runs, indexed;

static oq_status embed(oq_error *err)
{
	const char *packages[] = {tiny, "small.oq"}, *outputs[] = {"one.npy", "two.npy"};
	const oq_job job = {.manifest = "rows.csv", .packages = packages, .outputs = outputs, .package_count = 2, .threads = 1, .resume = true};
	return oq_embed(&job, NULL, err);
}

static oq_status merge(oq_error *err)
{
	const char *shards[] = {"part1.npy", "part2.npy"};
	return oq_merge("one.npy", shards, 2, NULL, err);
}

static oq_status convert(oq_error *err)
{
	const oq_convert_options options = {.model = OQ_TEST_DATA "/tools/variant.json", .checkpoint = OQ_TEST_DATA "/tools/variant.pt", .output = "variant.oq"};
	return oq_convert(&options, err);
}

/* Of a scan that is large enough to have one. */
static oq_status make_index(oq_error *err)
{
	const char *scan = "deep.nii.gz";
	return oq_index_scans(&(oq_job){.threads = 1}, &scan, 1, NULL, err);
}

/* Whatever happens to the index, the patches are those of the scan. */
static oq_status cut_by_index(oq_error *err)
{
	const char *output = "one.npy";
	const oq_job job = {.manifest = "deep.csv", .packages = &tiny, .outputs = &output, .package_count = 1, .threads = 1, .resume = true, .scan.index_dir = "indexes"};
	oq_job_summary summary = {0};
	oq_status status = oq_extract(&job, &summary, err);
	indexed += summary.indexed;
	return status;
}

static void old_index(void)
{
	OQ_REQUIRE(oq_file_write_all("deep.nii.gz.oqx", OLD, sizeof OLD - 1, NULL) == OQ_OK);
}

static void old_results(void)
{
	static const char *const names[] = {"one.npy", "one.csv", "one.json", "two.npy", "two.csv", "two.json"};
	for (int i = 0; i < FILES; i++)
		OQ_REQUIRE(oq_file_write_all(names[i], OLD, sizeof OLD - 1, NULL) == OQ_OK);
}

static void old_package(void)
{
	(void)unlink("variant.oq/model.json");
	(void)unlink("variant.oq/weights.safetensors");
	(void)rmdir("variant.oq");
}

static const action actions[] = {
	{"embed", embed, old_results, {"one.npy", "one.csv", "one.json", "two.npy", "two.csv", "two.json"}, OQ_E_SOME_ROWS},
	{"merge", merge, old_results, {"one.npy", "one.csv", "one.json"}, OQ_E_SOME_ROWS},
	{"index", make_index, old_index, {"deep.nii.gz.oqx"}, OQ_OK},
	{"patches by index", cut_by_index, old_results, {"one.npy", "one.csv", "one.json"}, OQ_OK},
	{"convert", convert, old_package, {"variant.oq/model.json", "variant.oq/weights.safetensors"}, OQ_OK},
};

/* The bytes that a file should have, as it was after the run in which nothing failed. */
static struct {
	char *data;
	size_t size;
} expected[FILES];

static char *read_file(const char *path, size_t *size)
{
	char *data = NULL;
	return oq_file_read_all(path, 1 << 20, OQ_E_INPUT, &data, size, NULL) == OQ_OK ? data : NULL;
}

static bool is_new(int i, const char *path)
{
	size_t size;
	char *data = read_file(path, &size);
	bool same = data && size == expected[i].size && !memcmp(data, expected[i].data, size);
	oq_free(data);
	return same;
}

static bool is_old(const char *path)
{
	size_t size;
	char *data = read_file(path, &size);
	bool same = data ? size == sizeof OLD - 1 && !memcmp(data, OLD, size) : access(path, F_OK) != 0;
	oq_free(data);
	return same;
}

static int open_descriptors(void)
{
	DIR *folder = opendir("/proc/self/fd");
	int count = 0;
	while (folder && readdir(folder))
		count++;
	if (folder)
		closedir(folder);
	return count;
}

/* Temporary names: ".NAME.XXXXXX" beside the results. */
static bool left_temporaries(void)
{
	DIR *folder = opendir(".");
	bool found = false;
	for (struct dirent *entry; folder && (entry = readdir(folder));)
		found |= entry->d_name[0] == '.' && strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	if (folder)
		closedir(folder);
	return found;
}

static void tell(const action *a, fault_kind kind, long number, const char *what, const oq_error *err)
{
	oq_checks_failed++;
	fprintf(stderr, "%s, %s %ld: %s (%s: %s)\n", a->name, fault_names[kind], number, what, err->code, err->message);
}

/* Short and interrupted calls are no failures. Other faults may hit what is only looked at, or the reading of a row's scan, which then is
 * that row's failure. */
static bool code_fits(const action *a, fault_kind kind, oq_status status)
{
	bool harmless = kind == FAULT_READ_SHORT || kind == FAULT_READ_AGAIN || kind == FAULT_WRITE_SHORT || kind == FAULT_WRITE_AGAIN;
	if (status == a->good)
		return true;
	if (harmless || status == OQ_OK || status == OQ_E_INTERNAL || status == OQ_E_USAGE)
		return false;
	if (kind == FAULT_OPEN || kind == FAULT_READ)
		return true;
	return status == OQ_E_RESOURCE;
}

static oq_status once(const action *a, fault_kind kind, long number, oq_error *err)
{
	*err = (oq_error){0};
	a->prepare();
	fault_blocks();
	fault_arm(kind, number);
	oq_status status = a->run(err);
	bool happened = fault_happened();
	fault_arm(kind, 0);
	runs++;
	if (fault_blocks() != 0)
		tell(a, kind, number, "memory was not freed", err);
	if (left_temporaries())
		tell(a, kind, number, "temporary files were left", err);
	if (!happened)
		return OQ_OK;
	if (!code_fits(a, kind, status))
		tell(a, kind, number, oq_status_name(status), err);
	/* A row that failed by a fault is an honest result of its own; begun afresh it is fine. */
	for (int i = 0; i < FILES && a->files[i]; i++)
		if (status != OQ_E_SOME_ROWS && !is_new(i, a->files[i]) && !is_old(a->files[i]))
			tell(a, kind, number, a->files[i], err);
	return OQ_E_RESOURCE;
}

/* The same job again, without faults. */
static void again(const action *a, fault_kind kind, long number)
{
	oq_error err = {0};
	bool unfinished = access("one.npy.journal", F_OK) == 0;
	oq_status status = a->run(&err);
	bool whole = status == a->good;
	for (int i = 0; i < FILES && a->files[i]; i++)
		whole &= is_new(i, a->files[i]);
	/* Only a row whose scan could not be read may differ when its failure was kept in the journal. */
	if (!whole && !((kind == FAULT_OPEN || kind == FAULT_READ) && unfinished))
		tell(a, kind, number, "the same job again does not end with the same bytes", &err);
}

static void all_calls(const action *a, fault_kind kind, long step)
{
	oq_error err;
	long number = 1;
	for (; once(a, kind, number, &err) != OQ_OK; number += step) {
		again(a, kind, number);
		OQ_REQUIRE(number < 100000);
	}
	printf("%s, %s: %ld calls\n", a->name, fault_names[kind], number - 1);
	oq_checks_made++;
}

static void write_text(const char *path, const char *text)
{
	OQ_REQUIRE(oq_file_write_all(path, text, strlen(text), NULL) == OQ_OK);
}

/* A manifest of five rows, one of them bad; a second package of another patch size; two shards. */
static void make_inputs(void)
{
	char text[4096];
	snprintf(text, sizeof text, "image_path,coordX,coordY,coordZ\n%s,1,2,3\nnone.nii,1,2,3\n%s,2,3,9\n%s,2,3,4\n%s,3,1,12\n", OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii",
		OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii", OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz", OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz");
	write_text("rows.csv", text);
	(void)mkdir("small.oq", 0700);
	size_t size;
	char *json = read_file(OQ_TEST_DATA "/tools/tiny/model.json", &size);
	OQ_REQUIRE(json != NULL);
	char *axes = strstr(json, "\"SPL\"");
	OQ_REQUIRE(axes != NULL);
	memcpy(axes, "\"LAS\"", 5);
	write_text("small.oq/model.json", json);
	oq_free(json);
	char *weights = read_file(OQ_TEST_DATA "/tools/tiny/weights.safetensors", &size);
	OQ_REQUIRE(weights && oq_file_write_all("small.oq/weights.safetensors", weights, size, NULL) == OQ_OK);
	oq_free(weights);
	for (int i = 0; i < 2; i++) {
		const char *output = i ? "part2.npy" : "part1.npy";
		oq_error err = {0};
		const oq_job job = {.manifest = "rows.csv", .packages = &tiny, .outputs = &output, .package_count = 1, .threads = 1, .shard_index = i + 1, .shard_count = 2};
		oq_status status = oq_embed(&job, NULL, &err);
		OQ_CHECK_STR(err.message, i ? "" : err.message);
		OQ_REQUIRE(status == (i ? OQ_OK : OQ_E_SOME_ROWS));
	}
}

static void make_indexed(void)
{
	const char *scan = "deep.nii.gz";
	oq_error err = {0};
	write_text("deep.csv", "image_path,coordX,coordY,coordZ\ndeep.nii.gz,3.5,-158.2,266.9\n");
	OQ_REQUIRE(symlink(OQ_TEST_DATA "/ct/example_ct.nii.gz", scan) == 0 || errno == EEXIST);
	(void)mkdir("indexes", 0700);
	oq_status status = oq_index_scans(&(oq_job){.threads = 1, .scan.index_dir = "indexes"}, &scan, 1, NULL, &err);
	OQ_CHECK_STR(err.message, "");
	OQ_REQUIRE(status == OQ_OK);
}

int main(int argc, char **argv)
{
	OQ_REQUIRE(argc > 1);
	long step = argc > 2 ? strtol(argv[2], NULL, 10) : 1;
	(void)mkdir(argv[1], 0700);
	OQ_REQUIRE(chdir(argv[1]) == 0);
	fault_arm(FAULT_MEMORY, 0);
	(void)unlink("one.npy.journal"); /* of a test that was killed */
	make_inputs();
	make_indexed();
	int before = open_descriptors();
	for (size_t i = 0; i < sizeof actions / sizeof *actions; i++) {
		const action *a = &actions[i];
		oq_error err = {0};
		a->prepare();
		OQ_REQUIRE(a->run(&err) == a->good);
		for (int f = 0; f < FILES && a->files[f]; f++) {
			expected[f].data = read_file(a->files[f], &expected[f].size);
			OQ_REQUIRE(expected[f].data != NULL);
		}
		for (int kind = 0; kind < FAULT_KINDS; kind++)
			all_calls(a, (fault_kind)kind, step);
		for (int f = 0; f < FILES && a->files[f]; f++)
			oq_free(expected[f].data);
	}
	OQ_CHECK_INT(open_descriptors(), before);
	OQ_CHECK(indexed > 0);
	printf("%ld runs\n", runs);
	return oq_checks_done();
}
