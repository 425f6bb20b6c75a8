/* Any file through the checkpoint reader (zip, pickle, safetensors); what is accepted is read. */
#include "fuzz.h"

#include "checkpoint.h"
#include "core/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_checkpoint *checkpoint = NULL;
	oq_error err;
	const char *path = fuzz_file(data, size, ".pt");
	if (oq_checkpoint_open(path, "state_dict", true, &checkpoint, &err) == OQ_OK)
		for (int i = 0; i < oq_checkpoint_count(checkpoint); i++) {
			const oq_tensor_info *info = oq_checkpoint_at(checkpoint, i);
			/* Strides of 0 let a tensor be larger than its storage, as PyTorch's expand does. */
			void *buffer = info->bytes < (size_t)64 << 20 ? oq_alloc(info->bytes) : NULL;
			if (buffer)
				(void)oq_checkpoint_read(checkpoint, i, buffer, &err);
			oq_free(buffer);
		}
	oq_checkpoint_close(checkpoint);
	unlink(path);
	return 0;
}
