/* oncoquant saliency: which voxels of a patch move its embedding. */
#include "job_options.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

static void show_progress(void *context, int64_t done, int64_t total)
{
	(void)context;
	fprintf(stderr, "\r%lld of %lld windows   %s", (long long)done, (long long)total, done == total ? "\n" : "");
}

static const cJSON *part(const cJSON *object, const char *key)
{
	return cJSON_GetObjectItemCaseSensitive(object, key);
}

static void print_row(const cJSON *row)
{
	const cJSON *focus = part(row, "focus"), *deletion = part(row, "deletion"), *agreement = part(row, "agreement"), *place = part(row, "peak_lps_mm");
	printf("%5.0f ", oq_cli_number(row, "row"));
	if (strcmp(oq_cli_text(row, "status"), "ok") != 0) {
		printf("failed: %s\n", oq_cli_text(row, "message"));
		return;
	}
	printf("%-5s %5.1f %% of the map in %4.1f %% of the voxels, peak %s it", oq_cli_text(focus, "region"), 100 * oq_cli_number(focus, "mass"),
		100 * oq_cli_number(focus, "volume"), cJSON_IsTrue(part(focus, "peak_inside")) ? "inside" : "outside");
	if (place)
		printf(" at %.1f,%.1f,%.1f", cJSON_GetArrayItem(place, 0)->valuedouble, cJSON_GetArrayItem(place, 1)->valuedouble, cJSON_GetArrayItem(place, 2)->valuedouble);
	printf(", %.1f mm from the seed; greatest %.3g; deletion %.3f against %.3f; %.0f passes in %.1f s\n", oq_cli_number(row, "peak_to_seed_mm"),
		oq_cli_number(row, "greatest"), oq_cli_number(deletion, "greatest_first_area"), oq_cli_number(deletion, "least_first_area"), oq_cli_number(row, "passes"),
		oq_cli_number(row, "seconds"));
	if (agreement)
		printf("      agreement: Spearman %.4f, peaks %.1f voxels apart\n", oq_cli_number(agreement, "spearman"), oq_cli_number(agreement, "peak_distance_voxels"));
}

static int report(const oq_saliency_options *job, const char *text, oq_status status, const oq_error *err, const oq_common *common)
{
	if (text && common->json) {
		puts(text);
	} else if (text && !common->quiet) {
		cJSON *document = cJSON_Parse(text);
		const cJSON *row;
		cJSON_ArrayForEach(row, part(document, "rows"))
			print_row(row);
		cJSON_Delete(document);
		printf("wrote %s/saliency.json, saliency.csv, maps.npy%s\n", job->output, job->job.patches ? "" : ", and .nii.gz and .png of every row");
	}
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(err);
}

/* The second argument is a scan when there is a seed, else a manifest; ready patches take its place. */
static int take_arguments(oq_saliency_options *job, const char **arguments, int count, const char *seed)
{
	bool patches = job->job.patches != NULL;
	if (count != 2 - patches || !job->output || (patches && seed))
		return oq_cli_usage("saliency: a package, a scan with --seed or a manifest (or --patches), and --output are needed");
	if (seed && !oq_cli_triple(seed, job->seed))
		return oq_cli_usage("--seed is \"%s\", expected X,Y,Z", seed);
	job->job.packages = arguments;
	job->job.package_count = 1;
	job->scan = seed ? arguments[1] : NULL;
	job->job.manifest = seed || patches ? NULL : arguments[1];
	return oq_cli_make_folder(job->output);
}

