#include "core/cgroup.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define PATH 1024
#define FOLDER (2 * PATH)

/* First numbers of a small file; false when it is not there or says "max". */
static bool read_numbers(const char *path, int count, double *values)
{
	FILE *file = fopen(path, "re");
	if (!file)
		return false;
	int got = count > 1 ? fscanf(file, "%lf %lf", &values[0], &values[1]) : fscanf(file, "%lf", &values[0]);
	fclose(file);
	return got == count;
}

static bool names(const char *list, const char *controller)
{
	size_t n = strlen(controller);
	for (const char *at = list; (at = strstr(at, controller)); at += n)
		if ((at == list || at[-1] == ',') && (at[n] == 0 || at[n] == ','))
			return true;
	return false;
}

/* The group in the hierarchy of a controller ("" = v2), as /proc/self/cgroup has it: "4:cpu,cpuacct:/a/b". "/" when it is not there. */
static void find_group(const char *root, const char *controller, char group[PATH])
{
	char path[PATH], line[PATH];
	snprintf(path, sizeof path, "%s/proc/self/cgroup", root);
	snprintf(group, PATH, "/");
	FILE *file = fopen(path, "re");
	while (file && fgets(line, sizeof line, file)) {
		char *list = strchr(line, ':'), *place = list ? strchr(list + 1, ':') : NULL;
		if (!place)
			continue;
		*place++ = 0;
		place[strcspn(place, "\n")] = 0;
		if (controller[0] ? names(list + 1, controller) : !list[1])
			snprintf(group, PATH, "%s", place);
	}
	if (file)
		fclose(file);
}

typedef double (*reader)(const char *folder);

static double v2_processors(const char *folder)
{
	char path[FOLDER + 64];
	double values[2];
	snprintf(path, sizeof path, "%s/cpu.max", folder);
	return read_numbers(path, 2, values) && values[0] > 0 && values[1] > 0 ? values[0] / values[1] : 0;
}

static double v1_processors(const char *folder)
{
	char path[FOLDER + 64];
	double quota, period;
	snprintf(path, sizeof path, "%s/cpu.cfs_quota_us", folder);
	if (!read_numbers(path, 1, &quota) || quota <= 0)
		return 0;
	snprintf(path, sizeof path, "%s/cpu.cfs_period_us", folder);
	return read_numbers(path, 1, &period) && period > 0 ? quota / period : 0;
}

/* v1 says "no limit" with a number near 2^63. */
static double bytes_in(const char *folder, const char *file)
{
	char path[FOLDER + 64];
	double bytes;
	snprintf(path, sizeof path, "%s/%s", folder, file);
	return read_numbers(path, 1, &bytes) && bytes > 0 && bytes < 0x1p60 ? bytes : 0;
}

static double v2_memory(const char *folder)
{
	return bytes_in(folder, "memory.max");
}

static double v1_memory(const char *folder)
{
	return bytes_in(folder, "memory.limit_in_bytes");
}

/* From the group up to the mount point. In a container the group may be named as the host sees it; then only the mount point is there. */
static double tightest(const char *root, const char *mount, const char *controller, reader read)
{
	char group[PATH], folder[FOLDER];
	double least = 0;
	find_group(root, controller, group);
	for (;;) {
		snprintf(folder, sizeof folder, "%s%s%s", root, mount, group);
		double limit = read(folder);
		least = limit > 0 && (least == 0 || limit < least) ? limit : least;
		char *slash = strrchr(group, '/');
		if (!slash || !group[1])
			return least;
		slash[slash == group] = 0;
	}
}

static double tighter(double a, double b)
{
	return a > 0 && (b <= 0 || a < b) ? a : b;
}

int oq_cgroup_processors(const char *root)
{
	double share = tighter(tightest(root, "/sys/fs/cgroup", "", v2_processors), tightest(root, "/sys/fs/cgroup/cpu", "cpu", v1_processors));
	int whole = share < 1e6 ? (int)share : 1000000;
	return whole + (whole < share);
}

uint64_t oq_cgroup_memory(const char *root)
{
	return (uint64_t)tighter(tightest(root, "/sys/fs/cgroup", "", v2_memory), tightest(root, "/sys/fs/cgroup/memory", "memory", v1_memory));
}
