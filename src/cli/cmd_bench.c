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
	const char *powercap, *perf;
	double tdp, idle_seconds, energy_seconds; /* watts; how long to look at the idle machine, and at each package */
	double seconds;
} bench;

typedef struct timing {
	double minimum, median; /* ms per patch */
	int runs;
} timing;

/* What a patch costs. `label` says how much to believe it. */
typedef struct cost {
	const char *label, *source; /* "measured-rapl", "estimate-tdp", "none"; "powercap", "perf" */
	char zones[256], why[2048];
	double idle_watts, watts, total, active; /* joules per patch: with, and without what the idle machine takes */
	double seconds;
} cost;

/* A package on the bench. Several take turns, A B B A, so that a machine that grows warm or busy treats them alike. */
typedef struct subject {
	const char *package;
	oq_model *model;
	oq_session *session;
	float *patches, *embeddings;
	double *times;          /* [runs] ms per patch, of all turns */
	int runs;
	timing timing;
	double joules, seconds; /* of all turns, and the patches they saw */
	int64_t count;
	cost cost;
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

static void print_energy(const cost *c)
{
	if (!strcmp(c->label, "none"))
		printf("  energy: n/a: %s\n", c->why);
	else if (!strcmp(c->label, "estimate-tdp"))
		printf("  energy: %.3g J per patch [estimate-tdp: %.1f W times the time; no measurement: %s]\n", c->total, c->watts, c->why);
	else
		printf("  energy: %.3g J per patch, %.3g J above idle [measured-rapl by %s: %s; %.1f W, idle %.1f W, over %.0f s; CPU package energy, not the wall's]\n", c->total,
			c->active, c->source, c->zones, c->watts, c->idle_watts, c->seconds);
}

static void add_energy(cJSON *out, const cost *c)
{
	cJSON *energy = cJSON_AddObjectToObject(out, "energy");
	cJSON_AddStringToObject(energy, "label", c->label);
	if (c->why[0])
		cJSON_AddStringToObject(energy, "why", c->why);
	if (!strcmp(c->label, "none"))
		return;
	cJSON_AddNumberToObject(energy, "joules_per_patch", c->total);
	cJSON_AddNumberToObject(energy, "watts", c->watts);
	if (strcmp(c->label, "measured-rapl"))
		return;
	cJSON_AddStringToObject(energy, "source", c->source);
	cJSON_AddStringToObject(energy, "zones", c->zones);
	cJSON_AddNumberToObject(energy, "joules_per_patch_above_idle", c->active);
	cJSON_AddNumberToObject(energy, "idle_watts", c->idle_watts);
	cJSON_AddNumberToObject(energy, "seconds", c->seconds);
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
	static const char *const copied[] = {"precision_asked", "precision_used", "convolutions", "weight_bytes", "session_bytes", "open_seconds", "tool_version", "processor", "kernels", "onednn_version", "onednn_isa"};
	for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
		cJSON_AddItemToObject(out, copied[i], cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(model, copied[i]), true));
	if (b->energy)
		add_energy(out, &x->cost);
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
	if (b->energy)
		print_energy(&x->cost);
	if (b->profile)
		print_profile(steps_text, gflop);
}

/* Of the others beside the first; an estimate's ratio is that of the times and says nothing more. */
static void print_beside(const subject *x, int count, bool energy)
{
	printf("beside the first, in turns there and back:\n");
	for (int i = 1; i < count; i++) {
		printf("  %s: %.2f times as fast", x[i].package, x[0].timing.median / x[i].timing.median);
		if (energy && !strcmp(x[0].cost.label, "measured-rapl") && x[0].cost.total > 0)
			printf(", %.2f times the energy per patch", x[i].cost.total / x[0].cost.total);
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
		print_beside(subjects, count, b->energy);
	}
	cJSON_Delete(all);
	return status;
}

/* Joules over `seconds` of waiting or, with a subject, of its running; counters wrap, so they are read often. */
static oq_status watch(oq_energy *energy, subject *x, const bench *b, double seconds, double *joules, double *took, oq_error *err)
{
	double start = oq_cli_seconds(), before;
	oq_status status = oq_energy_read(energy, &before, err);
	while (status == OQ_OK) {
		if (x)
			status = oq_session_run(x->session, x->patches, b->batch, x->embeddings, err);
		else
			nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
		if (x)
			x->count += b->batch;
		if (status == OQ_OK)
			status = oq_energy_read(energy, joules, err);
		*took = oq_cli_seconds() - start;
		if (*took >= seconds || oq_cli_signal)
			break;
	}
	*joules -= before;
	return status;
}

static void estimate(const bench *b, subject *x)
{
	double load = (double)b->threads / (double)sysconf(_SC_NPROCESSORS_ONLN);
	x->cost.label = b->tdp > 0 ? "estimate-tdp" : "none";
	x->cost.watts = b->tdp * (0.1 + 0.9 * load * load * load);
	x->cost.total = x->cost.watts * x->timing.median / 1e3;
}

