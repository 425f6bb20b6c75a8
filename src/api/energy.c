/* Energy of repeated turns: counters around each, other load beside them, and what a patch costs by them. */
#include "energy_judge.h"

#include "core/counters.h"
#include "core/json.h"
#include "core/load.h"
#include "core/machine.h"
#include "core/mem.h"
#include "eval/inference.h"
#include "eval/quantile.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define TURNS 64
#define LEVEL 0.95
#define TICK_SECONDS 2
#define FEW_PATCHES 200 /* fewer are told: a patch's cost is then a mean over little work */

typedef struct moment {
	double joules, witness, seconds;
	oq_load load;
	bool load_known;
} moment;

struct oq_energy {
	oq_energy_options options;
	char powercap[512], perf[512], system[512];
	oq_counters *counters, *witness; /* NULL: nothing is counted; no second way */
	const char *source;
	char why[OQ_ENERGY_WHY];         /* there are no counters, or one failed on the way */
	moment start;
	double last;                     /* when the counters were read */
	oq_energy_turn turns[OQ_ENERGY_SUBJECTS + 1][TURNS]; /* the last: the idle machine */
	int count[OQ_ENERGY_SUBJECTS + 1];
	oq_json *machine;
};

static void open_counters(oq_energy *e)
{
	oq_error first = {0}, second = {0};
	bool powercap = oq_counters_open(e->powercap, &e->counters, &first) == OQ_OK;
	bool perf = oq_counters_open_perf(e->perf, powercap ? &e->witness : &e->counters, &second) == OQ_OK;
	e->source = powercap ? "powercap" : "perf";
	if (!powercap && !perf)
		snprintf(e->why, sizeof e->why, "%.1000s; %.1000s", first.message, second.message);
	if (e->witness && oq_counters_count(e->witness) != oq_counters_count(e->counters)) { /* of other zones: nothing to compare */
		oq_counters_close(e->witness);
		e->witness = NULL;
	}
}

oq_status oq_energy_open(const oq_energy_options *options, oq_energy **out, oq_error *err)
{
	oq_energy *e = oq_calloc(1, sizeof *e);
	if (!e)
		return oq_fail_memory(err, "energy", sizeof *e);
	e->options = *options;
	snprintf(e->powercap, sizeof e->powercap, "%s", options->powercap ? options->powercap : "/sys/class/powercap");
	snprintf(e->perf, sizeof e->perf, "%s", options->perf ? options->perf : "/sys/bus/event_source/devices/power");
	snprintf(e->system, sizeof e->system, "%s", options->system ? options->system : "");
	e->machine = oq_json_object();
	if (!e->machine || !oq_machine_add(e->machine, "machine", e->system)) {
		oq_energy_close(e);
		return oq_fail_memory(err, "energy", sizeof *e);
	}
	open_counters(e);
	*out = e;
	return OQ_OK;
}

void oq_energy_close(oq_energy *e)
{
	if (!e)
		return;
	oq_counters_close(e->counters);
	oq_counters_close(e->witness);
	oq_json_free(e->machine);
	oq_free(e);
}

bool oq_energy_counts(const oq_energy *e)
{
	return e->counters && !e->why[0];
}

/* A counter that fails spoils the whole measurement; its message is the reason. */
static void read_counters(oq_energy *e, double *joules, double *witness)
{
	oq_error err = {0};
	*joules = 0;
	*witness = NAN;
	e->last = oq_counters_seconds();
	if (oq_energy_counts(e) && oq_counters_read(e->counters, joules, &err) != OQ_OK)
		snprintf(e->why, sizeof e->why, "%s", err.message);
	if (e->witness && oq_counters_read(e->witness, witness, &err) != OQ_OK)
		*witness = NAN;
}

static void now(oq_energy *e, moment *m)
{
	read_counters(e, &m->joules, &m->witness);
	m->seconds = oq_counters_seconds();
	m->load_known = oq_load_read(e->system, &m->load);
}

void oq_energy_begin(oq_energy *e)
{
	now(e, &e->start);
}

void oq_energy_tick(oq_energy *e)
{
	double joules, witness;
	if (oq_counters_seconds() - e->last < TICK_SECONDS) /* small networks call every 30 us: reading files costs energy, too */
		return;
	read_counters(e, &joules, &witness);
}

