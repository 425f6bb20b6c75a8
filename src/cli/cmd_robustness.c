/* oncoquant robustness: do embeddings come out the same again? Also makes what is needed to ask: moved seeds, changed patches. */
#include "cli.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static double figure(const cJSON *report, const char *group, const char *key, const char *part)
{
	const cJSON *value = cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(report, group), key), part);
	return cJSON_IsNumber(value) ? value->valuedouble : NAN;
}

static void print_cell(double value, bool defined)
{
	if (defined)
		printf("  %8.4f", value);
	else
		printf("         -");
}

static void print_line(const cJSON *report, const char *group, const char *key, const char *title, const char *const parts[4])
{
	printf("  %-32s", title);
	for (int i = 0; i < 4 && parts[i]; i++) {
		double value = figure(report, group, key, parts[i]);
		print_cell(value, value - value == 0);
	}
	printf("\n");
}

static void print_report(const cJSON *report)
{
	static const char *const estimate[4] = {"mean", "low95", "high95", "least"}, *const share[4] = {"mean", "low95", "high95", NULL},
		*const distribution[4] = {"mean", "median", "p5", "p95"};
	const cJSON *dimensions = cJSON_GetObjectItemCaseSensitive(report, "by_dimension");
	printf("%.0f rows, %.0f retest%s, %.0f dimensions", oq_cli_number(report, "rows"), oq_cli_number(report, "retests"),
		oq_cli_number(report, "retests") > 1 ? "s" : "", oq_cli_number(report, "size"));
	if (oq_cli_number(report, "rows_left_out") > 0)
		printf("; %.0f failed row%s left out", oq_cli_number(report, "rows_left_out"), oq_cli_number(report, "rows_left_out") > 1 ? "s" : "");
	printf("\n\n  %-32s  %8s  %8s  %8s  %8s\n", "by row", "mean", "95 % low", "high", "least");
	print_line(report, "by_row", "cosine", "cosine", estimate);
	print_line(report, "by_row", "centred_cosine", "centred cosine", estimate);
	print_line(report, "by_row", "identification", "identification (own is nearest)", share);
	print_line(report, "by_row", "discriminability", "discriminability", share);
	printf("\n  %-32s  %8s  %8s  %8s  %8s\n", "by dimension", "mean", "median", "5 %", "95 %");
	print_line(report, "by_dimension", "icc_2_1", "ICC(2,1), agreement", distribution);
	print_line(report, "by_dimension", "icc_3_1", "ICC(3,1), consistency", distribution);
	print_line(report, "by_dimension", "ccc", "concordance (CCC)", distribution);
	printf("\n  ICC(2,1) of at least 0.75 in %.1f %% of the dimensions, 0.9 in %.1f %%; constant: %.0f\n",
		100 * oq_cli_number(dimensions, "share_icc_2_1_from_0_75"), 100 * oq_cli_number(dimensions, "share_icc_2_1_from_0_9"),
		oq_cli_number(dimensions, "constant"));
}

