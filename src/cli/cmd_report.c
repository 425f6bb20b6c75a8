/* oncoquant report: one page from the results of the other commands. */
#include "cli.h"

#include <stdio.h>

#define MOST 256

static int run(int argc, char **argv)
{
	oq_common common = {0};
	const char *arguments[MOST];
	oq_report_options job = {.inputs = arguments};
	const oq_option options[] = {
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "FILE.html", .help = "the page to write"},
		{.name = "--title", .kind = OQ_OPTION_TEXT, .target = &job.title, .value_name = "TEXT", .help = "heading of the page"},
		{.name = "--gco2-per-kwh", .kind = OQ_OPTION_NUMBER, .target = &job.gco2_per_kwh, .value_name = "G", .low = 0, .high = 10000,
			.help = "of your electricity: energy also as grams of CO2 equivalents"},
		{.name = "--gco2-source", .kind = OQ_OPTION_TEXT, .target = &job.gco2_source, .value_name = "TEXT", .help = "where that figure is from, with its year"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_report, options, &common, argc, argv, arguments, MOST, &job.count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (job.count < 1 || !job.output)
		return oq_cli_usage("report: results (files or folders) and --output are needed");
	oq_error err = {0};
	if (oq_report_write(&job, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_wrote(&common, job.output);
}

const oq_command oq_command_report = {"report", "DIR_OR_FILES... -o report.html", "one page from all results",
	"Takes the JSON results of evaluate (survival, too), similarity, robustness, compare, certify, bench and saliency, by name or from\n"
	"folders, and writes one HTML page: summary, endpoints with intervals and possible ranks, survival, robustness, similarity, saliency,\n"
	"fidelity, speed and energy, provenance. Nothing is loaded from anywhere and no script runs; it prints. docs/report.md tells which\n"
	"file comes from which command.",
	"  oncoquant report out/ -o report.html\n  oncoquant report knn.json astra-int8.oq/evidence.json bench-int8.json -o report.html --title \"Lung cohort\"\n", run};
