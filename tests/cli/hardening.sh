#!/usr/bin/env bash
# The built files carry the hardening that the build asks for: position independent, relocations read-only and bound at start, no executable
# stack, stack protector, checked library calls, and branch and return protection where the compiler knows it.
# usage: hardening.sh ONCOQUANT LIBRARY FORTIFIED(0|1) CET(0|1)
set -u
failures=0 checks=0
command -v readelf >/dev/null || { echo "NOTICE: readelf is not installed"; exit 77; }

check() { # FILE WHAT COMMAND...
	local file=$1 what=$2
	shift 2
	checks=$((checks + 1))
	"$@" || { failures=$((failures + 1)); echo "FAILED: $file: $what" >&2; }
}
has() { grep -qE -- "$2" <<<"$1"; }
lacks() { ! grep -qE -- "$2" <<<"$1"; }

for file in "$1" "$2"; do
	header=$(readelf -hW "$file") segments=$(readelf -lW "$file") dynamic=$(readelf -dW "$file") symbols=$(readelf -sW --dyn-syms "$file")
	check "$file" "is not position independent" has "$header" 'Type: +DYN'
	check "$file" "has writable relocations" has "$segments" 'GNU_RELRO'
	check "$file" "binds late" has "$dynamic" 'BIND_NOW|Flags: .*NOW'
	check "$file" "has an executable stack" has "$segments" 'GNU_STACK .* RW '
	check "$file" "has text relocations" lacks "$dynamic" 'TEXTREL'
	check "$file" "has no stack protector" has "$symbols" '__stack_chk_fail'
	[ "$3" = 0 ] || check "$file" "has no checked library calls" has "$symbols" '__(snprintf|vsnprintf|memcpy|strcpy|read|pread64)_chk'
	# The note in the file itself also depends on the distribution's start-up code, so the marks in the code are counted.
	[ "$4" = 0 ] || check "$file" "has no branch protection" test "$(objdump -d --no-show-raw-insn "$file" | grep -c endbr64)" -gt 100
done
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
