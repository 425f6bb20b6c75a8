#!/usr/bin/env bash
# Measures oncoquant beside PyTorch, ONNX Runtime, OpenVINO and MONAI: installs them below .deps/peers, builds, measures, prints the tables.
# Everything goes to out/bench/. About an hour on two cores, which should have nothing else to do.
# Usage: bench/run.sh [--quick] [--docs] [options of bench/peers/compare.py]
#   --quick  short turns, one round: to see that everything works (about 15 minutes)
#   --docs   also put the tables into docs/performance.md
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../scripts/lib.sh"

networks=() patches=() reading=() docs=''
while [ $# -gt 0 ]; do
	case $1 in
	--quick) networks+=(--rounds 1 --seconds 0.5) patches+=(--rounds 1 --reference-rounds 1) reading+=(--models ct-fm,models-genesis --rounds 1) ;;
	--docs) docs=yes ;;
	*) networks+=("$1") ;;
	esac
	shift
done

"$OQ_ROOT/scripts/setup.sh"
"$OQ_ROOT/bench/peers/setup.sh"
"$OQ_ROOT/scripts/build.sh"
"$OQ_ROOT/scripts/fetch_astra.sh" || note "the real network could not be fetched: astra is measured with made-up weights"
python=$OQ_DEPS/peers/bin/python
tool=${OQ_BUILD:-$OQ_ROOT/build}/oncoquant
say "Networks"
"$python" "$OQ_ROOT/bench/peers/compare.py" --oncoquant "$tool" "${networks[@]}"
say "Patch extraction"
"$python" "$OQ_ROOT/bench/peers/patches.py" --oncoquant "$tool" "${patches[@]}"
say "Reading"
"$python" "$OQ_ROOT/bench/peers/reading.py" --oncoquant "$tool" "${reading[@]}"
cat "$OQ_ROOT/out/bench/networks.md" "$OQ_ROOT/out/bench/patches.md" "$OQ_ROOT/out/bench/reading.md"
if [ -n "$docs" ]; then
	"$python" "$OQ_ROOT/bench/peers/document.py" "$OQ_ROOT/docs/performance.md" "$OQ_ROOT/out/bench/networks.md" "$OQ_ROOT/out/bench/patches.md" "$OQ_ROOT/out/bench/reading.md"
	say "docs/performance.md has the new tables"
fi
