/* Energy of repeated turns: the rules that refuse and mark, one by one, and a study on a made-up tree whose joules are known. */
#include "tree.h"

#include "core/json.h"
#include "energy_judge.h"

#include <oncoquant.h>
#include <time.h>
#include <unistd.h>

typedef struct rule {
	const char *what, *label, *word;
	oq_energy_turn idle, turn;
	double design;
	int threads;
} rule;

/* 10 W idle and 50 W at work are fine on a processor of 60 W that cannot take more than 180. */
static const rule rules[] = {
	{"good", "measured-rapl", "", {100, NAN, 10, 0, 0}, {500, NAN, 10, 5, 0.04}, 60, 2},
	{"witness agrees", "measured-rapl", "", {100, 100, 10, 0, 0}, {500, 504, 10, 5, 0}, 60, 2},
	{"stuck", "none", "stood still while the network ran", {100, NAN, 10, 0, 0}, {0, NAN, 10, 5, 0}, 60, 2},
	{"stuck when idle", "none", "stood still while the machine was idle", {0, NAN, 10, 0, 0}, {500, NAN, 10, 5, 0}, 60, 2},
	{"too much", "none", "no more than 180.0 W can be (3 times", {100, NAN, 10, 0, 0}, {1810, NAN, 10, 5, 0}, 60, 2},
	{"below idle", "none", "less than the 10.0 W of the idle machine", {100, NAN, 10, 0, 0}, {90, NAN, 10, 5, 0}, 0, 2},
	{"as idle", "rapl-suspect", "no more than the 10.0 W of the idle machine", {100, NAN, 10, 0, 0}, {101, NAN, 10, 5, 0}, 0, 2},
	{"others", "rapl-suspect", "other work took 6 % of the processors' time during", {100, NAN, 10, 0, 0}, {500, NAN, 10, 5, 0.06}, 60, 2},
	{"others when idle", "rapl-suspect", "other work took 30 % of the processors' time while", {100, NAN, 10, 0, 0.3}, {500, NAN, 10, 5, 0}, 60, 2},
	{"others not known", "rapl-suspect", "other load during the measurement is not known", {100, NAN, 10, 0, 0}, {500, NAN, 10, 5, NAN}, 60, 2},
	{"too little for all processors", "rapl-suspect", "15.0 W with all processors at work", {100, NAN, 10, 0, 0}, {150, NAN, 10, 5, 0}, 60, 2},
	{"the same on some of them", "measured-rapl", "", {100, NAN, 10, 0, 0}, {150, NAN, 10, 5, 0}, 60, 1},
	{"too much for all processors", "rapl-suspect", "80.0 W with all processors at work", {100, NAN, 10, 0, 0}, {800, NAN, 10, 5, 0}, 60, 2},
	{"witness differs", "rapl-suspect", "differ by 1.2 %", {100, 100, 10, 0, 0}, {500, 506, 10, 5, 0}, 60, 2},
};

static void test_rules(void)
{
	char why[OQ_ENERGY_WHY];
	for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
		const rule *r = &rules[i];
		oq_energy_case c = {.idle = &r->idle, .idle_count = 1, .turns = &r->turn, .count = 1, .most_watts = 180, .most_from = "3 times the zones' own maximum",
			.design_watts = r->design, .threads = r->threads, .processors = 2};
		const char *label = oq_energy_judge(&c, why);
		if (strcmp(label, r->label) || !strstr(why, r->word) || (!r->word[0] && why[0]))
			fprintf(stderr, "%s: %s, %s\n", r->what, label, why);
		OQ_CHECK(!strcmp(label, r->label) && strstr(why, r->word) && (r->word[0] || !why[0]));
	}
	/* One bad turn among good ones spoils them, and others' load of one marks all. */
	oq_energy_turn idle = {100, NAN, 10, 0, 0}, turns[3] = {{500, NAN, 10, 5, 0}, {0, NAN, 10, 5, 0}, {500, NAN, 10, 5, 0.2}};
	oq_energy_case c = {.idle = &idle, .idle_count = 1, .turns = turns, .count = 3, .most_watts = 180, .most_from = "", .threads = 1, .processors = 2};
	OQ_CHECK_STR(oq_energy_judge(&c, why), "none");
	turns[1] = turns[0];
	OQ_CHECK_STR(oq_energy_judge(&c, why), "rapl-suspect");
	turns[1].others = NAN;
	OQ_CHECK(isnan(oq_energy_others(turns, 3)));
	c.count = 0;
	OQ_CHECK(!strcmp(oq_energy_judge(&c, why), "none") && strstr(why, "nothing was measured"));
}

