/* Energy counters on a made-up tree: a package that wraps, its mirror, DRAM, zones that are parts of others, one that may not be read. */
#include "tree.h"

#include "core/counters.h"

#include <time.h>
#include <unistd.h>

static void make_zone(const char *zone, const char *name, const char *energy)
{
	char file[128];
	snprintf(file, sizeof file, "%s/name", zone);
	put(file, "%s\n", name);
	snprintf(file, sizeof file, "%s/energy_uj", zone);
	put(file, "%s\n", energy);
	snprintf(file, sizeof file, "%s/max_energy_range_uj", zone);
	put(file, "65712999613\n");
}

/* The kernel's software clock stands in for a counter of joules: type 1, event 0 counts nanoseconds of one processor, here at 2 J a second. */
static void test_perf(void)
{
	oq_counters *counters = NULL;
	oq_error err = {0};
	double before, after;
	OQ_CHECK(oq_counters_open_perf(root, &counters, &err) == OQ_E_UNSUPPORTED && !strcmp(err.code, "E_ENERGY"));
	put("power/type", "1\n");
	put("power/cpumask", "0\n");
	put("power/events/energy-pkg", "event=0x00\n");
	put("power/events/energy-pkg.scale", "2e-9\n");
	put("power/events/energy-pkg.unit", "Watts\n");
	put("power/events/energy-cores", "event=0x00\n"); /* a part of the package */
	char folder[300];
	snprintf(folder, sizeof folder, "%s/power", root);
	OQ_CHECK(oq_counters_open_perf(folder, &counters, &err) == OQ_E_UNSUPPORTED);
	put("power/events/energy-pkg.unit", "Joules\n");
	put("power/cpumask", "zero\n");
	OQ_CHECK(oq_counters_open_perf(folder, &counters, &err) == OQ_E_UNSUPPORTED && strstr(err.message, "cpumask"));
	put("power/cpumask", "0\n");
	oq_status status = oq_counters_open_perf(folder, &counters, &err);
	if (status == OQ_E_RESOURCE) { /* a kernel that keeps events from us must say how to be allowed them */
		OQ_CHECK(strstr(err.message, "perf_event_paranoid"));
		return;
	}
	OQ_REQUIRE(status == OQ_OK);
	OQ_CHECK_STR(oq_counters_zones(counters), "package-cpu0");
	OQ_REQUIRE(oq_counters_read(counters, &before, &err) == OQ_OK);
	nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
	OQ_REQUIRE(oq_counters_read(counters, &after, &err) == OQ_OK);
	OQ_CHECK(before >= 0 && before < 60);
	OQ_CHECK(after - before > 0.09 && after - before < 60); /* 0.05 s at 2 J/s; a busy machine may take longer */
	oq_counters_close(counters);
}

/* Ceilings are from the zones when all packages tell; a counter that may have gone round twice tells nothing. */
static void test_limits(void)
{
	oq_counters *counters = NULL;
	oq_error err = {0};
	const char *from;
	double joules;
	make_zone("intel-rapl:0", "package-0", "1000");
	make_zone("intel-rapl:1", "package-1", "900000000");
	put("intel-rapl:0/constraint_0_max_power_uw", "65000000\n");
	put("intel-rapl:0/constraint_0_power_limit_uw", "60000000\n");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	OQ_CHECK_STR(oq_counters_zones(counters), "package-0 + dram + package-1");
	OQ_CHECK_NEAR(oq_counters_most_watts(counters, &from), 3 * 65 + 1000, 1e-9);
	OQ_CHECK(strstr(from, "assumed") && !(oq_counters_design_watts(counters) > 0));
	oq_counters_close(counters);
	put("intel-rapl:1/constraint_0_max_power_uw", "0\n"); /* some processors say so; the BIOS's limit then counts */
	put("intel-rapl:1/constraint_0_power_limit_uw", "55000000\n");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	OQ_CHECK_NEAR(oq_counters_most_watts(counters, &from), 3 * (65 + 55), 1e-9);
	OQ_CHECK(strstr(from, "zones") && oq_counters_count(counters) == 3);
	OQ_CHECK_NEAR(oq_counters_design_watts(counters), 120, 1e-9);
	OQ_CHECK_NEAR(oq_counters_limit_watts(counters), 115, 1e-9);
	oq_counters_close(counters);
	put("intel-rapl:1/max_energy_range_uj", "1000000\n"); /* 1 J: at 165 W it goes round in 6 ms */
	put("intel-rapl:1/energy_uj", "1000\n");
	put("intel-rapl:0/energy_uj", "900000000\n");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_E_RESOURCE && strstr(err.message, "more than once"));
	oq_counters_close(counters);
}

int main(void)
{
	oq_counters *counters = NULL;
	oq_error err = {0};
	double joules;
	open_tree("counters");
	OQ_CHECK(oq_counters_open(root, &counters, &err) == OQ_E_UNSUPPORTED && !strcmp(err.code, "E_ENERGY"));
	make_zone("intel-rapl:0", "package-0", "65712000000");
	make_zone("intel-rapl:0:0", "core", "1000000");
	make_zone("intel-rapl:0:1", "dram", "5000000");
	make_zone("intel-rapl:1", "package-1", "65712000100");      /* the same counter, read a moment later */
	make_zone("intel-rapl:2", "psys", "90000000");
	make_zone("intel-rapl-mmio:0", "package-0", "65712000000");
	make_zone("dtpm", "package-0", "1");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	OQ_CHECK_STR(oq_counters_zones(counters), "package-0 + dram");
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_OK && joules == 0);
	put("intel-rapl:0/energy_uj", "1000387\n"); /* past its end: 999613 uJ left, and 1000387 more */
	put("intel-rapl:0:1/energy_uj", "5500000\n");
	put("intel-rapl:2/energy_uj", "99000000\n");
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_OK);
	OQ_CHECK_NEAR(joules, 2.0 + 0.5, 1e-9);
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_OK);
	OQ_CHECK_NEAR(joules, 2.5, 1e-9);
	put("intel-rapl:0/energy_uj", "nonsense\n");
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_E_RESOURCE);
	oq_counters_close(counters);
	counters = NULL;
	OQ_CHECK(oq_counters_open(root, &counters, &err) == OQ_E_RESOURCE && strstr(err.message, "energy_uj"));
	test_perf();
	test_limits();
	remove_tree();
	return oq_checks_done();
}
