/* Time for measuring how long something took. */
#ifndef OQ_CORE_CLOCK_H
#define OQ_CORE_CLOCK_H

#include <time.h>

/* Seconds since some moment; never goes back. */
static inline double oq_seconds(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

#endif
