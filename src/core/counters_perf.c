/* The same counters through the kernel's performance events (PMU "power"): for machines whose powercap tree is missing or root's alone. The kernel
 * keeps them in 64 bits, so they do not wrap; one processor per package stands for it (cpumask). Refuses events that are not in joules. */
#define _DEFAULT_SOURCE
#include "counters_zones.h"

#include "core/file.h"
#include "core/locale.h"
#include "core/mem.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

typedef struct power_event {
	const char *file, *name;
	uint64_t type, config;
	double scale; /* joules per step */
} power_event;

/* "event=0x02" with its scale and unit; false when this processor has no such event. */
static bool read_event(const char *root, power_event *event)
{
	char text[128], file[64], *end;
	snprintf(file, sizeof file, "events/%s", event->file);
	if (!oq_file_line(root, file, text, sizeof text) || strncmp(text, "event=", 6))
		return false;
	event->config = strtoull(text + 6, &end, 0);
	if (end == text + 6 || *end)
		return false;
	snprintf(file, sizeof file, "events/%s.unit", event->file);
	if (!oq_file_line(root, file, text, sizeof text) || strcmp(text, "Joules"))
		return false;
	snprintf(file, sizeof file, "events/%s.scale", event->file);
	if (!oq_file_line(root, file, text, sizeof text))
		return false;
	event->scale = strtod(text, &end);
	return end != text && !*end && event->scale > 0;
}

static oq_status open_event(oq_counters *counters, const char *root, const power_event *event, int processor, oq_error *err)
{
	struct perf_event_attr wanted;
	memset(&wanted, 0, sizeof wanted);
	wanted.size = sizeof wanted;
	wanted.type = (uint32_t)event->type;
	wanted.config = event->config;
	oq_counter z = {.fd = (int)syscall(SYS_perf_event_open, &wanted, -1, processor, -1, PERF_FLAG_FD_CLOEXEC), .joules_per_step = event->scale};
	if (z.fd < 0)
		return oq_fail(err, errno == EACCES || errno == EPERM ? OQ_E_RESOURCE : OQ_E_UNSUPPORTED, "E_ENERGY", "%s/events/%s: %s; an administrator may allow it: "
			"sysctl kernel.perf_event_paranoid=0, or the capability CAP_PERFMON", root, event->file, strerror(errno));
	snprintf(z.path, sizeof z.path, "%.500s", root);
	snprintf(z.name, sizeof z.name, "%s-cpu%d", event->name, processor);
	if (read(z.fd, &z.last, sizeof z.last) != (ssize_t)sizeof z.last || counters->count == OQ_COUNTERS) {
		close(z.fd);
		return oq_fail(err, OQ_E_RESOURCE, "E_ENERGY", "%s/events/%s: cannot be read", root, event->file);
	}
	oq_counters_add(counters, &z);
	return OQ_OK;
}

/* "0,18" or "0-1": a processor of every package. */
static oq_status open_everywhere(oq_counters *counters, const char *root, const power_event *event, const char *mask, oq_error *err)
{
	for (const char *at = mask; *at;) {
		char *end;
		long first = strtol(at, &end, 10), last = first;
		bool good = end != at && first >= 0;
		if (good && *end == '-') {
			at = end + 1;
			last = strtol(at, &end, 10);
			good = end != at && last >= first && last - first < OQ_COUNTERS;
		}
		if (!good || (*end && *end != ','))
			return oq_fail(err, OQ_E_UNSUPPORTED, "E_ENERGY", "%s/cpumask: is \"%.40s\", expected numbers of processors", root, mask);
		for (long p = first; p <= last; p++)
			OQ_TRY(open_event(counters, root, event, (int)p, err));
		at = *end ? end + 1 : end;
	}
	return OQ_OK;
}

static oq_status open_all(const char *root, oq_counters **out, oq_error *err)
{
	power_event events[] = {{.file = "energy-pkg", .name = "package"}, {.file = "energy-ram", .name = "dram"}};
	char mask[256];
	uint64_t type;
	if (!oq_counters_number(root, "type", &type) || type > UINT32_MAX || !oq_file_line(root, "cpumask", mask, sizeof mask) || !read_event(root, &events[0]))
		return oq_fail(err, OQ_E_UNSUPPORTED, "E_ENERGY", "%s: has no energy event of a processor package", root);
	oq_counters *counters = oq_calloc(1, sizeof *counters);
	oq_status status = counters ? OQ_OK : oq_fail_memory(err, root, sizeof *counters);
	for (size_t i = 0; i < sizeof events / sizeof *events && status == OQ_OK; i++) {
		events[i].type = type;
		if (i == 0 || read_event(root, &events[i]))
			status = open_everywhere(counters, root, &events[i], mask, err);
	}
	if (status == OQ_OK && !counters->count)
		status = oq_fail(err, OQ_E_UNSUPPORTED, "E_ENERGY", "%s/cpumask: names no processor", root);
	if (status == OQ_OK)
		*out = counters;
	else
		oq_counters_close(counters);
	return status;
}

oq_status oq_counters_open_perf(const char *root, oq_counters **out, oq_error *err)
{
	oq_locale locale = oq_locale_enter(); /* scales have a decimal point */
	oq_status status = open_all(root, out, err);
	oq_locale_leave(locale);
	return status;
}
