/* oncoquant bench: how fast a package runs here. Reports, never judges. */
#include "cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static double peak_rss_mb(void)
{
	char line[256];
	double kib = 0;
	FILE *file = fopen("/proc/self/status", "r");
	while (file && fgets(line, sizeof line, file))
		if (!strncmp(line, "VmHWM:", 6))
			kib = strtod(line + 6, NULL);
	if (file)
		fclose(file);
	return kib / 1024;
}

#define PACKAGES 8

typedef struct bench {
	int64_t threads, batch;
	bool shared, profile, strict, energy, alone;
	int precision, convolution;
	oq_energy_options counters;
	int64_t repeats;                     /* turns of each package when energy is measured */
	double idle_seconds, energy_seconds; /* how long to look at the idle machine, and at each package in a turn */
	double seconds;
} bench;

typedef struct timing {
	double minimum, median; /* ms per patch */
	int runs;
} timing;

/* A package on the bench. Several take turns, A B B A, so that a machine that grows warm or busy treats them alike. */
typedef struct subject {
	const char *package;
	oq_model *model;
	oq_session *session;
	float *patches, *embeddings;
	double *times;          /* [runs] ms per patch, of all turns */
	int runs;
	timing timing;
	cJSON *energy;          /* oq_energy_json, or NULL */
} subject;

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

/* Numbers between 0 and 1 from a fixed generator: speed does not depend on the values, and nothing need be read. */
static void fill(float *values, size_t count)
{
	uint64_t state = 1;
	for (size_t i = 0; i < count; i++) {
		state = state * 6364136223846793005u + 1442695040888963407u;
		values[i] = (float)(state >> 40) * 0x1p-24f;
	}
}

#define MAX_RUNS 10000

/* One turn; after the first, times are added to those before. Of two turns each has half of the room, or a fast network's second would be none. */
static oq_status measure(subject *x, const bench *b, oq_error *err)
{
	double start = oq_cli_seconds();
	int before = x->runs, most = before + (b->alone ? MAX_RUNS : MAX_RUNS / 2);
	oq_status status = oq_session_run(x->session, x->patches, b->batch, x->embeddings, err); /* warm-up */
	oq_session_profile(x->session, b->profile);
	while (status == OQ_OK && x->runs < most && (x->runs - before < 3 || oq_cli_seconds() - start < b->seconds) && !oq_cli_signal) {
		double begun = oq_cli_seconds();
		status = oq_session_run(x->session, x->patches, b->batch, x->embeddings, err);
		x->times[x->runs++] = 1e3 * (oq_cli_seconds() - begun) / (double)b->batch;
	}
	return status;
}

static void summarise(subject *x)
{
	if (!x->runs)
		return;
	qsort(x->times, (size_t)x->runs, sizeof *x->times, compare_doubles);
	x->timing = (timing){x->times[0], x->times[x->runs / 2], x->runs};
}

/* What the processor does at most, as measured for this profile, and what the shares below refer to. */
static void print_peaks(const cJSON *steps)
{
	static const char *const precisions[] = {"f32", "bf16", "int8"};
	printf("\nmeasured peak (multiply-adds in registers, threads of a patch), GFLOP/s:");
	for (size_t i = 0; i < sizeof precisions / sizeof *precisions; i++) {
		const cJSON *s;
		double peak = 0;
		cJSON_ArrayForEach(s, steps)
			if (!strcmp(oq_cli_text(s, "precision"), precisions[i]) && oq_cli_number(s, "peak_gflops") > 0)
				peak = oq_cli_number(s, "peak_gflops");
		if (peak > 0)
			printf(" %s %.0f", precisions[i], peak);
	}
	printf("\n");
}

static void print_profile(const char *text, double total_gflop)
{
	cJSON *steps = cJSON_Parse(text);
	const cJSON *s;
	double sum = 0, ideal = 0;
	print_peaks(steps);
	printf("\n%-26s %-16s %-32s %-4s %9s %8s %6s %8s\n", "value", "op", "implementation", "", "ms", "GFLOP/s", "peak", "MB");
	cJSON_ArrayForEach(s, steps) {
		double ms = oq_cli_number(s, "ms"), gflop = oq_cli_number(s, "gflop"), peak = oq_cli_number(s, "peak_gflops"), rate = ms > 0 ? gflop / ms * 1e3 : 0;
		char share[16] = "";
		if (peak > 0 && gflop > 0)
			snprintf(share, sizeof share, "%.0f %%", 100 * rate / peak);
		sum += ms;
		ideal += peak > 0 ? gflop / peak * 1e3 : 0;
		printf("%-26s %-16s %-32s %-4s %9.3f %8.1f %6s %8.2f\n", oq_cli_text(s, "name"), oq_cli_text(s, "op"), oq_cli_text(s, "implementation"),
			oq_cli_text(s, "precision"), ms, rate, share, oq_cli_number(s, "bytes") / 1e6);
	}
	char share[16] = "";
	if (ideal > 0 && sum > 0)
		snprintf(share, sizeof share, "%.0f %%", 100 * ideal / sum);
	printf("%-26s %-16s %-32s %-4s %9.3f %8.1f %6s\n", "total", "", "", "", sum, sum > 0 ? total_gflop / sum * 1e3 : 0, share);
	printf("GFLOP are nominal multiply-adds: Winograd convolutions do fewer, and may pass the peak\n");
	cJSON_Delete(steps);
}

