#!/usr/bin/env bash
# Survival as its users meet it: scores, embeddings, groups, files, what is left out and what is refused. The figures are tested in tests/eval.
# usage: survival.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/out" && cd "$work" || exit 1

e=$data/eval
paste -d, "$e/A_labels.csv" "$e/surv_score.csv" | tr -d '\r' >cohort.csv

# R's figures, through the whole command.
expect 0 "" "$oq" evaluate survival --labels cohort.csv --score s,age --patient patient --resamples 200 -o out
says out.txt "420 rows, 289 events, 226 patients"
says out.txt "0.6316"
says out.txt "0.6228"
says out.txt "against the first"
says out/survival.json '"c":	0.6315514432387569'
says out/survival.csv "group,time,at_risk,events,censored,survival,low95,high95,loglog_low95,loglog_high95"
says out/survival.csv "low risk,"
says out/survival.svg "<svg"
says out/survival.svg "At risk"
expect 0 "" "$oq" evaluate survival --labels cohort.csv --score s --patient patient --resamples 200 --threads 1 --json
cp out.txt one.json
expect 0 "" "$oq" evaluate survival --labels cohort.csv --score s --patient patient --resamples 200 --threads 3 --json
same one.json out.txt
expect 0 "" "$oq" evaluate survival --labels cohort.csv --score s --group y --horizon 700 --resamples 100
says out.txt "groups: y"
says out.txt "no patient column"

# The curve of all, beside R's survfit (tests/data/eval/survival.json: 0.990476, 0.978571; 420, 416; 0.981231, 0.964820; 0.999808, 0.992519).
awk -F, -v OFS=, '{ print $0, NR == 1 ? "arm" : "all" }' cohort.csv >one.csv
expect 0 "" "$oq" evaluate survival --labels one.csv --score s --group arm --resamples 100 --json
tr -d '\t' <out.txt >curve.txt
for part in '"time":[10, 20, 30' '"at_risk":[420, 416, ' '"events":[4, 5, ' '"low95":[0.98123099672279' '"high95":[0.999808492777' '"loglog_low95":[0.97482528'; do says curve.txt "$part"; done

awk -F, -v OFS=, 'NR == 1 { print $0, "arm"; next } { print $0, NR == 2 ? "alone" : "rest" }' cohort.csv >alone.csv
expect 0 "" "$oq" evaluate survival --labels alone.csv --score s --group arm --resamples 100
says out.txt "1 rows, 1 events"

# Embeddings: signal is found, one precision differs little from another, noise has none.
expect 0 "" "$oq" evaluate survival "$e/A_m2.npy" "$e/A_m2_int8.npy" --labels cohort.csv --patient patient --repeats 1 --folds 3 --resamples 200 --json
says out.txt '"ridge Cox, out of fold"'
c=$(grep -A1 '"harrell":	{' out.txt | grep -oE '0\.[0-9]+' | head -1)
checks=$((checks + 1))
awk "BEGIN { exit !($c > 0.6 && $c < 0.7) }" || fail "concordance of A_m2 out of fold is $c, expected about 0.65"
awk -F, -v OFS=, 'NR == 1 { print; next } { $4 = (NR * 7919) % 1000; print }' cohort.csv >shuffled.csv
expect 0 "" "$oq" evaluate survival "$e/A_m2.npy" --labels shuffled.csv --patient patient --repeats 1 --folds 3 --resamples 200 --json
c=$(grep -A1 '"harrell":	{' out.txt | grep -oE '0\.[0-9]+' | head -1)
checks=$((checks + 1))
awk "BEGIN { exit !($c > 0.4 && $c < 0.6) }" || fail "concordance on made-up times is $c, expected about 0.5"

# Missing values are left out and counted; wrong ones are refused.
sed '2s/,[^,]*$/,NA/' cohort.csv >missing.csv
expect 0 "" "$oq" evaluate survival --labels missing.csv --score s --resamples 100
says out.txt "419 rows"
says out.txt "left out, without_label: 1 rows"
awk -F, -v OFS=, -v c="$(head -n 1 cohort.csv | tr ',' '\n' | grep -n '^patient$' | cut -d: -f1)" 'NR > 1 { $c = "" } { print }' cohort.csv >nobody.csv
expect 0 "" "$oq" evaluate survival --labels nobody.csv --score s --patient patient --resamples 100
says out.txt "420 patients"
sed '3s/,1410,/,-1,/' cohort.csv >negative.csv
expect 4 "expected a number, 0 or more" "$oq" evaluate survival --labels negative.csv --score s
expect 4 "expected 0 (censored) or 1" "$oq" evaluate survival --labels cohort.csv --score s --event age
expect 2 "E_COLUMN" "$oq" evaluate survival --labels cohort.csv --score nothing
expect 2 "--labels is needed" "$oq" evaluate survival --score s
expect 2 "are needed" "$oq" evaluate survival --labels cohort.csv
expect 4 "E_SHAPE" "$oq" evaluate survival "$e/R_test_retest.npy" --labels cohort.csv
head -3 cohort.csv >few.csv
expect 4 "E_EVENTS" "$oq" evaluate survival --labels few.csv --score s
awk -F, -v OFS=, 'NR == 1 { print; next } { $7 = -$4; print }' cohort.csv >perfect.csv
expect 0 "" "$oq" evaluate survival --labels perfect.csv --score s --resamples 100
says out.txt "not fitted: E_SEPARATION"

cut -d, -f1,2 cohort.csv >none.csv
sed '4s/^\([^,]*,[^,]*\),[01],/\1,2,/' cohort.csv >negative_y.csv
# The same endpoints in the fidelity gate: classes and a time, by trained probes.
awk -F, -v OFS=, 'NR == 1 { print $0, "y_even"; next } { print $0, $1 % 2 }' cohort.csv >endpoints.csv
"$oq" compare "$e/A_m2.npy" "$e/A_m2_bad.npy" --labels endpoints.csv >out.txt 2>err.txt
[ $? = 6 ] || fail "compare of a bad candidate did not end with 6"
for word in "y: logistic AUC" "y_even: kNN AUC" "time: Cox C" "F6_FLIPS" "flip, slope of log odds" "detectable"; do says out.txt "$word"; done
expect 4 "expected 0 or 1" "$oq" compare "$e/A_m2.npy" "$e/A_m2_int8.npy" --labels negative_y.csv
expect 2 "nor \"time\" with \"event\"" "$oq" compare "$e/A_m2.npy" "$e/A_m2_int8.npy" --labels none.csv

echo "$checks checks, $failures failures"
[ $failures = 0 ]
