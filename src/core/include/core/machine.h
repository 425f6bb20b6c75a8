/* The state of the machine that a measurement of energy must be read with. */
#ifndef OQ_CORE_MACHINE_H
#define OQ_CORE_MACHINE_H

#include "core/json.h"

/* Adds an object `key`: processor, microcode, kernel, governor, energy preference, turbo, hyperthreads, temperature, processors online and granted, and
 * whether a hypervisor or container stands between us and the machine. What cannot be read below `root` ("" for the machine itself) is null. False when
 * out of memory. */
bool oq_machine_add(oq_json *parent, const char *key, const char *root);
/* A hypervisor or container: counters, where there are any, are those of a host that may have other tenants. */
bool oq_machine_is_shared(const char *root);

#endif
