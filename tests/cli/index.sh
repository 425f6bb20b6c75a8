#!/usr/bin/env bash
# Packed scans by their index: the same three files from embed and patches, with or without, whatever state the index is in; what index says and refuses.
# usage: index.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/scans" && cd "$work" || exit 1
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
tiny=$data/tools/tiny
cp "$data/ct/example_ct.nii.gz" "$data/ct/aorta_ct.nii.gz" "$data/ct/perm_ct.nii.gz" scans/
zcat scans/aorta_ct.nii.gz >scans/raw.nii
head -c 100000 scans/example_ct.nii.gz >scans/cut.nii.gz
{
	echo image_path,coordX,coordY,coordZ,note
	echo scans/example_ct.nii.gz,3.5,-158.2,266.9,
	echo scans/aorta_ct.nii.gz,16.25,-168.1,661.3,
	echo scans/perm_ct.nii.gz,-10.4,-170.3,300.2,small
	echo scans/raw.nii,16.25,-168.1,661.3,
	echo scans/cut.nii.gz,1,2,3,
	echo scans/none.nii.gz,1,2,3,
	echo scans/example_ct.nii.gz,20.5,-150.2,268.9,
	echo scans/example_ct.nii.gz,9000,1,1,outside
} >rows.csv

# patches and embed into folder $1, with the other arguments; what they say is in $1/said
both() {
	local out=$1
	shift
	mkdir -p "$out"
	expect 3 "" "$oq" patches "$tiny" rows.csv -o "$out/p.npy" "$@" --json
	mv out.txt "$out/said" && mv err.txt "$out/warned"
	expect 3 "" "$oq" embed "$tiny" rows.csv -o "$out/e.npy" "$@"
}
as_plain() { for file in p.npy p.csv p.json e.npy e.csv e.json; do same "plain/$file" "$1/$file"; done; }

both plain
says plain/said '"indexed_scans": 0, "unfit_indexes": 0'
expect 3 "" "$oq" index rows.csv --index-dir indexes
says out.txt "6 scans: 2 indexes written, 0 were there"
says out.txt "1 scans are raw and 1 small, which need none; 2 failed"
says err.txt "warning: row 4 (line 6): scan: the compressed stream ends in the middle; the file is truncated [E_GZ_TRUNCATED]"
says err.txt "warning: row 5 (line 7): "
says err.txt "error: 2 of 6 scans failed; the first: row 4 (line 6)"
check test "$(stat -c %a indexes/* | sort -u)" = 600
check test "$(find indexes -name '*.oqx' | wc -l)" = 2
check test -z "$(find scans -name '*.oqx')"
expect 3 "" "$oq" index rows.csv --index-dir indexes --json
says out.txt '"fresh":	2'
check test -z "$(grep -h scans/ out.txt err.txt)" # no paths
both used --index-dir indexes
as_plain used
says used/said '"indexed_scans": 2, "unfit_indexes": 0'
both unused
as_plain unused
says unused/said '"indexed_scans": 0, "unfit_indexes": 0'

# Beside the scans; then damaged, cut, exchanged.
expect 0 "" "$oq" index scans/example_ct.nii.gz scans/aorta_ct.nii.gz --quiet
check test "$(find scans -name '*.oqx' | wc -l)" = 2
both beside
as_plain beside
says beside/said '"indexed_scans": 2, "unfit_indexes": 0'
cp scans/example_ct.nii.gz.oqx good.oqx
truncate -s 300 scans/example_ct.nii.gz.oqx
both damaged
as_plain damaged
says damaged/said '"indexed_scans": 1, "unfit_indexes": 1'
says damaged/warned "warning: 1 scans have an index that is damaged or not theirs; they were decoded whole; run index again"
cp scans/aorta_ct.nii.gz.oqx scans/example_ct.nii.gz.oqx
both exchanged
as_plain exchanged
says exchanged/said '"indexed_scans": 1, "unfit_indexes": 1'
expect 0 "" "$oq" index scans/example_ct.nii.gz
says out.txt "1 scans: 1 indexes written, 0 were there"
same good.oqx scans/example_ct.nii.gz.oqx

# What is refused.
expect 4 "1 of 1 scans failed; the first: scans/cut.nii.gz: " "$oq" index scans/cut.nii.gz --quiet
expect 4 "" "$oq" index rows.csv --root none
expect 2 "a manifest or scans are needed" "$oq" index
expect 2 "is no folder, expected the one that index wrote to" "$oq" embed "$tiny" rows.csv -o x.npy --index-dir none
echo x >file
expect 7 "file: is no folder" "$oq" index rows.csv --index-dir file
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
