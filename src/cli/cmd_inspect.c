/* oncoquant inspect: a package, a scan with perhaps a seed, or a manifest before a run. */
#include "job_options.h"

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
			printf(", %.1f mm outside the scan%s%s\n", oq_cli_number(seed, "outside_mm"), oq_cli_text(seed, "hint")[0] ? "; " : "", oq_cli_text(seed, "hint"));
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
	const oq_scan_options *options;
} scan_wish;

static int inspect_scan(const scan_wish *wish, const oq_common *common)
{
	oq_scan *scan = NULL;
	oq_error err;
	char *text = NULL;
	if (oq_scan_open(wish->path, wish->options, &scan, &err) != OQ_OK)
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

static void print_result(const cJSON *result)
{
	const cJSON *voxel = cJSON_GetObjectItemCaseSensitive(result, "voxel"), *share, *warning;
	const char *code = oq_cli_text(result, "code");
	char place[64] = "-", hu[16] = "-";
	if (voxel)
		snprintf(place, sizeof place, "%.1f, %.1f, %.1f", cJSON_GetArrayItem(voxel, 0)->valuedouble, cJSON_GetArrayItem(voxel, 1)->valuedouble,
			cJSON_GetArrayItem(voxel, 2)->valuedouble);
	if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(result, "inside")))
		snprintf(hu, sizeof hu, "%.0f", oq_cli_number(result, "hu"));
	printf("%6.0f %6.0f %5.0f  %-22s %6s", oq_cli_number(result, "row"), oq_cli_number(result, "line"), oq_cli_number(result, "scan"), place, hu);
	cJSON_ArrayForEach(share, cJSON_GetObjectItemCaseSensitive(result, "padding"))
		printf("  %s %.0f%%", share->string, 100 * share->valuedouble);
	printf("%s%s%s", code[0] ? "  FAILS " : "  ok", code, code[0] ? ": " : "");
	printf("%s", oq_cli_text(result, "message"));
	cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(result, "warnings"))
		printf(" %s", warning->valuestring);
	if (!code[0] && oq_cli_text(result, "hint")[0])
		printf(" (%s)", oq_cli_text(result, "hint"));
	putchar('\n');
}

/* A scan that was read may still hold values that no row may need. */
static void print_scan_of(const cJSON *scan, int index)
{
	const cJSON *size = cJSON_GetObjectItemCaseSensitive(scan, "size"), *hu = cJSON_GetObjectItemCaseSensitive(scan, "hu_range"), *warning;
	bool refused = oq_cli_text(scan, "code")[0];
	printf("scan %d %s  ", index, oq_cli_text(scan, "image_path"));
	if (size) {
		print_triple(size, "%.0f");
		printf(" voxels of ");
		print_triple(cJSON_GetObjectItemCaseSensitive(scan, "spacing_mm"), "%.4g");
		printf(" mm, %s, ", oq_cli_text(scan, "orientation"));
	}
	if (refused)
		printf("%s%s", oq_cli_text(scan, "message"), size ? " (fails rows that need those slices)" : "");
	else
		printf("HU %g to %g", cJSON_GetArrayItem(hu, 0)->valuedouble, cJSON_GetArrayItem(hu, 1)->valuedouble);
	putchar('\n');
	cJSON_ArrayForEach(warning, cJSON_GetObjectItemCaseSensitive(scan, "warnings"))
		printf("  warning %s: %s\n", oq_cli_text(warning, "code"), oq_cli_text(warning, "text"));
}

static void print_manifest(const char *text)
{
	cJSON *root = cJSON_Parse(text);
	const cJSON *scan, *result;
	int index = 0;
	cJSON_ArrayForEach(scan, cJSON_GetObjectItemCaseSensitive(root, "scans"))
		print_scan_of(scan, index++);
	printf("%6s %6s %5s  %-22s %6s  padding\n", "row", "line", "scan", "voxel", "HU");
	cJSON_ArrayForEach(result, cJSON_GetObjectItemCaseSensitive(root, "results"))
		print_result(result);
	printf("%.0f rows, %.0f would fail\n", oq_cli_number(root, "rows"), oq_cli_number(root, "failed"));
	cJSON_Delete(root);
}

