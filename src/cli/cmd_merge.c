/* oncoquant merge: the shards of a cohort become one result. */
#include "cli.h"

#include <stdio.h>

#define MOST 10000

static int run_merge(int argc, char **argv)
{
	oq_common common = {0};
	static const char *arguments[MOST + 1];
	const oq_option options[] = {OQ_COMMON_OPTIONS(common)};
	int count, code = oq_options_parse(&oq_command_merge, options, &common, argc, argv, arguments, MOST + 1, &count);
	if (code)
		return code < 0 ? oq_cli_flush() : code;
	if (count < 2)
		return oq_cli_usage("merge: an output and its shards are needed");
	oq_error err = {0};
	oq_job_summary summary = {0};
	oq_status status = oq_merge(arguments[0], arguments + 1, count - 1, &summary, &err);
	if (status != OQ_OK && status != OQ_E_SOME_ROWS)
		return oq_cli_fail(&err);
	if (common.json) {
		printf("{\"output\": ");
		oq_cli_put_quoted(arguments[0]);
		printf(", \"rows\": %lld, \"failed\": %lld}\n", (long long)summary.rows, (long long)summary.failed);
	} else if (!common.quiet)
		printf("wrote %s: %lld rows, %lld failed\n", arguments[0], (long long)summary.rows, (long long)summary.failed);
	return status == OQ_OK ? oq_cli_flush() : oq_cli_fail(&err);
}

const oq_command oq_command_merge = {"merge", "OUT.npy SHARD.npy [SHARD.npy...]", "put the shards of a cohort together",
	"Each SHARD.npy, with its .csv and .json, is what embed or patches wrote with --shard I/N; all N are needed, in any order. OUT.npy and\n"
	"its companions have the same bytes as one run over the whole cohort. Exit code 3: some rows failed, as with embed.",
	"  oncoquant merge embeddings.npy part*.npy\n", run_merge};
