/* The library inside a program of somebody else: called by many threads, with the floating-point state of the host; and the soak: thousands of
 * rows, after which memory and descriptors are where they were after the first hundreds; a packed scan, which is read once for all its rows; and
 * forks, before and after it was used.
 * usage: host WORK [ROWS] */
#define _GNU_SOURCE
#include "check.h"

#include <oncoquant.h>

#include <dirent.h>
#include <errno.h>
#include <fenv.h>
#include <pthread.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <zlib.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

#define TINY OQ_TEST_DATA "/tools/tiny"
#define SCAN OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii"
#define FLOATS (9 * 9 * 9)
#define SIZE 6
#define THREADS 8
#define ROUNDS 40

static const double seed[3] = {1, 2, 3};

/* A patch from its scan, and its embedding, through objects of this thread's own or shared ones. */
static bool compute(const oq_model *model, const oq_scan *scan, oq_session *session, float patch[FLOATS], float embedding[SIZE])
{
	return oq_scan_patch(scan, model, seed, OQ_RESAMPLING_REFERENCE, patch, NULL, NULL) == OQ_OK && oq_session_run(session, patch, 1, embedding, NULL) == OQ_OK;
}

typedef struct shared {
	const oq_model *model;
	const oq_scan *scan;
	float patch[FLOATS], embedding[SIZE]; /* expected */
} shared;

static void *work_in_thread(void *context)
{
	const shared *s = context;
	float patch[FLOATS], embedding[SIZE];
	size_t wrong = 0;
	for (int i = 0; i < ROUNDS; i++) {
		oq_session *session = NULL;
		if (oq_session_open(s->model, 1 + i % 2, &session, NULL) != OQ_OK || !compute(s->model, s->scan, session, patch, embedding))
			wrong++;
		wrong += memcmp(embedding, s->embedding, sizeof embedding) != 0;
		oq_session_close(session);
	}
	return (void *)wrong;
}

static void test_threads(shared *s)
{
	pthread_t threads[THREADS];
	for (int i = 0; i < THREADS; i++)
		OQ_REQUIRE(pthread_create(&threads[i], NULL, work_in_thread, s) == 0);
	for (int i = 0; i < THREADS; i++) {
		void *wrong;
		OQ_REQUIRE(pthread_join(threads[i], &wrong) == 0);
		OQ_CHECK(wrong == NULL);
	}
}

/* Other rounding, denormals flushed: the same bits, and the host finds its state as it left it. */
static void test_float_state(const shared *s)
{
	static const int roundings[] = {FE_TONEAREST, FE_UPWARD, FE_DOWNWARD, FE_TOWARDZERO};
	for (int i = 0; i < 8; i++) {
		float patch[FLOATS], embedding[SIZE];
		oq_model *model = NULL;
		oq_scan *scan = NULL;
		oq_session *session = NULL;
		fesetround(roundings[i / 2]);
#if defined(__x86_64__)
		unsigned state = _mm_getcsr() | (i % 2 ? 0x8040u : 0);
		_mm_setcsr(state);
#endif
		bool good = oq_model_open(TINY, NULL, &model, NULL) == OQ_OK && oq_scan_open(SCAN, NULL, &scan, NULL) == OQ_OK
			&& oq_session_open(model, 1, &session, NULL) == OQ_OK && compute(model, scan, session, patch, embedding);
#if defined(__x86_64__)
		unsigned after = _mm_getcsr();
		_mm_setcsr(0x1f80);
		OQ_CHECK_INT(after & 0xffc0u, state & 0xffc0u); /* all but the sticky flags */
#endif
		fesetround(FE_TONEAREST);
		OQ_CHECK(good);
		OQ_CHECK(!memcmp(patch, s->patch, sizeof patch) && !memcmp(embedding, s->embedding, sizeof embedding));
		oq_session_close(session);
		oq_scan_close(scan);
		oq_model_close(model);
	}
}

typedef struct usage {
	long resident, descriptors; /* pages, open files */
} usage;

static usage measure(void)
{
	usage u = {0};
	FILE *file = fopen("/proc/self/statm", "r");
	OQ_REQUIRE(file && fscanf(file, "%*d %ld", &u.resident) == 1);
	fclose(file);
	DIR *folder = opendir("/proc/self/fd");
	OQ_REQUIRE(folder != NULL);
	while (readdir(folder))
		u.descriptors++;
	closedir(folder);
	return u;
}

typedef struct soak {
	usage early, late, most;
} soak;

