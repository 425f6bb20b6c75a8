/* What the control group of this process grants (v1 and v2): the tightest limit on the way from its own group to the root. `root` is put in
 * front of every path: "" for this machine, a folder in tests. Files that are not there set no limit. */
#ifndef OQ_CORE_CGROUP_H
#define OQ_CORE_CGROUP_H

#include <stdint.h>

/* Processors that the quota is worth, rounded up; 0 without one. */
int oq_cgroup_processors(const char *root);
/* Bytes; 0 without a limit. */
uint64_t oq_cgroup_memory(const char *root);

#endif
