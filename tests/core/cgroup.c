/* Limits of control groups, v1 and v2, in a file tree made here. */
#define _DEFAULT_SOURCE
#include "tree.h"

#include "core/cgroup.h"
#include "core/cpu.h"

#include <fenv.h>

static void test_v2(void)
{
	OQ_CHECK_INT(oq_cgroup_processors(root), 0); /* nothing there */
	OQ_CHECK_INT(oq_cgroup_memory(root), 0);
	put("proc/self/cgroup", "0::/slurm/job_7\n");
	put("sys/fs/cgroup/slurm/job_7/cpu.max", "max 100000\n");
	put("sys/fs/cgroup/slurm/job_7/memory.max", "max\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 0);
	OQ_CHECK_INT(oq_cgroup_memory(root), 0);
	put("sys/fs/cgroup/slurm/job_7/cpu.max", "150000 100000\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 2);
	put("sys/fs/cgroup/slurm/job_7/memory.max", "4294967296\n");
	OQ_CHECK_INT(oq_cgroup_memory(root), 4294967296);
	/* A group above is tighter. */
	put("sys/fs/cgroup/slurm/cpu.max", "100000 100000\n");
	put("sys/fs/cgroup/slurm/memory.max", "1073741824\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 1);
	OQ_CHECK_INT(oq_cgroup_memory(root), 1073741824);
	put("sys/fs/cgroup/slurm/cpu.max", "400000 100000\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 2);
	/* In a container: the group's name is the host's, its files are at the mount point. */
	put("proc/self/cgroup", "0::/../../docker/abc\n");
	put("sys/fs/cgroup/cpu.max", "50000 100000\n");
	put("sys/fs/cgroup/memory.max", "536870912\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 1);
	OQ_CHECK_INT(oq_cgroup_memory(root), 536870912);
	put("sys/fs/cgroup/cpu.max", "max 100000\n");
	put("sys/fs/cgroup/memory.max", "max\n");
}

static void test_v1(void)
{
	put("proc/self/cgroup", "5:memory:/docker/x\n3:cpuset:/\n2:cpu,cpuacct:/docker/x\n0::/\n");
	put("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "-1\n");
	put("sys/fs/cgroup/cpu/docker/x/cpu.cfs_period_us", "100000\n");
	put("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "9223372036854771712\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 0);
	OQ_CHECK_INT(oq_cgroup_memory(root), 0);
	put("sys/fs/cgroup/cpu/docker/x/cpu.cfs_quota_us", "300000\n");
	put("sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes", "2147483648\n");
	OQ_CHECK_INT(oq_cgroup_processors(root), 3);
	OQ_CHECK_INT(oq_cgroup_memory(root), 2147483648);
	put("sys/fs/cgroup/memory/memory.limit_in_bytes", "1000000\n");
	OQ_CHECK_INT(oq_cgroup_memory(root), 1000000);
	put("proc/self/cgroup", "garbage\n:\n::\n5:memory\n");
	OQ_CHECK_INT(oq_cgroup_memory(root), 1000000);
}

static void test_float_state(void)
{
	volatile float tiny = 1e-38f, third = 3;
	fesetround(FE_DOWNWARD);
	const oq_float_state state = oq_float_enter();
	OQ_CHECK(1 / third == 0x1.555556p-2f && tiny / 4 > 0);
	oq_float_leave(state);
	volatile float down = 1 / third;
	fesetround(FE_TONEAREST);
	OQ_CHECK(down == 0x1.555554p-2f);
	OQ_CHECK_INT(fegetround(), FE_TONEAREST);
}

int main(void)
{
	open_tree("cgroup");
	test_v2();
	test_v1();
	test_float_state();
	remove_tree();
	return oq_checks_done();
}
