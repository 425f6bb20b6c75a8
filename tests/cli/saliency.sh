#!/usr/bin/env bash
# Saliency as its users meet it: one scan, a manifest with failed rows and masks, ready patches, two precisions, refusals.
# usage: saliency.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/scans" && cd "$work" || exit 1
there() {
	checks=$((checks + 1))
	[ -s "$1" ] || fail "$1 is not there"
}

tiny=$data/tools/tiny scan=$data/ct/aorta_ct.nii.gz
# One scan: every file, the scan's own geometry, the same bits again with other threads.
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --box 4 -o one
says out.txt "peak"
for f in maps.npy saliency.json saliency.csv 0000.nii.gz 0000.png; do there one/$f; done
says one/saliency.json '"format":	"oncoquant-saliency"'
says one/saliency.json '"region":	"box"'
"$oq" inspect "$scan" | sed -n 2,3p >want.txt
"$oq" inspect one/0000.nii.gz | sed -n 2,3p >got.txt
same want.txt got.txt
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --box 4 --threads 1 -o again
for f in maps.npy saliency.csv 0000.nii.gz 0000.png; do same one/$f again/$f; done
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --variant mean-of-cosines --quiet -o other
checks=$((checks + 1))
cmp -s one/maps.npy other/maps.npy && fail "both variants have the same map"
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --conv direct --quiet -o direct
says direct/saliency.json '"asked":	"direct"'
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --no-reuse --quiet -o whole
same one/maps.npy whole/maps.npy
says whole/saliency.json '"why":	"it was not asked for"'
says one/saliency.json '"used":	true'
expect 2 "--conv" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --conv fast -o x
# The map is a mask of its own patch: everything lies inside.
expect 0 "" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --mask one/0000.nii.gz --compare "$tiny" --json -o masked
says masked/saliency.json '"region":	"mask"'
says masked/saliency.json '"spearman":	1'
says masked/saliency.json '"peak_distance_voxels":	0'
says out.txt '"format":	"oncoquant-saliency"'
expect 4 "E_MASK" "$oq" saliency "$tiny" "$scan" --seed -20,-168.1,661.3 --window 4 --mask one/0000.nii.gz -o x

# A manifest: columns come back, a failed row fails alone.
cp "$scan" scans/
printf '%s\n' image_path,note,coordX,coordY,coordZ,mask_path 'aorta_ct.nii.gz,"a, b",16.25,-168.1,661.3,../one/0000.nii.gz' \
	aorta_ct.nii.gz,far,16.25,-168.1,99999, aorta_ct.nii.gz,box,10,-160,650, >scans/seeds.csv
expect 3 "1 of 3 rows failed" "$oq" saliency "$tiny" scans/seeds.csv --window 4 -o many
says many/saliency.csv '0,aorta_ct.nii.gz,"a, b",16.25,-168.1,661.3,../one/0000.nii.gz,ok,,,,mask,'
says many/saliency.csv 'failed,E_SEED_OUTSIDE'
says many/saliency.json '"code":	"E_SEED_OUTSIDE"'
there many/0002.png
[ ! -e many/0001.png ] || fail "a failed row left a picture"
expect 4 "E_SEED_OUTSIDE" "$oq" saliency "$tiny" "$scan" --seed 0,0,99999 --window 4 -o x
[ ! -e x/maps.npy ] || fail "a failed run left maps"

# Ready patches, with and without masks.
expect 0 "" "$oq" saliency "$tiny" --patches "$data/tools/patches.npy" --window 4 --mask "$data/tools/patches.npy" -o ready
says ready/saliency.csv "1,ok,,,,mask,"
[ ! -e ready/0000.png ] || fail "patches have no scan to draw"
expect 7 "cannot be created" "$oq" saliency "$tiny" --patches "$data/tools/patches.npy" -o none/x
expect 4 "E_SHAPE" "$oq" saliency "$tiny" --patches "$data/patches/A_SPL_48__p0_interior.npy" --window 4 -o x
expect 4 "at least the window's 12" "$oq" saliency "$tiny" --patches "$data/tools/patches.npy" -o x
expect 2 "needed" "$oq" saliency "$tiny" "$scan" -o x --patches "$data/tools/patches.npy"
expect 2 "--seed is" "$oq" saliency "$tiny" "$scan" --seed 1,2 -o x
expect 2 "mask_path" "$oq" saliency "$tiny" scans/seeds.csv --mask one/0000.nii.gz -o x
expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o genesis.oq
expect 2 "another kind of patch" "$oq" saliency "$tiny" "$scan" --seed 16.25,-168.1,661.3 --window 4 --compare genesis.oq -o x

echo "$checks checks, $failures failures"
[ $failures = 0 ]
