#!/usr/bin/env bash
# The report as its users meet it: every kind of result on one page, well-formed, self-contained, free of scripts and of what documents smuggle in.
# usage: report.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work/in/similarity" "$work/scans" && cd "$work" || exit 1

# No document of the page's is fetched from anywhere, and nothing runs.
self_contained() {
	checks=$((checks + 1))
	grep -nEi '(src|href)="[^d#]|https?:|url\(|@import|<script|<link|<iframe| on[a-z]+="' "$1" | cut -c1-200 >fetched.txt
	[ ! -s fetched.txt ] || fail "$1 fetches or runs: $(head -n 3 fetched.txt)"
}
# Tags nest and close, attributes are quoted; void elements apart.
well_formed() {
	checks=$((checks + 1))
	sed 's/data:image[^"]*/data/g' "$1" | grep -oE '</?[a-zA-Z][^>]*>|<!doctype html>' >tags.txt
	awk '
		/^<!doctype/ { next }
		{ name = $0; gsub(/^<\/?|[ \/>].*$/, "", name); quotes = gsub(/"/, "\"") }
		quotes % 2 { print "line " NR ": quotes: " $0; bad = 1 }
		name ~ /^(meta|img|br)$/ || /\/>$/ { next }
		/^<\// { if (stack[depth] != name) { print "line " NR ": </" name "> closes <" stack[depth] ">"; bad = 1; exit } depth--; next }
		{ stack[++depth] = name }
		END { if (depth) print depth " elements stay open"; exit bad || depth || NR < 50 }' tags.txt >form.txt || fail "$1 is not well-formed: $(head -n 3 form.txt)"
}

e=$data/eval
expect 0 "" "$oq" similarity "$e/A_m1.npy" "$e/A_m2.npy" "$e/A_m2_int8.npy" -o in/similarity
"$oq" compare "$e/A_m2.npy" "$e/A_m2_int8.npy" --json >in/good.json
"$oq" compare "$e/A_m2.npy" "$e/A_m2_bad.npy" --json >in/bad.json 2>/dev/null
"$oq" robustness --test "$e/A_m2.npy" --retest "$e/A_m2_int8.npy" --json >in/retest.json
"$oq" evaluate knn "$e/A_m1.npy" "$e/A_m2.npy" --labels "$e/A_labels.csv" --label y --patient patient --k-max 10 --json >in/knn.json
"$oq" bench "$data/tools/tiny" --threads 1 --seconds 0 --energy --powercap-root nowhere --perf-root nowhere --json >in/bench.json
paste -d, "$e/A_labels.csv" "$e/surv_score.csv" | tr -d '\r' >cohort.csv
"$oq" evaluate survival --labels cohort.csv --score s,age --patient patient --resamples 100 --json >in/survival.json
cp "$data/ct/aorta_ct.nii.gz" scans/
expect 0 "" "$oq" saliency "$data/tools/tiny" scans/aorta_ct.nii.gz --seed 16.25,-168.1,661.3 --window 4 --compare "$data/tools/tiny" -o in/saliency
echo '{"kind": "embeddings"}' >in/sidecar.json

expect 0 "" "$oq" report in --title 'Lungs & <others>' -o report.html
well_formed report.html
self_contained report.html
for section in endpoints survival robustness similarity saliency fidelity speed provenance; do says report.html "<section id=\"$section\">"; done
says report.html 'Lungs &amp; &lt;others&gt;'
says report.html 'data:image/png;base64,iVBORw0KGgo'
says report.html 'Research use only. Not a medical device.'
says report.html 'PASS (no yardstick)'
says report.html 'F1_CENTRED_MIN'
says report.html 'n/a: no counters'
says report.html '1 more JSON file was found'
# R's concordances (tests/data/eval/survival.json) and what goes with them.
says report.html '0.632 (0.5'
says report.html '0.623 (0.5'
says report.html 'Hazard ratio per SD'
says report.html 'log-rank &chi;&sup2; '
says report.html '420 rows of 226 patients, 289 events'
says report.html '<td>high risk</td>'
# Kaplan-Meier curves with numbers at risk: low and high risk at times 0 and 500, as survival.csv has them (tests/cli/survival.sh).
says report.html 'aria-label="Kaplan-Meier curves"'
says report.html '>At risk</text>'
for number in 210 115 74; do says report.html ">$number</text>"; done
sed 's/"survival":/"gone":/' in/survival.json >old.json
expect 0 "" "$oq" report old.json -o old.html
well_formed old.html
says old.html 'The document holds no survival curves'
checks=$((checks + 1))
grep -q gCO2e report.html && fail "grams of CO2 were told without being asked for"
says report.html "$(sha256sum in/knn.json | cut -c1-64)"
# The picture in the page is the file, byte by byte.
checks=$((checks + 1))
grep -o 'base64,[^"]*' report.html | head -n 1 | cut -d, -f2 | base64 -d | cmp -s - in/saliency/0000.png || fail "the embedded picture is not 0000.png"
expect 0 "" "$oq" report in --title 'Lungs & <others>' -o again.html
checks=$((checks + 1))
cmp -s report.html again.html || fail "two reports of one folder differ"

# Energy as CO2 needs a figure and its source. 3600 J are 1 Wh: at 500 g per kWh a joule per patch is 0.14 g per 1000 patches.
sed 's/"label":.*"none"/"label": "estimate-tdp", "joules_per_patch": 7.2/' in/bench.json >carbon.json
expect 0 "" "$oq" report carbon.json --gco2-per-kwh 500 --gco2-source 'Grid <2023>' -o carbon.html
well_formed carbon.html
says carbon.html '<td class="n">7.20</td><td class="n">1.00</td><td>estimate-tdp</td>'
says carbon.html '500 g per kWh, after Grid &lt;2023&gt;'
expect 2 "E_ARGUMENT" "$oq" report carbon.json --gco2-per-kwh 500 -o x.html
expect 2 "E_ARGUMENT" "$oq" report carbon.json --gco2-source x -o x.html