void oq_energy_end(oq_energy *e, int subject, int64_t patches)
{
	int slot = subject == OQ_ENERGY_IDLE ? OQ_ENERGY_SUBJECTS : subject;
	moment end;
	if (slot < 0 || subject >= OQ_ENERGY_SUBJECTS || e->count[slot] == TURNS)
		return;
	now(e, &end);
	e->turns[slot][e->count[slot]++] = (oq_energy_turn){.joules = end.joules - e->start.joules, .witness = end.witness - e->start.witness,
		.seconds = end.seconds - e->start.seconds, .patches = patches,
		.others = end.load_known && e->start.load_known ? oq_load_others(&e->start.load, &end.load) : NAN};
}

/* Joules per patch of every turn, without `idle_watts`; returns their number. */
static int per_patch(const oq_energy *e, int subject, double idle_watts, double *out)
{
	for (int i = 0; i < e->count[subject]; i++) {
		const oq_energy_turn *t = &e->turns[subject][i];
		out[i] = (t->joules - idle_watts * t->seconds) / (double)t->patches;
	}
	return e->count[subject];
}

/* KEY, KEY_low and KEY_high; one turn has a value and no interval. */
static bool add_mean(oq_json *out, const char *key, const double *values, int count)
{
	char low[64], high[64];
	oq_mean mean = oq_mean_of_splits(values, count, 0, LEVEL);
	snprintf(low, sizeof low, "%s_low", key);
	snprintf(high, sizeof high, "%s_high", key);
	return oq_json_add_number(out, key, count == 1 ? values[0] : mean.value) && oq_json_add_number(out, low, mean.interval.low)
		&& oq_json_add_number(out, high, mean.interval.high);
}

static double median(double *values, int count)
{
	oq_sort_doubles(values, count);
	return oq_quantile(values, count, 0.5);
}

/* What the zones say; what was given where they do not. */
static void set_limits(const oq_energy *e, oq_energy_case *c)
{
	c->most_watts = oq_counters_most_watts(e->counters, &c->most_from);
	c->design_watts = oq_counters_design_watts(e->counters);
	if (c->design_watts > 0 || !(e->options.tdp_watts > 0))
		return;
	c->design_watts = e->options.tdp_watts;
	c->most_watts = OQ_COUNTERS_MARGIN * c->design_watts;
	c->most_from = "3 times the thermal design power given";
}

static const char *judge(const oq_energy *e, int subject, char why[OQ_ENERGY_WHY])
{
	oq_energy_case c = {.idle = e->turns[OQ_ENERGY_SUBJECTS], .idle_count = e->count[OQ_ENERGY_SUBJECTS], .turns = e->turns[subject], .count = e->count[subject],
		.threads = e->options.threads, .processors = (int)sysconf(_SC_NPROCESSORS_ONLN)};
	snprintf(why, OQ_ENERGY_WHY, "%s", e->why);
	if (!oq_energy_counts(e))
		return "none";
	set_limits(e, &c);
	return oq_energy_judge(&c, why);
}

/* Subject's turns over those of subject 0, turn by turn, as a ratio of means of logarithms: neither the machine's warmth nor its other load, which both met,
 * widens the interval. Only between measurements that nothing speaks against. */
static bool add_ratio(oq_json *out, const oq_energy *e, int subject)
{
	char why[OQ_ENERGY_WHY];
	double own[TURNS], first[TURNS];
	int count = per_patch(e, subject, 0, own);
	if (subject == 0 || e->count[0] != count || count < 2 || strcmp(judge(e, 0, why), "measured-rapl") || strcmp(judge(e, subject, why), "measured-rapl"))
		return true;
	per_patch(e, 0, 0, first);
	for (int i = 0; i < count; i++)
		own[i] = log(own[i] / first[i]);
	oq_mean mean = oq_mean_of_splits(own, count, 0, LEVEL);
	return oq_json_add_number(out, "times_first", exp(mean.value)) && oq_json_add_number(out, "times_first_low", exp(mean.interval.low))
		&& oq_json_add_number(out, "times_first_high", exp(mean.interval.high));
}

static bool add_turns(oq_json *out, const oq_energy *e, int subject)
{
	double seconds = 0, patches = 0;
	oq_json *list = oq_json_add_array(out, "turns");
	bool good = list != NULL;
	for (int i = 0; i < e->count[subject] && good; i++) {
		const oq_energy_turn *t = &e->turns[subject][i];
		oq_json *turn = oq_json_add_object(list, NULL);
		good = turn && oq_json_add_number(turn, "joules", t->joules) && oq_json_add_number(turn, "seconds", t->seconds) && oq_json_add_int(turn, "patches", t->patches)
			&& oq_json_add_number(turn, "other_load", t->others);
		seconds += t->seconds;
		patches += (double)t->patches;
	}
	return good && oq_json_add_int(out, "repeats", e->count[subject]) && oq_json_add_number(out, "seconds", seconds) && oq_json_add_number(out, "patches", patches)
		&& (patches >= FEW_PATCHES || oq_json_add_string(out, "note", "fewer than 200 patches"));
}

