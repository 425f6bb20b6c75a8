/* The processor's counters of energy: Linux's powercap tree (RAPL), or the kernel's performance events. */
#ifndef OQ_CORE_COUNTERS_H
#define OQ_CORE_COUNTERS_H

#include "core/error.h"

#define OQ_COUNTERS_MARGIN 3.0 /* packages pass their design power for moments, never this many times */

typedef struct oq_counters oq_counters;

/* Powercap: processor packages, and DRAM where it has a zone of its own; mirrored and memory-mapped twins are counted once. `root`:
 * "/sys/class/powercap", or another tree. OQ_E_UNSUPPORTED when there is none (virtual machines seldom have one), OQ_E_RESOURCE when it may not be
 * read; the message says how an administrator can allow it. */
oq_status oq_counters_open(const char *root, oq_counters **out, oq_error *err);
/* The same through performance events, for where that tree is missing or root's alone. `root`: "/sys/bus/event_source/devices/power". */
oq_status oq_counters_open_perf(const char *root, oq_counters **out, oq_error *err);
void oq_counters_close(oq_counters *counters);
/* Joules since opening. Counters wrap after minutes: read at least every ten seconds. OQ_E_RESOURCE when one cannot be read any more, or was not for so
 * long that it may have wrapped twice. */
oq_status oq_counters_read(oq_counters *counters, double *joules, oq_error *err);
int oq_counters_count(const oq_counters *counters);
/* "package-0 + dram" */
const char *oq_counters_zones(const oq_counters *counters);
/* What the packages cannot exceed, and where that is from. */
double oq_counters_most_watts(const oq_counters *counters, const char **from);
/* What the packages were designed for and what the BIOS grants them, as the zones tell; 0 when one does not. */
double oq_counters_design_watts(const oq_counters *counters);
double oq_counters_limit_watts(const oq_counters *counters);
/* The clock to go with them. */
double oq_counters_seconds(void);

#endif
