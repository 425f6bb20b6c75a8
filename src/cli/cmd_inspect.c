/* oncoquant inspect: a package, or a scan with perhaps a seed. */
#include "cli.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

static int print_package(const char *text, const char *path)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *model = cJSON_GetObjectItemCaseSensitive(root, "model"), *pre = cJSON_GetObjectItemCaseSensitive(root, "preprocessing");
	const cJSON *provenance = cJSON_GetObjectItemCaseSensitive(root, "provenance"), *op;
	char *size = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(pre, "size")), *spacing = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(pre, "spacing_mm"));
	char *hu = cJSON_PrintUnformatted(cJSON_GetObjectItemCaseSensitive(pre, "hu_range"));
	printf("%s: %s (%s)\n", path, oq_cli_text(model, "title"), oq_cli_text(model, "family"));
	printf("  embedding      %.0f\n", oq_cli_number(cJSON_GetObjectItemCaseSensitive(root, "embedding"), "size"));
	printf("  patch          %s voxels, %s mm, axes %s, HU %s\n", size, spacing, oq_cli_text(pre, "axes"), hu);
	printf("  parameters     %.1f M in %.0f tensors\n", oq_cli_number(root, "parameters") / 1e6, oq_cli_number(root, "tensors"));
	printf("  graph          %.0f nodes run as %.0f steps:", oq_cli_number(root, "nodes"), oq_cli_number(root, "steps"));
	cJSON_ArrayForEach(op, cJSON_GetObjectItemCaseSensitive(root, "ops"))
		printf(" %s %d", op->string, op->valueint);
	printf("\n  memory         %.1f MB weights, %.1f MB per lane\n", oq_cli_number(root, "weight_bytes") / 1e6, oq_cli_number(root, "session_bytes") / 1e6);
	const char *kind = oq_cli_text(provenance, "kind");
	printf("  weights        %s %s%s\n", kind, strcmp(kind, "synthetic") ? oq_cli_text(provenance, "file") : "seed ",
		strcmp(kind, "synthetic") ? "" : oq_cli_text(provenance, "seed"));
	printf("  licence        code %s; weights %s\n", oq_cli_text(model, "code_license"), oq_cli_text(model, "weights_license"));
	printf("  paper          %s\n", oq_cli_text(model, "paper"));
	printf("  package        sha256 %s\n", oq_cli_text(root, "package_sha256"));
	cJSON_free(size);
	cJSON_free(spacing);
	cJSON_free(hu);
	cJSON_Delete(root);
	return oq_cli_flush();
}

static int inspect_package(const char *path, const oq_common *common)
{
	oq_model *model = NULL;
	oq_error err;
	char *text = NULL;
	if (oq_model_open(path, NULL, &model, &err) != OQ_OK)
		return oq_cli_fail(&err);
	oq_status status = oq_model_json(model, &text, &err);
	oq_model_close(model);
	if (status != OQ_OK)
		return oq_cli_fail(&err);
	int code = common->json ? oq_cli_print(text) : print_package(text, path);
	oq_string_free(text);
	return code;
}

static void print_triple(const cJSON *array, const char *format)
{
	const cJSON *value;
	cJSON_ArrayForEach(value, array) {
		printf(format, value->valuedouble);
		printf("%s", value->next ? " x " : "");
	}
}

static int print_scan(const char *text, const char *path)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *hu = cJSON_GetObjectItemCaseSensitive(root, "hu_range"), *seed = cJSON_GetObjectItemCaseSensitive(root, "seed"), *warning;
	printf("%s\n  size           ", path);
	print_triple(cJSON_GetObjectItemCaseSensitive(root, "size"), "%.0f");
	printf(" voxels\n  spacing        ");
	print_triple(cJSON_GetObjectItemCaseSensitive(root, "spacing_mm"), "%.6g");
	printf(" mm\n  orientation    %s (the axes of the file grow towards these)\n  type           %s\n", oq_cli_text(root, "orientation"), oq_cli_text(root, "type"));
	printf("  HU             %g to %g\n", cJSON_GetArrayItem(hu, 0)->valuedouble, cJSON_GetArrayItem(hu, 1)->valuedouble);
	if (seed) {
		printf("  seed           LPS ");
		print_triple(cJSON_GetObjectItemCaseSensitive(seed, "lps_mm"), "%g");
		printf(" mm = voxel ");
		print_triple(cJSON_GetObjectItemCaseSensitive(seed, "voxel"), "%.2f");
		if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(seed, "inside")))
			printf(", %g HU\n", oq_cli_number(seed, "hu"));
		else
			printf(", outside the scan\n");
	}
	cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(root, "warnings"))
		printf("  warning        %s: %s\n", oq_cli_text(warning, "code"), oq_cli_text(warning, "text"));
	cJSON_Delete(root);
	return oq_cli_flush();
}

