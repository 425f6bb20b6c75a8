#!/usr/bin/env bash
# Low precision as its users meet it: quantise, compare, certify, embed; what is refused, and that bits depend on nothing but the patch.
# usage: quantize.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
kilobytes() { du -sk "$1" | cut -f1; }

ct=$data/ct
{
	echo image_path,coordX,coordY,coordZ
	for z in 230 250 270 290; do echo "$ct/example_ct.nii.gz,3.7,-158.2,$z"; done
} >calibration.csv
{
	echo image_path,patient,coordX,coordY,coordZ
	for z in 600 612 624 636 648 660; do echo "$ct/aorta_ct.nii.gz,p$z,16.25,-168.1,$z"; done
} >test.csv
expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o f32.oq
expect 0 "" "$oq" embed f32.oq test.csv -o f32.npy
expect 0 "" "$oq" patches f32.oq calibration.csv -o calibration_patches.npy
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
expect 0 "" env ONEDNN_MAX_CPU_ISA=SSE41 "$oq" bench int8.oq --threads 1 --seconds 0.1 --profile --conv direct
says out.txt "taps-"
says out.txt ":plain"
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

# A mixed plan: interrupted, it goes on from what it had measured, and ends with the bytes of an undisturbed run.
search() { "$oq" quantize f32.oq --calibrate-patches calibration_patches.npy --precision auto --target speed --threads 1 -o "$1"; }
expect 0 "" search whole.oq
says out.txt "plans that are better than every faster one"
says out.txt "layers whose 8 bits cost most"
says whole.oq/model.json '"squared_error_alone"'
[ ! -e whole.oq.state ] || fail "a finished search left its state behind"
search broken.oq >out.txt 2>err.txt &
searching=$!
for _ in $(seq 600); do
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

# Evidence: refused on calibration data and on another package; with few patches nobody can tell; with other limits it passes.
expect 4 "used for calibration" "$oq" certify f32.oq int8.oq calibration.csv
expect 0 "" "$oq" convert --model models-genesis --synthetic 2 -o other.oq
expect 2 "was not made from" "$oq" certify other.oq int8.oq test.csv
"$oq" certify f32.oq int8.oq test.csv --search 4 >out.txt 2>err.txt
for word in '"cpu_class"' '"schema":	2' '"shortages"' '"hu_mean"' '"jitter_norm"' '"search"' '"offset_hu"' '"ramp"' '"int16 extremes"' '"refuses_nonfinite":	true' \
	'"icc_drop_max"' '"arithmetic"' '"plan_sha256"' '"saturation"' '"weights_outermost"'; do
	says int8.oq/evidence.json "$word"
done
for word in 'Patches by error' 'Error against the yardstick' 'Nearest neighbours kept' 'Response to a growing contrast' 'The worst patches' 'Search for the worst' 'Codes clipped'; do
	says int8.oq/evidence.html "$word"
done
says int8.oq/evidence.html '<!doctype html>'
expect 6 "does not say PASS" "$oq" embed int8.oq test.csv -o refused.npy
cat >gate.json <<EOF
{"patches": 1, "centred_cosine_min": -1, "centred_cosine_p1": -1, "centred_cosine_median": -1, "noise_ratio": 1e9, "bias_max": 1e9,
 "ccc_median": -1, "ccc_min": -1, "slope": 1e9, "recall10": 0, "recall10_p5": 0, "dimension_share": 1, "icc_drop_median": 9, "icc_drop_max": 9}
EOF
"$oq" certify f32.oq int8.oq test.csv --gate gate.json >out.txt 2>err.txt
if grep -q '"verdict":	"PASS"' int8.oq/evidence.json; then
	expect 0 "" "$oq" embed int8.oq test.csv -o int8_certified.npy
	same int8_certified.npy int8.npy
else
	says int8.oq/evidence.json F7_ # phantoms have no limits of the user's
fi
# It speaks of the arithmetic it was made with, endpoints included; the certificate below is one for bfloat16 with its verdict changed by hand.
printf 'y\n0\n1\n0\n1\n0\n1\n' >few.csv
expect 4 "expected at least 5 to train probes on" "$oq" certify f32.oq bf16.oq test.csv --labels few.csv
{
	echo image_path,coordX,coordY,coordZ,y,patient
	for i in 0 1 2 3 4 5 6 7 8 9; do echo "$ct/aorta_ct.nii.gz,16.25,-168.1,$((600 + 8 * i)),$((i % 2)),p$i"; done
} >labelled.csv
"$oq" certify f32.oq bf16.oq labelled.csv --labels labelled.csv --draws 1 >out.txt 2>err.txt
says bf16.oq/evidence.json '"endpoints"'
says bf16.oq/evidence.json '"p_noninferiority"'
says bf16.oq/evidence.html 'Endpoints'
sed -i 's/"verdict":\t"[^"]*"/"verdict":\t"PASS"/' bf16.oq/evidence.json
expect 0 "" "$oq" embed bf16.oq test.csv -o certified.npy
expect 6 "computed by other methods (--conv auto then, direct now" "$oq" embed bf16.oq test.csv -o refused.npy --conv direct
expect 0 "" "$oq" embed bf16.oq test.csv -o direct.npy --conv direct --allow-uncertified
expect 6 "another class of processor" env ONEDNN_MAX_CPU_ISA=SSE41 "$oq" embed bf16.oq test.csv -o refused.npy
sed -i '/"arithmetic"/,/}/s/"tool_version":\t"[^"]*"/"tool_version":\t"0.0.1"/' bf16.oq/evidence.json
expect 6 "another version of OncoQuant (0.0.1" "$oq" embed bf16.oq test.csv -o refused.npy
sed -i 's/"arithmetic"/"arithmetics"/' bf16.oq/evidence.json
expect 6 "does not say how it was computed" "$oq" embed bf16.oq test.csv -o refused.npy
echo '{"centred": 1}' >bad_gate.json
expect 2 "is no limit of the gate" "$oq" compare f32.npy int8.npy --gate bad_gate.json
printf '{' >broken_gate.json
expect 2 "broken_gate.json" "$oq" compare f32.npy int8.npy --gate broken_gate.json
expect 4 "E_SHAPE" "$oq" compare f32.npy test_patches.npy

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
