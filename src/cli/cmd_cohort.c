/* oncoquant embed and oncoquant patches: cohorts. */
#include "job_options.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MOST 64 /* packages in one run */

typedef struct progress {
	double start, last;
	int64_t taken_over; /* rows of an earlier run; -1: not known yet */
	bool drawn;
} progress;

static void show_progress(void *context, int64_t done, int64_t total)
{
	progress *p = context;
	if (p->taken_over < 0)
		p->taken_over = done - 1;
	double now = oq_cli_seconds(), each = (now - p->start) / (double)(done - p->taken_over);
	if (now - p->last < 0.2 && done < total)
		return;
	p->last = now;
	p->drawn = true;
	int left = (int)(each * (double)(total - done) + 0.5);
	fprintf(stderr, "\r%lld of %lld rows, %.1f rows/s, %d:%02d:%02d left ", (long long)done, (long long)total, 1 / each, left / 3600,
		left / 60 % 60, left % 60);
	fflush(stderr);
}

/* DIR/NAME.npy for each of several packages; NAME is the package's without ".oq". */
static int make_outputs(const char *const *packages, int count, const char *folder, const char **outputs)
{
	int code = oq_cli_make_folder(folder);
	if (code)
		return code;
	for (int i = 0; i < count; i++) {
		size_t length = strlen(packages[i]);
		while (length > 1 && packages[i][length - 1] == '/')
			length--;
		size_t start = length;
		while (start > 0 && packages[i][start - 1] != '/')
			start--;
		size_t stem = length - start > 3 && !strncmp(packages[i] + length - 3, ".oq", 3) ? length - start - 3 : length - start;
		size_t room = strlen(folder) + stem + 8;
		char *path = malloc(room);
		if (!path)
			return oq_cli_usage("out of memory");
		snprintf(path, room, "%s/%.*s.npy", folder, (int)stem, packages[i] + start);
		outputs[i] = path;
		for (int k = 0; k < i; k++)
			if (!strcmp(outputs[k], path))
				return oq_cli_usage("%s and %s would both be written to %s", packages[k], packages[i], path);
	}
	return 0;
}

/* "3/8" */
static int parse_shard(const char *text, oq_job *job)
{
	int used = 0;
	if (!text)
		return 0;
	bool read = sscanf(text, "%9" SCNd64 "/%9" SCNd64 "%n", &job->shard_index, &job->shard_count, &used) == 2 && !text[used];
	if (!read || job->shard_index < 1 || job->shard_index > job->shard_count || job->shard_count > 1000000)
		return oq_cli_usage("--shard is \"%s\", expected I/N such as 3/8", text);
	return 0;
}

static int report(const oq_job *job, const oq_job_summary *summary, oq_status status, const oq_error *err, const oq_common *common)
{
	bool written = status == OQ_OK || status == OQ_E_SOME_ROWS;
	if (written && common->json)
		for (int i = 0; i < job->package_count; i++) {
			printf("{\"output\": ");
			oq_cli_put_quoted(job->outputs[i]);
			printf(", \"rows\": %lld, \"failed\": %lld, \"resumed\": %lld, \"lanes\": %d, \"indexed_scans\": %lld, \"unfit_indexes\": %lld, \"seconds\": %.3f}\n",
				(long long)summary->rows, (long long)summary->failed, (long long)summary->resumed, summary->lanes, (long long)summary->indexed,
				(long long)summary->unfit, summary->seconds);
		}
	else if (written && !common->quiet)
		for (int i = 0; i < job->package_count; i++)
			printf("wrote %s: %lld rows, %lld failed, %.2f s\n", job->outputs[i], (long long)summary->rows, (long long)summary->failed, summary->seconds);
	if (summary->unfit && !common->quiet)
		fprintf(stderr, "oncoquant: warning: %lld scans have an index that is damaged or not theirs; they were decoded whole; run index again\n",
			(long long)summary->unfit);
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(err);
}

