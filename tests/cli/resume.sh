#!/usr/bin/env bash
# Long runs survive: stopped or killed runs are continued to the same bytes, two runs never share an output, shards merge to one run's
# bytes, several packages give what separate runs give, memory is predicted and limits are obeyed.
# usage: resume.sh ONCOQUANT TEST_DATA WORK [KILLS]
set -u
oq=$1 data=$2 work=$3 kills=${4:-8}
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

check() { checks=$((checks + 1)); "$@" || fail "$*"; }
# same A B: all three files of two results, the name of the data apart
same() {
	check cmp -s "$1.npy" "$2.npy"
	check cmp -s "$1.csv" "$2.csv"
	check cmp -s "$1.json" <(sed "s#\"${2##*/}.npy\"#\"${1##*/}.npy\"#" "$2.json")
}
gone() { for file in "$@"; do check test ! -e "$file"; done; }

# A network of a few kilobytes; 404 rows of three scans, two of them bad, the rows of a scan scattered.
tiny=$data/tools/tiny ct=$data/ct
{
	echo image_path,coordX,coordY,coordZ,note
	for ((i = 0; i < 402; i++)); do
		case $((i / 20 % 3)) in
		0) echo "$ct/example_ct.nii.gz,$((i % 7)).5,-158.2,$((260 + i % 11)).9,\"a \"\"b\"\"
c\"" ;;
		1) echo "$ct/aorta_ct.nii.gz,16.25,-$((160 + i % 13)).1,661.3," ;;
		2) echo "$ct/perm_ct.nii.gz,-10.4,-$((160 + i % 9)).3,300.2,x" ;;
		esac
	done
	echo "none.nii,1,2,3,"
	echo "$ct/example_ct.nii.gz,9000,1,1,"
} >rows.csv
expect 3 "2 of 404 rows failed" "$oq" embed "$tiny" rows.csv -o whole.npy
gone whole.npy.part whole.npy.journal
expect 3 "" "$oq" embed "$tiny" rows.csv -o one_thread.npy --threads 1
same whole one_thread
expect 3 "" "$oq" embed "$tiny" rows.csv -o nothing_to_resume.npy --resume
same whole nothing_to_resume

# start NAME [OPTIONS]: in the background; part NAME LINES: until its journal has that many
start() {
	local name=$1
	shift
	"$oq" embed "$tiny" rows.csv -o "$name.npy" --quiet "$@" 2>"$name.err" &
	running=$!
}
until_rows() {
	for ((wait = 0; wait < 2000; wait++)); do
		[ "$(cat "$1.npy.journal" 2>/dev/null | wc -l)" -gt "$2" ] && return
		sleep 0.005
	done
}

# Signals: rows in work are finished, the journal stays, the exit code says which signal.
for signal in INT TERM; do
	start stopped --threads 1
	until_rows stopped 20
	kill -$signal $running
	wait $running
	code=$?
	[ $signal = INT ] && want=130 || want=143
	check test $code = $want
	check grep -q "stopped after .* of 404 rows; --resume continues" stopped.err
	check test "$(stat -c %a stopped.npy.journal stopped.npy.part | sort -u)" = 600
	gone stopped.npy stopped.csv stopped.json
	expect 2 "an unfinished run" "$oq" embed "$tiny" rows.csv -o stopped.npy
	expect 2 "another \"coords\"" "$oq" embed "$tiny" rows.csv -o stopped.npy --resume --coords ras
	expect 2 "another \"packages\"" "$oq" embed "$tiny" rows.csv -o stopped.npy --resume --precision f16
	expect 2 "another \"kind\"" "$oq" patches "$tiny" rows.csv -o stopped.npy --resume
	expect 2 "another \"shards\"" "$oq" embed "$tiny" rows.csv -o stopped.npy --resume --shard 1/2
	if [ $signal = INT ]; then # the tail is torn, a record damaged, a row of the array lost
		printf '0123456789abcdef {"row":' >>stopped.npy.journal
		sed -i '15s/"padding":0/"padding":1/' stopped.npy.journal
		dd if=/dev/zero of=stopped.npy.part bs=1 seek=128 count=24 conv=notrunc status=none
	fi
	expect 3 "" "$oq" embed "$tiny" rows.csv -o stopped.npy --resume --json
	check grep -q '"resumed": [1-9]' out.txt
	same whole stopped
	gone stopped.npy.part stopped.npy.journal
	rm stopped.*
