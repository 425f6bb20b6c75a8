#!/usr/bin/env bash
# Evidence: when it is refused, what it says, and when embed takes it.
# usage: certify.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/precision.sh
source "$(dirname "${BASH_SOURCE[0]}")/precision.sh"

expect 0 "" "$oq" quantize f32.oq --calibrate-patches calibration_patches.npy -o int8.oq
expect 0 "" "$oq" quantize f32.oq --precision bf16 -o bf16.oq
expect 0 "" "$oq" patches f32.oq test.csv -o test_patches.npy
expect 0 "" "$oq" embed f32.oq --patches test_patches.npy -o f32.npy
expect 0 "" "$oq" embed int8.oq --patches test_patches.npy -o int8.npy --allow-uncertified

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
echo "$checks checks, $failures failures"
[ $failures = 0 ]
