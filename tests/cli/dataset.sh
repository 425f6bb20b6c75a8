#!/usr/bin/env bash
# From tables with the columns of the published ones, and invented rows, to manifests: endpoint, patient, fold; and embed's reader takes them.
# usage: dataset.sh ONCOQUANT TEST_DATA WORK DATASETS
set -u
oq=$1 data=$2 work=$3 sets=$4
failures=0 checks=0
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
check() { checks=$((checks + 1)); "$@" || fail "$*"; }
expect() { # CODE WORD COMMAND...
	local code=$1 word=$2 got
	shift 2
	checks=$((checks + 1))
	"$@" >out.txt 2>err.txt
	got=$?
	[ "$got" = "$code" ] || fail "$* ended with $got, expected $code: $(cat err.txt)"
	[ -z "$word" ] || grep -qF -- "$word" out.txt err.txt || fail "$*: expected '$word', got: $(cat out.txt err.txt)"
}
# column FILE NAME: its values, joined by blanks (no cell of these files holds a comma)
column() { awk -F, -v name="$2" 'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) c = i; next } { printf "%s%s", (NR > 2 ? " " : ""), $c }' "$1"; }
is() { checks=$((checks + 1)); [ "$(column "$1" "$2")" = "$3" ] || fail "$1: $2 is '$(column "$1" "$2")', expected '$3'"; }
ct=$data/ct/example_ct.nii.gz seed=3.7,-158.2,266.9

# LUNA16: three tables, unnamed index columns
for part in train val test; do
	printf ',Unnamed: 0,malignancy,coordX,coordY,coordZ,image_path\n0,7,1,%s,%s\n1,8,0,%s,/scans/%s.mhd\n' $seed "$ct" $seed $part >$part.csv
done
expect 0 "6 of 6 rows (0 censored, 0 without a file), 3 negative, 3 positive, grouped by image_path" "$oq" dataset "$sets/luna16.json" train.csv val.csv test.csv -o luna.csv
expect 0 "note: the benchmark used 677 rows" "$oq" dataset "$sets/luna16.json" train.csv val.csv test.csv -o luna.csv
is luna.csv oq_label "1 0 1 0 1 0"
is luna.csv oq_group "$ct /scans/train.mhd $ct /scans/val.mhd $ct /scans/test.mhd"
# the same scan, the same fold, in any order and subset
is luna.csv oq_fold "$(column luna.csv oq_fold | awk '{ $3 = $5 = $1; print }')"
expect 0 "" "$oq" dataset "$sets/luna16.json" test.csv -o part.csv
check test "$(column part.csv oq_fold)" = "$(column luna.csv oq_fold | cut -d' ' -f5-)"
# DLCS: another name of the path; absent files left out
printf 'patient-id,nodule_id,ct_nifti_file,coordX,coordY,coordZ,w,h,d,Malignant_lbl,benchmark_split\nP1,1,%s,%s,5,5,5,1,train\nP1,2,none.nii.gz,%s,5,5,5,0,test\nP2,1,%s,%s,5,5,5,0,test\n' \
	"$ct" $seed $seed "$ct" $seed >dlcs_table.csv
expect 0 "2 of 3 rows (0 censored, 1 without a file)" "$oq" dataset "$sets/dlcs.json" dlcs_table.csv --present -o dlcs.csv
is dlcs.csv oq_group "P1 P2"
is dlcs.csv oq_label "1 0"
is dlcs.csv image_path "$ct $ct"
check "$oq" convert --model models-genesis --synthetic 1 -o mg.oq --quiet
expect 0 "" "$oq" patches mg.oq dlcs.csv -o dlcs_out.npy
# Lung1: more than 730 days
printf 'PatientID,Survival.time,deadstatus.event,survival,coordX,coordY,coordZ,image_path\nL1,730,1,0,%s,%s\nL2,731,0,1,%s,%s\n' $seed "$ct" $seed "$ct" >lung_annotations.csv
expect 0 "1 negative, 1 positive, grouped by PatientID" "$oq" dataset "$sets/nsclc-radiomics.json" lung_annotations.csv -o lung.csv
is lung.csv oq_label "0 1"
is lung.csv oq_label "$(column lung.csv survival)"
# Radiogenomics, C4KC-KiTS, CRLM: vital status and horizons; who is lost before the horizon is dropped
printf 'image_path,coordX,coordY,coordZ,survival,deadstatus.event,Survival.time\n%s,%s,Alive,0,900\n%s,%s,Dead,1,10\n' "$ct" $seed "$ct" $seed >rg.csv
expect 0 "1 negative, 1 positive" "$oq" dataset "$sets/nsclc-radiogenomics.json" rg.csv -o rg_out.csv
is rg_out.csv oq_label "0 1"
printf 'image_path,coordX,coordY,coordZ,vital_status,vital_days_after_surgery\n%s\n' "$(for row in dead,729 dead,731 censored,729 censored,730; do echo "$ct,$seed,$row"; done)" >kits.csv
expect 0 "3 of 4 rows (1 censored, 0 without a file), 2 negative, 1 positive" "$oq" dataset "$sets/c4kc-kits.json" kits.csv -o kits_out.csv
is kits_out.csv oq_label "1 0 0"
printf 'image_path,coordX,coordY,coordZ,vital_status,overall_survival_months\n%s\n' "$(for row in 1,23.9 0,10 0,24; do echo "$ct,$seed,$row"; done)" >crlm.csv
expect 0 "1 censored" "$oq" dataset "$sets/colrecmet.json" crlm.csv -o crlm_out.csv
is crlm_out.csv oq_label "1 0"
# RIDER: test and retest of a patient are one group; no endpoint. LNDb: its texture as it is
printf 'PatientID,image_path,coordX,coordY,coordZ,pred_0,pred_1\nR1-test,%s,%s,0,1\nR1-retest,%s,%s,1,0\n' "$ct" $seed "$ct" $seed >rider.csv
expect 0 "grouped by PatientID" "$oq" dataset "$sets/rider.json" rider.csv -o rider_out.csv
is rider_out.csv oq_group "R1 R1"
check test "$(head -1 rider_out.csv)" = PatientID,image_path,coordX,coordY,coordZ,pred_0,pred_1,oq_group,oq_fold
printf 'image_path,coordX,coordY,coordZ,texture\n%s,%s,5\n' "$ct" $seed >lndb.csv
expect 0 "" "$oq" dataset "$sets/lndb.json" lndb.csv -o lndb_out.csv
is lndb_out.csv oq_label 5
# Refused
sed 's/Dead/perhaps/' rg.csv >odd.csv
expect 4 'odd.csv:3: survival is "perhaps", expected 0 or 1' "$oq" dataset "$sets/nsclc-radiogenomics.json" odd.csv -o x.csv
expect 2 'no column "malignancy"' "$oq" dataset "$sets/luna16.json" rg.csv -o x.csv
expect 4 "has other columns than" "$oq" dataset "$sets/luna16.json" train.csv rg.csv -o x.csv
expect 2 "is the input as well" "$oq" dataset "$sets/luna16.json" train.csv -o ./train.csv
expect 4 "no row of 3 is left" "$oq" dataset "$sets/dlcs.json" dlcs_table.csv --present --path-map "$ct=/none" -o x.csv
check test ! -e x.csv
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
