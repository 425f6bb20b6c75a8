#!/usr/bin/env bash
# The search for a mixed plan: what it says, and that an interruption loses nothing.
# usage: search.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/precision.sh
source "$(dirname "${BASH_SOURCE[0]}")/precision.sh"

# A mixed plan: interrupted, it goes on from what it had measured, and ends with the bytes of an undisturbed run.
search() { "$oq" quantize f32.oq --calibrate-patches calibration_patches.npy --precision auto --target speed --threads 1 -o "$1"; }
expect 0 "" search whole.oq
says out.txt "plans that are better than every faster one"
says out.txt "layers whose 8 bits cost most"
says whole.oq/model.json '"squared_error_alone"'
[ ! -e whole.oq.state ] || fail "a finished search left its state behind"
search broken.oq >out.txt 2>err.txt &
searching=$!
while kill -0 $searching 2>/dev/null; do # as slow as the machine may be
	[ -e broken.oq.state ] && [ "$(wc -l <broken.oq.state)" -ge 4 ] && break
	sleep 0.05
done
pid=$(pgrep -P $searching oncoquant || echo $searching)
kill -INT "$pid"
wait $searching
checks=$((checks + 1))
[ ! -e broken.oq ] && [ -s broken.oq.state ] || fail "an interrupted search left a package, or no state: $(cat err.txt)"
before=$(wc -l <broken.oq.state)
printf '3ff0000000' >>broken.oq.state # a torn last line
expect 0 "" search broken.oq
same whole.oq/weights.safetensors broken.oq/weights.safetensors
same whole.oq/model.json broken.oq/model.json
[ "$before" -ge 4 ] && [ ! -e broken.oq.state ] || fail "the state was not used ($before lines) or not removed"
echo "$checks checks, $failures failures"
[ $failures = 0 ]
