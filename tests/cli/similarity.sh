#!/usr/bin/env bash
# Similarity and robustness as their users meet them: tables, files, failed rows, moved seeds, changed patches, refusals.
# usage: similarity.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/out" "$work/scans" "$work/int8" && cd "$work" || exit 1

differ() {
	checks=$((checks + 1))
	cmp -s "$1" "$2" && fail "$1 and $2 are the same"
}

# Every pair; the figures themselves are tested in tests/eval.
e=$data/eval
cp "$e/A_m2_int8.npy" int8/A_m2.npy
expect 0 "" "$oq" similarity "$e/A_m1.npy" "$e/A_m2.npy" int8/A_m2.npy -o out
says out.txt "420 rows"
says out/debiased_cka.csv "name,A_m1,eval/A_m2,int8/A_m2"
says out/debiased_cka.csv "A_m1,1,0.844806020258"
says out/mutual_knn10.svg "<svg"
says out/similarity.json '"rsa_rows":	420'
expect 0 "" "$oq" similarity "$e/A_m1.npy" "$e/A_m2.npy" int8/A_m2.npy --json --threads 1
cp out.txt one.json
expect 0 "" "$oq" similarity "$e/A_m1.npy" "$e/A_m2.npy" int8/A_m2.npy --json --threads 3
same one.json out.txt
expect 2 "two or more" "$oq" similarity "$e/A_m1.npy"

# Moved seeds.
cp "$data/ct/aorta_ct.nii.gz" scans/
{
	echo image_path,note,coordX,coordY,coordZ
	for z in 600 612 624 636; do echo "aorta_ct.nii.gz,\"a, b\",16.25,-168.1,$z"; done
} >scans/seeds.csv
expect 0 "" "$oq" robustness jitter scans/seeds.csv --jitter 3 --draws 2 --seed 1 -o jittered.csv
expect 0 "" "$oq" robustness jitter scans/seeds.csv --jitter 3 --draws 2 --seed 1 -o again.csv
same jittered.csv again.csv
expect 0 "" "$oq" robustness jitter scans/seeds.csv --jitter 3 --draws 2 --seed 2 -o other.csv
differ jittered.csv other.csv
says jittered.csv 'image_path,note,coordX,coordY,coordZ,oq_row,oq_draw,oq_shift_mm'
says jittered.csv '"a, b"'
checks=$((checks + 1))
awk -F, 'NR > 1 && ($NF <= 0 || $NF > 3) { bad = 1 } END { exit bad || NR != 9 }' jittered.csv || fail "jittered.csv: expected 8 rows moved by up to 3 mm"
expect 2 "expected the original manifest" "$oq" robustness jitter jittered.csv --jitter 3 -o x.csv
expect 2 "are needed" "$oq" robustness jitter scans/seeds.csv -o x.csv
expect 2 "E_OUTPUT" "$oq" robustness jitter scans/seeds.csv --jitter 3 -o scans/seeds.csv

# Embeddings of the moved seeds are a retest.
expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o model.oq
expect 0 "" "$oq" embed model.oq scans/seeds.csv -o still.npy
expect 0 "" "$oq" embed model.oq jittered.csv -o moved.npy
expect 0 "" "$oq" robustness --test still.npy --retest moved.npy --csv dimensions.csv
says out.txt "4 rows, 2 retests"
says out.txt "ICC(2,1)"
says dimensions.csv "dimension,icc_2_1,icc_3_1,ccc,bias"
expect 4 "E_SHAPE" "$oq" robustness --test moved.npy --retest still.npy
expect 2 "are needed" "$oq" robustness --test still.npy
expect 4 "expected the same patches" "$oq" similarity still.npy moved.npy
# A row that failed is left out everywhere: a seed far outside.
sed 's/,636$/,99999/' scans/seeds.csv >scans/outside.csv
expect 3 "" "$oq" embed model.oq scans/outside.csv -o outside.npy
expect 0 "" "$oq" robustness --test outside.npy --retest still.npy
says out.txt "1 failed row left out"
expect 0 "" "$oq" robustness --test still.npy --retest still.npy --json
says out.txt '"rows_left_out":	0'

# Changed patches: the same again for the same seed, and embeddable.
expect 0 "" "$oq" patches model.oq scans/seeds.csv -o patches.npy
for change in "--noise 20" "--offset 10" "--blur 0.8" "--resample 2" "--control shuffled --radius 8" "--control sampled --radius 8 --outside"; do
	# shellcheck disable=SC2086
	expect 0 "" "$oq" robustness perturb patches.npy $change -o changed.npy
	differ patches.npy changed.npy
	# shellcheck disable=SC2086
	expect 0 "" "$oq" robustness perturb patches.npy $change -o again.npy
	same changed.npy again.npy
done
says changed.json '"control":	"sampled"'
expect 0 "" "$oq" embed model.oq --patches changed.npy -o changed_embeddings.npy
cp patches.npy alone.npy
expect 4 "expected the record" "$oq" robustness perturb alone.npy --noise 20 -o x.npy
expect 0 "" "$oq" robustness perturb alone.npy --noise 0.01 --patch-units -o x.npy
rm x.npy x.json
expect 2 "at least one change" "$oq" robustness perturb patches.npy -o x.npy
expect 2 "a mask or a radius" "$oq" robustness perturb patches.npy --control shuffled -o x.npy
expect 4 "E_SHAPE" "$oq" robustness perturb still.npy --noise 1 -o x.npy
expect 4 "one of a patch's size" "$oq" robustness perturb patches.npy --control shuffled --mask "$data/patches/A_SPL_48__p0_interior.npy" -o x.npy
expect 2 "E_OUTPUT" "$oq" robustness perturb patches.npy --noise 1 -o patches.npy
[ ! -e x.npy ] || fail "a refused change left x.npy"

echo "$checks checks, $failures failures"
[ $failures = 0 ]
