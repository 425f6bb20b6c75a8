# What tests of low precision begin with; to be sourced with `oq`, `data` and `work` set. Goes to an empty $work; makes calibration.csv, test.csv
# (other patients), a float32 package f32.oq and calibration_patches.npy.
# shellcheck shell=bash disable=SC2154
# shellcheck source=tests/cli/lib.sh
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"
rm -rf "$work" && mkdir -p "$work" && cd "$work" || exit 1

ct=$data/ct
{
	echo image_path,coordX,coordY,coordZ
	for z in 230 250 270 290; do echo "$ct/example_ct.nii.gz,3.7,-158.2,$z"; done
} >calibration.csv
{
	echo image_path,patient,coordX,coordY,coordZ
	for z in 600 612 624 636 648 660; do echo "$ct/aorta_ct.nii.gz,p$z,16.25,-168.1,$z"; done
} >test.csv
expect 0 "" "$oq" convert --model models-genesis --synthetic 1 -o f32.oq
expect 0 "" "$oq" patches f32.oq calibration.csv -o calibration_patches.npy