done

# An option that was given and no longer is makes another run, and so does one that was not.
stop_at_20() { # NAME: the run in the background
	until_rows "$1" 20
	kill -TERM $running
	wait $running
}
start air --threads 1 --nonfinite air
stop_at_20 air
expect 2 "another \"nonfinite\"" "$oq" embed "$tiny" rows.csv -o air.npy --resume
expect 2 "another \"volume\"" "$oq" embed "$tiny" rows.csv -o air.npy --resume --nonfinite air --volume 1

# A message that quotes what is not UTF-8 is kept as well.
{
	head -1 rows.csv
	printf 'none\344.nii,1,2,3,\n'
	tail -n +2 rows.csv
} >latin_rows.csv
"$oq" embed "$tiny" latin_rows.csv -o latin.npy --log-paths --threads 1 --quiet 2>latin.err &
running=$!
stop_at_20 latin
expect 3 "3 of 405 rows failed" "$oq" embed "$tiny" latin_rows.csv -o latin.npy --log-paths --resume --json
check grep -q '"resumed": [1-9]' out.txt
expect 3 "" "$oq" embed "$tiny" latin_rows.csv -o latin_whole.npy --log-paths
same latin_whole latin

# What has the journal's name and is none stays.
mkfifo pipe.npy.journal
expect 7 "is no journal" "$oq" embed "$tiny" rows.csv -o pipe.npy --resume
check test -p pipe.npy.journal

# A journal of nothing but a torn first line, or a header and a torn row, is no unfinished run.
start header --threads 1
stop_at_20 header
for lines in 0 1; do
	head -n $lines header.npy.journal >torn.npy.journal && sed -n "$((lines + 1))p" header.npy.journal | head -c 40 >>torn.npy.journal && touch torn.npy.part
	expect 3 "" "$oq" embed "$tiny" rows.csv -o torn.npy
	same whole torn
done
# A file that is no journal, or whose first line is damaged, is refused and stays; one with a damaged row is an unfinished run that has less to keep.
head -c 40 /dev/urandom | tr '\n' x >random.journal
tr '\0' x </dev/zero | head -c 40 >letters.journal
sed '1s/"kind":"e/"kind":"E/' header.npy.journal >damaged.journal
head -c 40 /dev/zero >zeros.journal
for name in random letters damaged zeros; do
	cp $name.journal torn.npy.journal
	for resume in "" --resume; do
		expect 2 "its first line is damaged or not a journal" "$oq" embed "$tiny" rows.csv -o torn.npy $resume
		check cmp -s $name.journal torn.npy.journal
	done
	gone torn.npy.part
done
sed '2s/"row":/"roW":/' header.npy.journal >torn.npy.journal
cp header.npy.part torn.npy.part
expect 2 "an unfinished run" "$oq" embed "$tiny" rows.csv -o torn.npy
check cmp -s header.npy.part torn.npy.part
expect 3 "" "$oq" embed "$tiny" rows.csv -o torn.npy --resume
same whole torn

# A run that is putting its results in place has the journal's lock only.
flock -x late.npy.journal -c "\"$oq\" embed \"$tiny\" rows.csv -o late.npy" 2>err.txt
check test $? = 7
check grep -q "another run is writing it" err.txt
gone late.npy late.npy.part

# Two runs on one output.
start first --threads 1
until_rows first 5
kill -STOP $running
expect 7 "another run is writing it" "$oq" embed "$tiny" rows.csv -o first.npy
expect 7 "another run is writing it" "$oq" embed "$tiny" rows.csv -o first.npy --resume
kill -CONT $running
wait $running
same whole first

