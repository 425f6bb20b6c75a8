/* The power goes, at every write, truncation, sync, rename and unlink of a run in turn, on a device that keeps nothing which was not synced: each file falls
 * back to what it held at its last fsync, and to nothing when there was none, while names stay as they were last given (which is how
 * filesystems lose data). Results are old or new and whole, and the run, resumed, ends with the bytes of an undisturbed one. Each run is a process of its
 * own, forked by one that never calls the library.
 * usage: power WORK: folders "run", where results go, and "synced", what the device holds: a file for each inode. */
#define _GNU_SOURCE
#include "check.h"

#include <oncoquant.h>

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define CUT 99 /* exit code of a run without power */
#define MOST ((size_t)1 << 20)
#define OLD "an old result\n"

ssize_t __real_write(int fd, const void *buffer, size_t bytes);
ssize_t __real_pwrite64(int fd, const void *buffer, size_t bytes, off_t offset);
int __real_ftruncate64(int fd, off_t length);
int __real_rename(const char *from, const char *to);
int __real_unlink(const char *path);
ssize_t __wrap_write(int fd, const void *buffer, size_t bytes);
ssize_t __wrap_pwrite64(int fd, const void *buffer, size_t bytes, off_t offset);
int __wrap_ftruncate64(int fd, off_t length);
int __wrap_fsync(int fd);
int __wrap_rename(const char *from, const char *to);
int __wrap_unlink(const char *path);

static const char *const results[] = {"one.npy", "one.csv", "one.json"};
#define RESULTS ((int)(sizeof results / sizeof *results))
static struct {
	char data[1 << 16];
	size_t bytes;
} expected[RESULTS];

static char buffer[MOST];
static long left; /* calls until the power goes; 0: it stays */

static void next_call(void)
{
	if (left > 0 && --left == 0)
		_exit(CUT);
}

static const char *synced(const struct stat *info)
{
	static char path[64];
	snprintf(path, sizeof path, "../synced/%llu", (unsigned long long)info->st_ino);
	return path;
}

static size_t load(const char *path)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t got = fd < 0 ? 0 : read(fd, buffer, MOST);
	OQ_REQUIRE(got >= 0 && got < (ssize_t)MOST);
	if (fd >= 0)
		close(fd);
	return (size_t)got;
}

static void store(const char *path, size_t bytes)
{
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	OQ_REQUIRE(fd >= 0 && __real_write(fd, buffer, bytes) == (ssize_t)bytes && close(fd) == 0);
}

static void forget(const char *path)
{
	struct stat info;
	if (stat(path, &info) == 0)
		(void)__real_unlink(synced(&info)); /* its inode may be somebody else's soon */
}

ssize_t __wrap_write(int fd, const void *data, size_t bytes)
{
	next_call();
	return __real_write(fd, data, bytes);
}

ssize_t __wrap_pwrite64(int fd, const void *data, size_t bytes, off_t offset)
{
	next_call();
	return __real_pwrite64(fd, data, bytes, offset);
}

int __wrap_ftruncate64(int fd, off_t length)
{
	next_call();
	return __real_ftruncate64(fd, length);
}

int __wrap_fsync(int fd)
{
	char path[32];
	struct stat info;
	next_call();
	snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
	if (fstat(fd, &info) == 0 && S_ISREG(info.st_mode))
		store(synced(&info), load(path));
	return 0;
}

int __wrap_rename(const char *from, const char *to)
{
	next_call();
	forget(to);
	return __real_rename(from, to);
}

int __wrap_unlink(const char *path)
{
	next_call();
	forget(path);
	return __real_unlink(path);
}

/* Every file of a folder. */
static void for_each(const char *folder, void (*act)(const char *path))
{
	DIR *dir = opendir(folder);
	OQ_REQUIRE(dir != NULL);
	for (struct dirent *entry; (entry = readdir(dir));) {
		char path[600];
		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (strcmp(entry->d_name, ".") && strcmp(entry->d_name, ".."))
			act(path);
	}
	closedir(dir);
}

static void delete_file(const char *path)
{
	OQ_REQUIRE(__real_unlink(path) == 0);
}

/* What the device held when the power went. */
static void fall_back(const char *path)
{
	struct stat info;
	OQ_REQUIRE(stat(path, &info) == 0);
	store(path, load(synced(&info)));
}

static void old_results(void)
{
	for_each(".", delete_file);
	for_each("../synced", delete_file);
	for (int i = 0; i < RESULTS; i++) {
		struct stat info;
		memcpy(buffer, OLD, sizeof OLD - 1);
		store(results[i], sizeof OLD - 1);
		OQ_REQUIRE(stat(results[i], &info) == 0);
		store(synced(&info), sizeof OLD - 1);
	}
}

/* Exit code of a run that loses power at its call `number`; 0: never. */
static int run(long number)
{
	fflush(NULL);
	pid_t child = fork();
	OQ_REQUIRE(child >= 0);
	if (child == 0) {
		const char *package = OQ_TEST_DATA "/tools/tiny", *output = results[0];
		const oq_job job = {.manifest = "../rows.csv", .packages = &package, .outputs = &output, .package_count = 1, .threads = 1, .resume = true};
		left = number;
		_exit((int)oq_embed(&job, NULL, NULL));
	}
	int status;
	OQ_REQUIRE(waitpid(child, &status, 0) == child && WIFEXITED(status));
	return WEXITSTATUS(status);
}

static bool is_new(int i)
{
	size_t bytes = load(results[i]);
	return bytes == expected[i].bytes && !memcmp(buffer, expected[i].data, bytes);
}

static bool is_old(int i)
{
	return load(results[i]) == sizeof OLD - 1 && !memcmp(buffer, OLD, sizeof OLD - 1);
}

static void make_inputs(void)
{
	FILE *rows = fopen("rows.csv", "w");
	OQ_REQUIRE(rows != NULL);
	fprintf(rows, "image_path,coordX,coordY,coordZ\n%s,1,2,3\nnone.nii,1,2,3\n%s,2,3,9\n%s,2,3,4\n%s,3,1,12\n", OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii",
		OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii", OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz", OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz");
	OQ_REQUIRE(fclose(rows) == 0);
}

int main(int argc, char **argv)
{
	long number = 1;
	OQ_REQUIRE(argc == 2);
	(void)mkdir(argv[1], 0700);
	OQ_REQUIRE(chdir(argv[1]) == 0);
	(void)mkdir("run", 0700);
	(void)mkdir("synced", 0700);
	make_inputs();
	OQ_REQUIRE(chdir("run") == 0);
	old_results();
	OQ_REQUIRE(run(0) == OQ_E_SOME_ROWS);
	for (int i = 0; i < RESULTS; i++) {
		expected[i].bytes = load(results[i]);
		OQ_REQUIRE(expected[i].bytes > sizeof OLD && expected[i].bytes < sizeof expected[i].data);
		memcpy(expected[i].data, buffer, expected[i].bytes);
	}
	for (old_results(); run(number) == CUT; number++, old_results()) {
		for_each(".", fall_back);
		for (int i = 0; i < RESULTS; i++)
			OQ_CHECK(is_new(i) || is_old(i));
		OQ_CHECK_INT(run(0), OQ_E_SOME_ROWS);
		for (int i = 0; i < RESULTS; i++)
			OQ_CHECK(is_new(i));
		OQ_REQUIRE(number < 10000);
	}
	printf("the power went at each of %ld calls\n", number - 1);
	OQ_CHECK(number > 20);
	return oq_checks_done();
}
