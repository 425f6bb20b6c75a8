#!/usr/bin/env bash
# Low precision as its users meet it: quantise, compare, embed; what is refused, and that bits depend on nothing but the patch.
# usage: quantize.sh ONCOQUANT TEST_DATA WORK PLAIN      PLAIN=1: run a network on plain C as well (minutes under sanitizers)
set -u
oq=$1 data=$2 work=$3 plain=$4
# shellcheck source=tests/cli/precision.sh
source "$(dirname "${BASH_SOURCE[0]}")/precision.sh"
kilobytes() { du -sk "$1" | cut -f1; }
expect 0 "" "$oq" embed f32.oq test.csv -o f32.npy
expect 0 "" "$oq" patches f32.oq test.csv -o test_patches.npy

# 16 bits: half the size, and close.
for precision in bf16 f16; do
	expect 0 "" "$oq" quantize f32.oq --precision $precision -o $precision.oq
	checks=$((checks + 1))
	[ $(($(kilobytes $precision.oq) * 100)) -le $(($(kilobytes f32.oq) * 52)) ] || fail "$precision.oq is more than 0.52 of f32.oq"
	expect 6 "is quantised, and has no readable evidence" "$oq" embed $precision.oq test.csv -o refused.npy
	expect 0 "" "$oq" embed $precision.oq test.csv -o $precision.npy --allow-uncertified
	says $precision.json "\"precision_asked\":	\"$precision\""
	"$oq" compare f32.npy $precision.npy --json >compare.json 2>err.txt
	says compare.json '"verdict"'
	expect 2 "needs the package it was made from" "$oq" embed $precision.oq test.csv -o refused.npy --precision f32 --allow-uncertified
done
expect 8 "asked for strictly" "$oq" embed f32.oq test.csv -o refused.npy --precision f16 --strict-precision
expect 2 "int8 needs one made by" "$oq" embed f32.oq test.csv -o refused.npy --precision int8

# Weights as they are computed with (Winograd) are larger than those in the file: refused while they are made, with what they need.
expect 7 "MB as they are computed with, 30 MB are granted" "$oq" embed f32.oq test.csv -o refused.npy --max-memory 130M
expect 7 "MB are needed, the limit asked for grants 120 MB" "$oq" embed f32.oq test.csv -o refused.npy --max-memory 120M

# Two runs on one output.
flock -x locked.oq.lock -c "\"$oq\" quantize f32.oq --precision bf16 -o locked.oq/" 2>err.txt
[ $? = 7 ] && grep -q "locked.oq/: another run is writing it" err.txt && [ ! -e locked.oq ] || fail "two runs may write one package: $(cat err.txt)"
checks=$((checks + 1))
[ ! -e bf16.oq.lock ] || fail "a lock was left"

expect 0 "" "$oq" quantize f32.oq --calibrate calibration.csv -o int8.oq
[ ! -e int8.oq.calibration.npy ] || fail "the calibration patches were left behind"
checks=$((checks + 1))
[ $(($(kilobytes int8.oq) * 100)) -le $(($(kilobytes f32.oq) * 27)) ] || fail "int8.oq is more than 0.27 of f32.oq"
# The same input gives the same bytes, through patches, with any number of threads.
expect 0 "" "$oq" quantize f32.oq --calibrate-patches calibration_patches.npy --threads 1 -o again.oq
same int8.oq/weights.safetensors again.oq/weights.safetensors
same int8.oq/model.json again.oq/model.json
expect 0 "" "$oq" embed int8.oq test.csv -o int8.npy --allow-uncertified --threads 1
for threads in 2 3 7; do
	expect 0 "" "$oq" embed int8.oq --patches test_patches.npy -o t$threads.npy --allow-uncertified --threads $threads
	same int8.npy t$threads.npy
done
says int8.json '"precision_used":	"int8"'
# 8-bit weights without an 8-bit dot product (VNNI): the same integers another way, and so, without bfloat16, the same embedding.
for isa in AVX512_CORE_VNNI AVX512_CORE AVX2; do
	expect 0 "" env ONEDNN_MAX_CPU_ISA=$isa "$oq" embed int8.oq --patches test_patches.npy -o $isa.npy --allow-uncertified
	same AVX512_CORE_VNNI.npy $isa.npy