static int run_job(const oq_command *command, oq_status (*act)(const oq_job *, oq_job_summary *, oq_error *), int argc, char **argv)
{
	static const char *const resamplings[] = {"reference", "exact", "centred", NULL};
	oq_common common = {0};
	oq_cli_job j = {.job = {.cancel = oq_cli_cancel()}};
	const char *output = NULL, *shard = NULL, *arguments[MOST + 1], *outputs[MOST];
	int64_t threads = 0;
	int resampling = 0, precision = 0, convolution = 0, count;
	const oq_option options[] = {
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &output, .value_name = "FILE.npy", .help = "result; with several packages a folder"},
		{.name = "--patches", .kind = OQ_OPTION_TEXT, .target = &j.job.patches, .value_name = "FILE.npy", .help = "ready patches [N,1,D,H,W] instead of a manifest"},
		OQ_MANIFEST_OPTIONS(j),
		OQ_SCAN_OPTIONS(j),
		{.name = "--index-dir", .kind = OQ_OPTION_TEXT, .target = &j.job.scan.index_dir, .value_name = "DIR", .help = "folder of indexes (default: beside the scans); see index"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		{.name = "--resume", .kind = OQ_OPTION_FLAG, .target = &j.job.resume, .help = "continue an unfinished run; begin where there is none"},
		{.name = "--shard", .kind = OQ_OPTION_TEXT, .target = &shard, .value_name = "I/N", .help = "only this part of the rows; see merge"},
		{.name = "--max-memory", .kind = OQ_OPTION_SIZE, .target = &j.job.max_memory, .value_name = "SIZE", .help = "such as 4G; fewer rows side by side when short"},
		{.name = "--resample", .kind = OQ_OPTION_CHOICE, .target = &resampling, .value_name = "reference|exact|centred", .choices = resamplings, .help = "MONAI up to 1.5 (default); without its stretch; that, and the seed stays central at borders"},
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &precision, .choices = oq_cli_precisions, .help = "package (default: as it was made), f32, bf16, f16, int8"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "how convolutions are computed (auto)"},
		{.name = "--allow-uncertified", .kind = OQ_OPTION_FLAG, .target = &j.job.allow_uncertified, .help = "take quantised packages without evidence (see certify)"},
		{.name = "--strict-precision", .kind = OQ_OPTION_FLAG, .target = &j.job.strict_precision, .help = "fail instead of computing in float32"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(command, options, &common, argc, argv, arguments, MOST + 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if ((code = oq_cli_job_finish(&j)) || (code = parse_shard(shard, &j.job)))
		return code;
	j.job.package_count = count - (j.job.patches == NULL);
	if (j.job.package_count < 1 || !output)
		return oq_cli_usage("%s: a package, %s and --output are needed", command->name, j.job.patches ? "--patches" : "a manifest (or --patches)");
	j.job.manifest = j.job.patches ? NULL : arguments[count - 1];
	j.job.packages = arguments;
	j.job.outputs = outputs;
	outputs[0] = output;
	if (j.job.package_count > 1 && (code = make_outputs(arguments, j.job.package_count, output, outputs)))
		return code;
	progress p = {.start = oq_cli_seconds(), .taken_over = -1};
	j.job.threads = (int)threads;
	j.job.resampling = (oq_resampling)resampling;
	j.job.precision = (oq_precision)precision;
	j.job.convolution = (oq_convolution)convolution;
	j.job.progress = !common.quiet && isatty(STDERR_FILENO) ? show_progress : NULL;
	j.job.context = &p;
	oq_error err = {0};
	oq_job_summary summary = {0};
	oq_status status = act(&j.job, &summary, &err);
	if (p.drawn)
		fputc('\n', stderr);
	code = report(&j.job, &summary, status, &err, &common);
	for (int i = 0; i < j.job.package_count && j.job.package_count > 1; i++) {
		union { const char *in; char *out; } path = {outputs[i]}; /* made by make_outputs */
		free(path.out);
	}
	return code;
}

static int run_embed(int argc, char **argv)
{
	return run_job(&oq_command_embed, oq_embed, argc, argv);
}

static int run_patches(int argc, char **argv)
{
	return run_job(&oq_command_patches, oq_extract, argc, argv);
}

const oq_command oq_command_embed = {"embed", "PACKAGE [PACKAGE...] (MANIFEST.csv | --patches FILE.npy) -o OUT", "embed the seeds of a cohort",
	"MANIFEST.csv has columns image_path, coordX, coordY, coordZ (LPS mm) and any others; relative paths are relative to it.\n"
	"Writes OUT.npy (float32 [rows, size]; rows that failed are NaN), OUT.csv (your columns, status, warnings) and OUT.json\n"
	"(provenance). A scan is decoded once for all its seeds and packages. Exit code 3: some rows failed, 4: all did.",
	"  oncoquant embed ct-fm.oq scans.csv -o embeddings.npy\n  oncoquant embed ct-fm.oq merlin.oq scans.csv -o out/\n"
	"  oncoquant embed ct-fm.oq --patches patches.npy -o embeddings.npy\n"
	"  oncoquant embed ct-fm.oq scans.csv -o part3.npy --shard 3/8 --resume\n", run_embed};
const oq_command oq_command_patches = {"patches", "PACKAGE MANIFEST.csv -o patches.npy", "extract the patches a model would see",
	"Writes the patches of every row, [N,1,D,H,W] float32 as the model sees them, with the same companions as embed.",
	"  oncoquant patches ct-fm.oq scans.csv -o patches.npy\n", run_patches};