static int run(int argc, char **argv)
{
	static const char *const resamplings[] = {"reference", "exact", "centred", NULL}, *const variants[] = {"reference", "mean-of-cosines", NULL};
	oq_common common = {0};
	oq_cli_job j = {.job = {.cancel = oq_cli_cancel()}};
	oq_saliency_options job = {0};
	const char *seed = NULL, *arguments[2];
	int64_t threads = 0, window = 12;
	int resampling = 0, precision = 0, compare_precision = 0, convolution = 0, variant = 0, count;
	const oq_option options[] = {
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "DIR", .help = "folder for the results; made when it is not there"},
		{.name = "--seed", .kind = OQ_OPTION_TEXT, .target = &seed, .value_name = "X,Y,Z", .help = "the second argument is a scan, this the point in it"},
		{.name = "--patches", .kind = OQ_OPTION_TEXT, .target = &j.job.patches, .value_name = "FILE.npy", .help = "ready patches [N,1,D,H,W] instead of scans"},
		{.name = "--mask", .kind = OQ_OPTION_TEXT, .target = &job.mask, .value_name = "FILE", .help = "the lesion, above 0: an image for a scan, .npy for patches"},
		{.name = "--box", .kind = OQ_OPTION_NUMBER, .target = &job.box_mm, .value_name = "MM", .low = 0, .high = 1000, .help = "without a mask: edge of a cube around the seed (20)"},
		{.name = "--variant", .kind = OQ_OPTION_CHOICE, .target = &variant, .value_name = "reference|mean-of-cosines", .choices = variants, .help = "cosine of the mean embedding, or mean of the cosines"},
		{.name = "--window", .kind = OQ_OPTION_INT, .target = &window, .value_name = "VOXELS", .low = 2, .high = 64, .help = "edge of an occlusion (12)"},
		{.name = "--no-reuse", .kind = OQ_OPTION_FLAG, .target = &job.whole_passes, .help = "every pass computes the whole network: slower, less memory, the same map"},
		{.name = "--compare", .kind = OQ_OPTION_TEXT, .target = &job.compare, .value_name = "PACKAGE", .help = "how well another network's (or precision's) maps agree"},
		{.name = "--compare-precision", .kind = OQ_OPTION_CHOICE, .target = &compare_precision, .choices = oq_cli_precisions, .help = "of --compare; alone: the same package in this precision"},
		OQ_MANIFEST_OPTIONS(j),
		OQ_SCAN_OPTIONS(j),
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		{.name = "--resample", .kind = OQ_OPTION_CHOICE, .target = &resampling, .value_name = "reference|exact|centred", .choices = resamplings, .help = "MONAI up to 1.5 (default); without its stretch; that, and the seed stays central at borders"},
		{.name = "--precision", .kind = OQ_OPTION_CHOICE, .target = &precision, .choices = oq_cli_precisions, .help = "package (default: as it was made), f32, bf16, f16, int8"},
		{.name = "--conv", .kind = OQ_OPTION_CHOICE, .target = &convolution, .value_name = "auto|direct|winograd|winograd4", .choices = oq_cli_convolutions, .help = "how convolutions are computed (auto), of both networks"},
		{.name = "--allow-uncertified", .kind = OQ_OPTION_FLAG, .target = &j.job.allow_uncertified, .help = "take quantised packages without evidence (see certify)"},
		{.name = "--strict-precision", .kind = OQ_OPTION_FLAG, .target = &j.job.strict_precision, .help = "fail instead of computing in float32"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_saliency, options, &common, argc, argv, arguments, 2, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if ((code = oq_cli_job_finish(&j)))
		return code;
	job.job = j.job;
	if ((code = take_arguments(&job, arguments, count, seed)))
		return code;
	job.job.threads = (int)threads;
	job.job.resampling = (oq_resampling)resampling;
	job.job.precision = (oq_precision)precision;
	job.job.convolution = (oq_convolution)convolution;
	job.job.progress = !common.quiet && isatty(STDERR_FILENO) ? show_progress : NULL;
	job.window_voxels = (int)window;
	job.variant = (oq_saliency_variant)variant;
	job.compare_precision = (oq_precision)compare_precision;
	oq_error err = {0};
	char *text = NULL;
	oq_status status = oq_saliency(&job, &text, &err);
	code = report(&job, text, status, &err, &common);
	oq_string_free(text);
	return code;
}

const oq_command oq_command_saliency = {"saliency", "PACKAGE (SCAN --seed X,Y,Z | MANIFEST.csv | --patches FILE.npy) -o DIR",
	"which voxels move an embedding",
	"Occlusion sensitivity: a window of 12 voxels slides over the patch and fades what is under it; the map says how far the embedding turns.\n"
	"Writes the map in the scan's own space (.nii.gz), a picture, maps.npy, and figures in saliency.json and saliency.csv: how much of the map\n"
	"lies in the lesion, whether its peak does, what deleting its greatest voxels does, and with --compare how well two precisions agree.\n"
	"A manifest may have a column mask_path of lesions. docs/saliency.md has the formulas. About 125 passes a patch, of which networks without norms over the patch\n"
	"and without attention compute only what a window reaches: the map is the same.",
	"  oncoquant saliency astra.oq scan.nii.gz --seed 16.2,-168.1,661.3 -o out\n"
	"  oncoquant saliency astra.oq scan.nii.gz --seed 16.2,-168.1,661.3 --mask lesion.nii.gz --compare astra-int8.oq -o out\n"
	"  oncoquant saliency astra.oq seeds.csv --compare-precision bf16 -o out\n", run};