# Two packages in turns are two rows, and joules by performance events: the kernel's clock of processor 0 stands in for a counter of 2 J a second, busy or not.
mkdir -p power/events
echo 1 >power/type && echo 0 >power/cpumask && echo event=0x00 >power/events/energy-pkg && echo 2e-9 >power/events/energy-pkg.scale && echo Joules >power/events/energy-pkg.unit
# It is no more than the idle machine takes, and says so.
tiny=$data/tools/tiny
expect 0 "" "$oq" bench "$tiny" "$tiny" --threads 1 --seconds 0 --energy --idle-seconds 1 --energy-seconds 1 --repeats 1 --powercap-root nowhere --perf-root power --json
cp out.txt pair.json
says pair.json '"order":	"there and back"'
if grep -q '"source":	"perf"' pair.json; then # a kernel may keep events from us; tests/core/counters.c checks what it then says
	says pair.json '"zones":	"package-cpu0"'
	says pair.json 'W while running are no more than the 2.0 W of the idle machine'
	checks=$((checks + 1))
	awk -F: '/"(idle_)?watts"/ { n++; bad += $2 + 0 < 1.9 || $2 + 0 > 2.1 } /above_idle"/ { bad += $2 + 0 > 0.01 || $2 + 0 < -0.01 } END { exit n != 4 || bad }' pair.json ||
		fail "not 2 W: $(grep -E 'watts|joules' pair.json)"
fi
expect 0 "" "$oq" report pair.json -o pair.html
checks=$((checks + 1))
[ "$(grep -c '<td>tiny' pair.html)" -ge 2 ] || fail "two packages are not two rows: $(grep -c '<td>tiny' pair.html)"
expect 0 "" "$oq" bench "$tiny" "$tiny" --threads 1 --seconds 0
says out.txt 'in turns there and back'

# A made-up counter that gains t^2 J in t seconds, so that whatever comes later takes more, on a made-up machine where nobody else works.
mkdir -p counters/intel-rapl:0 machine/proc
echo package-0 >counters/intel-rapl:0/name
echo 262143328850 >counters/intel-rapl:0/max_energy_range_uj
echo 65000000 >counters/intel-rapl:0/constraint_0_max_power_uw
feed() {
	local begun=${EPOCHREALTIME/[.,]/} t
	while [ ! -e "$1" ] && [ $SECONDS -lt 600 ]; do
		t=$((${EPOCHREALTIME/[.,]/} - begun + 1000000))
		echo $((t * (t / 1000) / 1000)) >next.energy && mv next.energy counters/intel-rapl:0/energy_uj
		echo "cpu 0 0 0 $((t / 10000)) 0 0 0 0" >next.stat && mv next.stat machine/proc/stat
		sleep 0.02
	done
}
made_up=(--threads 1 --seconds 0 --energy --idle-seconds 1 --energy-seconds 1 --powercap-root counters --perf-root nowhere --system-root machine)
feed enough &
feeder=$!
while [ ! -e machine/proc/stat ]; do sleep 0.02; done
expect 0 "" "$oq" bench "$tiny" "$tiny" "${made_up[@]}" --repeats 2 --json
cp out.txt energy.json
says energy.json '"label":	"measured-rapl"'
says energy.json '"most_watts_from":	"3 times the zones'
says energy.json '"other_load":	0'
says energy.json '"times_first_high":'
expect 0 "" "$oq" bench "$tiny" "${made_up[@]}" --repeats 1
says out.txt 'J per patch (one turn: no interval)'
echo 100 >counters/intel-rapl:0/constraint_0_max_power_uw
expect 0 "" "$oq" bench "$tiny" "${made_up[@]}" --repeats 1
says out.txt 'W while the machine was idle, and no more than 0.0 W can be'
touch enough
wait $feeder
expect 0 "" "$oq" report energy.json -o energy.html
well_formed energy.html
checks=$((checks + 1))
grep -qE '<td>measured-rapl, [-0-9.e]+ to [0-9.e-]+ J</td>' energy.html || fail "the interval of energy is not told"

# One document alone is a page, too, and names in documents stay text.
sed 's/"A_m1"/"<script>alert(1)<\/script>\\" onload=\\"x"/; s/grouped folds/<b>grouped<\/b> folds/' in/knn.json >evil.json
expect 0 "" "$oq" report evil.json -o evil.html
well_formed evil.html
checks=$((checks + 1))
grep -qE '<script|" onload="|<b>grouped' evil.html && fail "a document's text became markup"
says evil.html '&lt;script&gt;'

expect 4 "E_FORMAT" "$oq" report in/sidecar.json -o x.html
expect 4 "E_EMPTY" "$oq" report scans -o x.html
expect 4 "broken.json" sh -c "printf '{\"schema\": ' >broken.json; exec \"$oq\" report broken.json -o x.html"
expect 4 "absent" "$oq" report absent -o x.html
expect 2 "are needed" "$oq" report in
sed 's/"0000.png"/"..\/0000.png"/' in/saliency/saliency.json >in/saliency/far.json
expect 4 "E_PATH" "$oq" report in/saliency/far.json -o x.html
sed 's/"0000.png"/"saliency.csv"/' in/saliency/saliency.json >in/saliency/far.json
expect 4 "E_PNG" "$oq" report in/saliency/far.json -o x.html
[ ! -e x.html ] || fail "a refused report left a page"

echo "$checks checks, $failures failures"
[ $failures = 0 ]
