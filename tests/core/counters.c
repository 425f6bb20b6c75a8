/* Energy counters on a made-up tree: a package that wraps, its mirror, DRAM, zones that are parts of others, one that may not be read. */
#include "check.h"

#include "core/counters.h"

#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char root[256];

static void put(const char *zone, const char *file, const char *text)
{
	char path[512];
	snprintf(path, sizeof path, "%s/%s", root, zone);
	mkdir(path, 0700);
	snprintf(path, sizeof path, "%s/%s/%s", root, zone, file);
	FILE *out = fopen(path, "w");
	OQ_REQUIRE(out);
	fprintf(out, "%s\n", text);
	fclose(out);
}

static void make_zone(const char *zone, const char *name, const char *energy)
{
	put(zone, "name", name);
	put(zone, "energy_uj", energy);
	put(zone, "max_energy_range_uj", "65712999613");
}

/* The kernel's software clock stands in for a counter of joules: type 1, event 0 counts nanoseconds of one processor, here at 2 J a second. */
static void test_perf(void)
{
	oq_counters *counters = NULL;
	oq_error err = {0};
	double before, after;
	OQ_CHECK(oq_counters_open_perf(root, &counters, &err) == OQ_E_UNSUPPORTED && !strcmp(err.code, "E_ENERGY"));
	put("power", "type", "1");
	put("power", "cpumask", "0");
	put("power/events", "energy-pkg", "event=0x00");
	put("power/events", "energy-pkg.scale", "2e-9");
	put("power/events", "energy-pkg.unit", "Watts");
	put("power/events", "energy-cores", "event=0x00"); /* a part of the package */
	char folder[300];
	snprintf(folder, sizeof folder, "%s/power", root);
	OQ_CHECK(oq_counters_open_perf(folder, &counters, &err) == OQ_E_UNSUPPORTED);
	put("power/events", "energy-pkg.unit", "Joules");
	put("power", "cpumask", "zero");
	OQ_CHECK(oq_counters_open_perf(folder, &counters, &err) == OQ_E_UNSUPPORTED && strstr(err.message, "cpumask"));
	put("power", "cpumask", "0");
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
	put("intel-rapl:0", "constraint_0_max_power_uw", "65000000");
	put("intel-rapl:0", "constraint_0_power_limit_uw", "60000000");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	OQ_CHECK_STR(oq_counters_zones(counters), "package-0 + dram + package-1");
	OQ_CHECK_NEAR(oq_counters_most_watts(counters, &from), 3 * 65 + 1000, 1e-9);
	OQ_CHECK(strstr(from, "assumed") && !(oq_counters_design_watts(counters) > 0));
	oq_counters_close(counters);
	put("intel-rapl:1", "constraint_0_max_power_uw", "0"); /* some processors say so; the BIOS's limit then counts */
	put("intel-rapl:1", "constraint_0_power_limit_uw", "55000000");
	OQ_REQUIRE(oq_counters_open(root, &counters, &err) == OQ_OK);
	OQ_CHECK_NEAR(oq_counters_most_watts(counters, &from), 3 * (65 + 55), 1e-9);
	OQ_CHECK(strstr(from, "zones") && oq_counters_count(counters) == 3);
	OQ_CHECK_NEAR(oq_counters_design_watts(counters), 120, 1e-9);
	OQ_CHECK_NEAR(oq_counters_limit_watts(counters), 115, 1e-9);
	oq_counters_close(counters);
	put("intel-rapl:1", "max_energy_range_uj", "1000000"); /* 1 J: at 165 W it goes round in 6 ms */
	put("intel-rapl:1", "energy_uj", "1000");
	put("intel-rapl:0", "energy_uj", "900000000");
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
	snprintf(root, sizeof root, "%s", "energy_XXXXXX");
	OQ_REQUIRE(mkdtemp(root));
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
	put("intel-rapl:0", "energy_uj", "1000387"); /* past its end: 999613 uJ left, and 1000387 more */
	put("intel-rapl:0:1", "energy_uj", "5500000");
	put("intel-rapl:2", "energy_uj", "99000000");
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_OK);
	OQ_CHECK_NEAR(joules, 2.0 + 0.5, 1e-9);
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_OK);
	OQ_CHECK_NEAR(joules, 2.5, 1e-9);
	put("intel-rapl:0", "energy_uj", "nonsense");
	OQ_CHECK(oq_counters_read(counters, &joules, &err) == OQ_E_RESOURCE);
	oq_counters_close(counters);
	counters = NULL;
	OQ_CHECK(oq_counters_open(root, &counters, &err) == OQ_E_RESOURCE && strstr(err.message, "energy_uj"));
	test_perf();
	test_limits();
	char command[300];
	snprintf(command, sizeof command, "rm -r %s", root);
	OQ_CHECK(system(command) == 0);
	return oq_checks_done();
}
