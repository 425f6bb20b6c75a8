/* Any bytes through the pickle machine. */
#include "fuzz.h"

#include "pickle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	oq_arena arena = {0};
	const oq_pickle_value *root = NULL;
	oq_error err;
	if (oq_pickle_parse(data, size, "fuzz", &arena, &root, &err) == OQ_OK && !root)
		abort();
	oq_arena_free(&arena);
	return 0;
}
