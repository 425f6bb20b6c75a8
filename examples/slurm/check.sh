#!/usr/bin/env bash
# Checks embed.sbatch and merge.sbatch against a real Slurm on this machine alone: controller, node and munge on loopback, in a folder that is
# removed afterwards. Not part of the test suite: it needs root and the packages slurmctld, slurmd, slurm-client and munge of Debian or Ubuntu.
# usage: examples/slurm/check.sh PACKAGE MANIFEST.csv          (ONCOQUANT: the command, build/oncoquant by default)
set -eu
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
[ $# = 2 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 2; }
package=$(realpath "$1") manifest=$(realpath "$2") ONCOQUANT=$(realpath "${ONCOQUANT:-build/oncoquant}")
export ONCOQUANT
for command in slurmctld slurmd sbatch munged; do
	command -v $command >/dev/null || { echo "missing: $command" >&2; exit 77; }
done
[ "$(id -u)" = 0 ] || { echo "root is needed: slurmd starts jobs" >&2; exit 77; }
[ -z "$(pgrep -x 'slurmctld|slurmd')" ] || { echo "a Slurm is running here already" >&2; exit 77; }

work=$(mktemp -d)
chmod 755 "$work"
pids=()
finish() {
	for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT

# Munge: a key and a socket of our own.
mkdir -m 700 "$work/munge"
dd if=/dev/urandom of="$work/munge/key" bs=1024 count=1 status=none
chmod 600 "$work/munge/key"
mkdir -m 755 "$work/socket"
munged --foreground --force --key-file="$work/munge/key" --socket="$work/socket/munge" --pid-file="$work/munge/pid" \
	--log-file="$work/munge/log" --seed-file="$work/munge/seed" >/dev/null 2>&1 &
pids+=($!)

name=$(hostname -s)
mkdir "$work/state" "$work/spool" "$work/out"
cat >"$work/slurm.conf" <<EOF
ClusterName=check
SlurmctldHost=$name(127.0.0.1)
AuthType=auth/munge
AuthInfo=socket=$work/socket/munge
CredType=cred/munge
SlurmUser=root
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$work/state
SlurmdSpoolDir=$work/spool
SlurmctldPidFile=$work/slurmctld.pid
SlurmdPidFile=$work/slurmd.pid
SlurmctldLogFile=$work/slurmctld.log
SlurmdLogFile=$work/slurmd.log
ProctrackType=proctrack/pgid
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SwitchType=switch/none
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=10
NodeName=$name NodeAddr=127.0.0.1 CPUs=$(nproc) RealMemory=$(($(awk '/MemTotal/ { print $2 }' /proc/meminfo) / 1024 - 200)) State=UNKNOWN
PartitionName=all Nodes=$name Default=YES MaxTime=INFINITE State=UP
EOF
export SLURM_CONF=$work/slurm.conf
slurmctld -D -f "$SLURM_CONF" >/dev/null 2>&1 &
pids+=($!)
slurmd -D -f "$SLURM_CONF" >/dev/null 2>&1 &
pids+=($!)
for ((i = 0; i < 60; i++)); do
	sinfo -h -o %t 2>/dev/null | grep -q idle && break
	sleep 1
done
sinfo -h -o %t 2>/dev/null | grep -q idle || { tail -n 5 "$work"/slurm*.log >&2; exit 1; }

echo "== One run, without Slurm"
code=0
"$ONCOQUANT" embed "$package" "$manifest" -o "$work/merged.npy" || code=$?
[ $code = 0 ] || [ $code = 3 ]
mkdir "$work/one" && mv "$work"/merged.* "$work/one/"

submit() { sbatch --parsable --chdir "$work" --cpus-per-task 1 --mem 0 "$@"; }
shards=3
echo "== $shards shards as an array; one task is stopped and queued again on the way"
job=$(submit --array=1-$shards examples/slurm/embed.sbatch "$package" "$manifest" "$work/out")
for ((i = 0; i < 600; i++)); do
	[ -e "$work/out/part2.npy.journal" ] && [ "$(wc -l <"$work/out/part2.npy.journal")" -gt 3 ] && break
	sleep 0.05
done
scancel --signal=TERM --batch "${job}_2" || true
merge=$(submit --dependency=afterok:"$job" examples/slurm/merge.sbatch "$work/out" "$work/merged.npy")
for ((i = 0; i < 600; i++)); do
	[ -z "$(squeue -h -j "$merge" -o %T 2>/dev/null)" ] && break
	[ "$(squeue -h -j "$merge" -o %r 2>/dev/null)" = DependencyNeverSatisfied ] && break
	sleep 1
done
scontrol show job "${job}_2" | grep -oE 'Restarts=[0-9]+' || true
cat "$work"/oncoquant*.log
for file in npy csv json; do
	cmp "$work/one/merged.$file" "$work/merged.$file" || { squeue >&2; tail -n 5 "$work"/slurm*.log >&2; exit 1; }
done
echo "== The merged result has the bytes of one run"