# Killed at any moment, as often as it takes: only a run that was not finished counts. Every fourth time it may end.
RANDOM=20261125
hits=0
while ((hits < kills)); do
	start killed --resume
	sleep "0.$(printf %03d $((RANDOM % 500)))"
	kill -KILL $running 2>/dev/null
	wait $running 2>/dev/null
	[ $? = 137 ] && hits=$((hits + 1))
	if [ ! -e killed.npy.part ] || ((hits % 4 == 0)); then
		expect 3 "" "$oq" embed "$tiny" rows.csv -o killed.npy --resume
		same whole killed
		gone killed.npy.part killed.npy.journal
		rm -f killed.*
	fi
done
echo "killed $hits times"

# Shards, in any order; also of ready patches.
for i in 1 2 3 4 5; do
	code=0
	[ $i = 5 ] && code=3
	expect $code "" "$oq" embed "$tiny" rows.csv -o part$i.npy --shard $i/5
done
expect 3 "2 of 404 rows failed" "$oq" merge merged.npy part3.npy part1.npy part5.npy part2.npy part4.npy
same whole merged
expect 4 "part 1 of 5, 2 parts were given" "$oq" merge x.npy part1.npy part2.npy
expect 4 "is there twice" "$oq" merge x.npy part1.npy part2.npy part3.npy part3.npy part5.npy
expect 2 "is a shard as well as the output" "$oq" merge ./part1.npy part1.npy part2.npy part3.npy part4.npy part5.npy
expect 4 "is no shard" "$oq" merge x.npy whole.npy
expect 0 "" "$oq" embed "$tiny" rows.csv -o part2.npy --shard 2/5 --resample exact
expect 4 "another \"resampling\"" "$oq" merge x.npy part1.npy part2.npy part3.npy part4.npy part5.npy
expect 0 "" "$oq" embed "$tiny" rows.csv -o part2.npy --shard 2/5 --nonfinite air
expect 4 "another \"nonfinite\"" "$oq" merge x.npy part1.npy part2.npy part3.npy part4.npy part5.npy
cp rows.csv taken.csv
expect 0 "" "$oq" embed "$tiny" rows.csv -o part2.npy --shard 2/5
expect 2 "is the manifest" "$oq" merge taken.npy part1.npy part2.npy part3.npy part4.npy part5.npy
cp part3.csv whole3.csv
for damage in '$d' '2d' 's/^/"/;2q'; do
	sed "$damage" whole3.csv >part3.csv
	expect 4 "part3.csv: has " "$oq" merge x.npy part1.npy part2.npy part3.npy part4.npy part5.npy
done
head -c -1 whole3.csv >part3.csv
expect 4 "part3.csv: has " "$oq" merge x.npy part1.npy part2.npy part3.npy part4.npy part5.npy
gone x.npy x.csv x.json taken.npy
for shard in 0/2 3/2 3/0 0/0 1 a/b 1/2x; do expect 2 "" "$oq" embed "$tiny" rows.csv -o x.npy --shard $shard; done
expect 2 "too few" "$oq" embed "$tiny" rows.csv -o x.npy --shard 1/500
expect 0 "" "$oq" patches "$tiny" rows.csv -o patches.npy --shard 1/2 --quiet
expect 0 "" "$oq" embed "$tiny" --patches patches.npy -o ready.npy
for i in 2 1 3; do expect 0 "" "$oq" embed "$tiny" --patches patches.npy -o ready$i.npy --shard $i/3; done
expect 0 "" "$oq" merge together.npy ready1.npy ready2.npy ready3.npy
same ready together
expect 0 "" "$oq" merge 'to"gether.npy' ready1.npy ready2.npy ready3.npy --json
check grep -qF '{"output": "to\"gether.npy",' out.txt
expect 3 "2 of 2 rows failed" "$oq" embed "$tiny" rows.csv -o last.npy --shard 202/202
check test -s last.npy # every row failed; the other shards may be fine

