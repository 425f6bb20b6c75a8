#!/usr/bin/env bash
# The command as its users meet it: exit codes, one-line errors, bad rows, bits that depend on nothing but the patch.
# usage: cli.sh ONCOQUANT TEST_DATA WORK
set -u
oq=$1 data=$2 work=$3
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

# rows FILE SIZE FIRST COUNT: raw rows of an .npy with a 128-byte header
rows() { tail -c +129 "$1" | tail -c +$((4 * $2 * $3 + 1)) | head -c $((4 * $2 * $4)); }

expect 2 "" "$oq"
expect 0 "" "$oq" --help
expect 0 "" "$oq" version
for command in models convert inspect patches embed bench; do
	expect 0 "" "$oq" $command --help
	grep -q "^examples:" out.txt || fail "$command --help has no examples"
done
expect 2 "unknown command embde" "$oq" embde
expect 2 "did you mean --threads" "$oq" embed --treads 2 a b -o c
expect 2 "--threads is \"x\"" "$oq" embed --threads x a b -o c
expect 2 "--output are needed" "$oq" embed a.oq b.csv
expect 2 "no built-in model" "$oq" convert --model ct-fn --synthetic 1 -o x.oq
expect 2 "either --checkpoint or --synthetic" "$oq" convert --model ct-fm -o x.oq
expect 5 "No such file" "$oq" convert --model ct-fm --checkpoint none.torch -o x.oq
expect 5 "tensors are missing" "$oq" convert --model ct-fm --checkpoint "$data/import/flat.pt" -o x.oq
[ ! -e x.oq ] || fail "a failed conversion left x.oq"
mkdir not_a_package && touch not_a_package/mine
expect 7 "left alone" "$oq" convert --model models-genesis --synthetic 1 -o not_a_package
[ -e not_a_package/mine ] || fail "a folder of somebody's files was touched"

expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o mg.oq
expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o again.oq
same mg.oq/model.json again.oq/model.json
same mg.oq/weights.safetensors again.oq/weights.safetensors
expect 0 "" "$oq" inspect mg.oq
grep -q "Models Genesis" out.txt || fail "inspect does not name the model"
expect 0 "" "$oq" inspect mg.oq --json

ct=$data/ct
expect 0 "" "$oq" inspect "$ct/example_ct.nii.gz" --seed 3.7,-158.2,266.9 --png seed.png
[ "$(head -c 4 seed.png | tail -c 3)" = PNG ] || fail "seed.png is no PNG"
expect 2 "expected three numbers" "$oq" inspect "$ct/example_ct.nii.gz" --seed 1,2
expect 4 "E_TRUNCATED" "$oq" inspect "$data/nifti_bad/b79_trunc_data.nii"

# Manifests.
cat >four.csv <<EOF
id,image_path,coordX,coordY,coordZ,note
a,$ct/example_ct.nii.gz,3.7,-158.2,266.9,"x, ""y"""
b,$ct/aorta_ct.nii.gz,16.25,-168.1,661.3,
c,$ct/example_ct.nii.gz,168.4,-160.0,420.6,
d,$ct/perm_ct.nii.gz,-10.4,-170.3,300.2,
EOF
{ head -1 four.csv; for line in 5 3 4 2; do sed -n ${line}p four.csv; done; } >turned.csv
{ head -1 four.csv; sed -n 4p four.csv; } >one.csv
expect 0 "" "$oq" embed mg.oq four.csv -o four_out.npy --threads 1
for threads in 2 3; do
	expect 0 "" "$oq" embed mg.oq four.csv -o t$threads.npy --threads $threads
	same four_out.npy t$threads.npy
done
# More threads than rows: the threads share a patch.
expect 0 "" "$oq" embed mg.oq one.csv -o one_out.npy --threads 2
# The method of convolutions is chosen, recorded, and no company changes its bits.
grep -q '"winograd-f4"' one_out.json || fail "the sidecar does not name the methods of convolutions"
expect 0 "" "$oq" embed mg.oq one.csv -o direct1.npy --conv direct --threads 1
expect 0 "" "$oq" embed mg.oq one.csv -o direct2.npy --conv direct --threads 2
same direct1.npy direct2.npy
! grep -q winograd direct1.json || fail "--conv direct uses Winograd"
cmp -s direct1.npy one_out.npy && fail "--conv direct changes nothing"
expect 0 "" "$oq" embed mg.oq one.csv -o f2.npy --conv winograd --threads 1
grep -q '"winograd-f2"' f2.json && ! grep -q '"winograd-f4"' f2.json || fail "--conv winograd is not F(2)"
expect 2 "--conv is" "$oq" embed mg.oq one.csv -o x.npy --conv fast
rows four_out.npy 4096 2 1 >c.raw && rows one_out.npy 4096 0 1 >one.raw && same c.raw one.raw
expect 0 "" "$oq" embed mg.oq turned.csv -o turned_out.npy
rows turned_out.npy 4096 0 1 >t0.raw && rows four_out.npy 4096 3 1 >f3.raw && same t0.raw f3.raw
rows turned_out.npy 4096 3 1 >t3.raw && rows four_out.npy 4096 0 1 >f0.raw && same t3.raw f0.raw
# Through a file of patches.
expect 0 "" "$oq" patches mg.oq four.csv -o patches.npy
expect 0 "" "$oq" embed mg.oq --patches patches.npy -o from_patches.npy
same four_out.npy from_patches.npy
# Several packages in one run equal separate runs.
expect 0 "" "$oq" convert --model suprem --synthetic 1 -o su.oq
expect 0 "" "$oq" embed mg.oq su.oq four.csv -o both
same both/mg.npy four_out.npy
expect 0 "" "$oq" embed su.oq four.csv -o su.npy
same both/su.npy su.npy
grep -q '"x, ""y"""' su.csv || fail "a quoted field was lost"

