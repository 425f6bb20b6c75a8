/* Any file through the .npy reader; what is accepted must be readable in full. */
#include "fuzz.h"

#include "core/mem.h"
#include "io/npy.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_npy *npy = NULL;
	oq_error err;
	const char *path = fuzz_file(data, size, ".npy");
	if (oq_npy_open(path, &npy, &err) == OQ_OK) {
		float *values = oq_alloc(npy->count * sizeof *values);
		if (npy->count > size || oq_npy_read_f32(npy, 0, npy->count, values, &err) != OQ_OK)
			abort();
		oq_free(values);
	}
	oq_npy_close(npy);
	unlink(path);
	return 0;
}
