#!/usr/bin/env bash
# How long whole networks take with direct convolutions, with Winograd F(2) and with F(4), float32 and bfloat16, then the same capped to
# AVX2: tables for docs/performance.md. The ways take turns, so that a busy neighbour meets them all; each figure is its fastest run.
# Usage: bench/winograd.sh [--models A,B] [--rounds N] [--seconds S] [--threads N] [--layers]
#   --layers  first every convolution alone, hot and cold weights, beside oneDNN's (build/bench/ops/bench_conv)
# Packages with made-up weights are made once, in out/bench/.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

models=ct-fm,vista3d,pasta,suprem,models-genesis,voco,merlin,fmcib rounds=3 seconds=2 threads=1 layers=''
while [ $# -gt 0 ]; do
	case $1 in
	--models) models=$2 && shift ;;
	--rounds) rounds=$2 && shift ;;
	--seconds) seconds=$2 && shift ;;
	--threads) threads=$2 && shift ;;
	--layers) layers=yes ;;
	*) die "$1 is no option of bench/winograd.sh" ;;
	esac
	shift
done

build=${OQ_BUILD:-$OQ_ROOT/build} out=$OQ_ROOT/out/bench
ways=("--precision f32 --conv direct" "--precision f32 --conv winograd" "--precision f32 --conv winograd4" "--precision bf16 --strict-precision" "--precision bf16")
mkdir -p "$out"

# number KEY: of the JSON on stdin
number() { sed -n "s/.*\"$1\":[[:space:]]*\([0-9.e+-]*\).*/\1/p" | head -1; }

# row PACKAGE NAME: the five ways in turn, the least of each
row() {
	local best=() mb=() i round result ms
	for ((round = 0; round < rounds; round++)); do
		for i in "${!ways[@]}"; do
			# shellcheck disable=SC2086
			result=$("$build/oncoquant" bench "$1" --threads "$threads" --batch "$threads" --seconds "$seconds" --json ${ways[i]} 2>/dev/null) || { best[i]=nan && continue; }
			ms=$(number ms_per_patch_min <<<"$result")
			mb[i]=$(number weight_bytes <<<"$result")
			best[i]=$(awk -v a="${best[i]:-1e30}" -v b="$ms" 'BEGIN { print b < a ? b : a }')
		done
	done
	awk -v name="$2" -v t="${best[*]}" -v w="${mb[*]:0:3}" 'BEGIN {
		split(t, ms); split(w, bytes)
		printf "| %s | %.1f | %.1f | %.1f | %.2f | %.2f |", name, ms[1], ms[2], ms[3], ms[1] / ms[2], ms[1] / ms[3]
		if (ms[4] == "nan") printf " - | - | - |"; else printf " %.1f | %.1f | %.2f |", ms[4], ms[5], ms[4] / ms[5]
		printf " %.0f / %.0f / %.0f |\n", bytes[1] / 1e6, bytes[2] / 1e6, bytes[3] / 1e6 }'
}

table() {
	printf '\n%s: milliseconds per patch, %s thread(s), fastest of %s rounds\n\n' "$1" "$threads" "$rounds"
	echo "| model | direct | F(2) | F(4) | direct / F(2) | direct / F(4) | bf16, every product | bf16 | ratio | weights in memory, MB: direct / F(2) / F(4) |"
	echo "|-|-|-|-|-|-|-|-|-|-|"
	for model in ${models//,/ }; do
		[ -d "$out/$model.oq" ] || "$build/oncoquant" convert --quiet --model "$model" --synthetic 1 -o "$out/$model.oq"
		row "$out/$model.oq" "$model"
	done
}

uptime
[ -z "$layers" ] || OMP_NUM_THREADS=1 "$build/bench/ops/bench_conv" --winograd --batch 1 "segres 3x3" "unet 3x3" "fmcib1 3x3" "merlin1 3x3" "merlin2 3x3 128"
table "This processor"
export ONEDNN_MAX_CPU_ISA=AVX2
table "Capped to AVX2"
uptime