typedef struct scan_wish {
	const char *path, *png;
	const double *seed;
	double box[3];
	oq_geometry geometry;
} scan_wish;

static int inspect_scan(const scan_wish *wish, const oq_common *common)
{
	oq_scan *scan = NULL;
	oq_error err;
	char *text = NULL;
	const oq_scan_options options = {.geometry = wish->geometry};
	if (oq_scan_open(wish->path, &options, &scan, &err) != OQ_OK)
		return oq_cli_fail(&err);
	oq_status status = oq_scan_json(scan, wish->seed, &text, &err);
	if (status == OQ_OK && wish->png)
		status = oq_scan_png(scan, wish->seed, wish->box, wish->png, &err);
	oq_scan_close(scan);
	int code = status == OQ_OK ? 0 : oq_cli_fail(&err);
	if (!code && !common->quiet)
		code = common->json ? oq_cli_print(text) : print_scan(text, wish->path);
	if (!code && wish->png && !common->quiet && !common->json)
		printf("  picture        %s (a picture of a head can identify the patient)\n", wish->png);
	oq_string_free(text);
	return code ? code : oq_cli_flush();
}

static int run(int argc, char **argv)
{
	static const char *const geometries[] = {"itk", "nibabel", "strict", NULL};
	oq_common common = {0};
	const char *seed_text = NULL, *path = NULL;
	scan_wish wish = {0};
	double seed[3], box = 48;
	int geometry = 0, count;
	const oq_option options[] = {
		{.name = "--seed", .kind = OQ_OPTION_TEXT, .target = &seed_text, .value_name = "X,Y,Z", .help = "a point of a scan, LPS mm"},
		{.name = "--png", .kind = OQ_OPTION_TEXT, .target = &wish.png, .value_name = "FILE", .help = "draw the three planes through the seed"},
		{.name = "--box", .kind = OQ_OPTION_NUMBER, .target = &box, .value_name = "MM", .low = 0, .high = 1000, .help = "size of the box drawn around it (48)"},
		{.name = "--geometry", .kind = OQ_OPTION_CHOICE, .target = &geometry, .value_name = "itk|nibabel|strict", .choices = geometries, .help = "which of two conflicting transforms to follow"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_inspect, options, &common, argc, argv, &path, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count)
		return oq_cli_usage("inspect: a package or a scan is needed");
	if (seed_text && !oq_cli_triple(seed_text, seed))
		return oq_cli_usage("--seed is \"%s\", expected three numbers such as 3.7,-158.2,266.9", seed_text);
	if (wish.png && !seed_text)
		return oq_cli_usage("inspect: --png needs --seed");
	struct stat info;
	if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
		return inspect_package(path, &common);
	wish.path = path;
	wish.seed = seed_text ? seed : NULL;
	wish.geometry = (oq_geometry)geometry;
	for (int i = 0; i < 3; i++)
		wish.box[i] = box;
	return inspect_scan(&wish, &common);
}

const oq_command oq_command_inspect = {"inspect", "PACKAGE | SCAN [--seed X,Y,Z [--png FILE]]", "look at a package or a scan",
	"For a package: what it computes, from which weights, under which licence. For a scan: geometry, HU range, warnings, and\n"
	"where a seed lands; --png draws the axial, coronal and sagittal plane through it.",
	"  oncoquant inspect ct-fm.oq\n  oncoquant inspect scan.nii.gz --seed 3.7,-158.2,266.9 --png seed.png\n", run};
