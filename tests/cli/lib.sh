# What tests of the command share; to be sourced. Counts in `checks` and `failures`.
# shellcheck shell=bash disable=SC2034
failures=0 checks=0

fail() { failures=$((failures + 1)); echo "FAILED: $*" >&2; }
# expect CODE WORD COMMAND...: exit code, and a word on one line of stderr ("" = nothing)
expect() {
	local code=$1 word=$2 got
	shift 2
	checks=$((checks + 1))
	"$@" >out.txt 2>err.txt
	got=$?
	[ "$got" = "$code" ] || fail "$* ended with $got, expected $code: $(cat err.txt)"
	if [ -n "$word" ]; then
		[ "$(wc -l <err.txt)" = 1 ] && grep -qF -- "$word" err.txt || fail "$*: expected one line with '$word', got: $(cat err.txt)"
	fi
}
says() {
	checks=$((checks + 1))
	grep -qF -- "$2" "$1" || fail "$1 does not say $2"
}
same() {
	checks=$((checks + 1))
	cmp -s "$1" "$2" || fail "$1 and $2 differ"
}
