/* oncoquant evaluate: how well embeddings tell classes apart. A part of its own per kind of probe, in one table. */
#include "cli.h"

#include <stdio.h>
#include <string.h>

#define MOST 32

typedef struct subcommand {
	const char *name;
	const oq_command *command; /* for its help */
	int (*run)(const struct subcommand *which, int argc, char **argv);
	int probe;
} subcommand;

static void print_share(const cJSON *value)
{
	if (cJSON_IsNumber(value))
		printf(" %7.4f", value->valuedouble);
	else
		printf("       -");
}

static void print_pair(const cJSON *parent, const char *key)
{
	const cJSON *pair = cJSON_GetObjectItemCaseSensitive(parent, key), *low = cJSON_GetArrayItem(pair, 0), *high = cJSON_GetArrayItem(pair, 1);
	if (cJSON_IsNumber(low) && cJSON_IsNumber(high))
		printf("  %6.3f to %5.3f", low->valuedouble, high->valuedouble);
	else
		printf("  %15s", "-");
}

static void print_head(const cJSON *report)
{
	const cJSON *endpoint = cJSON_GetObjectItemCaseSensitive(report, "endpoint"), *splits = cJSON_GetObjectItemCaseSensitive(report, "splits"),
		*left = cJSON_GetObjectItemCaseSensitive(endpoint, "left_out"), *class;
	printf("%s, protocol %s: %.0f rows", oq_cli_text(report, "probe"), oq_cli_text(report, "protocol"), oq_cli_number(endpoint, "rows"));
	if (oq_cli_number(endpoint, "patients") > 0)
		printf(" of %.0f patients", oq_cli_number(endpoint, "patients"));
	printf(", %s", oq_cli_text(endpoint, "column"));
	cJSON_ArrayForEach(class, cJSON_GetObjectItemCaseSensitive(endpoint, "classes"))
		printf(" %s: %.0f", oq_cli_text(class, "name"), oq_cli_number(class, "rows"));
	printf("\n%.0f splits (%s), at least %.0f test cases of each class\n", oq_cli_number(splits, "count"), oq_cli_text(splits, "kind"),
		oq_cli_number(splits, "fewest_test_cases_of_a_class"));
	cJSON_ArrayForEach(class, left)
		if (class->valuedouble > 0)
			printf("left out, %s: %.0f rows\n", class->string, class->valuedouble);
}

static void print_models(const cJSON *report)
{
	const cJSON *model;
	bool paper = !strcmp(oq_cli_text(report, "protocol"), "paper");
	printf("\n%-28s %7s  %15s %7s  %15s%s\n", "AUC", "mean", "Nadeau-Bengio", paper ? "SE" : "pooled", paper ? "reference" : "DeLong",
		paper ? "" : "        bootstrap");
	cJSON_ArrayForEach(model, cJSON_GetObjectItemCaseSensitive(report, "models")) {
		const cJSON *auc = cJSON_GetObjectItemCaseSensitive(model, "auc"), *pooled = cJSON_GetObjectItemCaseSensitive(model, "pooled");
		printf("%-28.28s", oq_cli_text(model, "name"));
		print_share(cJSON_GetObjectItemCaseSensitive(auc, "mean"));
		print_pair(auc, "nadeau_bengio95");
		print_share(cJSON_GetObjectItemCaseSensitive(paper ? auc : pooled, paper ? "se" : "auc"));
		print_pair(paper ? auc : pooled, paper ? "reference95" : "delong95");
		if (!paper)
			print_pair(pooled, "bootstrap95");
		printf("\n");
	}
}

static void print_comparisons(const cJSON *report)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(report, "comparisons"), *one;
	if (cJSON_GetArraySize(list) > 0)
		printf("\n%-52s %10s  %15s %8s %8s\n", "paired difference of pooled AUC", "b - a", "95 %", "p", "Holm");
	cJSON_ArrayForEach(one, list) {
		printf("%-25.25s  %-25.25s %+10.4f", oq_cli_text(one, "a"), oq_cli_text(one, "b"), oq_cli_number(one, "difference"));
		print_pair(one, "delong95");
		printf(" ");
		print_share(cJSON_GetObjectItemCaseSensitive(one, "p"));
		printf(" ");
		print_share(cJSON_GetObjectItemCaseSensitive(one, "p_holm"));
		printf("\n");
	}
}

static void print_report(const cJSON *report)
{
	const cJSON *note;
	print_head(report);
	print_models(report);
	print_comparisons(report);
	printf("\n%s", cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(report, "underpowered")) ? "UNDERPOWERED\n" : "");
	cJSON_ArrayForEach(note, cJSON_GetObjectItemCaseSensitive(report, "notes"))
		printf("note: %s\n", note->valuestring);
}