static double total_gflop(const char *text)
{
	cJSON *steps = cJSON_Parse(text);
	const cJSON *s;
	double sum = 0;
	cJSON_ArrayForEach(s, steps)
		sum += oq_cli_number(s, "gflop");
	cJSON_Delete(steps);
	return sum;
}

static bool is_label(const cJSON *energy, const char *label)
{
	return !strcmp(oq_cli_text(energy, "label"), label);
}

/* A doubtful figure is told with its doubt. */
static void print_energy(const cJSON *e)
{
	const char *why = oq_cli_text(e, "why");
	if (is_label(e, "none")) {
		printf("  energy: n/a: %s\n", why);
	} else if (is_label(e, "estimate-tdp")) {
		printf("  energy: %.3g J per patch [estimate-tdp: %.1f W times the time; no measurement: %s]\n", oq_cli_number(e, "joules_per_patch"), oq_cli_number(e, "watts"), why);
	} else {
		char interval[80] = "one turn: no interval";
		if (oq_cli_number(e, "repeats") > 1)
			snprintf(interval, sizeof interval, "95 %% interval %.3g to %.3g, %.0f turns", oq_cli_number(e, "joules_per_patch_low"),
				oq_cli_number(e, "joules_per_patch_high"), oq_cli_number(e, "repeats"));
		printf("  energy: %.3g J per patch (%s), %.3g J above idle", oq_cli_number(e, "joules_per_patch"), interval, oq_cli_number(e, "joules_per_patch_above_idle"));
		printf(" [%s by %s: %s; %.1f W, idle %.1f W, over %.0f s, other load up to %.0f %%; CPU package energy, not the wall's]\n", oq_cli_text(e, "label"),
			oq_cli_text(e, "source"), oq_cli_text(e, "zones"), oq_cli_number(e, "watts"), oq_cli_number(e, "idle_watts"), oq_cli_number(e, "seconds"),
			100 * oq_cli_number(e, "other_load"));
		if (why[0])
			printf("  energy is doubtful: %s\n", why);
		if (oq_cli_text(e, "note")[0])
			printf("  energy: %s\n", oq_cli_text(e, "note"));
	}
}

static cJSON *describe(const bench *b, const subject *x, const cJSON *model, const char *steps_text)
{
	cJSON *out = cJSON_CreateObject();
	cJSON_AddStringToObject(out, "format", "oncoquant-bench");
	cJSON_AddStringToObject(out, "model", oq_cli_text(cJSON_GetObjectItemCaseSensitive(model, "model"), "name"));
	cJSON_AddNumberToObject(out, "threads", (double)b->threads);
	cJSON_AddNumberToObject(out, "batch", (double)b->batch);
	cJSON_AddBoolToObject(out, "threads_share_a_patch", b->shared);
	cJSON_AddNumberToObject(out, "ms_per_patch_min", x->timing.minimum);
	cJSON_AddNumberToObject(out, "ms_per_patch_median", x->timing.median);
	cJSON_AddNumberToObject(out, "runs", x->timing.runs);
	cJSON_AddNumberToObject(out, "gflop_per_patch", total_gflop(steps_text));
	if (b->alone) /* memory is the process's */
		cJSON_AddNumberToObject(out, "peak_rss_mb", peak_rss_mb());
	static const char *const copied[] = {"precision_asked", "precision_used", "convolutions", "weight_bytes", "session_bytes", "open_seconds", "package_sha256", "tool_version", "processor", "kernels", "onednn_version", "onednn_isa"};
	for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
		cJSON_AddItemToObject(out, copied[i], cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(model, copied[i]), true));
	if (x->energy)
		cJSON_AddItemToObject(out, "energy", cJSON_Duplicate(x->energy, true));
	if (b->profile)
		cJSON_AddItemToObject(out, "steps", cJSON_Parse(steps_text));
	return out;
}

