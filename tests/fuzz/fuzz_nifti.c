/* Any file through the NIfTI reader and, when it is accepted, one patch through the resampler. */
#include "fuzz.h"

#include "io/patch.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static float patch[16 * 16 * 16];
	const oq_patch_spec spec = {.axes = "RAS", .size = {16, 16, 16}, .spacing_mm = {2, 2, 2}, .hu_min = -1000, .hu_max = 1000, .out_max = 1};
	const oq_volume_options options = {.max_bytes = (size_t)64 << 20};
	oq_volume *volume = NULL;
	oq_error err;
	const char *path = fuzz_file(data, size, ".nii");
	if (oq_volume_read(path, &options, &volume, &err) == OQ_OK) {
		const double middle[3] = {(double)(volume->dims[0] - 1) / 2, (double)(volume->dims[1] - 1) / 2, (double)(volume->dims[2] - 1) / 2};
		double ras[3];
		oq_volume_to_ras(volume, middle, ras);
		const double seed[3] = {-ras[0], -ras[1], ras[2]};
		if (oq_patch_extract(volume, &spec, seed, patch, NULL, &err) == OQ_OK)
			for (size_t i = 0; i < sizeof patch / sizeof *patch; i++)
				if (!(patch[i] >= 0 && patch[i] <= 1))
					abort();
	}
	oq_volume_free(volume);
	unlink(path);
	return 0;
}
