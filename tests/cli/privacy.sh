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

# Writing tools put names into every text of a NIfTI-1 header: data_type (4), db_name (14), descrip (148), aux_file (228), intent_name (328), into
# what stands behind the NUL of a short text, and into an extension (DICOM's code 2) behind the header.
gunzip -c "$data/ct/example_ct.nii.gz" >plain.nii
{
	head -c 348 plain.nii
	printf '\x01\0\0\0\x20\0\0\0\x02\0\0\0MRN12345 DOE^JANE CT    '
	tail -c +353 plain.nii
} >scan.nii
text() { printf "$2" | dd of=scan.nii bs=1 seek="$1" conv=notrunc status=none; }
text 4 'DOE^JANE'
text 14 'DOE^JANE'
text 148 'CT\0DOE^JANE 19500101'
text 228 'DOE^JANE'
text 328 'DOE^JANE'
text 108 '\0\0\xc0\x43' # vox_offset 384: the extension is 32 bytes long
check test "$(grep -ao 'DOE^JANE' scan.nii | wc -l)" = 6
printf 'image_path,coordX,coordY,coordZ\nscan.nii,3.7,-158.2,266.9\n' >one.csv
check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq >convert.log 2>&1
check "$oq" patches mg.oq one.csv -o patches.npy >patches.log 2>&1
check "$oq" inspect scan.nii --seed 3.7,-158.2,266.9 --png view.png >inspect.log 2>&1
check grep -q 'can identify the patient' inspect.log
check "$oq" inspect scan.nii --json >inspect_json.log 2>&1
check "$oq" inspect mg.oq one.csv >inspect_manifest.log 2>&1
# and a header that is refused
cp scan.nii bad.nii && text 70 '\x0f\x27' && mv scan.nii refused.nii && mv bad.nii scan.nii
"$oq" inspect refused.nii >refused.log 2>&1 && fail "an unknown datatype was read"
for file in patches.npy patches.csv patches.json patches.log inspect.log inspect_json.log inspect_manifest.log refused.log view.png; do
	check test -s "$file"
	checks=$((checks + 1))
	grep -qaE 'DOE|JANE|MRN|1950' "$file" && fail "$file holds text of the scan's header"
done
for file in patches.npy patches.csv patches.json view.png; do
	check test "$(stat -c %a "$file")" = 600
done
# A cohort names the row, whichever command reads it
printf 'image_path,coordX,coordY,coordZ\nDOE^JANE.nii,1,2,3\n' >named.csv
check "$oq" quantize mg.oq --precision bf16 -o mg16.oq --quiet
for command in "embed mg.oq named.csv -o x.npy" "inspect mg.oq named.csv" "certify mg.oq mg16.oq named.csv" "quantize mg.oq --precision int8 --calibrate named.csv -o x.oq"; do
	checks=$((checks + 1))
	# shellcheck disable=SC2086
	"$oq" $command >named.log 2>&1 && fail "$command took a scan that is not there"
	grep -q "row 0" named.log || fail "$command does not name the row: $(cat named.log)"
	grep -q DOE named.log && fail "$command names a path"
done

# Where nothing can be written nothing is left behind, and a crash leaves no core: the limit is 0 in the process itself.
mkdir sealed && "$oq" patches mg.oq one.csv -o sealed/x.npy --root /nonexistent >/dev/null 2>&1
check test -z "$(ls -A sealed)"
if [ -r /proc/self/limits ]; then
	(ulimit -c unlimited 2>/dev/null; exec "$oq" bench mg.oq --seconds 5 --threads 1 >/dev/null 2>&1) &
	child=$!
	for _ in $(seq 100); do
		limit=$(awk '/core file/ { print $5 }' /proc/$child/limits 2>/dev/null)
		[ "$limit" = 0 ] && break
		sleep 0.05
	done
	kill $child 2>/dev/null
	wait $child 2>/dev/null
	check test "$limit" = 0
fi
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
