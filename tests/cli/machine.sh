#!/usr/bin/env bash
# The machine is not as it should be: full disks, closed streams, tight limits, odd environments. Each time the command works, or ends with
# the exit code that docs/cli.md gives and one line; never by a signal, never with half a result.
# usage: machine.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
failures=0 checks=0
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
# code WANTED COMMAND...
code() {
	local want=$1 got
	shift
	checks=$((checks + 1))
	"$@" >out.txt 2>err.txt
	got=$?
	[ "$got" = "$want" ] || fail "$* ended with $got, expected $want: $(cat err.txt)"
}
says() { check grep -qF -- "$1" err.txt; }
# A sanitizer reserves terabytes of address space and other libraries; those parts are for normal builds.
sanitized=$(nm -D "$oq" 2>/dev/null | grep -c "__[a-z]*san_init")

tiny=$data/tools/tiny
{
	echo image_path,coordX,coordY,coordZ
	for i in 1 2 3 4; do echo "$data/ct/example_ct.nii.gz,$i.5,-158.2,266.9"; done
} >rows.csv
code 0 "$oq" embed "$tiny" rows.csv -o base.npy
embed() { "$oq" embed "$tiny" rows.csv -o here.npy --quiet "$@"; }
as_base() {
	for file in npy csv; do check cmp -s base.$file here.$file; done
	rm -f here.npy here.csv here.json
}

# Environments: OpenMP's own variables, none at all, no home, another time zone. The threads are those of --threads, or granted.
for value in 0 -1 abc 10000 ''; do
	code 0 env OMP_NUM_THREADS="$value" "$oq" embed "$tiny" rows.csv -o here.npy --quiet
	as_base
done
code 0 env OMP_THREAD_LIMIT=1 OMP_DYNAMIC=true "$oq" embed "$tiny" rows.csv -o here.npy --quiet --threads 3 && as_base
code 0 env -i "$oq" embed "$tiny" rows.csv -o here.npy --quiet && as_base
code 0 env -u HOME TZ=Nowhere/Land LC_ALL=xx_YY "$oq" embed "$tiny" rows.csv -o here.npy --quiet && as_base
# Fewer instructions: runs, also on what has none of ours.
for isa in SSE41 AVX AVX2 AVX512_CORE AVX512_CORE_VNNI; do
	code 0 env ONEDNN_MAX_CPU_ISA=$isa "$oq" embed "$tiny" rows.csv -o here.npy --quiet
	check cmp -s base.csv here.csv
done
rm -f here.*

# Affinity: the processors granted are the threads.
if command -v taskset >/dev/null; then
	taskset -c 0 "$oq" version --json >out.txt
	check grep -qE '"threads":\s*1\b' out.txt
fi

# Streams: closed, full, a reader that has seen enough.
checks=$((checks + 1))
"$oq" models >/dev/full 2>err.txt
[ $? = 7 ] || fail "a full standard output went unnoticed"
checks=$((checks + 1))
"$oq" models >&- 2>err.txt
[ $? = 7 ] || fail "a closed standard output went unnoticed"
"$oq" models --json 2>err.txt | head -c 1 >/dev/null
ended=${PIPESTATUS[0]}
check test "$ended" = 0 -o "$ended" = 141 -o "$ended" = 7
embed 2>&-
check test $? = 0
as_base

# A disk that fills up in the middle: the old result stays, the journal is there, and the run goes on when there is room.
if [ "$(id -u)" = 0 ] && mkdir disk && mount -t tmpfs -o size=96k tmpfs disk 2>/dev/null; then
	trap 'umount "$work/disk" 2>/dev/null' EXIT
	echo old >disk/here.npy
	{
		head -1 rows.csv
		for ((i = 0; i < 400; i++)); do sed -n $((i % 4 + 2))p rows.csv; done
	} >many.csv
	code 0 "$oq" embed "$tiny" many.csv -o whole.npy
	head -c 40000 /dev/zero >disk/ballast
	code 7 "$oq" embed "$tiny" many.csv -o disk/here.npy
	says "No space left on device"
	check test "$(cat disk/here.npy)" = old
	check test -s disk/here.npy.journal
	rm disk/ballast
	mount -o remount,size=1m disk
	code 0 "$oq" embed "$tiny" many.csv -o disk/here.npy --resume
	check cmp -s whole.npy disk/here.npy
	check cmp -s whole.csv disk/here.csv
	umount disk
else
	echo "no small disk here: not root, or no tmpfs"
fi

# An output that cannot be written: nothing is computed first.
if [ "$(id -u)" != 0 ]; then
	mkdir sealed && chmod 500 sealed
	code 7 "$oq" embed "$tiny" rows.csv -o sealed/here.npy
fi

# Address space: refused before the start, or fewer threads; the OpenMP runtime would end the process.
if [ "$sanitized" = 0 ]; then
	for limit in 130000 170000 250000 400000 600000; do
		checks=$((checks + 1))
		(ulimit -v $limit && embed --threads 8) 2>err.txt
		ended=$?
		case $ended in
		0) as_base ;;
		7) says "E_MEMORY" ;;
		*) fail "with ulimit -v $limit it ended with $ended: $(cat err.txt)" ;;
		esac
	done
fi

# A control group of version 1 or 2 with less memory than is needed.
group=/sys/fs/cgroup/memory/oq_test_$$ limit=memory.limit_in_bytes
[ -d /sys/fs/cgroup/memory ] || { group=/sys/fs/cgroup/oq_test_$$ && limit=memory.max; }
if [ "$sanitized" = 0 ] && [ "$(id -u)" = 0 ] && mkdir $group 2>/dev/null; then
	if echo 100000000 >$group/$limit 2>/dev/null; then
		checks=$((checks + 1))
		(echo "$BASHPID" >$group/cgroup.procs && embed) 2>err.txt
		[ $? = 7 ] || fail "a control group of 100 MB was not looked at: $(cat err.txt)"
		says "the control group grants 95 MB"
	fi
	rmdir $group
fi

# A container without /proc, /tmp, /etc, home and writable root: only the result's folder can be written.
if [ "$sanitized" = 0 ] && [ "$(id -u)" = 0 ] && command -v chroot >/dev/null && command -v ldd >/dev/null; then
	mkdir -p root/out root/data
	cp "$oq" root/oncoquant
	ldd "$oq" | grep -oE '/[^ ]+' | while read -r library; do
		mkdir -p "root${library%/*}" && cp -L "$library" "root$library"
	done
	cp -r "$tiny" root/tiny
	cp "$data/ct/example_ct.nii.gz" root/data/
	sed "s#$data/ct/#/data/#" rows.csv >root/rows.csv
	code 0 chroot --userspec=65533:65533 root /oncoquant version
	chmod 777 root/out
	code 0 chroot --userspec=65533:65533 root /oncoquant embed /tiny /rows.csv -o /out/here.npy --quiet
	check cmp -s base.npy root/out/here.npy
	code 7 chroot --userspec=65533:65533 root /oncoquant embed /tiny /rows.csv -o /here.npy
fi
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