static bool add_measured(oq_json *out, const oq_energy *e, int subject)
{
	const oq_energy_turn *turns = e->turns[subject], *idle = e->turns[OQ_ENERGY_SUBJECTS];
	int count = e->count[subject], idle_count = e->count[OQ_ENERGY_SUBJECTS];
	double values[TURNS], idle_watts = oq_energy_watts(idle, idle_count), seconds[TURNS];
	bool good = add_mean(out, "joules_per_patch", values, per_patch(e, subject, 0, values));
	for (int i = 0; i < count; i++)
		seconds[i] = values[i] * turns[i].seconds / (double)turns[i].patches;
	good = good && oq_json_add_number(out, "joules_per_patch_median", median(values, count))
		&& add_mean(out, "joules_per_patch_above_idle", values, per_patch(e, subject, idle_watts, values)) && add_mean(out, "joule_seconds_per_patch", seconds, count)
		&& oq_json_add_number(out, "watts", oq_energy_watts(turns, count)) && oq_json_add_number(out, "idle_watts", idle_watts)
		&& oq_json_add_number(out, "other_load", oq_energy_others(turns, count)) && oq_json_add_number(out, "idle_other_load", oq_energy_others(idle, idle_count));
	return good && add_ratio(out, e, subject) && add_turns(out, e, subject);
}

static bool add_source(oq_json *out, const oq_energy *e)
{
	oq_energy_case c;
	double limit = oq_counters_limit_watts(e->counters);
	set_limits(e, &c);
	return oq_json_add_string(out, "source", e->source) && oq_json_add_string(out, "zones", oq_counters_zones(e->counters))
		&& oq_json_add_bool(out, "checked_by_perf", e->witness != NULL) && oq_json_add_bool(out, "host_shared", oq_machine_is_shared(e->system))
		&& oq_json_add_number(out, "most_watts", c.most_watts) && oq_json_add_string(out, "most_watts_from", c.most_from)
		&& oq_json_add_number(out, "power_limit_watts", limit > 0 ? limit : NAN);
}

/* Watts from the share of processors at work: a tenth when idle, all at full load, its cube between. */
static bool add_estimate(oq_json *out, const oq_energy *e, double seconds_per_patch)
{
	double load = fmin((double)e->options.threads / (double)sysconf(_SC_NPROCESSORS_ONLN), 1), watts = e->options.tdp_watts * (0.1 + 0.9 * load * load * load);
	return oq_json_add_number(out, "joules_per_patch", watts * seconds_per_patch) && oq_json_add_number(out, "watts", watts)
		&& oq_json_add_string(out, "note", "ratios of estimates are those of the times");
}

oq_status oq_energy_json(const oq_energy *e, int subject, double seconds_per_patch, char **json, oq_error *err)
{
	char why[OQ_ENERGY_WHY];
	oq_json *out = oq_json_object();
	if (subject < 0 || subject >= OQ_ENERGY_SUBJECTS) {
		oq_json_free(out);
		return oq_fail(err, OQ_E_USAGE, "E_ARGUMENT", "energy: subject %d, expected 0 to %d", subject, OQ_ENERGY_SUBJECTS - 1);
	}
	const char *label = judge(e, subject, why);
	bool measured = strcmp(label, "none") != 0, estimated = !measured && e->options.tdp_watts > 0;
	bool good = out && oq_json_add_string(out, "label", estimated ? "estimate-tdp" : label) && (!why[0] || oq_json_add_string(out, "why", why));
	if (good && measured)
		good = add_measured(out, e, subject);
	if (good && estimated)
		good = add_estimate(out, e, seconds_per_patch);
	if (good && e->counters)
		good = add_source(out, e);
	good = good && oq_json_add(out, "machine", oq_json_copy(oq_json_get(e->machine, "machine")));
	oq_status status = good ? oq_json_print(out, true, json, err) : oq_fail_memory(err, "energy", sizeof *e);
	oq_json_free(out);
	return status;
}
