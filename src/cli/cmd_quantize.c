/* oncoquant quantize: a float package to a smaller one. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define AUTO 3 /* index among the precisions */

static void show_progress(void *context, const char *stage, int64_t done, int64_t total)
{
	(void)context;
	fprintf(stderr, "\r%-20s %lld of %lld   %s", stage, (long long)done, (long long)total, done == total ? "\n" : "");
}

#define SHOWN 12 /* layers: all are in the report */

/* The dearest layer after another one; of equal ones the first comes first. */
static const cJSON *dearest(const cJSON *layers, const cJSON *after)
{
	const cJSON *layer, *best = NULL;
	bool passed = after == NULL;
	double limit = after ? oq_cli_number(after, "squared_error_alone") : 0, most = 0;
	cJSON_ArrayForEach(layer, layers) {
		double cost = oq_cli_number(layer, "squared_error_alone");
		bool left = !after || cost < limit || (cost == limit && passed);
		passed = passed || layer == after;
		if (left && cost > most) {
			most = cost;
			best = layer;
		}
	}
	return best;
}

/* Which layers cost most, and which of their two roundings is to blame. */
static void print_dearest(const cJSON *layers, double all)
{
	const cJSON *layer = dearest(layers, NULL);
	printf("  layers whose 8 bits cost most (squared error with this layer alone in 8 bits, as a share of that with all):\n");
	for (int i = 0; layer && i < SHOWN; i++, layer = dearest(layers, layer)) {
		bool kept = !strcmp(oq_cli_text(layer, "precision"), "bf16");
		printf("    %-32s %4.1f %%  %s", layer->string, 100 * oq_cli_number(layer, "squared_error_alone") / (all * all), kept ? "kept in bf16" : "int8");
		if (!kept)
			printf(": its input's codes err by %.2f %% (%s), its weights' by %.2f %%", 100 * oq_cli_number(layer, "input_error"),
				oq_cli_text(layer, "observer"), 100 * oq_cli_number(layer, "weight_error"));
		printf("; %.3f GFLOP\n", oq_cli_number(layer, "gflop"));
	}
}

static void print_report(const cJSON *report)
{
	const cJSON *layers = cJSON_GetObjectItemCaseSensitive(report, "layers"), *layer;
	int kept = 0;
	cJSON_ArrayForEach(layer, layers)
		kept += !strcmp(oq_cli_text(layer, "precision"), "bf16");
	printf("  %d layers, %d of them kept in bf16; error on calibration patches (RMS, of the spread): %.4f\n", cJSON_GetArraySize(layers), kept,
		oq_cli_number(report, "rms_error"));
	const cJSON *trade, *trades = cJSON_GetObjectItemCaseSensitive(report, "trades");
	if (!trades)
		return;
	printf("  with all layers in 8 bits it would be %.4f; plans that are better than every faster one:\n", oq_cli_number(report, "rms_error_all_int8"));
	cJSON_ArrayForEach(trade, trades)
		printf("    giving up %4.1f %% of the speed keeps %3.0f layers: error %.4f\n", 100 * oq_cli_number(trade, "keep_share"),
			oq_cli_number(trade, "layers_kept"), oq_cli_number(trade, "rms_error"));
	print_dearest(layers, oq_cli_number(report, "rms_error_all_int8"));
}

