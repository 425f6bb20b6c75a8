#!/usr/bin/env bash
# Checks the rules of CONTRIBUTING.md that a program can check, on the files that git tracks. Prints each breach as file:line.
# With --format also shows (and never fails on) what clang-format would change.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
cd "$OQ_ROOT"

# A checkout of another owner, as in some containers, is as good as one's own here.
git() { command git -c safe.directory="$OQ_ROOT" "$@"; }
git ls-files --error-unmatch README.md >/dev/null 2>&1 || die "scripts/check_style.sh needs the git checkout"

mapfile -t sources < <(git ls-files '*.c' '*.h' '*.inc')
mapfile -t library < <(git ls-files 'src/*.c' 'src/*.h' 'quantize/*.c' 'quantize/*.h' | grep -v '^src/cli/')
mapfile -t texts < <(git ls-files | grep -vE '\.(gz|npy|png|bin|pt|nii|safetensors|zip)$|^LICENSE$|^tests/(data|fuzz/corpus)/')
breaches=0

breach() { # rule; lines on stdin
	local found
	found=$(cat)
	[ -n "$found" ] || return 0
	printf 'style: %s\n' "$1"
	printf '%s\n' "$found" | sed 's/^/   /' | cut -c1-180
	breaches=$((breaches + $(printf '%s\n' "$found" | wc -l)))
}
# search PATTERN FILES: lines that match outside comments that begin a line.
search() {
	local pattern=$1
	shift
	[ $# -gt 0 ] || return 0
	grep -nE "$pattern" "$@" /dev/null | grep -vE '^[^:]+:[0-9]+:[[:space:]]*(/?\*|//)' || true
}

breach "trailing blanks or carriage returns" < <(grep -nE '[[:blank:]]+$|'$'\r' "${texts[@]}" || true)
breach "lines indented with blanks, expected tabs" < <(grep -nE '^ {2,}[^ *]' "${sources[@]}" || true)
breach "lines over 160 columns of code (text in quotes not counted)" < <(awk '{ code = $0; gsub(/"[^"]*"/, "", code) }
	length(code) > 160 { print FILENAME ":" FNR }' "${sources[@]}")
breach "files over 800 lines" < <(wc -l "${sources[@]}" | awk '$1 > 800 && $2 != "total" { print $2 ": " $1 " lines" }')
breach "functions over 120 lines" < <(awk 'FNR == 1 { open = 0 } /^\{/ { open = FNR }
	/^\}/ && open { if (FNR - open > 120) print FILENAME ":" open; open = 0 }' "${sources[@]}")
# A source whose first line includes its own header has its comment there.
breach "sources that do not begin with a comment" < <(for f in "${sources[@]}"; do
	grep -m 1 -v '^#define _' "$f" | grep -qE "^/\*|^#include \"(.*/)?$(basename "${f%.c}")\.h\"" || echo "$f"
done)
breach "printing or leaving from the library" < <(search '\b(printf|puts|putchar|perror|exit|abort|assert)[[:space:]]*\(' "${library[@]}" |
	grep -vE '\b(sn|vsn|static_assert)' || true)
breach "sockets, subprocesses or loaded code" < <(search '\b(socket|connect|getaddrinfo|system|popen|execv[pe]*|execl[pe]*|fork|posix_spawn|dlopen)[[:space:]]*\(|sys/socket\.h|netdb\.h' \
	"${library[@]}" "${sources[@]}" | grep -vE '^tests/|^src/api/dicom\.c:.*posix_spawn' || true)
breach "unsafe string functions" < <(search '\b(sprintf|gets|strtok)[[:space:]]*\(' "${sources[@]}")
breach "oneDNN outside src/nn" < <(search '#include.*dnnl' "${sources[@]}" | grep -vE '^(src/nn|bench/ops|tests/nn)/' || true)
breach "unfinished marks" < <(search '\b(T[O]DO|F[I]XME|X[X]X|H[A]CK)\b' "${texts[@]}" | grep -vE '^scripts/check_style.sh:' || true)
breach "paths of one machine" < <(grep -nE '(^|[^A-Za-z0-9_.$}<-])/(ho[m]e|ro[o]t|wor[k]|farm|Us[e]rs)/' "${texts[@]}" || true)

if [ "${1:-}" = --format ] && have clang-format; then
	clang-format --dry-run "${sources[@]}" 2>&1 | grep -c 'warning:' | sed 's/$/ places where clang-format would write otherwise/'
fi
if [ "$breaches" -gt 0 ]; then
	printf '%d breaches of style\n' "$breaches"
	exit 1
fi
say "Style: ${#sources[@]} sources, no breaches"
