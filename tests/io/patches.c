/* Golden patches: every setting of the benchmark's models at every seed, against the output of the reference pipeline
 * (MONAI 1.4.1rc1; 1.6.1 for the exact mode). The bar is 1e-6 absolute: intensities are float32 of order 1, and the reference
 * interpolates in float64, so that only the last rounding to float32 may differ. */
#include "check.h"

#include "core/mem.h"
#include "io/npy.h"
#include "io/patch.h"
#include "io/table.h"

#include <omp.h>

#define BAR 1e-6

static const struct {
	const char *name;
	oq_patch_spec spec;
} settings[] = {
	{"A_SPL_48", {"SPL", {48, 48, 48}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"B_RAS_48", {"RAS", {48, 48, 48}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"C_RAS_64", {"RAS", {64, 64, 64}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"D_LPS_48", {"LPS", {48, 48, 48}, {1, 1, 1}, -1024, 2048, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"E_RAS_48_1000", {"RAS", {48, 48, 48}, {1, 1, 1}, -1000, 1000, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"F_SLP_60_CTCLIP", {"SLP", {60, 60, 60}, {1.5, 0.75, 0.75}, -1000, 1000, -1, 1, OQ_RESAMPLE_REFERENCE, false}},
	{"G_LPS_48_1000", {"LPS", {48, 48, 48}, {1, 1, 1}, -1000, 1000, 0, 1, OQ_RESAMPLE_REFERENCE, false}},
};

static float *read_golden(const char *folder, const char *setting, const char *patch, size_t count)
{
	char path[1024];
	oq_npy *npy = NULL;
	oq_error err;
	snprintf(path, sizeof path, "%s/%s/%s__%s.npy", OQ_TEST_DATA, folder, setting, patch);
	if (oq_npy_open(path, &npy, &err) != OQ_OK)
		return NULL;
	OQ_REQUIRE(npy->count == count);
	float *data = oq_alloc(count * sizeof *data);
	OQ_REQUIRE(oq_npy_read_f32(npy, 0, count, data, &err) == OQ_OK);
	oq_npy_close(npy);
	return data;
}

/* The largest difference to the golden patch, or -1 when there is none of this name. */
static double difference(const oq_volume *volume, const oq_patch_spec *spec, const char *folder, const char *setting, const char *patch, const double seed[3])
{
	size_t count = (size_t)(spec->size[0] * spec->size[1] * spec->size[2]);
	float *expected = read_golden(folder, setting, patch, count), *got = oq_alloc(count * sizeof *got);
	if (!expected) {
		oq_free(got);
		return -1;
	}
	oq_error err;
	oq_patch_info info;
	double start = omp_get_wtime(), worst = 0;
	OQ_REQUIRE(oq_patch_extract(volume, spec, seed, got, &info, &err) == OQ_OK);
	double ms = 1e3 * (omp_get_wtime() - start);
	for (size_t i = 0; i < count; i++)
		worst = fmax(worst, fabs((double)got[i] - (double)expected[i]));
	printf("  %-16s %-12s %-16s worst %.2e  %5.2f ms  padding %.3f\n", folder, patch, setting, worst, ms, info.padding_fraction);
	oq_free(expected);
	oq_free(got);
	return worst;
}

int main(void)
{
	oq_table *table = NULL;
	oq_error err;
	int compared = 0;
	OQ_REQUIRE(oq_table_read(OQ_TEST_DATA "/seeds.csv", &table, &err) == OQ_OK);
	for (int64_t row = 0; row < oq_table_rows(table); row++) {
		char path[1024];
		double seed[3];
		oq_volume *volume = NULL;
		snprintf(path, sizeof path, "%s/%s", OQ_TEST_DATA, oq_table_cell(table, row, oq_table_find(table, "image_path")));
		for (int i = 0; i < 3; i++)
			OQ_REQUIRE(oq_parse_number(oq_table_cell(table, row, oq_table_find(table, i == 0 ? "coordX" : i == 1 ? "coordY" : "coordZ")), &seed[i]));
		OQ_REQUIRE(oq_volume_read(path, NULL, &volume, &err) == OQ_OK);
		for (size_t s = 0; s < sizeof settings / sizeof *settings; s++) {
			oq_patch_spec spec = settings[s].spec;
			double worst = difference(volume, &spec, "patches", settings[s].name, oq_table_cell(table, row, 0), seed);
			OQ_CHECK(worst >= 0 && worst <= BAR);
			spec.resample = OQ_RESAMPLE_EXACT;
			double exact = difference(volume, &spec, "patches_exact", settings[s].name, oq_table_cell(table, row, 0), seed);
			OQ_CHECK(exact <= BAR);
			compared += 1 + (exact >= 0);
		}
		oq_volume_free(volume);
	}
	oq_table_free(table);
	OQ_CHECK_INT(compared, 35 + 10);
	return oq_checks_done();
}
