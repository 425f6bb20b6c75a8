/* oncoquant convert: official checkpoint, or synthetic weights, to a package. */
#include "cli.h"

#include <stdio.h>

static int run(int argc, char **argv)
{
	oq_common common = {0};
	oq_convert_options job = {0};
	int64_t seed = -1;
	const oq_option options[] = {
		{.name = "--model", .short_name = "-m", .kind = OQ_OPTION_TEXT, .target = &job.model, .value_name = "NAME", .help = "a name of 'oncoquant models', or a recipe's path"},
		{.name = "--checkpoint", .short_name = "-c", .kind = OQ_OPTION_TEXT, .target = &job.checkpoint, .value_name = "FILE", .help = "official .pt, .pth, .torch or .safetensors"},
		{.name = "--synthetic", .kind = OQ_OPTION_INT, .target = &seed, .value_name = "SEED", .low = 0, .high = INT64_MAX, .help = "deterministic made-up weights instead"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "DIR", .help = "package to write, e.g. ct-fm.oq"},
		OQ_COMMON_OPTIONS(common)};
	int count, code = oq_options_parse(&oq_command_convert, options, &common, argc, argv, NULL, 0, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!job.model || !job.output)
		return oq_cli_usage("convert: --model and --output are needed");
	if (!job.checkpoint == (seed < 0))
		return oq_cli_usage("convert: either --checkpoint or --synthetic is needed");
	job.seed = seed < 0 ? 0 : (uint64_t)seed;
	oq_error err;
	if (oq_convert(&job, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_wrote(&common, job.output);
}

const oq_command oq_command_convert = {"convert", "--model NAME (--checkpoint FILE | --synthetic SEED) -o DIR", "make a package from an official checkpoint",
	"Reads an official checkpoint (PyTorch archive or safetensors; nothing in it is executed), checks every tensor's name and\n"
	"shape, and writes a package: model.json with graph, preprocessing and provenance, and weights.safetensors.",
	"  oncoquant convert --model ct-fm --checkpoint pretrained_segresnet.torch -o ct-fm.oq\n"
	"  oncoquant convert --model ct-fm --synthetic 1 -o ct-fm-synth.oq\n", run};
