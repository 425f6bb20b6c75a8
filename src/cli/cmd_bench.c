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

typedef struct bench {
	const char *package;
	int64_t threads, batch;
	bool shared, profile, strict, energy;
	int precision, convolution;
	const char *powercap;
	double tdp, idle_seconds; /* watts; how long to look at the idle machine */
	double seconds;
} bench;

typedef struct timing {
	double minimum, median; /* ms per patch */
	int runs;
} timing;

/* What a patch costs. `label` says how much to believe it. */
typedef struct cost {
	const char *label;      /* "measured-rapl", "estimate-tdp", "none" */
	char zones[256], why[1024];
	double idle_watts, watts, total, active; /* joules per patch: with, and without what the idle machine takes */
	double seconds;
} cost;

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

static oq_status measure(oq_session *session, const bench *b, const float *patches, float *embeddings, timing *out, oq_error *err)
{
	double *times = malloc(MAX_RUNS * sizeof *times), start = oq_cli_seconds();
	oq_status status = times ? oq_session_run(session, patches, b->batch, embeddings, err) : OQ_E_RESOURCE; /* warm-up */
	*out = (timing){0};
	oq_session_profile(session, b->profile);
	while (status == OQ_OK && out->runs < MAX_RUNS && (out->runs < 3 || oq_cli_seconds() - start < b->seconds) && !oq_cli_signal) {
		double before = oq_cli_seconds();
		status = oq_session_run(session, patches, b->batch, embeddings, err);
		times[out->runs++] = 1e3 * (oq_cli_seconds() - before) / (double)b->batch;
	}
	if (status == OQ_OK && out->runs) {
		qsort(times, (size_t)out->runs, sizeof *times, compare_doubles);
		out->minimum = times[0];
		out->median = times[out->runs / 2];
	}
	free(times);
	return status;
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
		printf("  energy: %.3g J per patch, %.3g J above idle [measured-rapl: %s; %.1f W, idle %.1f W, over %.0f s; CPU package energy, not the wall's]\n", c->total,
			c->active, c->zones, c->watts, c->idle_watts, c->seconds);
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
	cJSON_AddStringToObject(energy, "zones", c->zones);
	cJSON_AddNumberToObject(energy, "joules_per_patch_above_idle", c->active);
	cJSON_AddNumberToObject(energy, "idle_watts", c->idle_watts);
	cJSON_AddNumberToObject(energy, "seconds", c->seconds);
}

static int print_result(const bench *b, const char *model_text, const char *steps_text, const timing *t, const cost *c, bool json)
{
	cJSON *model = cJSON_Parse(model_text);
	double gflop = total_gflop(steps_text);
	if (json) {
		cJSON *out = cJSON_CreateObject();
		cJSON_AddStringToObject(out, "format", "oncoquant-bench");
		cJSON_AddStringToObject(out, "model", oq_cli_text(cJSON_GetObjectItemCaseSensitive(model, "model"), "name"));
		cJSON_AddNumberToObject(out, "threads", (double)b->threads);
		cJSON_AddNumberToObject(out, "batch", (double)b->batch);
		cJSON_AddBoolToObject(out, "threads_share_a_patch", b->shared);
		cJSON_AddNumberToObject(out, "ms_per_patch_min", t->minimum);
		cJSON_AddNumberToObject(out, "ms_per_patch_median", t->median);
		cJSON_AddNumberToObject(out, "runs", t->runs);
		cJSON_AddNumberToObject(out, "gflop_per_patch", gflop);
		cJSON_AddNumberToObject(out, "peak_rss_mb", peak_rss_mb());
		static const char *const copied[] = {"precision_asked", "precision_used", "convolutions", "weight_bytes", "session_bytes", "open_seconds", "tool_version", "processor", "kernels", "onednn_version", "onednn_isa"};
		for (size_t i = 0; i < sizeof copied / sizeof *copied; i++)
			cJSON_AddItemToObject(out, copied[i], cJSON_Duplicate(cJSON_GetObjectItemCaseSensitive(model, copied[i]), true));
		if (b->energy)
			add_energy(out, c);
		if (b->profile)
			cJSON_AddItemToObject(out, "steps", cJSON_Parse(steps_text));
		char *text = cJSON_Print(out);
		puts(text);
		cJSON_free(text);
		cJSON_Delete(out);
	} else {
		printf("%s on %s, oneDNN %s %s, kernels %s\n", b->package, oq_cli_text(model, "processor"), oq_cli_text(model, "onednn_version"),
			oq_cli_text(model, "onednn_isa"), oq_cli_text(model, "kernels"));
		printf("  %lld thread%s, %lld patch%s at a time%s: %.2f ms per patch (median of %d runs; fastest %.2f), %.1f patches/s, %.0f GFLOP/s nominal\n",
			(long long)b->threads, b->threads > 1 ? "s" : "", (long long)b->batch, b->batch > 1 ? "es" : "", b->shared ? ", shared by the threads" : "",
			t->median, t->runs, t->minimum, 1e3 / t->median, gflop / t->median * 1e3);
		printf("  precision: %s asked, %s used%s%s\n", oq_cli_text(model, "precision_asked"), oq_cli_text(model, "precision_used"),
			oq_cli_text(model, "precision_note")[0] ? "; " : "", oq_cli_text(model, "precision_note"));
		printf("  opened in %.2f s, %.0f MB weights, %.0f MB per lane, peak memory %.0f MB\n", oq_cli_number(model, "open_seconds"),
			oq_cli_number(model, "weight_bytes") / 1e6, oq_cli_number(model, "session_bytes") / 1e6, peak_rss_mb());
		if (b->energy)
			print_energy(c);
		if (b->profile)
			print_profile(steps_text, gflop);
	}
	cJSON_Delete(model);
	return oq_cli_flush();
}