static void watch(void *context, int64_t done, int64_t total)
{
	soak *s = context;
	if (done != total / 10 && done != total && done % 97)
		return;
	usage now = measure();
	if (done <= total / 10)
		s->early = now;
	s->late = now;
	s->most.descriptors = now.descriptors > s->most.descriptors ? now.descriptors : s->most.descriptors;
}

/* Five rows a scan, every tenth scan missing. */
static void test_soak(int rows)
{
	FILE *manifest = fopen("rows.csv", "w");
	OQ_REQUIRE(manifest != NULL);
	fputs("image_path,coordX,coordY,coordZ\n", manifest);
	for (int i = 0; i < rows; i++) {
		char name[32];
		snprintf(name, sizeof name, "scan%d.nii%s", i / 5, i / 5 % 2 ? ".gz" : "");
		if (i % 5 == 0 && i / 5 % 10 != 9)
			OQ_REQUIRE(symlink(i / 5 % 2 ? OQ_TEST_DATA "/nifti_bad/ok_01_gz.nii.gz" : SCAN, name) == 0 || errno == EEXIST);
		fprintf(manifest, "%s,%d,2,%d\n", name, i % 4, i % 7);
	}
	OQ_REQUIRE(fclose(manifest) == 0);
	const char *package = TINY, *output = "soak.npy";
	soak s = {.late = {0}};
	oq_job_summary summary;
	oq_error err = {0};
	const oq_job job = {.manifest = "rows.csv", .packages = &package, .outputs = &output, .package_count = 1, .threads = 2, .progress = watch, .context = &s};
	usage before = measure();
	OQ_CHECK_INT(oq_embed(&job, &summary, &err), OQ_E_SOME_ROWS);
	usage after = measure();
	OQ_CHECK_INT(summary.rows, rows);
	OQ_CHECK_INT(summary.failed, rows / 50 * 5);
	printf("%d rows, %.0f rows/s: %ld KB resident after a tenth, %ld at the end; %ld descriptors at most, %ld and %ld before and after\n", rows,
		rows / summary.seconds, s.early.resident * 4, s.late.resident * 4, s.most.descriptors, before.descriptors, after.descriptors);
	/* The messages of failed rows are kept until the end: 100 bytes each. */
#if !defined(__SANITIZE_ADDRESS__) /* it keeps what was freed */
	OQ_CHECK((s.late.resident - s.early.resident) * 4 < 1024 + rows / 10);
#endif
	OQ_CHECK(s.most.descriptors < before.descriptors + 10);
	OQ_CHECK_INT(after.descriptors, before.descriptors);
}

#define WIDE 64
#define DEEP 300
#define HEADER 352

/* A packed scan of noise, which does not compress; its header is that of SCAN but for the sizes. */
static long write_packed_scan(const char *path)
{
	static int16_t voxels[WIDE * WIDE * DEEP];
	static const int16_t dims[3] = {WIDE, WIDE, DEEP};
	char header[HEADER];
	uint32_t state = 1;
	for (size_t i = 0; i < sizeof voxels / sizeof *voxels; i++) {
		state = state * 1664525u + 1013904223u;
		voxels[i] = (int16_t)((int)(state >> 16) - 32768);
	}
	FILE *plain = fopen(SCAN, "rb");
	OQ_REQUIRE(plain && fread(header, 1, sizeof header, plain) == sizeof header && !fclose(plain));
	memcpy(header + 42, dims, sizeof dims);
	gzFile file = gzopen(path, "wb1");
	OQ_REQUIRE(file && gzwrite(file, header, sizeof header) == (int)sizeof header && gzwrite(file, voxels, sizeof voxels) == (int)sizeof voxels);
	OQ_REQUIRE(gzclose(file) == Z_OK);
	struct stat info;
	OQ_REQUIRE(stat(path, &info) == 0);
	return (long)info.st_size;
}

/* Bytes that this process has read so far; 0 where that cannot be told. */
static long bytes_read(void)
{
	long bytes = 0;
	FILE *io = fopen("/proc/self/io", "r");
	if (io && fscanf(io, "rchar: %ld", &bytes) != 1)
		bytes = 0;
	if (io)
		fclose(io);
	return bytes;
}

/* Thirty rows from one end of a packed scan to the other; its size. */
static long write_deep(void)
{
	long size = write_packed_scan("deep.nii.gz");
	FILE *manifest = fopen("deep.csv", "w");
	OQ_REQUIRE(manifest && fputs("image_path,coordX,coordY,coordZ\n", manifest) > 0);
	for (int i = 0; i < 30; i++)
		fprintf(manifest, "deep.nii.gz,%d,2,%d\n", i % 4, 3 + i * 25);
	OQ_REQUIRE(fclose(manifest) == 0);
	return size;
}