static int run(int argc, char **argv)
{
	static const char *const precisions[] = {"int8", "bf16", "f16", "auto", NULL}, *const targets[] = {"speed", "fidelity", NULL};
	static const oq_precision meant[] = {OQ_PRECISION_INT8, OQ_PRECISION_BF16, OQ_PRECISION_F16, OQ_PRECISION_INT8};
	oq_common common = {0};
	oq_quantize_options job = {.cancel = oq_cli_cancel()};
	int64_t threads = 0, bits = 8;
	double share = 0;
	int precision = 0, target = 0, count;
	const oq_option options[] = {
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &precision, .choices = precisions, .value_name = "int8|bf16|f16|auto", .help = "default: int8; auto: int8 and float by layer, see --target"},
		{.name = "--target", .kind = OQ_OPTION_CHOICE, .target = &target, .choices = targets, .value_name = "speed|fidelity", .help = "auto: give up 10 % of the speed (default), or 45 %"},
		{.name = "--calibrate", .kind = OQ_OPTION_TEXT, .target = &job.manifest, .value_name = "FILE.csv", .help = "manifest of calibration seeds, 16 to 500: needed for int8; bf16: better rounding"},
		{.name = "--calibrate-patches", .kind = OQ_OPTION_TEXT, .target = &job.patches, .value_name = "FILE.npy", .help = "ready calibration patches [N,1,D,H,W] instead"},
		{.name = "--keep-share", .kind = OQ_OPTION_NUMBER, .target = &share, .value_name = "S", .low = 0, .high = 1, .help = "int8: part of the speed that layers kept in float may cost, 0 to 0.9 (0: none)"},
		{.name = "--weight-bits", .kind = OQ_OPTION_INT, .target = &bits, .value_name = "8|7", .low = 7, .high = 8, .help = "7: faster without an 8-bit dot product (VNNI), less exact"},
		{.name = "--nearest", .kind = OQ_OPTION_FLAG, .target = &job.nearest, .help = "int8: plain rounding of weights"},
		{.name = "--equalise", .kind = OQ_OPTION_FLAG, .target = &job.equalise, .help = "int8: scale channels between layers; helps some networks, harms others"},
		{.name = "--migrate", .kind = OQ_OPTION_FLAG, .target = &job.migrate, .help = "int8: move outlying channels from layer norms into the weights behind them where it helps"},
		{.name = "--wide-codebook", .kind = OQ_OPTION_FLAG, .target = &job.wide_codebook, .help = "int8: a codebook (CT-CLIP) stays in float32"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "DIR", .help = "package to write, e.g. astra-int8.oq"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_quantize, options, &common, argc, argv, &job.package, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count || !job.output)
		return oq_cli_usage("quantize: a package and --output are needed");
	job.precision = meant[precision];
	if (job.precision == OQ_PRECISION_INT8 && !job.manifest == !job.patches)
		return oq_cli_usage("quantize: int8 needs either --calibrate or --calibrate-patches");
	if ((job.manifest && job.patches) || (job.precision == OQ_PRECISION_F16 && (job.manifest || job.patches)))
		return oq_cli_usage("quantize: expected one of --calibrate and --calibrate-patches, and neither for f16");
	if (!(share >= 0 && share <= 0.9))
		return oq_cli_usage("quantize: --keep-share is %g, expected 0 to 0.9", share);
	job.speed_share = precision == AUTO && share == 0 ? (target ? 0.45 : 0.1) : share;
	job.weight_bits = (int)bits;
	job.threads = (int)threads;
	job.progress = !common.quiet && isatty(STDERR_FILENO) ? show_progress : NULL;
	oq_error err = {0};
	char *text = NULL;
	if (oq_quantize(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	cJSON *report = cJSON_Parse(text);
	if (common.json) {
		puts(text);
	} else if (!common.quiet) {
		printf("wrote %s\n", job.output);
		if (job.precision == OQ_PRECISION_INT8)
			print_report(report);
	}
	cJSON_Delete(report);
	oq_string_free(text);
	return oq_cli_flush();
}

const oq_command oq_command_quantize = {"quantize", "PACKAGE [--precision int8] --calibrate FILE.csv -o DIR", "make a package smaller and faster",
	"int8: runs the network on calibration patches, chooses the range of every value and the rounding of every weight, and writes a\n"
	"package with 8-bit weights. With --keep-share or auto, layers that cost most fidelity stay in bfloat16 (float32 where the processor\n"
	"does not multiply it); the search says what each layer costs. Interrupted, the same command goes on. bf16, f16: half the size.\n"
	"Check the result with 'oncoquant compare' on patches that were not used for calibration.",
	"  oncoquant quantize ct-fm.oq --calibrate calibration.csv -o ct-fm-int8.oq\n"
	"  oncoquant quantize ct-fm.oq --precision auto --target speed --calibrate calibration.csv -o ct-fm-mixed.oq\n"
	"  oncoquant quantize ct-fm.oq --precision bf16 -o ct-fm-bf16.oq\n", run};
