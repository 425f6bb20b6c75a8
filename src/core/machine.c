/* What governs the processor's speed and power, from /proc and /sys. Memory channels are not told: only root can read them. */
#define _DEFAULT_SOURCE
#include "core/machine.h"

#include "core/cpu.h"
#include "core/file.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LINE 4096 /* the flags of a processor take 2000 */

/* NULL when there is none. */
static const char *first_line(const char *root, const char *file, char line[LINE])
{
	return oq_file_line(root, file, line, LINE) ? line : NULL;
}

/* The value of the first "key : value" in /proc/cpuinfo; NULL when there is none. */
static const char *cpu_field(const char *root, const char *key, char line[LINE])
{
	char path[600];
	const char *found = NULL;
	snprintf(path, sizeof path, "%s/proc/cpuinfo", root);
	FILE *in = fopen(path, "r");
	while (in && !found && fgets(line, LINE, in)) {
		size_t length = strlen(key);
		char *colon = strchr(line, ':');
		if (colon && !strncmp(line, key, length) && line + length + strspn(line + length, " \t") == colon) {
			colon[strcspn(colon, "\n")] = 0;
			found = colon + 1 + strspn(colon + 1, " ");
		}
	}
	if (in)
		fclose(in);
	return found;
}

static bool is_there(const char *root, const char *file)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", root, file);
	return access(path, F_OK) == 0;
}

static bool in_container(const char *root)
{
	char line[LINE];
	const char *group = first_line(root, "proc/1/cgroup", line);
	return is_there(root, ".dockerenv") || is_there(root, "run/.containerenv")
		|| (group && (strstr(group, "docker") || strstr(group, "kubepods") || strstr(group, "lxc")));
}

static bool in_machine(const char *root)
{
	char line[LINE];
	const char *flags = cpu_field(root, "flags", line);
	return flags && strstr(flags, " hypervisor");
}

bool oq_machine_is_shared(const char *root)
{
	return in_container(root) || in_machine(root);
}

/* A switch as a boolean; null when neither of the files is there. */
static bool add_turbo(oq_json *out, const char *root)
{
	char line[LINE];
	const char *boost = first_line(root, "sys/devices/system/cpu/cpufreq/boost", line);
	if (boost)
		return oq_json_add_bool(out, "turbo", boost[0] == '1');
	const char *off = first_line(root, "sys/devices/system/cpu/intel_pstate/no_turbo", line);
	return off ? oq_json_add_bool(out, "turbo", off[0] == '0') : oq_json_add_string(out, "turbo", NULL);
}

/* Of the package, when this kernel has a zone for it. */
static double temperature(const char *root)
{
	for (int i = 0; i < 32; i++) {
		char file[64], line[LINE];
		snprintf(file, sizeof file, "sys/class/thermal/thermal_zone%d/type", i);
		const char *type = first_line(root, file, line);
		if (!type || strcmp(type, "x86_pkg_temp"))
			continue;
		snprintf(file, sizeof file, "sys/class/thermal/thermal_zone%d/temp", i);
		const char *value = first_line(root, file, line);
		return value ? 1e-3 * (double)strtol(value, NULL, 10) : NAN;
	}
	return NAN;
}

bool oq_machine_add(oq_json *parent, const char *key, const char *root)
{
	static const struct {
		const char *key, *file;
	} lines[] = {{"kernel", "proc/sys/kernel/osrelease"}, {"governor", "sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"},
		{"energy_preference", "sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference"}, {"hyperthreads", "sys/devices/system/cpu/smt/active"}};
	char line[LINE];
	oq_cpu cpu;
	oq_json *out = oq_json_add_object(parent, key);
	oq_cpu_detect(&cpu);
	bool good = out && oq_json_add_string(out, "processor", cpu_field(root, "model name", line)) && oq_json_add_string(out, "microcode", cpu_field(root, "microcode", line));
	for (size_t i = 0; i < sizeof lines / sizeof *lines && good; i++)
		good = oq_json_add_string(out, lines[i].key, first_line(root, lines[i].file, line));
	return good && add_turbo(out, root) && oq_json_add_number(out, "temperature_c", temperature(root)) && oq_json_add_int(out, "processors_online", sysconf(_SC_NPROCESSORS_ONLN))
		&& oq_json_add_int(out, "processors_granted", cpu.processors) && oq_json_add_bool(out, "virtual_machine", in_machine(root))
		&& oq_json_add_bool(out, "container", in_container(root));
}
