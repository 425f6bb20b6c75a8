#include "core/memory_limit.h"

#include "core/cgroup.h"

#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

static uint64_t machine_bytes(void)
{
	long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
	return pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0;
}

oq_memory_limit oq_memory_limit_now(uint64_t asked)
{
	const oq_memory_limit all[] = {{asked, "the limit asked for"}, {oq_cgroup_memory(""), "the control group"}, {machine_bytes(), "this machine"}};
	oq_memory_limit least = {0, ""};
	for (int i = 0; i < 3; i++)
		if (all[i].bytes && (!least.bytes || all[i].bytes < least.bytes))
			least = all[i];
	return least;
}

uint64_t oq_address_space_left(void)
{
	struct rlimit limit;
	unsigned long long mapped = 0;
	if (getrlimit(RLIMIT_AS, &limit) || limit.rlim_cur == RLIM_INFINITY)
		return UINT64_MAX;
	FILE *file = fopen("/proc/self/statm", "re");
	if (file) {
		if (fscanf(file, "%llu", &mapped) != 1)
			mapped = 0;
		fclose(file);
	}
	mapped *= (unsigned long long)sysconf(_SC_PAGESIZE);
	return limit.rlim_cur > mapped ? limit.rlim_cur - mapped : 0;
}
