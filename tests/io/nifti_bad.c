/* Hostile and odd NIfTI files: each is refused with its reason code, or read with its warning, as docs/formats.md says. */
#include "check.h"

#include "core/mem.h"
#include "io/volume.h"

/* code "" = read without a word; "W_..." = read with this warning; "E_..." = refused. */
static const struct {
	const char *file, *code;
} cases[] = {
	{"b01_empty.nii", "E_TRUNCATED"}, {"b03_header_only.nii", "E_TRUNCATED"}, {"b04_sizeof_0.nii", "E_MAGIC"}, {"b06_bad_magic.nii", "E_MAGIC"},
	{"b07_magic_ni1_in_nii.nii", "E_MAGIC"}, {"b09_dim0_0.nii", "E_DIMS"}, {"b10_dim0_8.nii", "E_DIMS"}, {"b12_dim_zero_axis.nii", "E_DIMS"},
	{"b13_dim_neg_axis.nii", "E_DIMS"}, {"b15_dims_overflow_2e64.nii", "E_OVERFLOW"}, {"b16_dims_overflow_int32.nii", "E_TRUNCATED"},
	{"b18_vox_offset_0.nii", "W_OFFSET"}, {"b19_vox_offset_neg.nii", "E_OFFSET"}, {"b21_vox_offset_nan.nii", "E_OFFSET"},
	{"b22_vox_offset_1e30.nii", "E_OFFSET"}, {"b24_vox_offset_inside_header.nii", "E_OFFSET"}, {"b25_ext_flag_no_ext.nii", "W_EXTENSION"},
	{"b27_ext_size_neg.nii", "W_EXTENSION"}, {"b28_ext_size_not16.nii", "W_EXTENSION"}, {"b30_dt_0.nii", "E_DTYPE"}, {"b31_dt_binary1.nii", "E_DTYPE"},
	{"b33_bitpix_neg.nii", "W_BITPIX"}, {"b34_rgb24.nii", "E_DTYPE"}, {"b36_complex64.nii", "E_DTYPE"}, {"b37_float128.nii", "E_DTYPE"},
	{"b39_uint8_ct.nii", "W_HU_RANGE"}, {"b40_all_nan.nii", "E_NONFINITE"}, {"b42_inf.nii", "E_NONFINITE"}, {"b43_float_1e38.nii", "E_HU_RANGE"},
	{"b45_slope_inf.nii", "E_SCALE"}, {"b46_inter_nan.nii", "E_SCALE"}, {"b48_slope0_inter_m1024.nii", "E_SCALE_AMBIG"}, {"b49_slope_1e-40.nii", "E_SCALE"},
	{"b51_unsigned_hu.nii", "W_HU_RANGE"}, {"b52_pad_m2000_m32768.nii", ""}, {"b54_pixdim_neg.nii", "E_SPACING"}, {"b55_pixdim_nan.nii", "E_SPACING"},
	{"b57_pixdim_1e-9.nii", "E_SPACING"}, {"b58_pixdim_1e9.nii", "E_SPACING"}, {"b60_units_micron.nii", "W_UNITS"}, {"b61_no_qs_form.nii", "E_NO_ORIENTATION"},
	{"b62b_sform_only_code2.nii", ""}, {"b62c_q1_s1_conflict.nii", "W_QS_MISMATCH"}, {"b63_srow_all_zero.nii", "E_AFFINE_SINGULAR"},
	{"b64_srow_singular.nii", "E_AFFINE_SINGULAR"}, {"b66_sheared_gantry.nii", "E_SHEAR"}, {"b66b_gantry20_exact.nii", "E_SHEAR"},
	{"b67_srow_spacing_ne_pixdim.nii", "E_SPACING_MISMATCH"}, {"b68_quat_norm_gt1.nii", "E_AFFINE"}, {"b70_qfac_0.nii", ""}, {"b71_qfac_7.nii", "W_QFAC"},
	{"b73_offset_1e20.nii", "E_AFFINE_RANGE"}, {"b74_2d.nii", "E_DIMS"}, {"b76_4d_nt5.nii", "E_4D"}, {"b77_5d_vec3.nii", "E_DIMS"},
	{"b79_trunc_data.nii", "E_TRUNCATED"}, {"b80_trunc_1voxel.nii", "E_TRUNCATED"}, {"b82_gz_trunc_half.nii.gz", "E_GZ_TRUNCATED"},
	{"b83_gz_bad_crc.nii.gz", "E_GZ_CRC"}, {"b85_gz_bitflip.nii.gz", "E_GZ_CRC"}, {"b86_gz_trailing_garbage.nii.gz", "W_TRAILING"},
	{"b88_plain_named_gz.nii.gz", "W_NAME"}, {"b89_gz_named_nii.nii", "W_NAME"}, {"b91_gz_of_empty.nii.gz", "E_TRUNCATED"},
	{"b92_gz_header_only.nii.gz", "E_GZ_TRUNCATED"}, {"b94_html_error_page.nii.gz", "E_MAGIC"}, {"b95_lfs_pointer.nii.gz", "E_MAGIC"},
	{"b97_random.nii", "E_MAGIC"}, {"b98_nonascii_descrip.nii", ""}, {"n2_01_dim0_200.nii", "E_DIMS"}, {"n2_02_dim0_neg.nii", "E_DIMS"},
	{"n2_04_dim_overflow_to_small.nii", "E_OVERFLOW"}, {"n2_05_voxoff_neg.nii", "E_OFFSET"}, {"n2_07_magic_damaged_crlf.nii", "E_MAGIC"},
	{"ok_00_plain.nii", ""}, {"ok_01_gz.nii.gz", ""}, {"ok_02_bigendian.nii", ""}, {"ok_03_uint16_slope.nii", ""}, {"ok_04_float64.nii", ""},
	{"ok_05_slope0.nii", ""}, {"ok_06_4d_nt1.nii", ""}, {"ok_07_mirror_x.nii", ""}, {"ok_08_oblique.nii", "W_SPACING_MISMATCH"}, {"pair_missing_img.hdr", "E_PAIR"},
	{"pair_ok.hdr", ""}, {"pair_short.hdr", "E_TRUNCATED"},
};