static void print_for_people(const bench *b, const subject *x, const cJSON *model, const char *steps_text)
{
	const timing *t = &x->timing;
	double gflop = total_gflop(steps_text);
	printf("%s on %s, oneDNN %s %s, kernels %s\n", x->package, oq_cli_text(model, "processor"), oq_cli_text(model, "onednn_version"),
		oq_cli_text(model, "onednn_isa"), oq_cli_text(model, "kernels"));
	printf("  %lld thread%s, %lld patch%s at a time%s: %.2f ms per patch (median of %d runs; fastest %.2f), %.1f patches/s, %.0f GFLOP/s nominal\n",
		(long long)b->threads, b->threads > 1 ? "s" : "", (long long)b->batch, b->batch > 1 ? "es" : "", b->shared ? ", shared by the threads" : "",
		t->median, t->runs, t->minimum, 1e3 / t->median, gflop / t->median * 1e3);
	printf("  precision: %s asked, %s used%s%s\n", oq_cli_text(model, "precision_asked"), oq_cli_text(model, "precision_used"),
		oq_cli_text(model, "precision_note")[0] ? "; " : "", oq_cli_text(model, "precision_note"));
	printf("  opened in %.2f s, %.0f MB weights, %.0f MB per lane, peak memory %.0f MB\n", oq_cli_number(model, "open_seconds"),
		oq_cli_number(model, "weight_bytes") / 1e6, oq_cli_number(model, "session_bytes") / 1e6, peak_rss_mb());
	if (x->energy)
		print_energy(x->energy);
	if (b->profile)
		print_profile(steps_text, gflop);
}

/* Of the others beside the first. Energy only where both were measured: an estimate's ratio is that of the times and says nothing more. */
static void print_beside(const subject *x, int count)
{
	printf("beside the first, in turns there and back:\n");
	for (int i = 1; i < count; i++) {
		printf("  %s: %.2f times as fast", x[i].package, x[0].timing.median / x[i].timing.median);
		if (cJSON_HasObjectItem(x[i].energy, "times_first"))
			printf(", %.3f times the energy per patch (95 %% interval %.3f to %.3f)", oq_cli_number(x[i].energy, "times_first"),
				oq_cli_number(x[i].energy, "times_first_low"), oq_cli_number(x[i].energy, "times_first_high"));
		printf("\n");
	}
}

/* One document, or one that holds all in "packages". */
static oq_status print_result(const bench *b, const subject *subjects, int count, bool json, oq_error *err)
{
	cJSON *all = cJSON_CreateObject(), *list;
	cJSON_AddStringToObject(all, "format", "oncoquant-bench");
	cJSON_AddStringToObject(all, "order", "there and back");
	list = cJSON_AddArrayToObject(all, "packages");
	oq_status status = OQ_OK;
	for (int i = 0; i < count && status == OQ_OK; i++) {
		char *model_text = NULL, *steps_text = NULL;
		status = oq_model_json(subjects[i].model, &model_text, err);
		if (status == OQ_OK)
			status = oq_session_steps_json(subjects[i].session, &steps_text, err);
		cJSON *model = status == OQ_OK ? cJSON_Parse(model_text) : NULL;
		if (model && json)
			cJSON_AddItemToArray(list, describe(b, &subjects[i], model, steps_text));
		else if (model)
			print_for_people(b, &subjects[i], model, steps_text);
		cJSON_Delete(model);
		oq_string_free(model_text);
		oq_string_free(steps_text);
	}
	if (status == OQ_OK && json) {
		char *text = cJSON_Print(count > 1 ? all : cJSON_GetArrayItem(list, 0));
		puts(text);
		cJSON_free(text);
	} else if (status == OQ_OK && count > 1) {
		print_beside(subjects, count);
	}
	cJSON_Delete(all);
	return status;
}

/* Alone, or there and back: A B B A. */
static int turns(int count)
{
	return count > 1 ? 2 * count : 1;
}

static int whose(int turn, int count)
{
	return turn < count ? turn : 2 * count - 1 - turn;
}

static void watch_idle(oq_energy *energy, double seconds)
{
	double start = oq_cli_seconds();
	oq_energy_begin(energy);
	while (oq_cli_seconds() - start < seconds && !oq_cli_signal) {
		nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
		oq_energy_tick(energy);
	}
	oq_energy_end(energy, OQ_ENERGY_IDLE, 0);
}

