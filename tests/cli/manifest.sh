#!/usr/bin/env bash
# Manifests: as the benchmark distributes them (unnamed index column, further columns, BOM, CRLF), as JSON lines, with masks and boxes instead
# of seeds; and every row of the section on manifests in the project's list of bad inputs: a bad row fails alone, in one line, the others go on.
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

# expect CODE WORD COMMAND...: exit code, and a word on the one line of stderr ("" = nothing)
expect() {
	local code=$1 word=$2 got
	shift 2
	checks=$((checks + 1))
	timeout 60 "$@" >out.txt 2>err.txt
	got=$?
	[ "$got" = "$code" ] || fail "$* ended with $got, expected $code: $(cat err.txt)"
	if [ -n "$word" ]; then
		[ "$(wc -l <err.txt)" = 1 ] && grep -qF -- "$word" err.txt || fail "$*: expected one line with '$word', got: $(cat err.txt)"
	fi
}
# row FILE COLUMN-TEXT: some line of the file holds it
row() { checks=$((checks + 1)); grep -qF -- "$2" "$1" || fail "$1 has no '$2'"; }
# one ROW...: a manifest of these rows; the plain seed is the last of them, so that no run fails as a whole
manifest() { printf 'image_path,coordX,coordY,coordZ\n'; printf '%s\n' "$@" "$ct/$seed"; }
ct=$data/ct
# The plain row of a run of two rows is what it is alone.
good_row() { checks=$((checks + 1)); tail -c 442368 "$1" | cmp -s - plain.raw || fail "$1: the good row is not what it is alone"; }
tail -c 442368 plain_out.npy >plain.raw

# M1, M2
: >empty.csv
expect 4 "is empty" "$oq" patches mg.oq empty.csv -o x.npy
head -1 plain.csv >header.csv
expect 4 "has 0 rows" "$oq" patches mg.oq header.csv -o x.npy
check test ! -e x.npy
printf 'image_path,coordX,coordX,coordY,coordZ\na,1,1,2,3\n' >twice.csv
expect 2 'two columns "coordX"' "$oq" patches mg.oq twice.csv -o x.npy
# M4: a newline in a quoted field
{ head -1 index.csv; printf '0,%s,"two\nlines"\r\n' $seed; } >newline.csv
patches newline
check cmp -s plain_out.npy newline_out.npy
# M5, M6
for bad in '"12,5"' '' NaN inf 1e400 0x10; do
	manifest "$ct/example_ct.nii.gz,$bad,1,2" >bad.csv
	expect 3 "1 of 2 rows failed; the first: row 0 (line 2): " "$oq" patches mg.oq bad.csv -o bad_out.npy
	row bad_out.csv ",failed,E_COORD,"
	good_row bad_out.npy
done
# M7: numbers in a locale with a decimal comma
LC_ALL=de_DE.UTF-8 expect 0 "" "$oq" patches mg.oq plain.csv --root "$ct" -o locale_out.npy
check cmp -s plain_out.npy locale_out.npy
check cmp -s plain_out.csv locale_out.csv
# M8, M9: outside by a metre; as RAS and as voxels it would be inside, which is said and never done
for case in "1000,-158.2,266.9@outside the scan, too far for a patch" "-3.7,158.2,266.9@inside if the coordinates were RAS" \
	"50,60,70@inside if the coordinates were voxel indices"; do
	manifest "$ct/example_ct.nii.gz,${case%@*}" >outside.csv
	expect 3 "${case#*@}" "$oq" patches mg.oq outside.csv -o outside_out.npy
	row outside_out.csv ",failed,E_SEED_OUTSIDE,"
	good_row outside_out.npy
done
# M8, M10: just outside there is a patch, as in the reference, and a warning; under --strict there is none
manifest "$ct/example_ct.nii.gz,179.5,-11.3,94.3" >edge.csv
expect 0 "" "$oq" patches mg.oq edge.csv -o edge_out.npy
row edge_out.csv "W_PADDING W_SEED_OUTSIDE,0.8"
expect 3 "1 of 2 rows failed; the first: row 0 (line 2): row: has warnings" "$oq" patches mg.oq edge.csv -o edge_out.npy --strict
row edge_out.csv ",failed,E_STRICT,"
good_row edge_out.npy
# M12: 10,000 seeds in one scan; decoding it for each of them would take minutes
{ head -1 plain.csv; for _ in $(seq 10000); do echo "$ct/$seed"; done; } >many.csv
expect 0 "" "$oq" patches "$data/tools/tiny" many.csv -o many_out.npy --quiet
check test "$(grep -c ',ok,' many_out.csv)" = 10000
# M13: the same row twice is two rows
{ cat plain.csv; tail -1 plain.csv; } >dup.csv
patches dup
check cmp -s <(tail -c +129 dup_out.npy) <(cat plain.raw plain.raw)
# M14, M15: relative to the manifest, whatever the working folder; names of every kind, none of them seen by a shell
long=$(printf 'n%.0s' $(seq 200))
mkdir -p "odd/$long/$long" 'odd/a b' 'odd/é;$(touch run)'
for name in "odd/$long/$long/s.nii.gz" 'odd/a b/s.nii.gz' 'odd/é;$(touch run)/s.nii.gz' odd/-s.nii.gz $'odd/new\nline.nii.gz' 'odd/a b/../up.nii.gz'; do
	ln -sf "$ct/example_ct.nii.gz" "$name"
	{ head -1 plain.csv; printf '"%s",%s\n' "${name#odd/}" "${seed#*,}"; } >odd/m.csv
	(cd / && "$oq" patches "$work/mg.oq" "$work/odd/m.csv" -o "$work/odd_out.npy" --quiet) || fail "a scan named $name is not read"
	check cmp -s plain_out.npy odd_out.npy