/* What only some probes have. */
static oq_option own_option(oq_probe probe, oq_evaluate_options *job, int64_t *neighbours, int64_t *shots, int *method)
{
	static const char *const methods[] = {"alignment", "stacking", NULL};
	switch (probe) {
	case OQ_PROBE_KNN:
		return (oq_option){.name = "--k-max", .kind = OQ_OPTION_INT, .target = neighbours, .value_name = "N", .low = 1, .high = 63, .help = "k is chosen from 1 to this on the validation fold; default 50"};
	case OQ_PROBE_LINEAR:
		return (oq_option){.name = "--C", .kind = OQ_OPTION_NUMBER, .target = &job->c, .value_name = "C", .low = 0, .high = 1000000, .help = "strict: default chosen from 1e-4 to 100; paper: default 2, which is its multinomial fit with C = 1"};
	case OQ_PROBE_FEW_SHOT:
		return (oq_option){.name = "--shots", .kind = OQ_OPTION_INT, .target = shots, .value_name = "N", .low = 1, .high = 63, .help = "training rows of each class; default 1, 5 and 10 in turn"};
	default:
		return (oq_option){.name = "--method", .kind = OQ_OPTION_CHOICE, .target = method, .value_name = "alignment|stacking", .choices = methods, .help = "weights by common neighbours (default), or a logistic regression on the votes"};
	}
}

