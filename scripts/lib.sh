# Shared by the scripts; to be sourced. Refuses nothing by itself.
# shellcheck shell=bash disable=SC2034
set -euo pipefail

OQ_ROOT=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
OQ_DEPS=$OQ_ROOT/.deps
# Two compilers per GB of memory would be too many for a small machine; one per core is right for this tree.
OQ_JOBS=${OQ_JOBS:-$(nproc)}

say() { printf '%s\n' "== $*"; }
note() { printf '   %s\n' "$*"; }
die() {
	printf 'error: %s\n' "$*" >&2
	exit 1
}
have() { command -v "$1" >/dev/null 2>&1; }

# Run a command quietly; show its output only when it fails. First argument: what to say then.
quietly() {
	local what=$1 log
	shift
	log=$(mktemp)
	if ! "$@" >"$log" 2>&1; then
		tail -n 40 "$log" >&2
		rm -f "$log"
		die "$what"
	fi
	rm -f "$log"
}

# A Python that has pip; only ever used to fetch and unpack wheels.
python_with_pip() {
	local python
	for python in python3 /usr/bin/python3; do
		if have "$python" && "$python" -m pip --version >/dev/null 2>&1; then
			printf '%s' "$python"
			return
		fi
	done
	return 1
}

# fetch_wheels PINS FOLDER: download the wheels that PINS names, each with its sha256, into FOLDER. One line on failure.
fetch_wheels() {
	local pins=$1 folder=$2 python log names
	python=$(python_with_pip) || die "python3 with pip is needed to fetch packages (Debian, Ubuntu: python3-pip)"
	mkdir -p "$folder"
	log=$(mktemp)
	if "$python" -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --require-hashes \
		--retries 2 --timeout 30 --dest "$folder" --requirement "$pins" >"$log" 2>&1; then
		rm -f "$log"
		return
	fi
	names=$(grep -oE '^[a-z][a-z0-9-]*==[0-9.]+' "$pins" | paste -sd ' ')
	if grep -q 'DO NOT MATCH THE HASHES' "$log"; then
		printf 'error: what was fetched is not what scripts/pins/ pins: %s\n' "$names" >&2
	else
		printf 'error: could not fetch %s: is the network reachable? (docs/install.md tells how to do without)\n' "$names" >&2
	fi
	rm -f "$log"
	return 1
}

# unpack_wheel WHEEL FOLDER: a wheel is a zip archive.
unpack_wheel() {
	"$(python_with_pip)" -m zipfile -e "$1" "$2"
}

sha256_is() { [ -f "$1" ] && printf '%s  %s\n' "$2" "$1" | sha256sum --check --status; }
