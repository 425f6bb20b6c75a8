/* The C locale for one thread; other threads of the host program keep theirs. */
#include "core/locale.h"

#include <locale.h>

oq_locale oq_locale_enter(void)
{
	oq_locale l = {0};
	locale_t c = newlocale(LC_ALL_MASK, "C", (locale_t)0);
	if (c != (locale_t)0) { /* out of memory: then the run itself fails soon */
		l.own = c;
		l.before = uselocale(c);
	}
	return l;
}

void oq_locale_leave(oq_locale l)
{
	if (!l.own)
		return;
	uselocale((locale_t)l.before);
	freelocale((locale_t)l.own);
}