/* Joules over `seconds` of waiting or of running; counters wrap, so they are read often. */
static oq_status watch(oq_energy *energy, oq_session *session, const bench *b, const float *patches, float *embeddings, double seconds, double *joules,
	double *took, int64_t *count, oq_error *err)
{
	double start = oq_cli_seconds(), before;
	oq_status status = oq_energy_read(energy, &before, err);
	while (status == OQ_OK) {
		if (session)
			status = oq_session_run(session, patches, b->batch, embeddings, err);
		else
			nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL);
		*count += b->batch;
		if (status == OQ_OK)
			status = oq_energy_read(energy, joules, err);
		*took = oq_cli_seconds() - start;
		if (*took >= seconds || oq_cli_signal)
			break;
	}
	*joules -= before;
	return status;
}

static oq_status measure_energy(oq_session *session, const bench *b, const float *patches, float *embeddings, const timing *t, cost *c, oq_error *err)
{
	oq_energy *energy = NULL;
	oq_error why = {0};
	int64_t count = 0, idle = 0;
	double joules, took;
	if (oq_energy_open(b->powercap, &energy, &why) != OQ_OK) {
		snprintf(c->why, sizeof c->why, "%s", why.message);
		c->label = b->tdp > 0 ? "estimate-tdp" : "none";
		double load = (double)b->threads / (double)sysconf(_SC_NPROCESSORS_ONLN);
		c->watts = b->tdp * (0.1 + 0.9 * load * load * load);
		c->total = c->watts * t->median / 1e3;
		return OQ_OK;
	}
	c->label = "measured-rapl";
	snprintf(c->zones, sizeof c->zones, "%s", oq_energy_zones(energy));
	oq_status status = watch(energy, NULL, b, NULL, NULL, b->idle_seconds, &joules, &took, &idle, err);
	if (status == OQ_OK) {
		c->idle_watts = joules / took;
		status = watch(energy, session, b, patches, embeddings, b->seconds > 30 ? b->seconds : 30, &joules, &took, &count, err);
	}
	if (status == OQ_OK) {
		c->seconds = took;
		c->watts = joules / took;
		c->total = joules / (double)count;
		c->active = (joules - c->idle_watts * took) / (double)count;
	}
	oq_energy_close(energy);
	return status;
}