# Several packages: patches of one spacing are cut from one resampled region, to the bits of separate runs. The third seed is too far away for
# the smaller patches only, so outcomes differ between packages.
variant() { # NAME AXES SIZE SPACING
	mkdir "$1" && cp "$tiny/weights.safetensors" "$1/"
	tr -d '\n\t' <"$tiny/model.json" | sed -E "s/\"axes\": *\"SPL\"/\"axes\":\"$2\"/; s/\"size\": *\[9, *9, *9\]/\"size\":[$3]/; s/\"spacing_mm\": *\[[^]]*\]/\"spacing_mm\":[$4]/" >"$1/model.json"
	check grep -q "\"axes\":\"$2\"" "$1/model.json"
	check grep -q "\"size\":\[$3\]" "$1/model.json"
}
variant small RAS 9,9,9 1,1,1
variant large LPS 48,64,48 1,1,1
variant odd IRA 21,30,43 1,1,1
variant coarse SPL 16,24,24 1.5,0.75,0.75
variant flat SPL 9,200,200 1,1,1
{
	echo image_path,coordX,coordY,coordZ
	echo "$ct/example_ct.nii.gz,3.5,-158.2,266.9"
	echo "$ct/perm_ct.nii.gz,-10.4,-170.3,300.2"
	echo "$ct/example_ct.nii.gz,3.5,-158.2,445"
	echo "$ct/aorta_ct.nii.gz,16.25,-168.1,661.3"
	echo "$ct/example_ct.nii.gz,168.4,-160.0,420.6"
} >seeds.csv
"$oq" patches "$tiny" small large odd coarse flat seeds.csv -o many --quiet 2>err.txt
code=$?
check test $code = 3
for package in "$tiny" small large odd coarse flat; do
	name=${package##*/}
	"$oq" patches "$package" seeds.csv -o "$name.npy" --quiet 2>err.txt
	same "$name" many/$name
done
check grep -q "445,failed,E_SEED_OUTSIDE" tiny.csv
check grep -q "445,ok" large.csv
"$oq" embed "$tiny" small --patches patches.npy -o both --quiet # one network in two packages
check cmp -s both/tiny.npy both/small.npy
check cmp -s both/tiny.npy ready.npy

# Memory is predicted: fewer lanes, then a refusal with the number needed, before anything is written.
expect 3 "" "$oq" embed "$tiny" rows.csv -o limited.npy --threads 8 --max-memory 250M --json
check grep -qE '"lanes": [1-7],' out.txt
same whole limited
expect 7 "MB are needed, the limit asked for grants 50 MB" "$oq" embed "$tiny" rows.csv -o x.npy --max-memory 50M
expect 7 "MB are needed" "$oq" embed "$tiny" rows.csv -o x.npy --max-memory 0.11G
for size in lots 0 0.5; do expect 2 "expected a size" "$oq" embed "$tiny" rows.csv -o x.npy --max-memory $size; done
gone x.npy x.npy.part x.npy.journal

# Two outputs, one of them taken: nothing is left of the other.
mkdir pair
flock -x pair/small.npy.part -c "\"$oq\" embed \"$tiny\" small rows.csv -o pair" 2>err.txt
check test $? = 7
check grep -q "E_LOCKED" err.txt
gone pair/tiny.npy.part pair/tiny.npy.journal pair/tiny.npy

# Where results cannot go: said before any work.
mkdir folder.npy
expect 7 "is a folder" "$oq" embed "$tiny" rows.csv -o folder.npy
expect 7 "cannot be created" "$oq" embed "$tiny" rows.csv -o none/x.npy
expect 7 "cannot be created" "$oq" embed "$tiny" small rows.csv -o none/folder
ln -s /dev/full link.npy.part
expect 7 "cannot be created" "$oq" embed "$tiny" rows.csv -o link.npy
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
