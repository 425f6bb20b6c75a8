#!/usr/bin/env bash
# Evaluation as its users meet it: protocols, tables, files, joins, what is left out and what is refused. The figures are tested in tests/eval.
# usage: evaluate.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1
differ() {
	checks=$((checks + 1))
	cmp -s "$1" "$2" && fail "$1 and $2 are the same"
}

e=$data/eval

# The paper's figures, to the last digit of the golden file.
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" "$e/A_m2.npy" --labels "$e/A_labels.csv" --protocol paper --scores scores.csv -o knn.json --write-splits splits.json
says out.txt "10 splits"
says out.txt "too narrow"
says knn.json '"schema":	"oncoquant-evaluate"'
says knn.json '"mean":	0.660276753382207'
says scores.csv "split,row,y,A_m1,A_m2"
says scores.csv "10,157,0,0.45454545454545453,"
# The same splits from a file, with any number of threads.
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" "$e/A_m2.npy" --labels "$e/A_labels.csv" --protocol paper --splits splits.json --threads 1 --scores again.csv
same scores.csv again.csv
# Patients on both sides are counted by one protocol and refused by the other.
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --protocol paper --patient patient
says out.txt "share patients"
expect 4 "E_LEAK" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --splits splits.json --patient patient
# Nor may a choice be made on a patient who is tested: even patients train, the rows of the others choose and test in turn.
awk -F, -v OFS=, -v c="$(head -n 1 "$e/A_labels.csv" | tr -d '\r' | tr ',' '\n' | grep -n '^patient$' | cut -d: -f1)" '
	{ sub(/\r$/, "") }
	NR == 1 { print $0, "part"; next }
	{ n = $c; gsub(/[^0-9]/, "", n); print $0, n % 2 ? (NR % 2 ? "val" : "test") : "train" }' "$e/A_labels.csv" >chosen.csv
expect 4 "E_LEAK" "$oq" evaluate knn "$e/A_m1.npy" --labels chosen.csv --split part --patient patient
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" --labels chosen.csv --split part --patient patient --protocol paper
# Strict: the same again, another seed is another draw.
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --patient patient --json --threads 1
cp out.txt one.json
says one.json '"patients":	226'
says one.json '"test_rows_of_trained_patients":	0'
says one.json '"underpowered":	false'
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --patient patient --json --threads 3
same one.json out.txt
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --patient patient --json --seed 2
differ one.json out.txt
# A single positive is tested: how far the AUCs may be from each other is not known, and is not told as certain.
awk -F, -v OFS=, '{ sub(/\r$/, "") } NR == 1 { print $0, "part"; next }
	{ p = NR < 200 ? "train" : NR < 300 ? "val" : $3 == 0 || !seen++ ? "test" : ""; print $0, p }' "$e/A_labels.csv" >one.csv
expect 0 "" "$oq" evaluate knn "$e/A_m1.npy" "$e/A_m2.npy" --labels one.csv --split part --json
says out.txt '"se":	null'
says out.txt '"p_holm":	null'
# Three classes.
expect 0 "" "$oq" evaluate knn "$e/C.npy" --labels "$e/C_labels.csv" --label y3 --scores three.csv
says three.csv "split,row,y3,C:0,C:1,C:2"

# Embeddings as CSV, joined by id in another order; missing labels and rows without a partner are left out and counted.
{
	echo id,a,b
	for i in $(seq 1 60); do echo "p$i,$((i * 37 % 11)).5,$((i % 3 * 4 + i * 7 % 5))"; done
} >small.csv
{
	echo id,y,part
	for i in $(seq 60 -1 3); do echo "p$i,$((i % 3 / 2)),$([ $((i % 4)) -lt 2 ] && echo train || { [ $((i % 4)) = 2 ] && echo val || echo test; })"; done
	echo p2,NA,train
	echo q7,1,test
} >small_labels.csv
expect 0 "" "$oq" evaluate knn small.csv --labels small_labels.csv --id id --folds 3
says out.txt "left out, without_label: 1 rows"
says out.txt "left out, without_partner: 1 rows"
says out.txt "underpowered"
expect 0 "" "$oq" evaluate knn small.csv --labels small_labels.csv --id id --split part --k-max 5
says out.txt "1 splits (column of the labels)"

# The other probes, strict: intervals, pairs, the same for any number of threads.
for probe in linear "few-shot --shots 5" ensemble "ensemble --method stacking"; do
	# shellcheck disable=SC2086
	expect 0 "" "$oq" evaluate $probe "$e/A_m2.npy" "$e/A_m2_int8.npy" --labels "$e/A_labels.csv" --patient patient --repeats 1 --json --threads 1
	cp out.txt one.json
	says one.json '"bootstrap95"'
	says one.json '"p_holm"'
	# shellcheck disable=SC2086
	expect 0 "" "$oq" evaluate $probe "$e/A_m2.npy" "$e/A_m2_int8.npy" --labels "$e/A_labels.csv" --patient patient --repeats 1 --json --threads 3
	same one.json out.txt
done
expect 0 "" "$oq" evaluate linear "$e/C.npy" --labels "$e/C_labels.csv" --label y3 --repeats 1 --folds 3 --C 0.01
says out.txt "y3 0: 205"

# Refusals.
expect 2 "at least 2" "$oq" evaluate ensemble "$e/A_m2.npy" --labels "$e/A_labels.csv"
expect 4 "expected 2" "$oq" evaluate ensemble "$e/C.npy" "$e/C.npy" --labels "$e/C_labels.csv" --label y3 --method stacking
expect 4 "E_ROWS" "$oq" evaluate few-shot small.csv --labels small_labels.csv --id id --shots 40
expect 2 "is needed" "$oq" evaluate knn
expect 2 "expected one of" "$oq" evaluate tree
expect 2 "E_COLUMN" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --label malignancy
expect 4 "E_SHAPE" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/C_labels.csv"
expect 4 "E_LABELS" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --label age
expect 4 "E_NEIGHBOURS" "$oq" evaluate knn small.csv --labels small_labels.csv --id id --protocol paper
expect 4 "E_VALUE" "$oq" evaluate knn small.csv --labels small_labels.csv
sed 's/^p\([0-9]*\),./p\1,1/' small_labels.csv >one_class.csv
expect 4 "E_LABELS" "$oq" evaluate knn small.csv --labels one_class.csv --id id
sed 's/^p/x/' small_labels.csv >strangers.csv
expect 4 "E_IDS" "$oq" evaluate knn small.csv --labels strangers.csv --id id
{ cat small_labels.csv; echo p5,1,test; } >twice.csv
expect 4 "E_IDS" "$oq" evaluate knn small.csv --labels twice.csv --id id
sed 's/"rows":420/"rows":421/' splits.json >other.json
expect 4 "E_SPLIT" "$oq" evaluate knn "$e/A_m1.npy" --labels "$e/A_labels.csv" --splits other.json

echo "$checks checks, $failures failures"
[ $failures = 0 ]
