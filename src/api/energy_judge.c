/* The rules that docs/performance.md states: what no processor can have used is no measurement ("none"), what others or other limits may have part in is
 * marked ("rapl-suspect"). Nothing is left out silently. */
#include "energy_judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#define OTHERS 0.05       /* of all processor time: more of other work has part in the figure */
#define SAME 0.02         /* counters and load are not steadier than this from minute to minute */
#define WITNESS 0.01      /* two ways to the same counter agree within this */
#define DESIGN_LEAST 0.3  /* of its design power, a package with all processors at work takes this ... */
#define DESIGN_MOST 1.3   /* ... to this */

double oq_energy_watts(const oq_energy_turn *turns, int count)
{
	double joules = 0, seconds = 0;
	for (int i = 0; i < count; i++) {
		joules += turns[i].joules;
		seconds += turns[i].seconds;
	}
	return joules / seconds;
}

double oq_energy_others(const oq_energy_turn *turns, int count)
{
	double most = 0;
	for (int i = 0; i < count; i++)
		most = turns[i].others > most || isnan(turns[i].others) ? turns[i].others : most; /* NaN stays: nothing is greater */
	return most;
}

static double disagreement(const oq_energy_turn *turns, int count)
{
	double joules = 0, witness = 0;
	for (int i = 0; i < count; i++) {
		joules += turns[i].joules;
		witness += turns[i].witness;
	}
	return fabs(witness - joules) / joules;
}

/* Appends a reason, after a semicolon where there is one already. */
__attribute__((format(printf, 2, 3))) static void add(char *why, const char *format, ...)
{
	size_t used = strlen(why);
	va_list list;
	if (used + 2 < OQ_ENERGY_WHY && used)
		used += (size_t)snprintf(why + used, OQ_ENERGY_WHY - used, "; ");
	va_start(list, format);
	vsnprintf(why + used, OQ_ENERGY_WHY - used, format, list);
	va_end(list);
}

static void reject_turns(const oq_energy_turn *turns, int count, const oq_energy_case *c, const char *when, char *why)
{
	for (int i = 0; i < count && !why[0]; i++) {
		double watts = turns[i].joules / turns[i].seconds;
		if (!(watts > 0))
			add(why, "the counters stood still %s", when);
		else if (watts > c->most_watts)
			add(why, "the counters say %.1f W %s, and no more than %.1f W can be (%s)", watts, when, c->most_watts, c->most_from);
	}
}

static void suspect_others(double share, const char *when, char *why)
{
	if (isnan(share))
		add(why, "other load %s is not known", when);
	else if (share > OTHERS)
		add(why, "other work took %.0f %% of the processors' time %s, at most %.0f %% was expected", 100 * share, when, 100 * OTHERS);
}

static void suspect(const oq_energy_case *c, double watts, double idle, char *why)
{
	double off = disagreement(c->turns, c->count);
	suspect_others(oq_energy_others(c->idle, c->idle_count), "while the machine should have been idle", why);
	suspect_others(oq_energy_others(c->turns, c->count), "during the measurement", why);
	if (watts < (1 + SAME) * idle)
		add(why, "%.1f W while running are no more than the %.1f W of the idle machine", watts, idle);
	if (c->design_watts > 0 && c->threads >= c->processors && (watts < DESIGN_LEAST * c->design_watts || watts > DESIGN_MOST * c->design_watts))
		add(why, "%.1f W with all processors at work, expected %.1f to %.1f times the design power of %.1f W", watts, DESIGN_LEAST, DESIGN_MOST, c->design_watts);
	if (off > WITNESS)
		add(why, "powercap and performance events differ by %.1f %%, at most %.0f %% was expected", 100 * off, 100 * WITNESS);
}

const char *oq_energy_judge(const oq_energy_case *c, char why[OQ_ENERGY_WHY])
{
	double watts = oq_energy_watts(c->turns, c->count), idle = oq_energy_watts(c->idle, c->idle_count);
	why[0] = 0;
	if (!c->count || !c->idle_count)
		add(why, "nothing was measured");
	reject_turns(c->idle, c->idle_count, c, "while the machine was idle", why);
	reject_turns(c->turns, c->count, c, "while the network ran", why);
	if (!why[0] && watts < (1 - SAME) * idle)
		add(why, "%.1f W while running are less than the %.1f W of the idle machine", watts, idle);
	if (why[0])
		return "none";
	suspect(c, watts, idle, why);
	return why[0] ? "rapl-suspect" : "measured-rapl";
}
