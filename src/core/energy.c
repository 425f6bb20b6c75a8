/* Energy counters of the processor: Linux's powercap zones (RAPL), added up without counting anything twice. */
#define _DEFAULT_SOURCE
#include "core/error.h"
#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define ZONES 64
#define MIRROR_JOULES 1.0 /* packages whose counters agree this closely are one counter seen twice */

typedef struct zone {
	char path[512], name[32];
	uint64_t range, last; /* microjoules */
	double joules;        /* since opening */
} zone;

struct oq_energy {
	zone zones[ZONES];
	int count;
	char names[256];
};

/* A small file's first line; false when it is absent or may not be read (errno says which). */
static bool read_line(const char *folder, const char *file, char *out, size_t room)
{
	char path[600];
	snprintf(path, sizeof path, "%s/%s", folder, file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return false;
	ssize_t got = read(fd, out, room - 1);
	int saved = errno;
	close(fd);
	errno = saved;
	if (got <= 0)
		return false;
	out[got] = 0;
	out[strcspn(out, "\n")] = 0;
	return true;
}

static bool read_number(const char *folder, const char *file, uint64_t *out)
{
	char text[64], *end;
	if (!read_line(folder, file, text, sizeof text))
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

static bool is_mirror(const oq_energy *energy, const zone *candidate)
{
	for (int i = 0; i < energy->count; i++) {
		const zone *other = &energy->zones[i];
		double a = (double)candidate->last * 1e-6, b = (double)other->last * 1e-6;
		if (!strncmp(candidate->name, "package", 7) && !strncmp(other->name, "package", 7) && (fabs(a - b) < MIRROR_JOULES || fabs(a - b) < 1e-6 * a))
			return true;
	}
	return false;
}

static oq_status add_zone(oq_energy *energy, const char *root, const char *entry, oq_error *err)
{
	zone z = {.joules = 0};
	if (snprintf(z.path, sizeof z.path, "%s/%s", root, entry) >= (int)sizeof z.path || !read_line(z.path, "name", z.name, sizeof z.name)
		|| !counts(entry, z.name) || energy->count == ZONES)
		return OQ_OK;
	if (!read_number(z.path, "energy_uj", &z.last))
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/energy_uj: %s; an administrator may allow it: chgrp and chmod g+r that file, by a udev rule to last", z.path,
			errno ? strerror(errno) : "is no number");
	if (!read_number(z.path, "max_energy_range_uj", &z.range) || !z.range)
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/max_energy_range_uj: cannot be read, so a wrap of the counter could not be seen", z.path);
	if (is_mirror(energy, &z))
		return OQ_OK;
	size_t used = strlen(energy->names);
	snprintf(energy->names + used, sizeof energy->names - used, "%s%s", used ? " + " : "", z.name);
	energy->zones[energy->count++] = z;
	return OQ_OK;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

oq_status oq_energy_open(const char *root, oq_energy **out, oq_error *err)
{
	struct dirent **entries = NULL;
	int count = scandir(root, &entries, NULL, by_name);
	oq_energy *energy = oq_calloc(1, sizeof *energy);
	oq_status status = energy ? OQ_OK : oq_fail_memory(err, root, sizeof *energy);
	for (int i = 0; i < count; i++) {
		if (status == OQ_OK)
			status = add_zone(energy, root, entries[i]->d_name, err);
		free(entries[i]);
	}
	free(entries);
	if (status == OQ_OK && !energy->count)
		status = oq_fail(err, OQ_E_UNSUPPORTED, "E_ENERGY", "%s: has no energy counter of a processor package; virtual machines seldom have one", root);
	if (status == OQ_OK)
		*out = energy;
	else
		oq_free(energy);
	return status;
}

void oq_energy_close(oq_energy *energy)
{
	oq_free(energy);
}

oq_status oq_energy_read(oq_energy *energy, double *joules, oq_error *err)
{
	*joules = 0;
	for (int i = 0; i < energy->count; i++) {
		zone *z = &energy->zones[i];
		uint64_t now;
		if (!read_number(z->path, "energy_uj", &now) || now > z->range)
			return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/energy_uj: cannot be read any more, or is beyond its range", z->path);
		z->joules += 1e-6 * (double)(now >= z->last ? now - z->last : now + z->range - z->last);
		z->last = now;
		*joules += z->joules;
	}
	return OQ_OK;
}

const char *oq_energy_zones(const oq_energy *energy)
{
	return energy->names;
}
