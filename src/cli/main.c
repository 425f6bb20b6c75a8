/* The command `oncoquant`: finds the subcommand and hands over. */
#include "cli.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

volatile int oq_cli_signal;

static const oq_command *const commands[] = {
	&oq_command_models, &oq_command_convert, &oq_command_inspect, &oq_command_dataset, &oq_command_index, &oq_command_patches, &oq_command_embed,
	&oq_command_merge, &oq_command_quantize, &oq_command_compare, &oq_command_certify, &oq_command_similarity, &oq_command_robustness,
	&oq_command_saliency, &oq_command_report, &oq_command_evaluate, &oq_command_bench};

static void on_signal(int number)
{
	oq_cli_signal = number;
}

volatile int *oq_cli_cancel(void)
{
	const struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	return &oq_cli_signal;
}

static void print_usage(FILE *file)
{
	fprintf(file, "oncoquant %s: CT foundation models on ordinary CPUs\n\nusage: oncoquant COMMAND [options]\n\n", oq_version());
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		fprintf(file, "  %-10s %s\n", commands[i]->name, commands[i]->summary);
	fprintf(file, "  %-10s %s\n\n'oncoquant COMMAND --help' explains one command. Research use only; not a medical device.\n", "version",
		"version, processor and libraries");
}

static int print_version(bool json)
{
	char *text = NULL;
	oq_error err;
	if (!json) {
		printf("oncoquant %s\n", oq_version());
		return oq_cli_flush();
	}
	if (oq_about_json(&text, &err) != OQ_OK)
		return oq_cli_fail(&err);
	int code = oq_cli_print(text);
	oq_string_free(text);
	return code;
}

int main(int argc, char **argv)
{
	/* A core dump would hold voxels and paths. */
	const struct rlimit no_core = {0, 0};
	setrlimit(RLIMIT_CORE, &no_core);
	/* Numbers read and print the same everywhere; only messages of the system follow the user's language. */
	setlocale(LC_MESSAGES, "");
	const char *name = argc > 1 ? argv[1] : "";
	if (!strcmp(name, "version") || !strcmp(name, "--version"))
		return print_version(argc > 2 && !strcmp(argv[2], "--json"));
	if (!strcmp(name, "help") && argc > 2) {
		char help[] = "--help", *arguments[] = {help};
		for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
			if (!strcmp(commands[i]->name, argv[2]))
				return commands[i]->run(1, arguments);
	}
	if (!strcmp(name, "help") || !strcmp(name, "--help") || !strcmp(name, "-h")) {
		print_usage(stdout);
		return oq_cli_flush();
	}
	for (size_t i = 0; i < sizeof commands / sizeof *commands; i++)
		if (!strcmp(commands[i]->name, name))
			return commands[i]->run(argc - 2, argv + 2);
	if (!name[0]) {
		print_usage(stderr);
		return OQ_E_USAGE;
	}
	return oq_cli_usage("unknown command %s; see oncoquant --help", name);
}
