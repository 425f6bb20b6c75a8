/* Counters of energy, from whichever source: what energy.c (powercap) and energy_perf.c (performance events) share. */
#ifndef OQ_CORE_ENERGY_ZONES_H
#define OQ_CORE_ENERGY_ZONES_H

#include "core/error.h"

#include <stdint.h>

#define OQ_ENERGY_ZONES 64

typedef struct oq_energy_zone {
	char path[512], name[32];
	int fd;                 /* of an event; -1: read path/energy_uj */
	uint64_t range, last;   /* steps; what is added when the counter wraps */
	double joules_per_step, joules; /* since opening */
} oq_energy_zone;

struct oq_energy {
	oq_energy_zone zones[OQ_ENERGY_ZONES];
	int count;
	char names[256];
};

/* A small file's first line, or its number; false when it is absent or may not be read (errno says which). */
bool oq_energy_line(const char *folder, const char *file, char *out, size_t room);
bool oq_energy_number(const char *folder, const char *file, uint64_t *out);
/* The zone must find room. */
void oq_energy_add(oq_energy *energy, const oq_energy_zone *zone);

#endif