static void conclude(subject *x, double idle_watts)
{
	cost *c = &x->cost;
	c->idle_watts = idle_watts;
	c->seconds = x->seconds;
	c->watts = x->joules / x->seconds;
	c->total = x->joules / (double)x->count;
	c->active = (x->joules - idle_watts * x->seconds) / (double)x->count;
}

/* The powercap tree, or else performance events; false, with the reasons of both in `why`, when neither tells. */
static bool open_counters(const bench *b, oq_energy **energy, const char **source, char why[2048])
{
	oq_error first = {0}, second = {0};
	*source = "powercap";
	if (oq_energy_open(b->powercap, energy, &first) == OQ_OK)
		return true;
	*source = "perf";
	if (oq_energy_open_perf(b->perf, energy, &second) == OQ_OK)
		return true;
	snprintf(why, 2048, "%.1000s; %.1000s", first.message, second.message);
	return false;
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

static oq_status measure_energy(const bench *b, subject *subjects, int count, oq_error *err)
{
	oq_energy *energy = NULL;
	const char *source;
	char why[2048];
	double joules = 0, took = 1, seconds = b->energy_seconds * count / turns(count);
	bool found = open_counters(b, &energy, &source, why);
	for (int i = 0; i < count; i++) {
		subjects[i].cost = (cost){.label = "measured-rapl", .source = source};
		snprintf(subjects[i].cost.zones, sizeof subjects[i].cost.zones, "%s", found ? oq_energy_zones(energy) : "");
		snprintf(subjects[i].cost.why, sizeof subjects[i].cost.why, "%s", found ? "" : why);
		if (!found)
			estimate(b, &subjects[i]);
	}
	if (!found)
		return OQ_OK;
	oq_status status = watch(energy, NULL, b, b->idle_seconds, &joules, &took, err);
	double idle = joules / took;
	for (int i = 0; i < turns(count) && status == OQ_OK; i++) {
		subject *x = &subjects[whose(i, count)];
		status = watch(energy, x, b, seconds, &joules, &took, err);
		x->joules += joules;
		x->seconds += took;
	}
	for (int i = 0; i < count && status == OQ_OK; i++)
		conclude(&subjects[i], idle);
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
}

static int run_bench(bench *b, const char *const *packages, int count, bool json)
{
	subject subjects[PACKAGES] = {0};
	oq_error err = {0};
	oq_status status = OQ_OK;
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
	bench b = {.seconds = 3, .powercap = "/sys/class/powercap", .perf = "/sys/bus/event_source/devices/power", .idle_seconds = 10, .energy_seconds = 30};
	const char *packages[PACKAGES];
	int count;
	const oq_option options[] = {
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &b.threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		{.name = "--batch", .short_name = "-b", .kind = OQ_OPTION_INT, .target = &b.batch, .value_name = "N", .low = 1, .high = 4096, .help = "patches given at a time (default: one per thread)"},
		{.name = "--seconds", .short_name = "-s", .kind = OQ_OPTION_NUMBER, .target = &b.seconds, .value_name = "S", .low = 0, .high = 86400, .help = "how long to measure (3)"},
		{.name = "--profile", .kind = OQ_OPTION_FLAG, .target = &b.profile, .help = "time every step of the plan"},
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &b.precision, .choices = oq_cli_precisions, .help = "package (default: as it was made), f32, bf16, f16, int8"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &b.convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "how convolutions are computed (auto)"},
		{.name = "--energy", .kind = OQ_OPTION_FLAG, .target = &b.energy, .help = "joules per patch from the processor's counters; takes 10 s idle and 30 s a package"},
		{.name = "--tdp", .kind = OQ_OPTION_NUMBER, .target = &b.tdp, .value_name = "W", .low = 0, .high = 2000, .help = "where there are no counters: estimate from this thermal design power"},
		{.name = "--powercap-root", .kind = OQ_OPTION_TEXT, .target = &b.powercap, .value_name = "DIR", .help = "instead of /sys/class/powercap"},
		{.name = "--perf-root", .kind = OQ_OPTION_TEXT, .target = &b.perf, .value_name = "DIR", .help = "instead of /sys/bus/event_source/devices/power, tried when powercap does not tell"},
		{.name = "--energy-seconds", .kind = OQ_OPTION_NUMBER, .target = &b.energy_seconds, .value_name = "S", .low = 1, .high = 86400, .help = "how long to measure each package's energy (30)"},
		{.name = "--idle-seconds", .kind = OQ_OPTION_NUMBER, .target = &b.idle_seconds, .value_name = "S", .low = 1, .high = 3600, .help = "how long to look at the idle machine (10; a minute is better)"},
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
