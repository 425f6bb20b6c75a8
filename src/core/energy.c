/* Energy counters of the processor: Linux's powercap zones (RAPL), added up without counting anything twice. */
#define _DEFAULT_SOURCE
#include "energy_zones.h"

#include "core/mem.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MIRROR_JOULES 1.0 /* packages whose counters agree this closely are one counter seen twice */

bool oq_energy_line(const char *folder, const char *file, char *out, size_t room)
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

bool oq_energy_number(const char *folder, const char *file, uint64_t *out)
{
	char text[64], *end;
	if (!oq_energy_line(folder, file, text, sizeof text))
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

static bool is_mirror(const oq_energy *energy, const oq_energy_zone *candidate)
{
	for (int i = 0; i < energy->count; i++) {
		const oq_energy_zone *other = &energy->zones[i];
		double a = (double)candidate->last * 1e-6, b = (double)other->last * 1e-6;
		if (!strncmp(candidate->name, "package", 7) && !strncmp(other->name, "package", 7) && (fabs(a - b) < MIRROR_JOULES || fabs(a - b) < 1e-6 * a))
			return true;
	}
	return false;
}

static oq_status add_zone(oq_energy *energy, const char *root, const char *entry, oq_error *err)
{
	oq_energy_zone z = {.fd = -1, .joules_per_step = 1e-6};
	if (snprintf(z.path, sizeof z.path, "%s/%s", root, entry) >= (int)sizeof z.path || !oq_energy_line(z.path, "name", z.name, sizeof z.name)
		|| !counts(entry, z.name) || energy->count == OQ_ENERGY_ZONES)
		return OQ_OK;
	if (!oq_energy_number(z.path, "energy_uj", &z.last))
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/energy_uj: %s; an administrator may allow it: chgrp and chmod g+r that file, by a udev rule to last", z.path,
			errno ? strerror(errno) : "is no number");
	if (!oq_energy_number(z.path, "max_energy_range_uj", &z.range) || !z.range)
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/max_energy_range_uj: cannot be read, so a wrap of the counter could not be seen", z.path);
	if (is_mirror(energy, &z))
		return OQ_OK;
	oq_energy_add(energy, &z);
	return OQ_OK;
}

void oq_energy_add(oq_energy *energy, const oq_energy_zone *z)
{
	size_t used = strlen(energy->names);
	snprintf(energy->names + used, sizeof energy->names - used, "%s%s", used ? " + " : "", z->name);
	energy->zones[energy->count++] = *z;
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
	for (int i = 0; energy && i < energy->count; i++)
		if (energy->zones[i].fd >= 0)
			close(energy->zones[i].fd);
	oq_free(energy);
}

/* Steps of the counter as it stands; false when it cannot be read any more, or is beyond its range. */
static bool read_zone(const oq_energy_zone *z, uint64_t *now)
{
	if (z->fd >= 0)
		return read(z->fd, now, sizeof *now) == (ssize_t)sizeof *now;
	return oq_energy_number(z->path, "energy_uj", now) && *now <= z->range;
}

oq_status oq_energy_read(oq_energy *energy, double *joules, oq_error *err)
{
	*joules = 0;
	for (int i = 0; i < energy->count; i++) {
		oq_energy_zone *z = &energy->zones[i];
		uint64_t now;
		if (!read_zone(z, &now))
			return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s%s: cannot be read any more, or is beyond its range", z->path,
				z->fd < 0 ? "/energy_uj" : "");
		z->joules += z->joules_per_step * (double)(now >= z->last ? now - z->last : now + z->range - z->last);
		z->last = now;
		*joules += z->joules;
	}
	return OQ_OK;
}

const char *oq_energy_zones(const oq_energy *energy)
{
	return energy->names;
}
