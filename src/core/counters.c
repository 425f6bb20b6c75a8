/* Energy counters of the processor: Linux's powercap zones (RAPL), added up without counting anything twice. */
#define _DEFAULT_SOURCE
#include "counters_zones.h"

#include "core/file.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define ASSUMED_WATTS 1000.0 /* of a package that does not tell what it was designed for; the greatest sold take 500 */
#define MIRROR_JOULES 1.0 /* packages whose counters agree this closely are one counter seen twice */

bool oq_counters_number(const char *folder, const char *file, uint64_t *out)
{
	char text[64], *end;
	if (!oq_file_line(folder, file, text, sizeof text))
		return false;
	errno = 0;
	*out = strtoull(text, &end, 10);
	return end != text && !*end && !errno;
}

/* Packages are counted, and DRAM beside them; psys holds both, core and uncore are parts of a package, mmio is a twin. */
static bool counts(const char *zone_name, const char *name)
{
	if (strncmp(zone_name, "intel-rapl:", 11) && strncmp(zone_name, "amd-rapl:", 9))
		return false;
	return !strncmp(name, "package", 7) || !strcmp(name, "dram");
}

static bool is_mirror(const oq_counters *counters, const oq_counter *candidate)
{
	for (int i = 0; i < counters->count; i++) {
		const oq_counter *other = &counters->zones[i];
		double a = (double)candidate->last * 1e-6, b = (double)other->last * 1e-6;
		if (!strncmp(candidate->name, "package", 7) && !strncmp(other->name, "package", 7) && (fabs(a - b) < MIRROR_JOULES || fabs(a - b) < 1e-6 * a))
			return true;
	}
	return false;
}

static double watts_of(const oq_counter *z, const char *file)
{
	uint64_t microwatts;
	return oq_counters_number(z->path, file, &microwatts) ? 1e-6 * (double)microwatts : 0;
}

/* What a package was designed for; the BIOS's limit where the zone does not tell; 0 where neither is there. */
static double design_watts(const oq_counter *z)
{
	double watts = watts_of(z, "constraint_0_max_power_uw");
	return watts > 0 ? watts : watts_of(z, "constraint_0_power_limit_uw");
}

/* Where the ceiling is from depends on whether all packages tell. DRAM takes far less than a package, whose ceiling has room for it. */
static void set_ceiling(oq_counters *counters, oq_counter *z)
{
	bool package = !strncmp(z->name, "package", 7), all = counters->count == 0 || counters->design_watts > 0;
	double design = package ? design_watts(z) : 0;
	z->most_watts = design > 0 ? OQ_COUNTERS_MARGIN * design : ASSUMED_WATTS;
	if (!package)
		return;
	counters->design_watts = all && design > 0 ? counters->design_watts + design : 0;
	counters->limit_watts += watts_of(z, "constraint_0_power_limit_uw");
	counters->most_watts += z->most_watts;
	counters->most_from = counters->design_watts > 0 ? "3 times the zones' own maximum" : "assumed: 1000 W a package";
}

static oq_status add_zone(oq_counters *counters, const char *root, const char *entry, oq_error *err)
{
	oq_counter z = {.fd = -1, .joules_per_step = 1e-6};
	if (snprintf(z.path, sizeof z.path, "%s/%s", root, entry) >= (int)sizeof z.path || !oq_file_line(z.path, "name", z.name, sizeof z.name)
		|| !counts(entry, z.name) || counters->count == OQ_COUNTERS)
		return OQ_OK;
	if (!oq_counters_number(z.path, "energy_uj", &z.last))
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/energy_uj: %s; an administrator may allow it: chgrp and chmod g+r that file, by a udev rule to last", z.path,
			errno ? strerror(errno) : "is no number");
	if (!oq_counters_number(z.path, "max_energy_range_uj", &z.range) || !z.range)
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/max_energy_range_uj: cannot be read, so a wrap of the counter could not be seen", z.path);
	if (is_mirror(counters, &z))
		return OQ_OK;
	oq_counters_add(counters, &z);
	return OQ_OK;
}

void oq_counters_add(oq_counters *counters, oq_counter *z)
{
	set_ceiling(counters, z);
	z->when = oq_counters_seconds();
	size_t used = strlen(counters->names);
	snprintf(counters->names + used, sizeof counters->names - used, "%s%s", used ? " + " : "", z->name);
	counters->zones[counters->count++] = *z;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

oq_status oq_counters_open(const char *root, oq_counters **out, oq_error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(root, &entries, NULL, by_name);
	oq_counters *counters = oq_calloc(1, sizeof *counters);
	oq_status status = counters ? OQ_OK : oq_fail_memory(err, root, sizeof *counters);
	for (int i = 0; i < count; i++) {
		if (status == OQ_OK)
			status = add_zone(counters, root, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (status == OQ_OK && !(counters->most_watts > 0)) /* DRAM alone is no package */
		status = oq_fail(err, OQ_E_UNSUPPORTED, "E_ENERGY", "%s: has no energy counter of a processor package; virtual machines seldom have one", root);
	if (status == OQ_OK)
		*out = counters;
	else
		oq_free(counters);
	return status;
}

void oq_counters_close(oq_counters *counters)
{
	for (int i = 0; counters && i < counters->count; i++)
		if (counters->zones[i].fd >= 0)
			close(counters->zones[i].fd);
	oq_free(counters);
}

/* Steps of the counter as it stands; false when it cannot be read any more, or is beyond its range. */
static bool read_zone(const oq_counter *z, uint64_t *now)
{
	if (z->fd >= 0)
		return read(z->fd, now, sizeof *now) == (ssize_t)sizeof *now;
	return oq_counters_number(z->path, "energy_uj", now) && *now <= z->range;
}

/* A counter that may have gone round more than once since it was last read tells nothing. */
static bool too_long_ago(const oq_counter *z, double now)
{
	return z->fd < 0 && (now - z->when) * z->most_watts >= (double)z->range * z->joules_per_step;
}

oq_status oq_counters_read(oq_counters *counters, double *joules, oq_error *err)
{
	double time = oq_counters_seconds();
	*joules = 0;
	for (int i = 0; i < counters->count; i++) {
		oq_counter *z = &counters->zones[i];
		uint64_t now;
		if (!read_zone(z, &now))
			return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s%s: cannot be read any more, or is beyond its range", z->path,
				z->fd < 0 ? "/energy_uj" : "");
		if (too_long_ago(z, time))
			return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/energy_uj: was not read for %.0f s, in which it may have gone round more than once", z->path, time - z->when);
		z->when = time;
		z->joules += z->joules_per_step * (double)(now >= z->last ? now - z->last : now + z->range - z->last);
		z->last = now;
		*joules += z->joules;
	}
	return OQ_OK;
}

const char *oq_counters_zones(const oq_counters *counters)
{
	return counters->names;
}

int oq_counters_count(const oq_counters *counters)
{
	return counters->count;
}

double oq_counters_most_watts(const oq_counters *counters, const char **from)
{
	*from = counters->most_from;
	return counters->most_watts;
}

double oq_counters_design_watts(const oq_counters *counters)
{
	return counters->design_watts;
}

double oq_counters_limit_watts(const oq_counters *counters)
{
	return counters->limit_watts;
}

double oq_counters_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC_RAW, &t); /* no clock that is being set right in the middle of a measurement */
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
