/* Numbers print with a '.' whatever locale the host program has set. */
#ifndef OQ_CORE_LOCALE_H
#define OQ_CORE_LOCALE_H

#include <stdbool.h>

/* The C locale for the calling thread until leave; what oq_locale_enter returned goes back to oq_locale_leave. */
typedef struct oq_locale {
	void *own, *before;
} oq_locale;
oq_locale oq_locale_enter(void);
void oq_locale_leave(oq_locale locale);

#endif