static int64_t counter = 5000000, idle_ticks = 1000;

/* A turn of 20 ms in which the counter gains so many joules and the processors idle. */
static void turn(oq_energy *energy, int subject, int64_t patches, double joules)
{
	oq_energy_begin(energy);
	counter += (int64_t)(1e6 * joules + 0.5);
	idle_ticks += 100;
	put("intel-rapl:0/energy_uj", "%lld\n", (long long)counter);
	put("proc/stat", "cpu 10 0 10 %lld 0 0 0 0\n", (long long)idle_ticks);
	nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
	oq_energy_end(energy, subject, patches);
}

static oq_json *result(const oq_energy *energy, int subject)
{
	char *text = NULL;
	oq_json *out = NULL;
	oq_error err = {0};
	OQ_REQUIRE(oq_energy_json(energy, subject, 2, &text, &err) == OQ_OK);
	OQ_REQUIRE(oq_json_parse(text, strlen(text), "energy", &out, &err) == OQ_OK);
	oq_string_free(text);
	return out;
}

static double number(const oq_json *json, const char *key)
{
	return oq_json_number(oq_json_get(json, key));
}

/* Two subjects, there and back: 10, 12, 11 J and 5, 6, 5.5 J for ten patches each. */
static void test_study(const oq_energy_options *options)
{
	oq_energy *energy = NULL;
	oq_error err = {0};
	OQ_REQUIRE(oq_energy_open(options, &energy, &err) == OQ_OK && oq_energy_counts(energy));
	turn(energy, OQ_ENERGY_IDLE, 0, 0.001);
	const double joules[2][3] = {{10, 12, 11}, {5, 6, 5.5}};
	for (int i = 0; i < 6; i++) {
		int subject = i % 4 == 1 || i % 4 == 2;
		turn(energy, subject, 10, joules[subject][i / 2]);
	}
	oq_json *first = result(energy, 0), *second = result(energy, 1);
	OQ_CHECK_STR(oq_json_string(oq_json_get(first, "label")), "measured-rapl");
	OQ_CHECK(!oq_json_get(first, "why") && !oq_json_get(first, "times_first"));
	const double t = 4.302652729911275 * 0.1 / sqrt(3); /* 97.5 % of Student's t with 2 degrees of freedom, standard error of 1, 1.2, 1.1 */
	OQ_CHECK_NEAR(number(first, "joules_per_patch"), 1.1, 1e-9);
	OQ_CHECK_NEAR(number(first, "joules_per_patch_low"), 1.1 - t, 1e-9);
	OQ_CHECK_NEAR(number(first, "joules_per_patch_high"), 1.1 + t, 1e-9);
	OQ_CHECK_NEAR(number(first, "joules_per_patch_median"), 1.1, 1e-9);
	OQ_CHECK(number(first, "joules_per_patch_above_idle") < 1.1 && number(first, "joules_per_patch_above_idle") > 1.09);
	OQ_CHECK(number(first, "joule_seconds_per_patch") > 1.1 * 0.002);
	OQ_CHECK_NEAR(number(second, "times_first"), 0.5, 1e-12); /* every pair is a half: no width at all */
	OQ_CHECK_NEAR(number(second, "times_first_high") - number(second, "times_first_low"), 0, 1e-12);
	OQ_CHECK_NEAR(number(second, "other_load"), 0, 0);
	OQ_CHECK_NEAR(number(second, "patches"), 30, 0);
	OQ_CHECK(oq_json_count(oq_json_get(second, "turns")) == 3 && oq_json_is_true(oq_json_get(second, "host_shared")));
	oq_json_free(first);
	oq_json_free(second);
	turn(energy, 1, 10, 0); /* the counter stands still */
	second = result(energy, 1);
	OQ_CHECK_STR(oq_json_string(oq_json_get(second, "label")), "estimate-tdp");
	OQ_CHECK(strstr(oq_json_string(oq_json_get(second, "why")), "stood still") && !oq_json_get(second, "times_first"));
	OQ_CHECK(oq_energy_json(energy, OQ_ENERGY_SUBJECTS, 1, &(char *){NULL}, &err) == OQ_E_USAGE);
	oq_json_free(second);
	oq_energy_close(energy);
}