static void check_case(const char *file, const char *code)
{
	char path[1024];
	oq_error err = {0};
	oq_volume *volume = NULL;
	snprintf(path, sizeof path, "%s/nifti_bad/%s", OQ_TEST_DATA, file);
	oq_status status = oq_volume_read(path, NULL, &volume, &err);
	bool refused = code[0] == 'E';
	bool good = refused ? status != OQ_OK && !strcmp(err.code, code) && strstr(err.message, file)
		: status == OQ_OK && (code[0] ? oq_notes_has(&volume->notes, code) : volume->notes.count == 0);
	OQ_CHECK(good);
	if (!good)
		fprintf(stderr, "  %s: expected %s, got %s %s%s\n", file, code, status == OQ_OK ? "read" : err.code, status == OQ_OK ? "" : err.message,
			status == OQ_OK && volume->notes.count ? volume->notes.items[0].code : "");
	oq_volume_free(volume);
}

/* Same anatomy, other encodings: the voxels are the same HU. */
static void check_same(const char *file)
{
	char path[1024];
	oq_error err;
	oq_volume *base = NULL, *other = NULL;
	OQ_REQUIRE(oq_volume_read(OQ_TEST_DATA "/nifti_bad/ok_00_plain.nii", NULL, &base, &err) == OQ_OK);
	snprintf(path, sizeof path, "%s/nifti_bad/%s", OQ_TEST_DATA, file);
	OQ_REQUIRE(oq_volume_read(path, NULL, &other, &err) == OQ_OK);
	int different = 0;
	for (int64_t k = 0; k < base->dims[2]; k++)
		for (int64_t j = 0; j < base->dims[1]; j++)
			for (int64_t i = 0; i < base->dims[0]; i++)
				different += oq_volume_hu(base, i, j, k) != oq_volume_hu(other, i, j, k);
	OQ_CHECK_INT(different, 0);
	OQ_CHECK(!memcmp(base->affine, other->affine, sizeof base->affine));
	oq_volume_free(base);
	oq_volume_free(other);
}

int main(void)
{
	for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
		check_case(cases[i].file, cases[i].code);
	static const char *const same[] = {"ok_01_gz.nii.gz", "ok_02_bigendian.nii", "ok_06_4d_nt1.nii", "b86_gz_trailing_garbage.nii.gz", "b89_gz_named_nii.nii",
		"pair_ok.hdr"};
	for (size_t i = 0; i < sizeof same / sizeof *same; i++)
		check_same(same[i]);
	return oq_checks_done();
}