done
check test ! -e run
ln -s "$work/plain.csv" ./-m.csv
expect 0 "" "$oq" patches mg.oq --root "$ct" -o dash_out.npy -- -m.csv
# M16: what is no readable file fails its row at once
mkdir a_folder && mkfifo a_fifo && ln -s loop loop
for name in none.nii a_folder a_fifo /dev/zero loop ''; do
	{ head -1 plain.csv; printf '%s,1,2,3\n%s\n' "$name" "$ct/$seed"; } >open.csv
	expect 3 "row 0 (line 2): " "$oq" patches mg.oq open.csv -o open_out.npy
	row open_out.csv ",failed,E_OPEN,"
	good_row open_out.npy
done
# M24: what a spreadsheet would run comes back quoted
{ sed '1s/$/,id/' plain.csv | head -1; echo "$ct/$seed,=cmd()"; } >formula.csv
expect 0 "" "$oq" patches mg.oq formula.csv -o formula_out.npy
row formula_out.csv ',"=cmd()",ok,'

# JSON lines
printf '{"image_path": "example_ct.nii.gz", "coordX": 3.7, "coordY": -158.2, "coordZ": 266.9, "label": "a,b", "n": 7}\n\n' >lines.jsonl
expect 0 "" "$oq" patches mg.oq lines.jsonl --root "$ct" -o lines_out.npy
check cmp -s plain_out.npy lines_out.npy
row lines_out.csv 'example_ct.nii.gz,3.7,-158.2,266.9,"a,b",7,ok,'
printf '{"image_path": "example_ct.nii.gz"}\n{"image_path": [1]}\n' >lines.jsonl
expect 4 "lines.jsonl:2: " "$oq" patches mg.oq lines.jsonl -o x.npy

# Boxes: the centre is the seed (M23)
printf 'image_path,minX,minY,minZ,maxX,maxY,maxZ\n%s,-6.3,-170.2,256.9,13.7,-146.2,276.9\n' "$ct/example_ct.nii.gz" >box.csv
patches() { check "$oq" patches mg.oq "$1.csv" -o "$1_out.npy" --quiet "${@:2}"; }
patches box --boxes
check cmp -s plain_out.npy box_out.npy
for bad in 13.7,-170.2,256.9,-6.3,-146.2,276.9 3,-170.2,256.9,3,-146.2,276.9 -600,-170.2,256.9,600,-146.2,276.9; do
	{ head -1 box.csv; echo "$ct/example_ct.nii.gz,$bad"; tail -1 box.csv; } >badbox.csv
	expect 3 "row 0 (line 2): " "$oq" patches mg.oq badbox.csv -o badbox_out.npy --boxes
	row badbox_out.csv ",failed,E_BOX,"
	good_row badbox_out.npy
done
expect 2 'no column "minX"' "$oq" patches mg.oq plain.csv -o x.npy --boxes

# Masks on the grid of an 8 x 9 x 10 scan (M22): voxel (i,j,k) is at 352 + 2 (72 k + 8 j + i)
label() { printf "\\x$2" | dd of=mask.nii bs=1 seek=$((352 + 2 * $1)) conv=notrunc status=none; }
cp "$data/nifti_bad/ok_00_plain.nii" small.nii
{ head -c 352 small.nii; head -c 1440 /dev/zero; } >mask.nii
printf 'image_path,coordX,coordY,coordZ\nsmall.nii,3,4,5\n' >voxel.csv
printf 'image_path,seg\nsmall.nii,mask.nii\n' >mask.csv
patches voxel --coords voxel
expect 4 "row 0 (line 2): mask: mask is empty" "$oq" patches mg.oq mask.csv -o mask_out.npy --mask-column seg
label $((5 * 72 + 4 * 8 + 3)) 1
patches mask --mask-column seg
check cmp -s voxel_out.npy mask_out.npy
label $((6 * 72 + 4 * 8 + 3)) 2
expect 4 "labels 1 and 2" "$oq" patches mg.oq mask.csv -o mask_out.npy --mask-column seg
patches mask --mask-column seg --label 1 --mask-point box
check cmp -s voxel_out.npy mask_out.npy
label 0 1
patches mask --mask-column seg --label 1
row mask_out.csv W_MASK_BORDER
printf 'image_path,seg\n%s,mask.nii\n' "$ct/example_ct.nii.gz" >othergrid.csv
expect 4 "[E_MASK_GEOMETRY]" "$oq" patches mg.oq othergrid.csv -o x.npy --mask-column seg
expect 2 "need --mask-column" "$oq" patches mg.oq mask.csv -o x.npy --label 1

# Paths of scans are named in messages only when asked for
printf 'image_path,coordX,coordY,coordZ\n/nowhere/DOE^JANE.nii,1,2,3\n%s\n' "$ct/$seed" >named.csv
expect 3 "row 0 (line 2): scan: cannot be opened" "$oq" patches mg.oq named.csv -o named_out.npy
check test -z "$(grep -l DOE err.txt named_out.json)"
expect 3 "/nowhere/DOE^JANE.nii: cannot be opened" "$oq" patches mg.oq named.csv -o named_out.npy --log-paths

echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
