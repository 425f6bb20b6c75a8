#!/usr/bin/env bash
# Puts the peers (PyTorch, ONNX Runtime, OpenVINO, MONAI) into a virtual environment below .deps/peers. Needs Python 3.11 or newer
# with venv, and g++ for torch.compile. A second run does nothing. Changes nothing outside the checkout.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/../../scripts/lib.sh"

pins=$OQ_ROOT/bench/peers/requirements.txt
venv=$OQ_DEPS/peers
[ "$(cat "$venv/installed.txt" 2>/dev/null)" != "$(cat "$pins")" ] || exit 0
python3 -c 'import sys; sys.exit(sys.version_info < (3, 11))' || die "the peers need Python 3.11 or newer; python3 is $(python3 --version)"
have g++ || die "g++ is missing: torch.compile needs it (Debian, Ubuntu: g++)"
say "Installing the peers into .deps/peers (about 1.5 GB)"
python3 -m venv "$venv" || die "python3 cannot make a virtual environment (Debian, Ubuntu: python3-venv)"
quietly "could not install the peers; see above" "$venv/bin/pip" install --disable-pip-version-check --requirement "$pins"
cp "$pins" "$venv/installed.txt"
