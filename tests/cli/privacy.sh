#!/usr/bin/env bash
# What must not leave the machine or the file: no network code, no header text in any output, results private to the user.
# usage: privacy.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
failures=0 checks=0
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }

# A sanitizer brings its own network functions; there the list says nothing about ours.
nm -D "$oq" >symbols.txt || fail "nm cannot read $oq"
if ! grep -q "__[a-z]*san_init" symbols.txt; then
	network=$(grep -E ' U (socket|socketpair|connect|bind|listen|accept4?|send(to|msg)?|recv(from|msg)?|getaddrinfo|gethostby[a-z_]*)(@|$)' symbols.txt)
	check test -z "$network"
fi

# The description of a NIfTI-1 header is 80 bytes at 148; writing tools put names there.
gunzip -c "$data/ct/example_ct.nii.gz" >scan.nii
printf 'DOE^JANE 19500101' | dd of=scan.nii bs=1 seek=148 conv=notrunc status=none
check grep -qa 'DOE^JANE' scan.nii
printf 'image_path,coordX,coordY,coordZ\nscan.nii,3.7,-158.2,266.9\n' >one.csv
check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq >convert.log 2>&1
check "$oq" patches mg.oq one.csv -o patches.npy >patches.log 2>&1
check "$oq" inspect scan.nii --json >inspect.log 2>&1
for file in patches.npy patches.csv patches.json patches.log inspect.log; do
	check test -s "$file"
	checks=$((checks + 1))
	grep -qa 'DOE^JANE' "$file" && fail "$file holds text of the scan's header"
done
for file in patches.npy patches.csv patches.json; do
	check test "$(stat -c %a "$file")" = 600
done
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
