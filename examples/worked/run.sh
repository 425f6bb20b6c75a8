#!/usr/bin/env bash
# A whole study without private data, on the real network `astra` and the CT scans of this repository: low precision, certification, moved seeds and
# noise, endpoints, similarity, saliency, speed, and one report of all of it in out/worked/report.html. Some 340 seconds of processor time.
# There are no private labels here, so the endpoints are sanity checks that exist in the data: whether a point is on the left or the right, in front or
# at the back. They show that the pipeline works, not that a network is good for anything. All test seeds come from one scan; slabs
# of it stand in for patients, so that neighbouring patches seldom lie on both sides of a split.
# Usage: examples/worked/run.sh [--quick] [-D... for CMake]    --quick: 40 test points and one map, for a try; the gate then says UNDERPOWERED
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"
cd "$OQ_ROOT"

rows=208 maps='lumbar|heart|cava'
if [ "${1:-}" = --quick ]; then
	rows=40 maps=heart
	shift
fi
out=out/worked
oncoquant=build/oncoquant
calibration=bench/data/calibration.csv
test=$out/test.csv
oq() { "$oncoquant" "$@" --quiet; }

# Labels of the test seeds: left or right and front or back of their mean, and the slab that stands for a patient (20 mm thick).
labels() {
	awk -F, 'NR == FNR { if (FNR > 1) { x += $2; y += $3; n++ } next }
		FNR == 1 { print "side,depth,slab"; next }
		{ printf "%s,%s,%d\n", ($2 > x / n ? "left" : "right"), ($3 > y / n ? "back" : "front"), int($4 / 20) }' "$1" "$1"
}

scripts/setup.sh "$@"
scripts/build.sh "$@"
scripts/fetch_astra.sh
rm -rf $out
mkdir -p $out/packages $out/embeddings $out/results
head -n $((rows + 1)) bench/data/test.csv | sed "s|\.\./\.\.|$OQ_ROOT|" >$test

say "One network in four precisions, int8 calibrated on another patient's patches"
oq convert --model astra --checkpoint .deps/astra/astra_encoder.pt -o $out/packages/astra.oq
oq quantize $out/packages/astra.oq --precision int8 --calibrate $calibration -o $out/packages/astra-int8.oq
for p in bf16 f16; do
	oq quantize $out/packages/astra.oq --precision $p -o $out/packages/astra-$p.oq
done

say "Certification of int8: test patches, moved seeds, phantoms"
verdict=0
oq certify $out/packages/astra.oq $out/packages/astra-int8.oq $test --draws 1 || verdict=$?
[ $verdict -eq 0 ] || [ $verdict -eq 6 ] || exit $verdict
note "$(grep -o '"verdict":.*' $out/packages/astra-int8.oq/evidence.json)"
[ $verdict -eq 0 ] || note "the gate refuses it: a finding that goes into the report, not the end of the run"

say "Embeddings of $rows points, of the same points moved by up to 3 mm, and with 20 HU of noise"
oq robustness jitter $test --jitter 3 --draws 1 --seed 1 -o $out/jittered.csv
oq patches $out/packages/astra.oq $test -o $out/patches.npy
oq robustness perturb $out/patches.npy --noise 20 -o $out/noisy.npy
for p in "" -bf16 -f16 -int8; do
	oq embed $out/packages/astra$p.oq $test --allow-uncertified -o $out/embeddings/astra$p.npy
done
for p in "" -int8; do
	oq embed $out/packages/astra$p.oq $out/jittered.csv --allow-uncertified -o $out/embeddings/astra$p-moved.npy
done
oq embed $out/packages/astra.oq --patches $out/noisy.npy -o $out/embeddings/astra-noisy.npy
rm $out/patches.npy $out/noisy.npy

say "Fidelity of bf16 and f16 (a FAIL is a finding, too), robustness, similarity, endpoints"
e=$out/embeddings
for p in bf16 f16; do
	"$oncoquant" compare $e/astra.npy $e/astra-$p.npy --jitter $e/astra-moved.npy --strict --json >$out/results/astra-$p.json || [ $? -eq 6 ]
done
"$oncoquant" robustness --test $e/astra.npy --retest $e/astra-moved.npy --json >"$out/results/f32, seeds moved by up to 3 mm.json"
"$oncoquant" robustness --test $e/astra-int8.npy --retest $e/astra-int8-moved.npy --json >"$out/results/int8, seeds moved by up to 3 mm.json"
"$oncoquant" robustness --test $e/astra.npy --retest $e/astra-noisy.npy --json >"$out/results/f32, noise of 20 HU.json"
"$oncoquant" robustness --test $e/astra.npy --retest $e/astra-int8.npy --json >"$out/results/f32 against int8.json"
mkdir $out/results/similarity
oq similarity $e/astra.npy $e/astra-bf16.npy $e/astra-f16.npy $e/astra-int8.npy $e/astra-moved.npy $e/astra-noisy.npy -o $out/results/similarity
labels $test >$out/labels.csv
for label in side depth; do
	"$oncoquant" evaluate knn $e/astra.npy $e/astra-bf16.npy $e/astra-f16.npy $e/astra-int8.npy --labels $out/labels.csv --label $label --patient slab --json \
		>$out/results/$label.json
done

say "Saliency, float32 beside int8"
head -n 1 examples/data/scans.csv >$out/points.csv
grep -E "$maps" examples/data/scans.csv | sed "s|\.\./\.\.|$OQ_ROOT|" >>$out/points.csv
oq saliency $out/packages/astra.oq $out/points.csv --compare $out/packages/astra-int8.oq --allow-uncertified -o $out/results/saliency

say "Speed and, where the processor counts it, energy"
"$oncoquant" bench $out/packages/astra.oq $out/packages/astra-{bf16,f16,int8}.oq --seconds 3 --energy --json >$out/results/bench.json

say "Report"
$oncoquant report $out/results $out/packages/astra-int8.oq/evidence.json --title "astra in four precisions on public CT" -o $out/report.html
note "open $out/report.html in a browser; it needs nothing else"
