/* Other load and the state of the machine, from a made-up /proc and /sys. */
#include "tree.h"

#include "core/load.h"
#include "core/machine.h"

#include <unistd.h>

static void test_load(void)
{
	oq_load before, after, read;
	OQ_CHECK(!oq_load_read(root, &read));
	put("proc/stat", "cpu  100 20 30 1000 50 6 4 10 7 0\ncpu0 1 2 3 4 5 6 7 8 9 10\n");
	OQ_REQUIRE(oq_load_read(root, &read));
	double tick = 1 / (double)sysconf(_SC_CLK_TCK);
	OQ_CHECK_NEAR(read.total, 1220 * tick, 1e-9);
	OQ_CHECK_NEAR(read.busy, 170 * tick, 1e-9); /* not idle, not waiting for a disk; stolen time is others' work */
	OQ_CHECK(read.own > 0);
	put("proc/stat", "cpu  100 20\n");
	OQ_CHECK(!oq_load_read(root, &read));
	before = (oq_load){.total = 100, .busy = 40, .own = 7};
	after = (oq_load){.total = 120, .busy = 55, .own = 17}; /* 15 s of work in 20 s, 10 of them ours */
	OQ_CHECK_NEAR(oq_load_others(&before, &after), 0.25, 1e-12);
	after.own = 30; /* ticks are coarse: more own time than all is no other load */
	OQ_CHECK_NEAR(oq_load_others(&before, &after), 0, 0);
	after.total = 100;
	OQ_CHECK(isnan(oq_load_others(&before, &after)));
	OQ_CHECK(oq_load_read("", &read) && read.total > read.busy); /* this machine's own */
}

static const oq_json *machine(oq_json **document)
{
	*document = oq_json_object();
	OQ_REQUIRE(*document && oq_machine_add(*document, "machine", root));
	return oq_json_get(*document, "machine");
}

static void test_state(void)
{
	oq_json *document;
	const oq_json *m = machine(&document);
	OQ_CHECK(oq_json_is_null(oq_json_get(m, "governor")) && oq_json_is_null(oq_json_get(m, "turbo")) && oq_json_is_null(oq_json_get(m, "temperature_c")));
	OQ_CHECK(!oq_json_is_true(oq_json_get(m, "virtual_machine")) && !oq_json_is_true(oq_json_get(m, "container")) && !oq_machine_is_shared(root));
	oq_json_free(document);
	put("proc/cpuinfo", "processor\t: 0\nmodel name\t: Fast  Chip\nmicrocode\t: 0xa1\nflags\t\t: fpu sse hypervisor avx\n");
	put("proc/1/cgroup", "0::/kubepods/abc\n");
	put("proc/sys/kernel/osrelease", "6.1.0\n");
	put("sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", "performance\n");
	put("sys/devices/system/cpu/intel_pstate/no_turbo", "1\n");
	put("sys/class/thermal/thermal_zone0/type", "acpitz\n");
	put("sys/class/thermal/thermal_zone1/type", "x86_pkg_temp\n");
	put("sys/class/thermal/thermal_zone1/temp", "51500\n");
	m = machine(&document);
	OQ_CHECK_STR(oq_json_string(oq_json_get(m, "processor")), "Fast  Chip");
	OQ_CHECK_STR(oq_json_string(oq_json_get(m, "microcode")), "0xa1");
	OQ_CHECK_STR(oq_json_string(oq_json_get(m, "kernel")), "6.1.0");
	OQ_CHECK_STR(oq_json_string(oq_json_get(m, "governor")), "performance");
	OQ_CHECK(!oq_json_is_null(oq_json_get(m, "turbo")) && !oq_json_is_true(oq_json_get(m, "turbo")));
	OQ_CHECK_NEAR(oq_json_number(oq_json_get(m, "temperature_c")), 51.5, 1e-9);
	OQ_CHECK(oq_json_is_true(oq_json_get(m, "virtual_machine")) && oq_json_is_true(oq_json_get(m, "container")) && oq_machine_is_shared(root));
	oq_json_free(document);
	put("sys/devices/system/cpu/cpufreq/boost", "1\n"); /* where the kernel has it, it is the one that counts */
	m = machine(&document);
	OQ_CHECK(oq_json_is_true(oq_json_get(m, "turbo")));
	oq_json_free(document);
}

int main(void)
{
	open_tree("machine");
	test_state();
	test_load();
	remove_tree();
	return oq_checks_done();
}
