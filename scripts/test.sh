#!/usr/bin/env bash
# Sets up, builds with warnings as errors and runs the whole test suite: normally, under the address and undefined-behaviour
# sanitizers (all but the slow tests and the slowest networks), and with the processor's instruction sets capped (the tests against golden numbers).
# Usage: scripts/test.sh [--long] [-D... for CMake]      --long: also the tests with the label `long` (tests/README.md; about an hour). Ends with "N passed, N failed, N skipped"; exit code 0 only if none failed.
# shellcheck source=scripts/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

without_long=(--label-exclude long) or_long='|long'
if [ "${1:-}" = --long ]; then
	without_long=() or_long=''
	shift
fi
cmake_arguments=("$@")
reports=$OQ_ROOT/out/test
rows=()
passed=0 failed=0 skipped=0
started=$SECONDS

add_row() { # stage, seconds, passed, failed, skipped
	rows+=("$(printf '%-34s %4d s  %4d passed  %2d failed  %2d skipped' "$@")")
	passed=$((passed + $3)) failed=$((failed + $4)) skipped=$((skipped + $5))
}

# attribute FILE NAME: of the report's first element, <testsuite ...>
attribute() { sed -n '/<testsuite/,/>/p' "$1" | grep -oE "\b$2=\"[0-9]+\"" | head -n 1 | tr -dc '0-9'; }

# run_tests STAGE BUILD [ctest arguments]
run_tests() {
	local stage=$1 build=$2 begun=$SECONDS report tests bad skips
	shift 2
	report=$reports/${stage//[^A-Za-z0-9]/_}.xml
	rm -f "$report"
	say "Tests: $stage"
	ctest --test-dir "$build" --output-on-failure --output-junit "$report" "$@" </dev/null || true
	tests=$(attribute "$report" tests 2>/dev/null || true)
	if [ "${tests:-0}" -eq 0 ]; then # a stage without tests has not shown anything
		add_row "$stage" $((SECONDS - begun)) 0 1 0
		return
	fi
	bad=$(attribute "$report" failures)
	skips=$(($(attribute "$report" skipped) + $(attribute "$report" disabled)))
	add_row "$stage" $((SECONDS - begun)) $((tests - bad - skips)) "$bad" "$skips"
}

# One command that counts as one test.
run_check() {
	local stage=$1 begun=$SECONDS
	shift
	say "$stage"
	if "$@"; then add_row "$stage" $((SECONDS - begun)) 1 0 0; else add_row "$stage" $((SECONDS - begun)) 0 1 0; fi
}

mkdir -p "$reports"
"$OQ_ROOT/scripts/setup.sh" "${cmake_arguments[@]}"
run_check "Style" "$OQ_ROOT/scripts/check_style.sh"
"$OQ_ROOT/scripts/build.sh" -DOQ_WERROR=ON "${cmake_arguments[@]}"
"$OQ_ROOT/scripts/fetch_astra.sh" || say "NOTICE: the real network could not be fetched; its tests are skipped"

run_tests "whole suite" "$OQ_ROOT/build" "${without_long[@]}"

OQ_BUILD=$OQ_ROOT/build-asan "$OQ_ROOT/scripts/build.sh" -DOQ_WERROR=ON -DOQ_SANITIZE=address,undefined "${cmake_arguments[@]}"
# Without the largest networks, and without VISTA3D, Merlin and PASTA, whose ops CT-FM, astra and FMCIB run as well.
run_tests "sanitizers" "$OQ_ROOT/build-asan" --label-exclude "slow|package|network|large$or_long" --exclude-regex 'parity_(vista3d|merlin|pasta)'

# Capping only lowers: on a processor without AVX-512 the second run repeats the first.
for isa in AVX2 AVX512_CORE; do
	ONEDNN_MAX_CPU_ISA=$isa run_tests "capped at $isa" "$OQ_ROOT/build" --label-regex "golden|capped" "${without_long[@]}"
done

say "Summary ($((SECONDS - started)) s)"
printf '   %s\n' "${rows[@]}"
printf '%d passed, %d failed, %d skipped\n' "$passed" "$failed" "$skipped"
[ "$failed" -eq 0 ]
