/* What the subcommands share: option tables, messages, JSON for people. The command line sees the public header and cJSON. */
#ifndef OQ_CLI_H
#define OQ_CLI_H

#include <cjson/cJSON.h>
#include <oncoquant.h>

typedef enum oq_option_kind { OQ_OPTION_FLAG, OQ_OPTION_TEXT, OQ_OPTION_INT, OQ_OPTION_NUMBER, OQ_OPTION_SIZE, OQ_OPTION_CHOICE } oq_option_kind;

/* One option; `target` is bool, const char *, int64_t, double, uint64_t (bytes) or int (index into `choices`) by kind. */
typedef struct oq_option {
	const char *name;            /* "--threads" */
	const char *short_name;      /* "-o" or NULL */
	oq_option_kind kind;
	void *target;
	const char *value_name;      /* in help */
	const char *help;
	int64_t low, high;           /* of an integer */
	const char *const *choices;  /* NULL-terminated */
} oq_option;

typedef struct oq_command {
	const char *name, *arguments, *summary, *description, *examples;
	int (*run)(int argc, char **argv);
} oq_command;

/* Options every subcommand has. */
typedef struct oq_common {
	bool json, quiet, help;
} oq_common;
#define OQ_COMMON_OPTIONS(common)                                                                     \
	{.name = "--json", .kind = OQ_OPTION_FLAG, .target = &(common).json, .help = "print JSON"},  \
	{.name = "--quiet", .short_name = "-q", .kind = OQ_OPTION_FLAG, .target = &(common).quiet, .help = "print errors only"}, \
	{.name = "--help", .short_name = "-h", .kind = OQ_OPTION_FLAG, .target = &(common).help, .help = "this text"}, {.name = NULL}

/* Parses into the table; what is no option goes to arguments (room for `most`), their number to *count. Returns 0, or an exit
 * code after a message. Prints help and returns -1 when asked for it. */
int oq_options_parse(const oq_command *command, const oq_option *options, oq_common *common, int argc, char **argv, const char **arguments, int most,
	int *count);

/* "oncoquant: error: ..." on stderr; returns the exit code: that of the status, or of the signal that stopped the work. */
int oq_cli_fail(const oq_error *err);
#if defined(__GNUC__)
__attribute__((format(printf, 1, 2)))
#endif
int oq_cli_usage(const char *format, ...);
/* Choices of --precision, in the order of oq_precision. */
extern const char *const oq_cli_precisions[];
/* Choices of --conv, in the order of oq_convolution. */
extern const char *const oq_cli_convolutions[];
/* Seconds since some moment. */
double oq_cli_seconds(void);
/* "x,y,z" into three numbers. */
bool oq_cli_triple(const char *text, double out[3]);
/* By its name: .csv, .jsonl, .ndjson. */
bool oq_cli_is_manifest(const char *path);
/* 0 when the folder is there now, else an exit code after a message. */
int oq_cli_make_folder(const char *path);
/* A text as JSON has it, in quotes. */
void oq_cli_put_quoted(const char *text);
/* Prints text on stdout; exit code 7 when stdout is full or broken. */
int oq_cli_print(const char *text);
/* A finished command's result, which it frees (NULL: none): as it is for --json, else parsed and told by `people`, unless --quiet. */
int oq_cli_tell(const oq_common *common, char *text, void (*people)(const cJSON *report));
/* A finished command's one output. */
int oq_cli_wrote(const oq_common *common, const char *path);
/* Flushes stdout; 0, or 7 when something could not be written. */
int oq_cli_flush(void);
const char *oq_cli_text(const cJSON *object, const char *key);   /* "" when absent */
double oq_cli_number(const cJSON *object, const char *key);      /* 0 when absent */

/* The result of the fidelity gate for people. */
void oq_cli_print_gate(const cJSON *report);

/* The number of the signal by which a command was told to end in order; 0: none. */
extern volatile int oq_cli_signal;
/* For commands that look at it: from here on SIGINT and SIGTERM set it, and a second one ends the process at once. All others end at the first:
 * what they write is whole or not there. */
volatile int *oq_cli_cancel(void);

extern const oq_command oq_command_models, oq_command_convert, oq_command_inspect, oq_command_dataset, oq_command_patches, oq_command_embed, oq_command_index,
	oq_command_merge, oq_command_quantize, oq_command_compare, oq_command_certify, oq_command_similarity, oq_command_robustness, oq_command_saliency,
	oq_command_report, oq_command_evaluate, oq_command_evaluate_survival, oq_command_bench;

#endif
