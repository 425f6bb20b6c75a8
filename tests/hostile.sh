#!/usr/bin/env bash
# The table of hostile inputs in tests/README.md names places that exist, and every row of the list has one.
# usage: hostile.sh SOURCE
set -u
cd "$1" || exit 1
failures=0 rows=''
while IFS='|' read -r _ row file words _; do
	row=${row# } row=${row% } file=${file// /} words=${words# } words=${words% }
	rows+=" $row "
	grep -qF -- "$words" "$file" || { failures=$((failures + 1)); echo "FAILED: $row: $file does not hold: $words" >&2; }
done < <(grep -E '^\| (images|[MWSPE][0-9]+[^|]*) \| (tests|scripts)/' tests/README.md)
for last in M24 W16 S24 P6 E7; do
	for ((i = 1; i <= ${last:1}; i++)); do
		[[ $rows == *" ${last:0:1}$i "* ]] || { failures=$((failures + 1)); echo "FAILED: row ${last:0:1}$i has no test" >&2; }
	done
done
for id in b{01..98} n2_0{0..7} ok_0{0..8} pair_missing_img pair_ok pair_short; do
	grep -qE "\"$id[_ .]|b17, b84, b87, b93.*$id" tests/io/nifti_bad.c tests/io/nifti_made.c || { failures=$((failures + 1)); echo "FAILED: image $id has no test" >&2; }
done
[ $failures = 0 ] && echo "all rows have a test"
