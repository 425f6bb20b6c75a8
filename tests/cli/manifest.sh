#!/usr/bin/env bash
# Manifests as the benchmark distributes them: unnamed index column, further columns, BOM, CRLF; the patch does not depend on them.
# usage: manifest.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
failures=0 checks=0
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
# plain.csv is what the others are held against
patches() { check "$oq" patches mg.oq "$1.csv" --root "$data/ct" -o "$1_out.npy" --quiet; }

check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq --quiet
seed=example_ct.nii.gz,3.7,-158.2,266.9
printf 'image_path,coordX,coordY,coordZ\n%s\n' $seed >plain.csv
printf ',image_path,coordX,coordY,coordZ,label\r\n0,%s,"a,b"\r\n' $seed >index.csv
printf '\xef\xbb\xbf,image_path,coordX,coordY,coordZ,\r\n0,%s,\r\n' $seed >unnamed.csv
for name in plain index unnamed; do
	patches $name
	check cmp -s plain_out.npy ${name}_out.npy
done
check grep -q '^,image_path,coordX,coordY,coordZ,label,oq_status' index_out.csv
check grep -q '^0,example_ct.nii.gz,3.7,-158.2,266.9,"a,b",ok,' index_out.csv
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
