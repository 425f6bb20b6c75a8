/* Processor time of the machine and of this process. The kernel counts the machine's in ticks of 10 ms: spans of a second and more have meaning. */
#define _DEFAULT_SOURCE
#include "core/load.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

bool oq_load_read(const char *root, oq_load *out)
{
	char path[600];
	unsigned long long t[8] = {0}; /* user nice system idle iowait irq softirq steal; what guests take is in user already */
	struct timespec own;
	snprintf(path, sizeof path, "%s/proc/stat", root);
	FILE *file = fopen(path, "r");
	int got = file ? fscanf(file, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &t[0], &t[1], &t[2], &t[3], &t[4], &t[5], &t[6], &t[7]) : 0;
	if (file)
		fclose(file);
	if (got < 4 || clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &own))
		return false;
	double tick = 1 / (double)sysconf(_SC_CLK_TCK);
	*out = (oq_load){.own = (double)own.tv_sec + 1e-9 * (double)own.tv_nsec};
	for (int i = 0; i < 8; i++)
		out->total += tick * (double)t[i];
	out->busy = out->total - tick * (double)(t[3] + t[4]);
	return true;
}

double oq_load_others(const oq_load *before, const oq_load *after)
{
	double total = after->total - before->total, others = after->busy - before->busy - (after->own - before->own);
	return total > 0 ? fmin(fmax(others / total, 0), 1) : NAN;
}