# The same points said in other ways.
sed "s#$ct/#/data/lung/#" one.csv >elsewhere.csv
expect 0 "" "$oq" embed mg.oq elsewhere.csv -o mapped.npy --path-map "/data/lung/=$ct/"
same mapped.npy one_out.npy
sed "s#$ct/##" one.csv >bare.csv
expect 0 "" "$oq" embed mg.oq bare.csv -o rooted.npy --root "$ct"
same rooted.npy one_out.npy
awk -F, -v OFS=, 'NR > 1 { $3 = -$3; $4 = -$4 } { print }' one.csv >ras.csv
expect 0 "" "$oq" embed mg.oq ras.csv -o ras_out.npy --coords ras
same ras_out.npy one_out.npy
# Voxel (10,20,30) of a grid of 3 mm from (-177.956, 11.319, 94.302) RAS, as LPS.
printf 'image_path,coordX,coordY,coordZ\n%s,10,20,30\n' "$ct/example_ct.nii.gz" >voxel.csv
printf 'image_path,coordX,coordY,coordZ\n%s,147.95632934570312,-71.319000244140625,184.3017578125\n' "$ct/example_ct.nii.gz" >voxel_lps.csv
expect 0 "" "$oq" embed mg.oq voxel.csv -o voxel_out.npy --coords voxel
expect 0 "" "$oq" embed mg.oq voxel_lps.csv -o voxel_lps_out.npy
same voxel_out.npy voxel_lps_out.npy
expect 2 "expected OLD=NEW" "$oq" embed mg.oq one.csv -o x.npy --path-map /data

# Bad rows never stop a cohort.
{
	cat four.csv
	echo "e,none.nii.gz,1,2,3,"
	echo "f,$ct/example_ct.nii.gz,\"12,5\",2,3,"
	echo "g,$ct/example_ct.nii.gz,9000,2,3,"
	echo "h,$data/nifti_bad/b79_trunc_data.nii,0,0,0,"
} >bad.csv
expect 3 "4 of 8 rows failed" "$oq" embed mg.oq bad.csv -o some.npy
rows some.npy 4096 0 4 >b.raw && rows four_out.npy 4096 0 4 >f.raw && same b.raw f.raw
for code in E_OPEN E_COORD E_SEED_OUTSIDE E_TRUNCATED; do
	checks=$((checks + 1))
	grep -q ",failed,$code," some.csv || fail "some.csv has no row that failed with $code"
done
expect 2 "would be overwritten" "$oq" embed mg.oq bad.csv -o bad.npy
{ head -1 four.csv; echo "e,none.nii.gz,1,2,3,"; } >all_bad.csv
expect 4 "all 1 rows failed" "$oq" embed mg.oq all_bad.csv -o all_bad_out.npy
[ ! -e all_bad_out.npy ] || fail "an output was written although every row failed"
head -1 four.csv >empty.csv
expect 4 "has 0 rows" "$oq" embed mg.oq empty.csv -o empty_out.npy
sed 's/coordX/coordx/' four.csv >column.csv
expect 2 "no column \"coordX\"" "$oq" embed mg.oq column.csv -o column_out.npy
sed 's/,/;/g' one.csv >semicolon.csv
expect 2 "separated by ';'" "$oq" embed mg.oq semicolon.csv -o semicolon_out.npy
expect 7 "" "$oq" embed mg.oq one.csv -o /dev/full
expect 7 "" "$oq" embed mg.oq one.csv -o none/one.npy
ls -a | grep -q '^\..*\.npy\.' && fail "temporary files were left behind"

# One flipped bit in the weights is found and its tensor named.
cp -r mg.oq flipped.oq
printf '\x01' | dd of=flipped.oq/weights.safetensors bs=1 seek=2000000 conv=notrunc status=none
expect 5 "SHA-256" "$oq" embed flipped.oq one.csv -o flipped.npy
head -c 1000000 mg.oq/weights.safetensors >flipped.oq/weights.safetensors
expect 5 "E_MODEL_TRUNCATED" "$oq" inspect flipped.oq

# A closed or full standard output is said, not ignored.
checks=$((checks + 1))
"$oq" models >/dev/full 2>err.txt
[ $? = 7 ] || fail "a full standard output went unnoticed"
expect 0 "" "$oq" bench mg.oq --seconds 0 --threads 1
expect 0 "" "$oq" bench mg.oq --seconds 0 --json --profile
# Half a measurement is none: the signal ends it with 143, and nothing is printed. (Without --foreground timeout sends it twice: the second kills.)
expect 143 "stopped before the end" timeout --foreground --preserve-status -s TERM 1 "$oq" bench mg.oq --seconds 60 --threads 1
checks=$((checks + 1))
[ ! -s out.txt ] || fail "a stopped bench printed $(head -1 out.txt)"
echo "$((checks - failures)) of $checks checks passed"
[ $failures = 0 ]
