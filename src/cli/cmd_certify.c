/* oncoquant certify: the whole gate on this machine, and the evidence into the package. */
#include "cli.h"

#include <stdio.h>
#include <unistd.h>

static void show_progress(void *context, const char *stage, int64_t done, int64_t total)
{
	(void)context;
	fprintf(stderr, "\r%-12s %lld of %lld   %s", stage, (long long)done, (long long)total, done == total ? "\n" : "");
}

static int run(int argc, char **argv)
{
	oq_common common = {0};
	oq_certify_options job = {.cancel = oq_cli_cancel()};
	const char *arguments[3];
	int64_t threads = 0, draws = 2;
	double jitter = 3;
	int count, convolution = 0;
	const oq_option options[] = {
		{.name = "--gate", .kind = OQ_OPTION_TEXT, .target = &job.gate, .value_name = "FILE.json", .help = "limits instead of the built-in ones"},
		{.name = "--labels", .kind = OQ_OPTION_TEXT, .target = &job.labels, .value_name = "FILE.csv", .help = "endpoints: columns y, y_... (0/1), time with event; patient; in the rows' order"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "of the quantised package, as embed will run it (auto)"},
		{.name = "--strict-precision", .kind = OQ_OPTION_FLAG, .target = &job.strict_precision, .help = "likewise"},
		{.name = "--jitter", .kind = OQ_OPTION_NUMBER, .target = &jitter, .value_name = "MM", .low = 0, .high = 50, .help = "radius in which seeds are moved as the yardstick (3)"},
		{.name = "--draws", .kind = OQ_OPTION_INT, .target = &draws, .value_name = "N", .low = 1, .high = 60, .help = "moved seeds per row (2)"},
		{.name = "--search", .kind = OQ_OPTION_INT, .target = &job.search, .value_name = "N", .low = 0, .high = 1000000, .help = "look for the worst change of a test patch, N tries (shift, HU, mirror)"},
		{.name = "--saliency", .kind = OQ_OPTION_INT, .target = &job.saliency, .value_name = "N", .low = 0, .high = 1000, .help = "compare occlusion maps of N test patches (125 runs each)"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_certify, options, &common, argc, argv, arguments, 3, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count != 3)
		return oq_cli_usage("certify: a float package, a quantised package and a manifest are needed");
	job.reference = arguments[0];
	job.candidate = arguments[1];
	job.manifest = arguments[2];
	job.threads = (int)threads;
	job.draws = (int)draws;
	job.convolution = (oq_convolution)convolution;
	job.jitter_mm = jitter;
	job.progress = !common.quiet && isatty(STDERR_FILENO) ? show_progress : NULL;
	oq_error err = {0};
	char *text = NULL;
	oq_status status = oq_certify(&job, &text, &err);
	if (text && common.json) {
		puts(text);
	} else if (text && !common.quiet) {
		cJSON *report = cJSON_Parse(text);
		oq_cli_print_gate(report);
		cJSON_Delete(report);
		printf("evidence: %s/evidence.json and evidence.html\n", job.candidate);
	}
	oq_string_free(text);
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(&err);
}

const oq_command oq_command_certify = {"certify", "FLOAT.oq QUANTISED.oq TEST.csv", "test a quantised package and keep the evidence in it",
	"Embeds the test seeds with both packages on this machine, moves the seeds by a few millimetres as the yardstick, adds phantoms,\n"
	"applies the fidelity gate, and writes evidence.json and evidence.html into the quantised package. Seeds that calibration saw are\n"
	"refused. `embed` takes a quantised package only with evidence of the arithmetic it would use (class of processor, versions, precision,\n"
	"--conv, --strict-precision), or with --allow-uncertified.",
	"  oncoquant certify astra.oq astra-int8.oq test.csv\n  oncoquant certify astra.oq astra-int8.oq test.csv --search 200 --saliency 12\n"
	"  oncoquant certify astra.oq astra-int8.oq test.csv --labels test.csv\n", run};
