/* Any file through the safetensors reader; what is accepted must be readable in full. */
#include "fuzz.h"

#include "core/mem.h"
#include "core/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_safetensors *file = NULL;
	oq_error err;
	const char *path = fuzz_file(data, size, ".safetensors");
	if (oq_safetensors_open(path, &file, &err) == OQ_OK)
		for (int i = 0; i < oq_safetensors_count(file); i++) {
			const oq_tensor_info *info = oq_safetensors_at(file, i);
			void *buffer = oq_alloc(info->bytes);
			if (info->bytes > size || oq_safetensors_read(file, info, buffer, &err) != OQ_OK)
				abort();
			oq_free(buffer);
		}
	oq_safetensors_close(file);
	unlink(path);
	return 0;
}