static int run_bench(bench *b, bool json)
{
	oq_model *model = NULL;
	oq_session *session = NULL;
	oq_error err = {0};
	char *model_text = NULL, *steps_text = NULL;
	int64_t shape[4];
	timing t = {0};
	cost c = {0};
	/* Fewer patches than threads: the threads share each. */
	b->shared = b->threads > 1 && b->batch < b->threads;
	const oq_model_options options = {.threads_per_patch = b->shared ? (int)b->threads : 1, .precision = (oq_precision)b->precision,
		.strict_precision = b->strict, .convolution = (oq_convolution)b->convolution};
	oq_status status = oq_model_open(b->package, &options, &model, &err);
	float *patches = NULL, *embeddings = NULL;
	if (status == OQ_OK) {
		oq_model_patch_shape(model, shape);
		size_t floats = (size_t)(shape[0] * shape[1] * shape[2] * shape[3]);
		patches = aligned_alloc(64, (floats * (size_t)b->batch * sizeof *patches + 63) / 64 * 64);
		embeddings = malloc((size_t)oq_model_embedding_size(model) * (size_t)b->batch * sizeof *embeddings);
		if (patches)
			fill(patches, floats * (size_t)b->batch);
		status = patches && embeddings ? oq_session_open(model, b->shared ? 1 : (int)b->threads, &session, &err) : OQ_E_RESOURCE;
	}
	if (status == OQ_OK)
		status = measure(session, b, patches, embeddings, &t, &err);
	if (status == OQ_OK && b->energy)
		status = measure_energy(session, b, patches, embeddings, &t, &c, &err);
	if (status == OQ_OK)
		status = oq_model_json(model, &model_text, &err);
	if (status == OQ_OK)
		status = oq_session_steps_json(session, &steps_text, &err);
	int code = status == OQ_OK ? print_result(b, model_text, steps_text, &t, &c, json) : oq_cli_fail(&err);
	oq_string_free(model_text);
	oq_string_free(steps_text);
	oq_session_close(session);
	oq_model_close(model);
	free(patches);
	free(embeddings);
	return code;
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	bench b = {.seconds = 3, .powercap = "/sys/class/powercap", .idle_seconds = 10};
	int count;
	const oq_option options[] = {
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &b.threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		{.name = "--batch", .short_name = "-b", .kind = OQ_OPTION_INT, .target = &b.batch, .value_name = "N", .low = 1, .high = 4096, .help = "patches given at a time (default: one per thread)"},
		{.name = "--seconds", .short_name = "-s", .kind = OQ_OPTION_NUMBER, .target = &b.seconds, .value_name = "S", .low = 0, .high = 86400, .help = "how long to measure (3)"},
		{.name = "--profile", .kind = OQ_OPTION_FLAG, .target = &b.profile, .help = "time every step of the plan"},
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &b.precision, .choices = oq_cli_precisions, .help = "package (default: as it was made), f32, bf16, f16, int8"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &b.convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "how float32 convolutions are computed (auto)"},
		{.name = "--energy", .kind = OQ_OPTION_FLAG, .target = &b.energy, .help = "joules per patch from the processor's counters; takes 10 s idle and 30 s more"},
		{.name = "--tdp", .kind = OQ_OPTION_NUMBER, .target = &b.tdp, .value_name = "W", .low = 0, .high = 2000, .help = "where there are no counters: estimate from this thermal design power"},
		{.name = "--powercap-root", .kind = OQ_OPTION_TEXT, .target = &b.powercap, .value_name = "DIR", .help = "instead of /sys/class/powercap"},
		{.name = "--strict-precision", .kind = OQ_OPTION_FLAG, .target = &b.strict, .help = "fail instead of computing in float32"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_bench, options, &common, argc, argv, &b.package, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count)
		return oq_cli_usage("bench: a package is needed");
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
	return run_bench(&b, common.json);
}

const oq_command oq_command_bench = {"bench", "PACKAGE [--threads N] [--batch N] [--profile]", "measure how fast a package runs here",
	"Times the network on made-up patches: milliseconds per patch, memory, and with --profile every step of the plan with its\n"
	"implementation, precision, GFLOP/s (nominal multiply-adds), share of the peak that a loop in registers measures, and bytes.",
	"  oncoquant bench ct-fm.oq\n  oncoquant bench ct-fm.oq --threads 1 --profile\n", run};
