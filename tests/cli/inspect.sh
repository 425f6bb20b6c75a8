#!/usr/bin/env bash
# A manifest looked at before a run: the table, the JSON, the exit code, the hints; and that it fails the rows that a run fails, no others.
# usage: inspect.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
failures=0 checks=0
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
expect() { # CODE COMMAND...
	local code=$1 got
	shift
	checks=$((checks + 1))
	"$@" >out.txt 2>err.txt
	got=$?
	[ "$got" = "$code" ] || fail "$* ended with $got, expected $code: $(cat err.txt)"
}
says() { checks=$((checks + 1)); grep -qE -- "$2" "$1" || fail "$1 does not say $2: $(cat "$1")"; }

ct=$data/ct
check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq --quiet
cp "$data/nifti_bad/b62c_q1_s1_conflict.nii" conflict.nii
cp "$data/nifti_bad/b79_trunc_data.nii" truncated.nii
cp "$data/nifti_bad/b66b_gantry20_exact.nii" DOE_tilted.nii
{
	echo "image_path,coordX,coordY,coordZ"
	echo "$ct/example_ct.nii.gz,3.7,-158.2,266.9"
	echo "$ct/example_ct.nii.gz,-3.7,158.2,266.9"
	echo "$ct/example_ct.nii.gz,50,60,70"
	echo "$ct/example_ct.nii.gz,178.0,-11.3,94.3"
	echo "truncated.nii,0,0,0"
	echo "conflict.nii,-50,-60,10"
	echo "none.nii,0,0,0"
	echo "$ct/example_ct.nii.gz,\"1,5\",0,0"
	echo "DOE_tilted.nii,0,0,0"
} >seeds.csv
expect 3 "$oq" inspect mg.oq "$data/tools/tiny" seeds.csv
check test "$(wc -l <err.txt)" = 1
says err.txt '6 of 9 rows would fail; the first: row 1 \(line 3\): seed'
says out.txt '122 x 101 x 112 voxels of 3 x 3 x 3 mm, RAS, HU -1207 to 3382'
says out.txt '^ *0 +2 +0  58\.1, 49\.0, 57\.5 +126  models-genesis 0%  tiny [0-9]+%  ok$'
says out.txt 'FAILS E_SEED_OUTSIDE: .*inside if the coordinates were RAS'
says out.txt 'FAILS E_SEED_OUTSIDE: .*inside if the coordinates were voxel indices'
says out.txt 'models-genesis 88%  tiny [0-9]+%  ok W_PADDING W_SEED_AIR'
says out.txt 'FAILS E_TRUNCATED: scan: '
says out.txt 'warning W_QS_MISMATCH: qform and sform differ by up to'
says out.txt 'FAILS E_COORD: '
says out.txt 'FAILS E_SHEAR: '
check test -z "$(grep -l DOE out.txt err.txt)"

# The verdicts of a run are the same, row by row.
awk '$0 ~ /FAILS|  ok/ { print match($0, /FAILS E_[A-Z_]*/) ? substr($0, RSTART + 6, RLENGTH - 6) : "" }' out.txt >verdicts
expect 3 "$oq" patches mg.oq "$data/tools/tiny" seeds.csv -o both
awk -F'"' '{ line = $0; gsub(/"[^"]*"/, "", line); n = split(line, f, ","); print f[6] }' both/mg.csv | tail -n +2 >run_verdicts
check cmp verdicts run_verdicts

expect 3 "$oq" inspect seeds.csv --json --log-paths
says out.txt '"image_path":.*DOE_tilted.nii'
says out.txt '"hint":.*"inside if the coordinates were RAS"'
expect 3 "$oq" inspect seeds.csv --strict --geometry strict --coords ras --quiet
says err.txt "8 of 9 rows would fail"
expect 3 "$oq" inspect seeds.csv --allow-shear
says out.txt 'warning W_SHEAR: its sform is sheared'
says out.txt '^9 rows, 3 would fail$' # no package: a seed far outside is a warning
head -2 seeds.csv >good.csv
expect 0 "$oq" inspect mg.oq good.csv
expect 2 "$oq" inspect good.csv --seed 1,2,3
expect 2 "$oq" inspect mg.oq mg.oq
expect 0 "$oq" inspect "$ct/example_ct.nii.gz" --seed=-3.7,158.2,266.9
says out.txt 'mm outside the scan; inside if the coordinates were RAS'

# A NaN in a slice that no patch needs: the scan's report names it, the row is good, whatever the format; without a package the row is all of the scan.
cp "$data/nifti_bad/ok_04_float64.nii" far.nii
printf '\0\0\0\0\0\0\370\177' | dd of=far.nii bs=1 seek=$((352 + 8 * 9 * 72)) conv=notrunc status=none
gzip -k far.nii
printf 'image_path,coordX,coordY,coordZ\nfar.nii,1,2,3\nfar.nii.gz,1,2,3\nfar.nii,1,2,18\nfar.nii.gz,1,2,18\n' >far_seeds.csv
expect 3 "$oq" inspect "$data/tools/tiny" far_seeds.csv
says err.txt '2 of 4 rows would fail; the first: row 2 \(line 4\): scan: 1 voxels are NaN or infinite'
says out.txt '^scan 1 .*8 x 9 x 10 voxels .*1 voxels are NaN or infinite, expected HU everywhere \(fails rows that need those slices\)$'
expect 3 "$oq" embed "$data/tools/tiny" far_seeds.csv -o far.npy
sed 1d far.csv | cut -d, -f5- | sort | uniq -c >twins
check test "$(awk '$1 != 2' twins | wc -l) $(wc -l <twins)" = "0 2"
expect 4 "$oq" inspect far_seeds.csv
says err.txt '4 of 4 rows would fail'
expect 0 "$oq" inspect "$data/tools/tiny" far_seeds.csv --nonfinite air
check test "$(grep -c 'ok .*W_NONFINITE' out.txt)" = 2
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
