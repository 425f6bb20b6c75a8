/* oncoquant index: packed scans are decoded once, so that later runs read only what their patches need. */
#include "job_options.h"

#include <stdio.h>
#include <unistd.h>

#define MOST 10000

static void show_progress(void *context, int64_t done, int64_t total)
{
	double *last = context, now = oq_cli_seconds();
	if (now - *last < 0.2 && done < total)
		return;
	*last = now;
	fprintf(stderr, "\r%lld of %lld scans%s", (long long)done, (long long)total, done < total ? " " : "\n");
	fflush(stderr);
}

static void print_report(const cJSON *report)
{
	const cJSON *failure;
	fflush(stdout);
	cJSON_ArrayForEach(failure, cJSON_GetObjectItemCaseSensitive(report, "failures"))
		fprintf(stderr, "oncoquant: warning: %s [%s]\n", oq_cli_text(failure, "message"), oq_cli_text(failure, "code"));
	printf("%.0f scans: %.0f indexes written, %.0f were there (%.1f MB in all); %.0f scans are raw and %.0f small, which need none; %.0f failed\n",
		oq_cli_number(report, "scans"), oq_cli_number(report, "written"), oq_cli_number(report, "fresh"), oq_cli_number(report, "bytes") / 1e6,
		oq_cli_number(report, "raw"), oq_cli_number(report, "small"), oq_cli_number(report, "failed"));
}

static int run_index(int argc, char **argv)
{
	oq_common common = {0};
	oq_cli_job j = {.job = {.cancel = oq_cli_cancel()}};
	static const char *arguments[MOST];
	int64_t threads = 0;
	double last = 0;
	int count;
	const oq_option options[] = {
		{.name = "--index-dir", .kind = OQ_OPTION_TEXT, .target = &j.job.scan.index_dir, .value_name = "DIR", .help = "one folder for all indexes (default: beside each scan)"},
		OQ_PATH_OPTIONS(j),
		OQ_SCAN_OPTIONS(j),
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "scans side by side (default: the processors granted)"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_index, options, &common, argc, argv, arguments, MOST, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count)
		return oq_cli_usage("index: a manifest or scans are needed");
	if ((code = oq_cli_job_finish(&j)) || (j.job.scan.index_dir && (code = oq_cli_make_folder(j.job.scan.index_dir))))
		return code;
	const bool manifest = count == 1 && oq_cli_is_manifest(arguments[0]);
	j.job.manifest = manifest ? arguments[0] : NULL;
	j.job.threads = (int)threads;
	j.job.progress = !common.quiet && isatty(STDERR_FILENO) ? show_progress : NULL;
	j.job.context = &last;
	oq_error err = {0};
	char *report = NULL;
	oq_status status = oq_index_scans(&j.job, manifest ? NULL : arguments, manifest ? 0 : count, &report, &err);
	code = oq_cli_tell(&common, report, print_report);
	return status == OQ_OK ? code : oq_cli_fail(&err);
}

const oq_command oq_command_index = {"index", "MANIFEST.csv | SCAN [SCAN...]", "index packed scans for faster runs",
	"Decodes every packed scan (.nii.gz, packed MetaImage and NRRD) once, checks it, and writes SCAN.oqx beside it, or into DIR. embed and\n"
	"patches then read only what their patches need of it, to the same bits; give them the same --index-dir. Good indexes are kept, so an\n"
	"interrupted run is just started again; an index that does not fit its scan is never believed. It holds parts of the scan: treat\n"
	"it as one. Exit code 3: some scans failed, 4: all did.",
	"  oncoquant index scans.csv --index-dir indexes\n  oncoquant embed ct-fm.oq scans.csv -o embeddings.npy --index-dir indexes\n"
	"  oncoquant index scan.nii.gz\n", run_index};
