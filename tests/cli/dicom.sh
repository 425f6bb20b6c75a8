#!/usr/bin/env bash
# DICOM series through dcm2niix: the same patch as its NIfTI, uneven and tilted series refused in dcm2niix's words, nothing left behind, no name
# of the patient anywhere. Skipped (77) where dcm2niix is not installed, but for the line that says so.
# usage: dicom.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/tmp" && cd "$work" || exit 1
export TMPDIR=$work/tmp

check() { checks=$((checks + 1)); "$@" || fail "$*"; }

expect 8 "dcm2niix is needed; it is not installed" env PATH=/nonexistent "$oq" inspect "$data/dicom/even" --dicom
if ! command -v dcm2niix >/dev/null; then
	[ $failures = 0 ] || exit 1
	echo "NOTICE: dcm2niix is not installed; series were not read"
	exit 77
fi
expect 0 "" "$oq" inspect "$data/dicom/even" --dicom
grep -q "12 x 10 x 6 voxels" out.txt && grep -q "HU  *-1000 to -399" out.txt || fail "the even series: $(cat out.txt)"
expect 4 "has slices at uneven distances, expected one even series; dcm2niix ended with 0 and said: Interslice distance varies" "$oq" inspect "$data/dicom/uneven" --dicom
expect 4 "has a tilted gantry" "$oq" inspect "$data/dicom/tilted" --dicom
mkdir none both two ./-dash
expect 4 "holds no series" "$oq" inspect none --dicom
cp "$data"/dicom/even/*.dcm both && for k in 0 1 2; do cp "$data/dicom/uneven/$k.dcm" both/u$k.dcm; done
expect 4 "holds more than one series" "$oq" inspect both --dicom
cp "$data"/dicom/even/*.dcm ./-dash
expect 0 "" "$oq" inspect --dicom -- -dash
head -c 700 "$data/dicom/even/0.dcm" >two/cut.dcm
expect 4 "[E_DICOM]" "$oq" inspect two --dicom
# What stops a run goes to its whole group: a conversion is not cut off by it.
mkdir bin && printf '#!/bin/sh\nkill -INT $$\nkill -TERM $$\nexec "%s" "$@"\n' "$(command -v dcm2niix)" >bin/dcm2niix && chmod +x bin/dcm2niix
expect 0 "" env PATH="$PWD/bin:$PATH" "$oq" inspect "$data/dicom/even" --dicom
# A cohort: seed in voxel (5,4,3) of the series, LPS -40 + 5*0.8, -30 + 4*0.9, 100 + 3*2.5
dcm2niix -f even -z n -b n -g i -x i -o . "$data/dicom/even" >/dev/null
check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq --quiet
printf 'image_path,coordX,coordY,coordZ\n%s,-36,-26.4,107.5\n%s,-36,-26.4,107.5\n' "$data/dicom/even" "$data/dicom/uneven" >series.csv
printf 'image_path,coordX,coordY,coordZ\neven.nii,-36,-26.4,107.5\n' >nifti.csv
expect 3 "1 of 2 rows failed; the first: row 1 (line 3): scan: has slices at uneven distances" "$oq" patches mg.oq series.csv -o series_out.npy --dicom
expect 0 "" "$oq" patches mg.oq nifti.csv -o nifti_out.npy
check cmp <(tail -c +129 series_out.npy | head -c 442368) <(tail -c +129 nifti_out.npy)
# raw value 24 + 100*3 + 10*4 + 5 - 1024
check grep -q ',ok,.*,-655$' series_out.csv
head -2 series.csv >one.csv
expect 4 "is a folder, expected a regular file" "$oq" patches mg.oq one.csv -o x.npy
# Killed for want of memory, the conversion ends the run; it fails no row.
printf '#!/bin/sh\nkill -KILL $$\n' >bin/dcm2niix
expect 7 "dcm2niix was killed" env PATH="$PWD/bin:$PATH" "$oq" patches mg.oq series.csv -o killed.npy --dicom
check test ! -e killed.npy
check test -z "$(grep -rl 'DOE\|MRN12345' series_out.* out.txt err.txt)"
check test -z "$(ls -A tmp)"
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
