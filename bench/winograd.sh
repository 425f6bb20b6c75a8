#!/usr/bin/env bash
# How long whole networks take with direct convolutions, with Winograd F(2) and with F(4), float32 and bfloat16, then the same capped to
# AVX2: tables and figures for docs/performance.md. The ways take turns, so that a busy neighbour meets them all; each figure is its fastest run.
# Usage: bench/winograd.sh [--quick] [--layers] [--docs] [--models A,B] [--rounds N] [--seconds S] [--threads N]
#   --quick   one round of half a second on the networks of 3x3x3 convolutions: with --layers some three minutes on an idle machine
#   --layers  first every layer size with cold weights, by every method, beside what the planner's rule takes
#   --docs    also put tables and figures into docs/
# Packages with made-up weights are made once, in out/bench/; so are winograd-layers.jsonl and winograd-networks.jsonl.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

models=ct-fm,vista3d,pasta,suprem,models-genesis,voco,merlin,fmcib rounds=3 seconds=2 threads=1 layers='' docs=()
while [ $# -gt 0 ]; do
	case $1 in
	--quick) models=ct-fm,vista3d,pasta,suprem,models-genesis rounds=1 seconds=0.5 ;;
	--layers) layers=yes ;;
	--docs) docs=(--docs) ;;
	--models) models=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
	--seconds) seconds=$2 && shift ;;
	--threads) threads=$2 && shift ;;
	*) die "$1 is no option of bench/winograd.sh" ;;
	esac
	shift
done

build=${OQ_BUILD:-$OQ_ROOT/build} out=$OQ_ROOT/out/bench
ways=("--precision f32 --conv direct" "--precision f32 --conv winograd" "--precision f32 --conv winograd4" "--precision bf16 --strict-precision" "--precision bf16")
mkdir -p "$out"

# number KEY: of the JSON on stdin
number() { sed -n "s/.*\"$1\":[[:space:]]*\([0-9.e+-]*\).*/\1/p" | head -1; }

# row MODEL ISA: the five ways in turn, the least of each, as a line of JSON; a way that this processor lacks is null
row() {
	local best=(null null null null null) bytes=(0 0 0 0 0) i round result
	for ((round = 0; round < rounds; round++)); do
		for i in "${!ways[@]}"; do
			# shellcheck disable=SC2086
			result=$("$build/oncoquant" bench "$out/$1.oq" --threads "$threads" --batch "$threads" --seconds "$seconds" --json ${ways[i]} 2>/dev/null) || continue
			bytes[i]=$(number weight_bytes <<<"$result")
			best[i]=$(awk -v a="${best[i]}" -v b="$(number ms_per_patch_min <<<"$result")" 'BEGIN { print a == "null" || b + 0 < a + 0 ? b : a }')
		done
	done
	printf '{"model": "%s", "isa": "%s", "threads": %s, "ms": [%s], "weight_bytes": [%s]}\n' "$1" "$2" "$threads" \
		"$(IFS=,; echo "${best[*]}")" "$(IFS=,; echo "${bytes[*]}")"
}

uptime
if [ -n "$layers" ]; then
	OMP_NUM_THREADS=1 "$build/bench/ops/bench_conv" --rule >"$out/winograd-layers.jsonl"
fi
for model in ${models//,/ }; do
	[ -d "$out/$model.oq" ] || "$build/oncoquant" convert --quiet --model "$model" --synthetic 1 -o "$out/$model.oq"
	row "$model" native
	ONEDNN_MAX_CPU_ISA=AVX2 row "$model" AVX2
done >"$out/winograd-networks.jsonl"
uptime
python3 "$OQ_ROOT/bench/winograd.py" "$out" "${docs[@]}"
