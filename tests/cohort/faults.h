/* Faults on request: the linker sends our objects' calls of malloc, open, write and so on to the functions in faults.c, which count them and
 * let one fail. The shipped sources know nothing of it; libraries outside (oneDNN, zlib) keep the real functions. */
#ifndef OQ_TESTS_FAULTS_H
#define OQ_TESTS_FAULTS_H

#include <stdbool.h>

typedef enum fault_kind {
	FAULT_MEMORY = 0, /* an allocation gives NULL */
	FAULT_MEMORY_ON,  /* so do all after it */
	FAULT_OPEN,
	FAULT_READ,       /* EIO */
	FAULT_READ_SHORT, /* gives one byte only: no error, must be read on */
	FAULT_READ_AGAIN, /* EINTR: the same */
	FAULT_WRITE,      /* ENOSPC */
	FAULT_WRITE_SHORT,
	FAULT_WRITE_AGAIN,
	FAULT_CUT,        /* ftruncate */
	FAULT_SYNC,
	FAULT_RENAME,
	FAULT_KINDS
} fault_kind;

extern const char *const fault_names[FAULT_KINDS];

/* The number'th call of this kind from now on fails, from 1; 0: none. */
void fault_arm(fault_kind kind, long number);
bool fault_happened(void);
/* Blocks that were allocated and not freed since the last call. */
long fault_blocks(void);

#endif