/* One turn: whole batches until time is up. */
static oq_status watch(oq_energy *energy, subject *x, int index, const bench *b, oq_error *err)
{
	double start = oq_cli_seconds();
	int64_t patches = 0;
	oq_status status = OQ_OK;
	oq_energy_begin(energy);
	do {
		status = oq_session_run(x->session, x->patches, b->batch, x->embeddings, err);
		patches += b->batch;
		oq_energy_tick(energy);
	} while (status == OQ_OK && oq_cli_seconds() - start < b->energy_seconds && !oq_cli_signal);
	oq_energy_end(energy, index, patches);
	return status;
}

/* The idle machine has let the processor cool: ten seconds or 20 patches before anything counts. */
static oq_status warm_up(subject *x, const bench *b, oq_error *err)
{
	double start = oq_cli_seconds();
	oq_status status = OQ_OK;
	for (int64_t patches = 0; status == OQ_OK && patches < 20 && oq_cli_seconds() - start < 10 && !oq_cli_signal; patches += b->batch)
		status = oq_session_run(x->session, x->patches, b->batch, x->embeddings, err);
	return status;
}

/* Idle, warm, then there and back: A B B A A B ... */
static oq_status run_turns(oq_energy *energy, const bench *b, subject *subjects, int count, oq_error *err)
{
	oq_status status = OQ_OK;
	watch_idle(energy, b->idle_seconds);
	for (int i = 0; i < count && status == OQ_OK; i++)
		status = warm_up(&subjects[i], b, err);
	for (int64_t i = 0; i < b->repeats * count && status == OQ_OK && !oq_cli_signal; i++) {
		int index = whose((int)(i % (2 * count)), count);
		status = watch(energy, &subjects[index], index, b, err);
	}
	return status;
}

static oq_status measure_energy(const bench *b, subject *subjects, int count, oq_error *err)
{
	oq_energy *energy = NULL;
	oq_energy_options options = b->counters;
	options.threads = (int)b->threads;
	oq_status status = oq_energy_open(&options, &energy, err);
	if (status == OQ_OK && oq_energy_counts(energy))
		status = run_turns(energy, b, subjects, count, err);
	for (int i = 0; i < count && status == OQ_OK; i++) {
		char *text = NULL;
		status = oq_energy_json(energy, i, subjects[i].timing.median / 1e3, &text, err);
		subjects[i].energy = text ? cJSON_Parse(text) : NULL;
		oq_string_free(text);
	}
	oq_energy_close(energy);
	return status;
}

static oq_status open_subject(const bench *b, subject *x, oq_error *err)
{
	int64_t shape[4];
	const oq_model_options options = {.threads_per_patch = b->shared ? (int)b->threads : 1, .precision = (oq_precision)b->precision,
		.strict_precision = b->strict, .convolution = (oq_convolution)b->convolution};
	oq_status status = oq_model_open(x->package, &options, &x->model, err);
	if (status != OQ_OK)
		return status;
	oq_model_patch_shape(x->model, shape);
	size_t floats = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
	x->patches = aligned_alloc(64, (floats * (size_t)b->batch * sizeof *x->patches + 63) / 64 * 64);
	x->embeddings = malloc((size_t)oq_model_embedding_size(x->model) * (size_t)b->batch * sizeof *x->embeddings);
	x->times = malloc(MAX_RUNS * sizeof *x->times);
	if (!x->patches || !x->embeddings || !x->times) {
		*err = (oq_error){.status = OQ_E_RESOURCE, .code = "E_MEMORY", .message = "bench: out of memory"};
		return OQ_E_RESOURCE;
	}
	fill(x->patches, floats * (size_t)b->batch);
	return oq_session_open(x->model, b->shared ? 1 : (int)b->threads, &x->session, err);
}

static void close_subject(subject *x)
{
	oq_session_close(x->session);
	oq_model_close(x->model);
	free(x->patches);
	free(x->embeddings);
	free(x->times);
	cJSON_Delete(x->energy);
}

