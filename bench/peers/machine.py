"""What a table of times has to say about the machine they were measured on."""
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import time

# Of /proc/cpuinfo, those that decide which kernels run.
INTERESTING = ("avx2", "fma", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16", "amx_tile")


def facts(oncoquant, packages):
    info = dict(line.split(":", 1) for line in pathlib.Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if ":" in line)
    info = {key.strip(): value.strip() for key, value in info.items()}
    memory = int(pathlib.Path("/proc/meminfo").read_text().split()[1]) / 2**20
    version = json.loads(subprocess.run([oncoquant, "version", "--json"], capture_output=True, text=True, check=True).stdout)
    return {"processor": f"{info.get('model name', platform.machine())} (family {info.get('cpu family')}, model {info.get('model')})",
            "processors": len(processors()), "memory_gib": round(memory, 1), "isa": [flag for flag in INTERESTING if flag in info.get("flags", "").split()],
            "kernel": platform.release(), "python": platform.python_version(), "oncoquant": version,
            "versions": {package: importlib.metadata.version(package) for package in packages}, "date": time.strftime("%Y-%m-%d")}


def processors():
    """Those granted to us, the first of every core before any core's second."""
    def siblings(processor):
        path = pathlib.Path(f"/sys/devices/system/cpu/cpu{processor}/topology/thread_siblings_list")
        return path.read_text() if path.exists() else str(processor)
    cores = {}
    for processor in sorted(os.sched_getaffinity(0)):
        cores.setdefault(siblings(processor), []).append(processor)
    return [threads[i] for i in range(max(map(len, cores.values()))) for threads in cores.values() if i < len(threads)]


def memory_available():
    """Bytes that processes can take before the machine swaps."""
    lines = pathlib.Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))


def markdown(f):
    ours, versions = f["oncoquant"], ", ".join(f"{name} {version}" for name, version in f["versions"].items())
    return [f"{f['date']}: {f['processor']}, {f['processors']} processors, {f['memory_gib']} GiB, {' '.join(f['isa'])}; Linux {f['kernel']}, Python {f['python']}; "
            f"{versions}; "
            f"oncoquant {ours['tool_version']} on oneDNN {ours['onednn_version']} ({ours['onednn_isa']}), its own kernels {ours['kernels']}.", ""]


def busy(seconds=2):
    """Share of all processors' time that goes to others while this process sleeps."""
    def ticks():
        values = [int(v) for v in pathlib.Path("/proc/stat").read_text().splitlines()[0].split()[1:]]
        return sum(values), values[3] + values[4]
    total, idle = ticks()
    time.sleep(seconds)
    later_total, later_idle = ticks()
    return 1 - (later_idle - idle) / max(later_total - total, 1)
