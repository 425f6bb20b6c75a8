#!/usr/bin/env bash
# Installs what the build needs: distribution packages (Debian 12 or newer, Ubuntu 24.04 or newer) and, where the machine has no
# suitable oneDNN, one below .deps/. Changes nothing else; a second run finds everything there and does nothing.
# Usage: scripts/setup.sh [-Ddnnl_DIR=<folder with dnnl-config.cmake>] [-DCMAKE_PREFIX_PATH=...]
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Command or header|library -> distribution package.
tools=("gcc gcc" "make make" "cmake cmake")
libraries=("stdio.h|c libc6-dev" "zlib.h|z zlib1g-dev" "cjson/cJSON.h|cjson libcjson-dev" "nifti2_io.h|nifti2 libnifti2-dev")
case $(uname -m) in # ISA-L is a matter of speed only, and not packaged for every architecture
x86_64 | aarch64) libraries+=("isa-l/igzip_lib.h|isal libisal-dev") ;;
esac

has_library() { # header|library: does the compiler find both?
	local header=${1%|*} library=${1#*|}
	have gcc && printf '#include <stdint.h>\n#include <%s>\nint main(void) { return 0; }\n' "$header" |
		gcc -x c -I/usr/include/nifti -o /dev/null - "-l$library" >/dev/null 2>&1
}

missing_packages() {
	local row
	for row in "${tools[@]}"; do
		have "${row% *}" || printf '%s\n' "${row#* }"
	done
	for row in "${libraries[@]}"; do
		has_library "${row% *}" || printf '%s\n' "${row#* }"
	done
	# Asked for together with the rest, so that sudo is needed only once.
	if [ $# -eq 0 ] && [ ! -e "$OQ_DEPS/onednn" ] && ! python_with_pip >/dev/null; then
		printf 'python3-pip\n'
	fi
}

as_root() {
	if [ "$(id -u)" -eq 0 ]; then
		"$@"
	elif have sudo; then
		sudo "$@"
	else
		die "root is needed once to install packages; run as root or install sudo"
	fi
}

install_packages() {
	have apt-get || die "missing: $*. This script installs packages on Debian and Ubuntu only; install them your way and run it again"
	say "Installing distribution packages: $*"
	[ "$(id -u)" -eq 0 ] || note "(this asks for your password once)"
	# One call, so that sudo asks once.
	# shellcheck disable=SC2016
	as_root env DEBIAN_FRONTEND=noninteractive sh -c '
		log=$(mktemp)
		trap "rm -f $log" EXIT
		{ apt-get -q update && apt-get -q install -y --no-install-recommends "$@"; } >"$log" 2>&1 </dev/null && exit 0
		grep -E "^(E|Err)" "$log" >&2 || tail -n 20 "$log" >&2
		exit 1' sh "$@" || die "could not install $*: install these packages yourself, or see above, and run it again"
}

# Does find_package(dnnl) give one that serves? Sets onednn_found or onednn_problem.
probe_onednn() {
	local folder
	folder=$(mktemp -d)
	onednn_found='' onednn_problem=''
	if cmake -S "$OQ_ROOT/cmake/probe-onednn" -B "$folder" "$@" >"$folder/log" 2>&1; then
		onednn_found=$(cat "$folder/found")
	else
		onednn_problem=$(cat "$folder/problem" 2>/dev/null || tail -n 3 "$folder/log")
	fi
	rm -rf "$folder"
}

unpack_onednn() {
	local new=$OQ_DEPS/onednn.new library
	rm -rf "$new"
	mkdir -p "$new/unpacked"
	for wheel in "$OQ_DEPS"/wheels/onednn_*.whl; do
		unpack_wheel "$wheel" "$new/unpacked"
	done
	for wheel in "$new"/unpacked/*.data/data; do
		cp -al "$wheel/." "$new/"
	done
	rm -rf "$new/unpacked"
	# A wheel cannot hold links, so the 53 MB library is in it three times.
	library=$(cd "$new/lib" && ls libdnnl.so.3.*)
	ln -sf "$library" "$new/lib/libdnnl.so.3"
	ln -sf libdnnl.so.3 "$new/lib/libdnnl.so"
	rm -rf "$OQ_DEPS/onednn"
	mv "$new" "$OQ_DEPS/onednn"
}

fetch_onednn() {
	[ "$(uname -m)" = x86_64 ] || die "no prebuilt oneDNN for $(uname -m): install oneDNN 3.2 or newer built with OpenMP, then give -Ddnnl_DIR="
	say "Fetching oneDNN 3.2 (39 MB) into .deps/onednn"
	fetch_wheels "$OQ_ROOT/scripts/pins/onednn.txt" "$OQ_DEPS/wheels" || exit 1
	unpack_onednn
	rm -f "$OQ_DEPS"/wheels/onednn_*.whl
}

mapfile -t packages < <(missing_packages "$@")
[ "${#packages[@]}" -eq 0 ] || install_packages "${packages[@]}"

if [ $# -eq 0 ] && [ -f "$OQ_DEPS/onednn/lib/cmake/dnnl/dnnl-config.cmake" ]; then
	set -- "-Ddnnl_DIR=$OQ_DEPS/onednn/lib/cmake/dnnl"
fi
probe_onednn "$@"
if [ -z "$onednn_found" ] && [ $# -eq 0 ]; then
	note "oneDNN of this machine: $onednn_problem"
	fetch_onednn
	probe_onednn "-Ddnnl_DIR=$OQ_DEPS/onednn/lib/cmake/dnnl"
fi
[ -n "$onednn_found" ] || die "oneDNN: $onednn_problem; OncoQuant needs 3.2 or newer with the CPU runtime OMP"
say "Everything the build needs is here (oneDNN ${onednn_found/#$OQ_ROOT\//})"