static int run_probe(const subcommand *which, int argc, char **argv)
{
	static const char *const protocols[] = {"strict", "paper", NULL};
	oq_common common = {0};
	const char *files[MOST];
	oq_evaluate_options job = {.probe = (oq_probe)which->probe, .embeddings = files};
	int64_t threads = 0, folds = 0, repeats = 0, seed = 1, neighbours = 0, shots = 0;
	int protocol = 0, method = 0;
	const oq_option options[] = {
		{.name = "--labels", .kind = OQ_OPTION_TEXT, .target = &job.labels, .value_name = "FILE.csv", .help = "default: the .csv beside the first embeddings"},
		{.name = "--label", .kind = OQ_OPTION_TEXT, .target = &job.label, .value_name = "COLUMN", .help = "the endpoint's classes; default y; of two, the larger is positive"},
		{.name = "--patient", .kind = OQ_OPTION_TEXT, .target = &job.patient, .value_name = "COLUMN", .help = "rows of one patient stay on one side"},
		{.name = "--split", .kind = OQ_OPTION_TEXT, .target = &job.split, .value_name = "COLUMN", .help = "train, val or test of every row, instead of own splits"},
		{.name = "--id", .kind = OQ_OPTION_TEXT, .target = &job.id, .value_name = "COLUMN", .help = "joins labels and embeddings (their .csv); default: by row"},
		{.name = "--protocol", .kind = OQ_OPTION_CHOICE, .target = &protocol, .value_name = "strict|paper", .choices = protocols, .help = "sound (default), or the benchmark's own to reproduce its figures"},
		own_option((oq_probe)which->probe, &job, &neighbours, &shots, &method),
		{.name = "--folds", .kind = OQ_OPTION_INT, .target = &folds, .value_name = "N", .low = 3, .high = 100, .help = "strict: default 5"},
		{.name = "--repeats", .kind = OQ_OPTION_INT, .target = &repeats, .value_name = "N", .low = 1, .high = 100, .help = "strict: default 5"},
		{.name = "--seed", .kind = OQ_OPTION_INT, .target = &seed, .value_name = "S", .low = 0, .high = UINT32_MAX, .help = "strict: of folds and bootstrap; default 1"},
		{.name = "--splits", .kind = OQ_OPTION_TEXT, .target = &job.splits, .value_name = "FILE.json", .help = "splits to use instead"},
		{.name = "--write-splits", .kind = OQ_OPTION_TEXT, .target = &job.write_splits, .value_name = "FILE.json", .help = "the splits that were used"},
		{.name = "--scores", .kind = OQ_OPTION_TEXT, .target = &job.scores, .value_name = "FILE.csv", .help = "every test row's scores"},
		{.name = "--output", .short_name = "-o", .kind = OQ_OPTION_TEXT, .target = &job.output, .value_name = "FILE.json", .help = "the whole result"},
		{.name = "--threads", .short_name = "-t", .kind = OQ_OPTION_INT, .target = &threads, .value_name = "N", .low = 1, .high = 4096, .help = "default: the processors granted"},
		OQ_COMMON_OPTIONS(common)};
	int code = oq_options_parse(which->command, options, &common, argc, argv, files, MOST, &job.count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (job.count < 1)
		return oq_cli_usage("%s: a file of embeddings is needed", which->command->name);
	job.probe = method ? OQ_PROBE_STACKING : job.probe;
	job.protocol = (oq_protocol)protocol;
	job.threads = (int)threads;
	job.folds = (int)folds;
	job.repeats = (int)repeats;
	job.seed = (uint64_t)seed;
	job.most_neighbours = (int)neighbours;
	job.shots = (int)shots;
	oq_error err = {0};
	char *text = NULL;
	if (oq_evaluate(&job, &text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	return oq_cli_tell(&common, text, print_report);
}

static const oq_command command_knn = {"evaluate knn", "A.npy [B.npy...] --labels FILE.csv --label COLUMN [--patient COLUMN]", "",
	"Votes of the k nearest training rows by cosine; k is chosen on a validation fold. --protocol strict (default): repeated grouped folds,\n"
	"patients on one side. --protocol paper: the benchmark's ten splits (seeds 10 to 19) and its choice of k, to the bit; its intervals\n"
	"are too narrow. docs/evaluation.md has the formulas.",
	"  oncoquant evaluate knn ct-fm.npy --label malignancy --patient patient-id\n"
	"  oncoquant evaluate knn ct-fm.npy merlin.npy --labels labels.csv --label y --id nodule_id -o knn.json --scores scores.csv\n"
	"  oncoquant evaluate knn ct-fm.npy --labels labels.csv --protocol paper\n", NULL};

static const oq_command command_linear = {"evaluate linear", "A.npy [B.npy...] --labels FILE.csv --label COLUMN [--patient COLUMN]", "",
	"Logistic regression (L2), at its optimum. --protocol strict (default): features standardised by the training rows, C chosen on a\n"
	"validation fold. --protocol paper: as they are; the benchmark's multinomial fit of two classes is the ordinary one with C = 2.",
	"  oncoquant evaluate linear ct-fm.npy --label malignancy --patient patient-id\n"
	"  oncoquant evaluate linear ct-fm.npy --labels labels.csv --protocol paper\n", NULL};
static const oq_command command_few_shot = {"evaluate few-shot", "A.npy [B.npy...] --labels FILE.csv --label COLUMN [--patient COLUMN]", "",
	"kNN on a few training rows of each class. --protocol strict (default): k is the number of shots. --protocol paper: the benchmark's\n"
	"draws (NumPy, seeds 0 to 9); it chooses k on a whole validation fold, which is more than a few shots.",
	"  oncoquant evaluate few-shot ct-fm.npy --label malignancy --patient patient-id --shots 10\n", NULL};
static const oq_command command_ensemble = {"evaluate ensemble", "A.npy B.npy [...] --labels FILE.csv --label COLUMN [--method alignment|stacking]", "",
	"Several models' kNN votes as one, beside each model alone (k = 10). alignment: weighted by common neighbours, of training rows\n"
	"(--protocol strict) or, as the benchmark does, of all rows. stacking: a balanced logistic regression on the votes of the validation\n"
	"fold; the benchmark also chooses k and C on those rows (seeds 110 to 119).",
	"  oncoquant evaluate ensemble ct-fm.npy merlin.npy fmcib.npy --labels labels.csv --patient patient-id\n", NULL};

/* A part with options of its own. */
static int run_other(const subcommand *which, int argc, char **argv)
{
	return which->command->run(argc, argv);
}

static const subcommand parts[] = {
	{"knn", &command_knn, run_probe, OQ_PROBE_KNN},
	{"linear", &command_linear, run_probe, OQ_PROBE_LINEAR},
	{"few-shot", &command_few_shot, run_probe, OQ_PROBE_FEW_SHOT},
	{"ensemble", &command_ensemble, run_probe, OQ_PROBE_ALIGNMENT},
	{"survival", &oq_command_evaluate_survival, run_other, 0},
};

static int run(int argc, char **argv)
{
	for (size_t i = 0; i < sizeof parts / sizeof *parts && argc > 0; i++)
		if (!strcmp(argv[0], parts[i].name))
			return parts[i].run(&parts[i], argc - 1, argv + 1);
	oq_common common = {0};
	const oq_option options[] = {OQ_COMMON_OPTIONS(common)};
	const char *word;
	int count, code = oq_options_parse(&oq_command_evaluate, options, &common, argc, argv, &word, 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	return oq_cli_usage("evaluate: expected one of: knn, linear, few-shot, ensemble, survival; see oncoquant evaluate --help");
}

const oq_command oq_command_evaluate = {"evaluate", "knn|linear|few-shot|ensemble|survival EMBEDDINGS... [options]", "how well embeddings tell classes apart",
	"Endpoints by nearest neighbours, logistic regression, a few examples or ensembles. Default are sound splits and intervals (--protocol\n"
	"strict); --protocol paper repeats the benchmark's figures. 'evaluate knn --help' and so on explain the options.",
	"  oncoquant evaluate knn ct-fm.npy --labels labels.csv --label malignancy --patient patient-id\n"
	"  oncoquant evaluate linear ct-fm.npy merlin.npy --labels labels.csv --protocol paper -o linear.json\n", run};
