#include "budget.h"

#include "core/memory_limit.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MEGABYTE ((uint64_t)1 << 20)
/* Program, libraries, oneDNN's generated code, manifest: 60 to 90 MB were seen. */
#define BASE (100 * MEGABYTE)
/* Of a lane beside what is counted: the block of the scan under a patch in float32 and double, JSON, small things. */
#define LANE_EXTRA (24 * MEGABYTE)
/* A scan whose size its own file does not tell (its voxels are in another, or it is a folder of DICOM files): 512 x 512 x 600 of 16 bits. */
#define SCAN_UNKNOWN ((uint64_t)512 * 512 * 600 * 2)
#define SCANS_LOOKED_AT 200
/* What a thread maps beside its work: a stack (8 MB unless told otherwise) and a heap of its own (twice 64 MB while it is being aligned). */
#define THREAD_MAPS (136 * MEGABYTE)

/* Decoded size of a scan, all of which may be kept: gzip says that of its last member in its last four bytes (modulo 4 GB), others are as large as
 * they are. */
static uint64_t scan_bytes(const char *path, bool folders)
{
	unsigned char head[2] = {0}, tail[4] = {0};
	struct stat info;
	const char *dot = strrchr(path, '.');
	if (dot && (!strcmp(dot, ".mhd") || !strcmp(dot, ".nhdr") || !strcmp(dot, ".hdr")))
		return SCAN_UNKNOWN;
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	if (fd < 0)
		return 0;
	uint64_t bytes = 0;
	bool known = fstat(fd, &info) == 0;
	if (known && folders && S_ISDIR(info.st_mode))
		bytes = SCAN_UNKNOWN;
	if (known && S_ISREG(info.st_mode) && info.st_size > 0) {
		bytes = (uint64_t)info.st_size;
		if (info.st_size > 18 && pread(fd, head, 2, 0) == 2 && head[0] == 0x1f && head[1] == 0x8b && pread(fd, tail, 4, info.st_size - 4) == 4) {
			uint64_t decoded = tail[0] | (uint64_t)tail[1] << 8 | (uint64_t)tail[2] << 16 | (uint64_t)tail[3] << 24;
			bytes = decoded > bytes ? decoded : bytes;
		}
	}
	close(fd);
	return bytes;
}

/* The largest of some scans, evenly spread over the manifest: a look at each of a hundred thousand on a network drive would take minutes. */
static uint64_t largest_scan(const oq_rows *rows, bool folders)
{
	uint64_t most = 0;
	int step = rows->scan_count / SCANS_LOOKED_AT + 1;
	for (int s = 0; s < rows->scan_count; s += step) {
		uint64_t bytes = scan_bytes(rows->scans[s], folders);
		most = bytes > most ? bytes : most;
	}
	return most;
}

static oq_status refuse(uint64_t need, uint64_t have, const char *whose, oq_error *err)
{
	return oq_fail(err, OQ_E_RESOURCE, "E_MEMORY", "memory: %llu MB are needed, %s grants %llu MB", (unsigned long long)(need / MEGABYTE + 1), whose,
		(unsigned long long)(have / MEGABYTE));
}

static int parts_in(uint64_t room, uint64_t each)
{
	uint64_t parts = room / each;
	return parts > 4096 ? 4096 : (int)parts;
}

oq_status oq_budget_packages(const oq_job *job, bool weights, int *threads, oq_error *err)
{
	const oq_memory_limit limit = oq_memory_limit_now(job->max_memory);
	uint64_t need = BASE, left = oq_address_space_left();
	for (int i = 0; i < job->package_count && weights; i++) {
		char path[4096];
		struct stat info;
		if (snprintf(path, sizeof path, "%s/weights.safetensors", job->packages[i]) < (int)sizeof path && stat(path, &info) == 0)
			need += (uint64_t)info.st_size;
	}
	if (limit.bytes && need > limit.bytes)
		return refuse(need, limit.bytes, limit.whose, err);
	need -= BASE; /* is mapped by now */
	if (need > left)
		return refuse(need, left, "the limit of the address space", err);
	/* Half of what is left is for data; the OpenMP runtime ends the process when it cannot make a thread. */
	int fit = left == UINT64_MAX ? *threads : 1 + parts_in((left - need) / 2, THREAD_MAPS);
	*threads = fit < *threads ? fit : *threads;
	return OQ_OK;
}

size_t oq_budget_weights(const oq_job *job, oq_model *const *models)
{
	const oq_memory_limit limit = oq_memory_limit_now(job->max_memory);
	uint64_t used = BASE;
	for (int i = 0; i < job->package_count; i++)
		used += models[i] && models[i]->nn ? oq_nn_model_weight_bytes(models[i]->nn) : 0;
	return !limit.bytes ? 0 : limit.bytes > used ? (size_t)(limit.bytes - used) : 1;
}

void oq_budget_of(const oq_job *job, const oq_rows *rows, oq_model *const *models, size_t lane_floats, oq_budget *out)
{
	uint64_t scan = largest_scan(rows, job->scan.dicom), mask = job->mask_column ? scan : 0; /* a mask has the scan's grid */
	*out = (oq_budget){.fixed = BASE, .per_lane = LANE_EXTRA + scan + mask + lane_floats * sizeof(float)};
	for (int i = 0; i < job->package_count; i++)
		if (models[i]->nn) {
			out->fixed += oq_nn_model_weight_bytes(models[i]->nn);
			out->per_lane += oq_nn_model_session_bytes(models[i]->nn);
		}
}

oq_status oq_budget_lanes(const oq_budget *b, const oq_job *job, int *lanes, oq_error *err)
{
	const oq_memory_limit limit = oq_memory_limit_now(job->max_memory);
	uint64_t need = b->fixed + b->per_lane, left = oq_address_space_left();
	if (limit.bytes && need > limit.bytes)
		return refuse(need, limit.bytes, limit.whose, err);
	if (b->per_lane > left) /* weights and libraries are mapped by now */
		return refuse(b->per_lane, left, "the limit of the address space", err);
	int fit = limit.bytes ? parts_in(limit.bytes - b->fixed, b->per_lane) : *lanes;
	int mapped = left == UINT64_MAX ? *lanes : parts_in(left + THREAD_MAPS, b->per_lane + THREAD_MAPS);
	fit = mapped < fit ? mapped : fit;
	*lanes = fit < *lanes ? fit : *lanes;
	return OQ_OK;
}