static int inspect_manifest(const oq_job *job, const oq_common *common)
{
	char *text = NULL;
	oq_error err = {0};
	oq_status status = oq_inspect_manifest(job, NULL, &text, &err);
	int code = 0;
	if (text && common->json)
		code = oq_cli_print(text);
	else if (text && !common->quiet)
		print_manifest(text);
	oq_string_free(text);
	return status != OQ_OK ? oq_cli_fail(&err) : code ? code : oq_cli_flush();
}

#define MOST 65 /* packages and a manifest */

static int run(int argc, char **argv)
{
	oq_common common = {0};
	oq_cli_job j = {.job = {.cancel = oq_cli_cancel()}};
	const char *seed_text = NULL, *arguments[MOST];
	scan_wish wish = {.options = &j.job.scan};
	double seed[3], box = 48;
	int count;
	const oq_option options[] = {
		{.name = "--seed", .kind = OQ_OPTION_TEXT, .target = &seed_text, .value_name = "X,Y,Z", .help = "a point of a scan, LPS mm"},
		{.name = "--png", .kind = OQ_OPTION_TEXT, .target = &wish.png, .value_name = "FILE", .help = "draw the three planes through the seed"},
		{.name = "--box", .kind = OQ_OPTION_NUMBER, .target = &box, .value_name = "MM", .low = 0, .high = 1000, .help = "size of the box drawn around it (48)"},
		OQ_SCAN_OPTIONS(j),
		OQ_MANIFEST_OPTIONS(j),
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(&oq_command_inspect, options, &common, argc, argv, arguments, MOST, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (!count)
		return oq_cli_usage("inspect: a package, a scan or a manifest is needed");
	if ((code = oq_cli_job_finish(&j)))
		return code;
	const char *path = arguments[count - 1];
	if (oq_cli_is_manifest(path)) {
		j.job.manifest = path;
		j.job.packages = arguments;
		j.job.package_count = count - 1;
		return seed_text || wish.png ? oq_cli_usage("inspect: --seed and --png are for a scan, not for a manifest") : inspect_manifest(&j.job, &common);
	}
	if (count > 1)
		return oq_cli_usage("inspect: unexpected argument %s; several packages go before a manifest", path);
	if (seed_text && !oq_cli_triple(seed_text, seed))
		return oq_cli_usage("--seed is \"%s\", expected three numbers such as 3.7,-158.2,266.9", seed_text);
	if (wish.png && !seed_text)
		return oq_cli_usage("inspect: --png needs --seed");
	struct stat info;
	if (!j.job.scan.dicom && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
		return inspect_package(path, &common);
	wish.path = path;
	wish.seed = seed_text ? seed : NULL;
	for (int i = 0; i < 3; i++)
		wish.box[i] = box;
	return inspect_scan(&wish, &common);
}

const oq_command oq_command_inspect = {"inspect", "PACKAGE | SCAN [--seed X,Y,Z [--png FILE]] | [PACKAGE...] MANIFEST", "look at a package, a scan or a manifest",
	"For a package: what it computes, from which weights, under which licence. For a scan: geometry, HU range, warnings, and\n"
	"where a seed lands; --png draws the axial, coronal and sagittal plane through it. For a manifest (.csv, .jsonl): every scan\n"
	"is read and every seed placed, with the HU there and each package's padding, before a run. Exit code 3: some rows would\n"
	"fail, 4: all would.",
	"  oncoquant inspect ct-fm.oq\n  oncoquant inspect scan.nii.gz --seed 3.7,-158.2,266.9 --png seed.png\n"
	"  oncoquant inspect ct-fm.oq voco.oq scans.csv\n", run};
