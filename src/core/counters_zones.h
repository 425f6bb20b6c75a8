/* Counters of energy, from whichever source: what counters.c (powercap) and counters_perf.c (performance events) share. */
#ifndef OQ_CORE_COUNTERS_ZONES_H
#define OQ_CORE_COUNTERS_ZONES_H

#include "core/counters.h"

#include <stdint.h>

#define OQ_COUNTERS 64

typedef struct oq_counter {
	char path[512], name[32];
	int fd;                 /* of an event; -1: read path/energy_uj */
	uint64_t range, last;   /* steps; what is added when the counter wraps (powercap); as it stood ... */
	double when;            /* ... at this time, oq_counters_seconds */
	double joules_per_step, joules; /* since opening */
	double most_watts;      /* no package takes more: see oq_counters_most_watts */
} oq_counter;

struct oq_counters {
	oq_counter zones[OQ_COUNTERS];
	int count;
	char names[256];
	double most_watts, design_watts, limit_watts; /* of all packages */
	const char *most_from;
};

/* A small file's number; false when it is absent, may not be read (errno says which) or is none (errno 0). */
bool oq_counters_number(const char *folder, const char *file, uint64_t *out);
/* The zone must find room; its ceiling and time are filled in. */
void oq_counters_add(oq_counters *counters, oq_counter *zone);

#endif
