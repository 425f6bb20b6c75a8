/* How much memory this process may have in all: the least of what the user, the control group, the machine and `ulimit -v` grant. */
#ifndef OQ_CORE_MEMORY_LIMIT_H
#define OQ_CORE_MEMORY_LIMIT_H

#include <stdint.h>

typedef struct oq_memory_limit {
	uint64_t bytes;   /* 0 = unknown */
	const char *whose; /* for messages: "the memory of this machine", ... */
} oq_memory_limit;

/* `asked`: by the user; 0 = no wish. */
oq_memory_limit oq_memory_limit_now(uint64_t asked);
/* What `ulimit -v` still leaves to map, beyond what is mapped already; UINT64_MAX without such a limit. Threads map their stacks and heaps
 * long before they use them. */
uint64_t oq_address_space_left(void);

#endif