/* A counter that cannot be read any more is a reason, not an end; without counters there is an estimate, or nothing. */
static void test_failing(oq_energy_options options)
{
	oq_energy *energy = NULL;
	oq_error err = {0};
	OQ_REQUIRE(oq_energy_open(&options, &energy, &err) == OQ_OK);
	turn(energy, OQ_ENERGY_IDLE, 0, 0.001);
	oq_energy_begin(energy);
	put("intel-rapl:0/energy_uj", "gone\n");
	oq_energy_tick(energy);
	oq_energy_end(energy, 0, 10);
	OQ_CHECK(!oq_energy_counts(energy));
	oq_json *json = result(energy, 0);
	OQ_CHECK(strstr(oq_json_string(oq_json_get(json, "why")), "cannot be read any more"));
	OQ_CHECK_NEAR(number(json, "joules_per_patch"), 30 * (0.1 + 0.9 / pow((double)sysconf(_SC_NPROCESSORS_ONLN), 3)) * 2, 1e-9);
	oq_json_free(json);
	oq_energy_close(energy);
	options.powercap = options.perf = "nowhere";
	options.tdp_watts = 0;
	OQ_REQUIRE(oq_energy_open(&options, &energy, &err) == OQ_OK && !oq_energy_counts(energy));
	json = result(energy, 0);
	OQ_CHECK_STR(oq_json_string(oq_json_get(json, "label")), "none");
	OQ_CHECK(!oq_json_get(json, "joules_per_patch") && oq_json_get(json, "machine"));
	oq_json_free(json);
	oq_energy_close(energy);
}

/* Performance events beside powercap: the kernel's clock as a counter of 2 J a second does not agree with joules that were made up. */
static void test_witness(oq_energy_options options)
{
	oq_energy *energy = NULL;
	oq_error err = {0};
	char folder[128];
	put("power/type", "1\n");
	put("power/cpumask", "0\n");
	put("power/events/energy-pkg", "event=0x00\n");
	put("power/events/energy-pkg.scale", "2e-9\n");
	put("power/events/energy-pkg.unit", "Joules\n");
	snprintf(folder, sizeof folder, "%s/power", root);
	options.perf = folder;
	put("intel-rapl:0/energy_uj", "%lld\n", (long long)counter);
	OQ_REQUIRE(oq_energy_open(&options, &energy, &err) == OQ_OK);
	turn(energy, OQ_ENERGY_IDLE, 0, 0.001);
	turn(energy, 0, 10, 10);
	oq_json *json = result(energy, 0);
	OQ_CHECK_STR(oq_json_string(oq_json_get(json, "source")), "powercap");
	if (oq_json_is_true(oq_json_get(json, "checked_by_perf"))) { /* a kernel may keep events from us */
		OQ_CHECK_STR(oq_json_string(oq_json_get(json, "label")), "rapl-suspect");
		OQ_CHECK(strstr(oq_json_string(oq_json_get(json, "why")), "powercap and performance events differ by"));
	}
	oq_json_free(json);
	oq_energy_close(energy);
}

int main(void)
{
	test_rules();
	open_tree("energy");
	put("intel-rapl:0/name", "package-0\n");
	put("intel-rapl:0/max_energy_range_uj", "65712999613\n");
	put("intel-rapl:0/constraint_0_max_power_uw", "2000000000\n"); /* 2 kW: 12 J in 20 ms are 600 W */
	put("intel-rapl:0/energy_uj", "%lld\n", (long long)counter);
	put("proc/stat", "cpu 10 0 10 %lld 0 0 0 0\n", (long long)idle_ticks);
	put("proc/cpuinfo", "flags : fpu hypervisor\n");
	const oq_energy_options options = {.powercap = root, .perf = "nowhere", .system = root, .tdp_watts = 30, .threads = 1};
	test_study(&options);
	test_failing(options);
	test_witness(options);
	remove_tree();
	return oq_checks_done();
}