static int run_measure(int argc, char **argv)
{
	oq_common common = {0};
	oq_robustness_options job = {0};
	int64_t threads = 0;
	int count;
	const oq_option options[] = {
		{.name = "--test", .kind = OQ_OPTION_TEXT, .target = &job.test, .value_name = "FILE.npy", .help = "embeddings [rows, size]"},
		{.name = "--retest", .kind = OQ_OPTION_TEXT, .target = &job.retest, .value_name = "FILE.npy", .help = "the same rows again, or several times, block after block"},
		{.name = "--csv", .kind = OQ_OPTION_TEXT, .target = &job.csv, .value_name = "FILE.csv", .help = "every dimension's figures, Bland-Altman's too"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_robustness, options, &common, argc, argv, NULL, 0, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!job.test || !job.retest)
		return oq_cli_usage("robustness: --test and --retest are needed, or one of: jitter, perturb");
	job.threads = (int)threads;
	oq_error err = {0};
	char *text = NULL;
	if (oq_robustness(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_tell(&common, text, print_report);
}

static const oq_command command_jitter = {"robustness jitter", "MANIFEST.csv --jitter MM --draws N [--seed S] -o JITTERED.csv", "",
	"A manifest in which every seed is moved, --draws times, to a point drawn evenly from the ball of --jitter millimetres around it, draw\n"
	"after draw. The same seed gives the same points. Embed it, and the result is a --retest here and a --jitter for 'compare'.",
	"  oncoquant robustness jitter seeds.csv --jitter 3 --draws 10 --seed 1 -o jittered.csv\n"
	"  oncoquant embed ct-fm.oq seeds.csv -o still.npy && oncoquant embed ct-fm.oq jittered.csv -o moved.npy\n"
	"  oncoquant robustness --test still.npy --retest moved.npy\n", NULL};

static int run_jitter(int argc, char **argv)
{
	oq_common common = {0};
	oq_jitter_options job = {0};
	int64_t draws = 1, seed = 42;
	int count;
	const oq_option options[] = {
		{.name = "--jitter", .kind = OQ_OPTION_NUMBER, .target = &job.radius_mm, .value_name = "MM", .low = 0, .high = 100, .help = "radius of the ball"},
		{.name = "--draws", .kind = OQ_OPTION_INT, .target = &draws, .value_name = "N", .low = 1, .high = 10000, .help = "moved seeds per row; default 1"},
		{.name = "--seed", .kind = OQ_OPTION_INT, .target = &seed, .value_name = "S", .low = 0, .high = UINT32_MAX, .help = "of the draws; default 42"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "FILE.csv", .help = "the manifest to write"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&command_jitter, options, &common, argc, argv, &job.manifest, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count != 1 || !job.output || !(job.radius_mm > 0))
		return oq_cli_usage("robustness jitter: a manifest, --jitter MM and -o FILE.csv are needed");
	job.draws = (int)draws;
	job.seed = (uint64_t)seed;
	oq_error err = {0};
	return oq_jitter(&job, &err) == OQ_OK ? OQ_OK : oq_cli_fail(&err);
}

static const oq_command command_perturb = {"robustness perturb", "PATCHES.npy [changes] -o CHANGED.npy", "",
	"Patches as another scanner might have given them, or, with --control, with the lesion destroyed (READII's negative controls). Several\n"
	"changes are made in the order: control, resampling, blur, noise, offset. HU need the record (.json) that 'patches' writes.",
	"  oncoquant robustness perturb patches.npy --noise 20 -o noisy.npy\n"
	"  oncoquant robustness perturb patches.npy --control shuffled --radius 8 -o destroyed.npy\n", NULL};

static int run_perturb(int argc, char **argv)
{
	static const char *const controls[] = {"none", "shuffled", "sampled", NULL};
	oq_common common = {0};
	oq_perturb_options job = {0};
	int64_t seed = 42;
	int count, control = 0;
	const oq_option options[] = {
		{.name = "--noise", .kind = OQ_OPTION_NUMBER, .target = &job.noise_sd, .value_name = "HU", .low = 0, .high = 10000, .help = "standard deviation of Gaussian noise"},
		{.name = "--offset", .kind = OQ_OPTION_NUMBER, .target = &job.offset, .value_name = "HU", .low = -10000, .high = 10000, .help = "added to every voxel"},
		{.name = "--blur", .kind = OQ_OPTION_NUMBER, .target = &job.blur_voxels, .value_name = "VOXELS", .low = 0, .high = 20, .help = "a smoother kernel: sigma of a Gaussian"},
		{.name = "--resample", .kind = OQ_OPTION_NUMBER, .target = &job.resample_factor, .value_name = "FACTOR", .low = 1, .high = 8, .help = "to voxels this much larger, and back"},
		{.name = "--control", .kind = OQ_OPTION_CHOICE, .target = &control, .value_name = "shuffled|sampled", .choices = controls, .help = "voxels of the lesion in another order, or drawn from themselves"},
		{.name = "--outside", .kind = OQ_OPTION_FLAG, .target = &job.outside, .help = "the voxels around the lesion instead"},
		{.name = "--mask", .kind = OQ_OPTION_TEXT, .target = &job.mask, .value_name = "FILE.npy", .help = "lesions: above 0, of the patches' size"},
		{.name = "--radius", .kind = OQ_OPTION_NUMBER, .target = &job.radius_voxels, .value_name = "VOXELS", .low = 0, .high = 10000, .help = "a ball around the seed as lesion, instead of --mask"},
		{.name = "--patch-units", .kind = OQ_OPTION_FLAG, .target = &job.own_units, .help = "noise and offset in the patches' own units; no clipping"},
		{.name = "--seed", .kind = OQ_OPTION_INT, .target = &seed, .value_name = "S", .low = 0, .high = UINT32_MAX, .help = "of noise and control; default 42"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "FILE.npy", .help = "the patches to write"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&command_perturb, options, &common, argc, argv, &job.patches, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count != 1 || !job.output)
		return oq_cli_usage("robustness perturb: a file of patches and -o FILE.npy are needed");
	job.control = (oq_negative_control)control;
	job.seed = (uint64_t)seed;
	oq_error err = {0};
	return oq_perturb(&job, &err) == OQ_OK ? OQ_OK : oq_cli_fail(&err);
}

static int run(int argc, char **argv)
{
	if (argc > 0 && !strcmp(argv[0], "jitter"))
		return run_jitter(argc - 1, argv + 1);
	if (argc > 0 && !strcmp(argv[0], "perturb"))
		return run_perturb(argc - 1, argv + 1);
	return run_measure(argc, argv);
}

const oq_command oq_command_robustness = {"robustness", "--test A.npy --retest B.npy | jitter MANIFEST.csv ... | perturb PATCHES.npy ...",
	"do embeddings come out the same again?",
	"Embeddings of the same lesions twice: another scan, a moved seed, a perturbed patch. Cosines, identification and discriminability\n"
	"by row with bootstrap intervals; ICC(2,1), ICC(3,1), concordance and Bland-Altman limits by dimension. docs/robustness.md has the\n"
	"formulas. 'robustness jitter --help' and 'robustness perturb --help': how to make the second set.",
	"  oncoquant robustness --test test.npy --retest retest.npy --csv dimensions.csv\n"
	"  oncoquant robustness jitter seeds.csv --jitter 3 --draws 10 --seed 1 -o jittered.csv\n", run};
