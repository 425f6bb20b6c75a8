/* Any file through the NRRD reader, which must refuse it or give a whole scan. A detached data file is never there. */
#include "fuzz.h"

#include "io/volume.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	const oq_volume_options options = {.max_bytes = (size_t)16 << 20};
	oq_volume *volume = NULL;
	oq_error err;
	const char *path = fuzz_file(data, size, ".nrrd");
	if (oq_volume_read(path, &options, &volume, &err) == OQ_OK) {
		float last = oq_volume_hu(volume, volume->dims[0] - 1, volume->dims[1] - 1, volume->dims[2] - 1);
		double range[2];
		oq_volume_range(volume, 0, volume->dims[2], range);
		if (!(last >= (float)range[0] && last <= (float)range[1]) || !isfinite(volume->affine[0][0]))
			abort();
	}
	oq_volume_free(volume);
	unlink(path);
	return 0;
}