done
says AVX2.json '"precision_used":	"int8"'
expect 0 "" env ONEDNN_MAX_CPU_ISA=AVX2 "$oq" bench int8.oq --threads 1 --seconds 0.1 --profile --strict-precision
says out.txt "winograd-i16-f3:avx2"
expect 0 "" env ONEDNN_MAX_CPU_ISA=AVX2 "$oq" embed int8.oq --patches test_patches.npy -o direct.npy --allow-uncertified --conv direct
same AVX2.npy direct.npy
if [ "$plain" = 1 ]; then
	expect 0 "" env ONEDNN_MAX_CPU_ISA=SSE41 "$oq" bench int8.oq --threads 1 --seconds 0.1 --profile --conv direct
	says out.txt "taps-"
	says out.txt ":plain"
fi
expect 2 "is a package for int8" "$oq" embed int8.oq test.csv -o refused.npy --precision f32 --allow-uncertified
"$oq" compare f32.npy int8.npy --json >compare.json 2>err.txt
checks=$((checks + 1))
python3 - <<'PYTHON' 2>/dev/null || { [ $? = 1 ] && fail "int8 is further from f32 than 8 bits explain"; }
import json, sys
try:
    found = json.load(open("compare.json"))["patches"]["relative_error_max"]
except ImportError:
    sys.exit(2)
sys.exit(0 if 0 < found < 0.1 else 1)
PYTHON
expect 4 "E_OPEN" "$oq" quantize f32.oq --calibrate-patches none.npy -o x.oq
expect 2 "either --calibrate or" "$oq" quantize f32.oq -o x.oq
expect 2 "needs the package it was made from" "$oq" quantize int8.oq --calibrate calibration.csv -o x.oq --precision bf16
[ ! -e x.oq ] || fail "a refused quantisation left x.oq"

# bfloat16 with the calibration patches in view.
expect 0 "" "$oq" quantize f32.oq --precision bf16 --calibrate-patches calibration_patches.npy -o bf16_calibrated.oq
checks=$((checks + 1))
[ $(($(kilobytes bf16_calibrated.oq) * 100)) -le $(($(kilobytes f32.oq) * 52)) ] || fail "bf16_calibrated.oq is more than 0.52 of f32.oq"
expect 0 "" "$oq" embed bf16_calibrated.oq test.csv -o bf16_calibrated.npy --allow-uncertified
expect 2 "neither for f16" "$oq" quantize f32.oq --precision f16 --calibrate-patches calibration_patches.npy -o x.oq
# The profile says what each step is, and what part of the processor's peak it reaches.
expect 0 "" "$oq" bench int8.oq --threads 1 --seconds 0.1 --profile
says out.txt "measured peak"
says out.txt "int8 "
says out.txt "total"

# Ranges that are none (row W13 of the list of bad inputs): refused, with the value's name.
mkdir ranges.oq && cp int8.oq/weights.safetensors ranges.oq/
for range in 0,128 -0.1,128 1e39,0 0.1,300 0.1,-1 0.1,1.5 0.1 '"x",0'; do
	tr -d '\n\t' <int8.oq/model.json | sed -E "s/(\"values\": *\{ *\"[^\"]*\": *\[)[^]]*\]/\1$range]/" >ranges.oq/model.json
	grep -qF "[$range]" ranges.oq/model.json || fail "no range was changed to $range"
	expect 5 "expected a value of the graph with [scale above 0, zero of 0 to 255]" "$oq" embed ranges.oq test.csv -o refused.npy --allow-uncertified
done

# Similarity between models of different sizes.
expect 0 "" "$oq" embed f32.oq --patches calibration_patches.npy -o calibration_embeddings.npy
mkdir similar
expect 0 "" "$oq" convert --model suprem --synthetic 1 -o su.oq
expect 0 "" "$oq" embed su.oq test.csv -o su.npy
expect 0 "" "$oq" similarity f32.npy int8.npy su.npy -o similar
for file in similarity.json debiased_cka.csv debiased_cka.svg; do [ -s similar/$file ] || fail "similarity wrote no $file"; done
says similar/linear_cka.csv "name,f32,int8,su"
expect 4 "expected the same patches" "$oq" similarity f32.npy calibration_embeddings.npy
echo "$checks checks, $failures failures"
[ $failures = 0 ]