/* All of them, two packages, two lanes: the scan's bytes are read once, but for the pieces that its header is in. */
static void test_one_pass(void)
{
	long size = write_deep();
	const char *packages[] = {TINY, TINY}, *outputs[] = {"deep1.npy", "deep2.npy"};
	oq_job_summary summary;
	oq_error err = {0};
	const oq_job job = {.manifest = "deep.csv", .packages = packages, .outputs = outputs, .package_count = 2, .threads = 2};
	long before = bytes_read();
	OQ_CHECK_INT(oq_embed(&job, &summary, &err), OQ_OK);
	OQ_CHECK_INT(summary.failed, 0);
	long used = bytes_read() - before;
	OQ_CHECK(!before || (used >= size && used < size + size / 2));
	OQ_CHECK(size > 2L << 20); /* far more than the rest that is read, so that a second pass would be seen */
}

#define PATIENCE 120 /* seconds: a child that waits for threads which are not there never ends */

/* In a child: what it returns is its exit code. */
static pid_t in_child(int (*act)(void))
{
	fflush(NULL);
	pid_t child = fork();
	OQ_REQUIRE(child >= 0);
	if (child)
		return child;
	alarm(PATIENCE);
	_exit(act());
}

static void expect_good(pid_t child)
{
	int status = -1;
	OQ_CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static const char *output_name;

static int embed_deep(void)
{
	const char *package = TINY;
	oq_error err = {0};
	const oq_job job = {.manifest = "deep.csv", .packages = &package, .outputs = &output_name, .package_count = 1, .threads = 2};
	oq_status status = oq_embed(&job, NULL, &err);
	if (status != OQ_OK)
		fprintf(stderr, "%s\n", err.message);
	return (int)status;
}

static void *embed_thread(void *status)
{
	*(int *)status = embed_deep();
	return NULL;
}

static int embed_in_thread(void)
{
	pthread_t thread;
	int status = 1;
	return pthread_create(&thread, NULL, embed_thread, &status) || pthread_join(thread, NULL) ? 1 : status;
}

static bool same_files(const char *a, const char *b)
{
	FILE *x = fopen(a, "rb"), *y = fopen(b, "rb");
	bool same = x && y;
	for (int c = 0; same && c != EOF;)
		same = (c = fgetc(x)) == fgetc(y);
	if (x)
		fclose(x);
	if (y)
		fclose(y);
	return same;
}

/* A fork after the library was used: the child calls it from a thread of its own. */
static void test_fork_after(void)
{
	output_name = "forked_after.npy";
	expect_good(in_child(embed_in_thread));
	OQ_CHECK(same_files("deep1.npy", output_name));
}

/* Forks before it was used: each child as if it were alone. */
static void test_fork_before(const char *folder)
{
	pid_t children[2];
	OQ_REQUIRE(chdir(folder) == 0);
	write_deep();
	for (int i = 0; i < 2; i++) {
		output_name = i ? "forked_1.npy" : "forked_0.npy";
		children[i] = in_child(embed_deep);
	}
	expect_good(children[0]);
	expect_good(children[1]);
}

int main(int argc, char **argv)
{
	shared s = {0};
	oq_model *model = NULL;
	oq_scan *scan = NULL;
	oq_session *session = NULL;
	OQ_REQUIRE(argc > 1);
	(void)mkdir(argv[1], 0700);
	test_fork_before(argv[1]);
	OQ_REQUIRE(oq_model_open(TINY, NULL, &model, NULL) == OQ_OK && oq_scan_open(SCAN, NULL, &scan, NULL) == OQ_OK
		&& oq_session_open(model, 1, &session, NULL) == OQ_OK && compute(model, scan, session, s.patch, s.embedding));
	s.model = model;
	s.scan = scan;
	test_threads(&s);
	test_float_state(&s);
	oq_session_close(session);
	oq_scan_close(scan);
	oq_model_close(model);
	test_soak(argc > 2 ? (int)strtol(argv[2], NULL, 10) : 1000);
	test_one_pass();
	OQ_CHECK(same_files("deep1.npy", "forked_0.npy") && same_files("deep1.npy", "forked_1.npy"));
	test_fork_after();
	return oq_checks_done();
}
