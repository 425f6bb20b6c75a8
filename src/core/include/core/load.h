/* Who uses the processors: this process, or others. */
#ifndef OQ_CORE_LOAD_H
#define OQ_CORE_LOAD_H

#include <stdbool.h>

/* Seconds of processor time since boot, of all processors: all, not idle (stolen by a hypervisor, too); and this process's own. */
typedef struct oq_load {
	double total, busy, own;
} oq_load;

/* From `root`/proc/stat; false when it cannot be read. */
bool oq_load_read(const char *root, oq_load *out);
/* Share of all processor time between the two that others used, 0 to 1; NaN when no time has passed. */
double oq_load_others(const oq_load *before, const oq_load *after);

#endif