static int run_bench(bench *b, const char *const *packages, int count, bool json)
{
	subject subjects[PACKAGES] = {0};
	oq_error err = {0};
	oq_status status = OQ_OK;
	oq_cli_cancel();
	/* Fewer patches than threads: the threads share each. */
	b->alone = count == 1;
	b->shared = b->threads > 1 && b->batch < b->threads;
	for (int i = 0; i < count && status == OQ_OK; i++) {
		subjects[i].package = packages[i];
		status = open_subject(b, &subjects[i], &err);
	}
	for (int i = 0; i < turns(count) && status == OQ_OK; i++)
		status = measure(&subjects[whose(i, count)], b, &err);
	for (int i = 0; i < count; i++)
		summarise(&subjects[i]);
	if (status == OQ_OK && b->energy && !oq_cli_signal)
		status = measure_energy(b, subjects, count, &err);
	if (status == OQ_OK && oq_cli_signal) { /* half a measurement is none */
		err = (oq_error){.code = "E_CANCELLED", .message = "bench: stopped before the end of the measurement"};
		status = err.status = OQ_E_RESOURCE;
	}
	if (status == OQ_OK)
		status = print_result(b, subjects, count, json, &err);
	for (int i = 0; i < count; i++)
		close_subject(&subjects[i]);
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(&err);
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	bench b = {.seconds = 3, .idle_seconds = 60, .energy_seconds = 30, .repeats = 5};
	const char *packages[PACKAGES];
	int count;
	const oq_option options[] = {
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &b.threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		{.name = "--batch", .short_name = "-b", .kind = OQ_OPTION_INT, .target = &b.batch, .value_name = "N", .low = 1, .high = 4096, .help = "patches given at a time (default: one per thread)"},
		{.name = "--seconds", .short_name = "-s", .kind = OQ_OPTION_NUMBER, .target = &b.seconds, .value_name = "S", .low = 0, .high = 86400, .help = "how long to measure (3)"},
		{.name = "--profile", .kind = OQ_OPTION_FLAG, .target = &b.profile, .help = "time every step of the plan"},
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &b.precision, .choices = oq_cli_precisions, .help = "package (default: as it was made), f32, bf16, f16, int8"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &b.convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "how convolutions are computed (auto)"},
		{.name = "--energy", .kind = OQ_OPTION_FLAG, .target = &b.energy, .help = "joules per patch from the processor's counters; takes 60 s idle and 5 turns of 30 s a package"},
		{.name = "--tdp", .kind = OQ_OPTION_NUMBER, .target = &b.counters.tdp_watts, .value_name = "W", .low = 0, .high = 10000, .help = "thermal design power: to judge the counters by, and to estimate where there are none"},
		{.name = "--powercap-root", .kind = OQ_OPTION_TEXT, .target = &b.counters.powercap, .value_name = "DIR", .help = "instead of /sys/class/powercap"},
		{.name = "--perf-root", .kind = OQ_OPTION_TEXT, .target = &b.counters.perf, .value_name = "DIR", .help = "instead of /sys/bus/event_source/devices/power, tried when powercap does not tell"},
		{.name = "--system-root", .kind = OQ_OPTION_TEXT, .target = &b.counters.system, .value_name = "DIR", .help = "instead of /: proc/stat (other load) and the machine's state are read below it"},
		{.name = "--repeats", .kind = OQ_OPTION_INT, .target = &b.repeats, .value_name = "N", .low = 1, .high = 64, .help = "turns of each package when energy is measured (5)"},
		{.name = "--energy-seconds", .kind = OQ_OPTION_NUMBER, .target = &b.energy_seconds, .value_name = "S", .low = 1, .high = 86400, .help = "how long each turn is (30)"},
		{.name = "--idle-seconds", .kind = OQ_OPTION_NUMBER, .target = &b.idle_seconds, .value_name = "S", .low = 1, .high = 3600, .help = "how long to look at the idle machine (60)"},
		{.name = "--strict-precision", .kind = OQ_OPTION_FLAG, .target = &b.strict, .help = "fail instead of computing in float32"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_bench, options, &common, argc, argv, packages, PACKAGES, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count)
		return oq_cli_usage("bench: a package is needed, or several");
	if (!b.threads) {
		char *text = NULL;
		oq_error err;
		if (oq_about_json(&text, &err) != OQ_OK)
			return oq_cli_fail(&err);
		cJSON *about = cJSON_Parse(text);
		b.threads = (int64_t)oq_cli_number(about, "threads");
		cJSON_Delete(about);
		oq_string_free(text);
	}
	b.batch = b.batch ? b.batch : b.threads;
	return run_bench(&b, packages, count, common.json);
}

const oq_command oq_command_bench = {"bench", "PACKAGE... [--threads N] [--batch N] [--profile]", "measure how fast a package runs here",
	"Times the network on made-up patches: milliseconds per patch, memory, and with --profile every step of the plan with its\n"
	"implementation, precision, GFLOP/s (nominal multiply-adds), share of the peak that a loop in registers measures, and bytes.\n"
	"Several packages take turns, there and back (A B B A), so that a machine that grows warm or busy treats them alike.",
	"  oncoquant bench ct-fm.oq\n  oncoquant bench ct-fm.oq --threads 1 --profile\n  oncoquant bench astra.oq astra-int8.oq --energy --json\n", run};
